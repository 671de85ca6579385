// A node beside a std::map that says what it has to contain: every change goes through encode and apply, as
// in the log, and every look compares the two.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/payload_buffer.h"
#include "btree/node.h"
#include "format/node.h"
#include "format/page_op.h"
#include "support/random.h"
#include "support/scale.h"
#include "support/test_page.h"

namespace vaultgres {

class NodePage : public TestPage {
 public:
  NodeView view() const { return NodeView(bytes()); }
};

inline const RedoTable& node_ops() {
  static const RedoTable table = [] {
    RedoTable t;
    register_node_ops(t);
    return t;
  }();
  return table;
}

inline Status apply(MutableBytes page, PageOp op, Bytes payload) {
  return node_ops().find(raw(op)).apply(page, payload);
}

inline bool is_fixed(const NodeView& view) {
  return (std::to_integer<unsigned>(view.page()[kPageHeaderBytes + 1]) & kNodeFixed) != 0;
}

inline std::string key_of(const NodeView& view, unsigned slot) {
  std::string key(kKeyBytesMax, '\0');
  key.resize(view.copy_key(slot, MutableBytes(reinterpret_cast<std::byte*>(key.data()), key.size())));
  return key;
}

inline std::string child_value(std::uint32_t id) {
  std::string value(4, '\0');
  store_little(value.data(), id);
  return value;
}

struct ModelEntry {
  std::string value;
  std::uint8_t flags = 0;
  std::optional<std::size_t> kept_bytes{};  // room that is kept, for a value of this length
};
using ModelMap = std::map<std::string, ModelEntry>;

/// Bytes as unsigned, which std::string's char_traits does.
class NodeModel {
 public:
  NodeModel(unsigned level, std::string low, std::string high, bool has_high)
      : low_(std::move(low)), high_(std::move(high)), has_high_(has_high) {
    build_node(page_.bytes(), ObjectId{7}, level, false, NodeFences{as_bytes(low_), as_bytes(high_), has_high_},
               PageId{99});
    redone_ = page_;
  }

  NodeView view() const { return page_.view(); }
  MutableBytes bytes() { return page_.bytes(); }
  const ModelMap& entries() const { return entries_; }
  unsigned slot_of(const std::string& key) const {
    return static_cast<unsigned>(std::distance(entries_.begin(), entries_.lower_bound(key)));
  }

  /// Each returns whether it was done; a refusal must agree with has_room.
  bool insert(const std::string& key, const std::string& value, std::uint8_t flags = 0) {
    const bool room = view().has_room(key.size(), value.size());
    PayloadBuffer payload;
    encode_node_insert(payload, slot_of(key), flags, as_bytes(key), as_bytes(value));
    const bool done = run(PageOp::kNodeInsert, payload);
    EXPECT_EQ(room, done) << "has_room and apply disagree";
    if (done) entries_[key] = {value, flags};
    return done;
  }
  bool replace(const std::string& key, const std::string& value, std::uint8_t flags = 0,
               OldRoom old_room = OldRoom::kGivenUp) {
    const unsigned slot = slot_of(key);
    const bool room = view().has_room_to_replace(slot, value.size(), old_room);
    PayloadBuffer payload;
    encode_node_replace(payload, slot, flags, as_bytes(value), old_room);
    const bool done = run(PageOp::kNodeReplace, payload);
    EXPECT_EQ(room, done) << "has_room_to_replace and apply disagree";
    if (done) {
      ModelEntry& entry = entries_[key];
      if (old_room == OldRoom::kGivenUp) {
        entry.kept_bytes.reset();
      } else if (entry.kept_bytes || value.size() != entry.value.size()) {
        entry.kept_bytes = std::max({entry.kept_bytes.value_or(0), entry.value.size(), value.size()});
      }
      entry.value = value;
      entry.flags = static_cast<std::uint8_t>((entry.flags & kSlotHistory) | flags);
    }
    return done;
  }
  void remove(const std::string& key) {
    PayloadBuffer payload;
    encode_node_remove(payload, slot_of(key));
    EXPECT_TRUE(run(PageOp::kNodeRemove, payload));
    entries_.erase(key);
  }
  void set_ghost(const std::string& key, bool ghost) {
    PayloadBuffer payload;
    encode_node_set_ghost(payload, slot_of(key), ghost);
    EXPECT_TRUE(run(PageOp::kNodeSetGhost, payload));
    std::uint8_t& flags = entries_[key].flags;
    flags = static_cast<std::uint8_t>((flags & ~unsigned{kSlotGhost}) | (ghost ? unsigned{kSlotGhost} : 0u));
  }
  /// Only on the page that "do" works on: the bit is not logged.
  void mark_history(const std::string& key, bool on) {
    set_history(page_.bytes(), slot_of(key), on);
    std::uint8_t& flags = entries_[key].flags;
    flags = static_cast<std::uint8_t>((flags & ~unsigned{kSlotHistory}) | (on ? unsigned{kSlotHistory} : 0u));
  }
  /// Ghosts go, and the room that `release(key)` chooses.
  void purge(FunctionRef<bool(const std::string& key)> release) {
    std::vector<std::uint16_t> slots;
    std::uint16_t slot = 0;
    for (auto it = entries_.begin(); it != entries_.end(); ++slot) {
      if ((it->second.flags & kSlotGhost) == 0) {
        if (it->second.kept_bytes && release(it->first)) {
          slots.push_back(slot | kPurgeRoomOnly);
          it->second.kept_bytes.reset();
        }
        ++it;
        continue;
      }
      slots.push_back(slot);
      it = entries_.erase(it);
    }
    PayloadBuffer payload;
    encode_node_purge(payload, slots);
    EXPECT_TRUE(run(PageOp::kNodePurge, payload));
    EXPECT_FALSE(view().has_ghosts());
  }
  void truncate(unsigned keep, const std::string& high, PageId right) {
    PayloadBuffer payload;
    encode_node_truncate(payload, keep, as_bytes(high), right);
    EXPECT_TRUE(run(PageOp::kNodeTruncate, payload));
    while (entries_.size() > keep) entries_.erase(std::prev(entries_.end()));
    high_ = high;
    has_high_ = true;
  }

  /// Everything that a view says, against the model; and the page after redo, against the page.
  void check(TestRandom& random) const {
    const NodeView node = view();
    ASSERT_TRUE(node.plausible());
    const Status sound = verify_node(node.page());
    ASSERT_TRUE(sound) << text_of(sound);
    ASSERT_EQ(node.count(), entries_.size());
    ASSERT_EQ(as_text(node.low_fence()), low_);
    ASSERT_EQ(as_text(node.high_fence()), has_high_ ? high_ : "");
    ASSERT_EQ(node.has_high_fence(), has_high_);
    if (is_fixed(node)) check_free_space_is_zero();
    unsigned slot = 0;
    for (const auto& [key, entry] : entries_) {
      ASSERT_EQ(key_of(node, slot), key);
      ASSERT_EQ(as_text(node.value(slot)), entry.value);
      ASSERT_EQ(node.flags(slot), entry.flags);
      ASSERT_EQ(node.keeps_room(slot), entry.kept_bytes.has_value());
      if (entry.kept_bytes) {
        ASSERT_TRUE(node.has_room_to_replace(slot, *entry.kept_bytes, OldRoom::kKept));
      }
      const NodeView::Position position = node.lower_bound(as_bytes(key));
      ASSERT_EQ(position.slot, slot);
      ASSERT_TRUE(position.exact);
      ASSERT_EQ(node.compare_key(slot, as_bytes(key)), 0);
      ++slot;
    }
    for (int i = 0; i < 8; ++i) check_search(near_key(random));
    check_redone();
  }
  void check_search(const std::string& key) const {
    const NodeView node = view();
    const auto it = entries_.lower_bound(key);
    const NodeView::Position position = node.lower_bound(as_bytes(key));
    ASSERT_EQ(position.slot, slot_of(key)) << "searched a key of " << key.size() << " bytes";
    ASSERT_EQ(position.exact, it != entries_.end() && it->first == key);
    ASSERT_EQ(node.covers(as_bytes(key)), key >= low_ && (!has_high_ || key < high_));
    if (position.slot < entries_.size()) {
      ASSERT_EQ(node.compare_key(position.slot, as_bytes(key)) == 0, position.exact);
      ASSERT_GE(node.compare_key(position.slot, as_bytes(key)), 0);
    }
    if (position.slot > 0) {
      ASSERT_LT(node.compare_key(position.slot - 1, as_bytes(key)), 0);
    }
  }
  /// The fixed form leaves no rests behind: page images in the log leave out the zeros.
  void check_free_space_is_zero() const {
    const Bytes page = view().page();
    const auto* header = reinterpret_cast<const NodeHeader*>(page.data() + kPageHeaderBytes);
    for (std::size_t at = kNodeHeadsOffset + 4 * view().count(); at < header->heap_begin.get(); ++at) {
      ASSERT_EQ(page[at], std::byte{0}) << "at " << at;
    }
  }
  void check_redone() const {
    NodePage mine(page_);
    clear_history(mine.bytes());
    ASSERT_EQ(std::memcmp(std::as_const(mine).bytes().data(), redone_.bytes().data(), kPageBytes), 0)
        << "redo gives another page";
  }

  /// A key at, just above or just below one of the entries, or anything.
  std::string near_key(TestRandom& random) const {
    if (entries_.empty() || random.one_in(8)) return random.bytes(random.uniform(kKeyBytesMax + 1));
    std::string key = std::next(entries_.begin(), static_cast<long>(random.uniform(entries_.size())))->first;
    if (random.one_in(3) && !key.empty()) key.pop_back();
    if (random.one_in(3) && key.size() < kKeyBytesMax) key.push_back('\0');
    if (random.one_in(3) && !key.empty()) key.back() = static_cast<char>(key.back() + (random.one_in(2) ? 1 : -1));
    return key;
  }

 private:
  /// Does and redoes. A refused operation must leave the page as it was.
  bool run(PageOp op, const PayloadBuffer& payload) {
    const NodePage before(page_);
    const Status done = apply(page_.bytes(), op, payload.bytes());
    const Status redone = apply(redone_.bytes(), op, payload.bytes());
    EXPECT_EQ(done.has_value(), redone.has_value());
    if (!done) {
      EXPECT_EQ(std::memcmp(before.bytes().data(), page_.bytes().data(), kPageBytes), 0) << text_of(done);
    }
    return done.has_value();
  }

  std::string low_;
  std::string high_;
  bool has_high_;
  NodePage page_;
  NodePage redone_;  // the same operations, without history bits
  ModelMap entries_;
};

}  // namespace vaultgres
