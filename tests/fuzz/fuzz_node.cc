// Input: a page, then what is done with it.
#include "base/payload_buffer.h"
#include "btree/node.h"
#include "btree/node_run.h"
#include "btree/node_search.h"
#include "input_reader.h"
#include "targets.h"

namespace vaultgres::fuzz {
namespace {

/// What a reader may do with a page that it has not checked, or that changes under its eyes.
void look(const NodeView& view, InputReader& script) {
  const Bytes page = view.page();
  static_cast<void>(view.plausible());
  const unsigned count = view.count();
  VG_FUZZ_CHECK(lies_within(view.low_fence(), page) && lies_within(view.high_fence(), page), "a fence off the page");
  static_cast<void>(view.right());
  static_cast<void>(view.used_bytes());
  const std::string wanted = script.text(kKeyBytesMax);
  const Bytes key = as_bytes(wanted);
  std::vector<std::byte> copy(kKeyBytesMax);
  for (unsigned i = 0; i < 3; ++i) {
    const unsigned slot = i == 0 ? 0 : i == 1 ? count - 1 : script.integer<std::uint16_t>();
    VG_FUZZ_CHECK(view.copy_key(slot, copy) <= kKeyBytesMax, "a key that is too long");
    VG_FUZZ_CHECK(lies_within(view.value(slot), page), "a value off the page");
    static_cast<void>(view.flags(slot));
    static_cast<void>(view.child(slot));
    static_cast<void>(view.compare_key(slot, key));
    static_cast<void>(view.has_room_to_replace(slot, script.byte(), OldRoom::kKept));
    static_cast<void>(view.keeps_room(slot));
  }
  static_cast<void>(view.has_room(key.size(), script.byte()));
  static_cast<void>(view.covers(key));
  VG_FUZZ_CHECK(view.lower_bound(key).slot <= count, "a search that leads beyond the last entry");
  VG_FUZZ_CHECK(lies_within(view.find(key).value, page), "a value off the page");
  VG_FUZZ_CHECK(view.child_towards(key).slot <= count, "a search that leads beyond the last child");
  unsigned visited = 0;
  view.visit_up(0, [&](unsigned, Bytes visited_key, Bytes value, std::uint8_t) {
    ++visited;
    static_cast<void>(exact_copy(visited_key));
    static_cast<void>(exact_copy(value));
    return true;
  });
  VG_FUZZ_CHECK(visited <= count, "more entries than there are");
  EntryRun run;
  run.copy(view, script.below(4), 70000, script.flag());
  VG_FUZZ_CHECK(run.size() <= count, "more entries than there are");
  for (std::size_t i = 0; i < run.size(); ++i) {
    static_cast<void>(exact_copy(run.key(i)));
    static_cast<void>(exact_copy(run.value(i)));
  }
}

void expect_sound(const TestPage& page) {
  const Status sound = verify_node(page.bytes());
  VG_FUZZ_CHECK(sound, "a change of a sound node left an unsound one");
}

/// What a page that was checked promises: its keys are found where they are, in order, and it can be split and merged.
void use_sound(const TestPage& page, InputReader& script) {
  const NodeView view(page.bytes());
  std::vector<std::byte> key(kKeyBytesMax);
  for (unsigned slot = 0; slot < view.count(); ++slot) {
    const Bytes stored = Bytes(key).first(view.copy_key(slot, key));
    const NodeView::Position position = view.lower_bound(stored);
    VG_FUZZ_CHECK(position.exact && position.slot == slot, "an entry of a sound node is not found");
    VG_FUZZ_CHECK(view.covers(stored), "an entry of a sound node lies outside its fences");
  }
  if (view.count() < 2) return;
  const unsigned new_slot = script.below(view.count() + 1);
  const SplitPoint split = choose_split(view, new_slot, script.below(kEntryBytesMax + 1));
  TestPage left;
  TestPage right;
  build_left_half(left.bytes(), view, split, PageId{77});
  build_right_half(right.bytes(), view, split);
  expect_sound(left);
  expect_sound(right);
  const NodeView halves[] = {NodeView(left.bytes()), NodeView(right.bytes())};
  VG_FUZZ_CHECK(halves[0].count() + halves[1].count() == view.count(), "a split loses entries");
  TestPage merged;
  if (!build_merged(merged.bytes(), halves[0], halves[1])) return;
  expect_sound(merged);
  VG_FUZZ_CHECK(NodeView(merged.bytes()).count() == view.count(), "a merge loses entries");
}

const RedoTable& node_ops() {
  static const RedoTable table = [] {
    RedoTable ops;
    register_node_ops(ops);
    return ops;
  }();
  return table;
}

bool apply(TestPage& page, PageOp op, const PayloadBuffer& payload) {
  return node_ops().find(raw(op)).apply(page.bytes(), exact_copy(payload.bytes())).has_value();
}

/// A change as a writer makes it: the entry goes where it belongs.
void insert_where_it_belongs(TestPage& page, InputReader& script, bool sound) {
  const NodeView view(page.bytes());
  std::string key(as_text(view.low_fence()));
  key.resize(std::min<std::size_t>(key.size(), script.below(64)));
  key += script.text(kKeyBytesMax);
  key.resize(std::min(key.size(), kKeyBytesMax));
  const std::string value = view.is_leaf() ? script.text(kEntryBytesMax) : std::string(as_text(script.take(4)));
  const NodeView::Position position = view.lower_bound(as_bytes(key));
  const bool belongs = view.covers(as_bytes(key)) && !position.exact && value != "\xFF\xFF\xFF\xFF";
  const bool room = view.has_room(key.size(), value.size());
  const bool own_key = view.is_leaf() || position.slot > 0 || view.count() == 0;
  PayloadBuffer payload;
  encode_node_insert(payload, position.slot, view.is_leaf() ? script.byte() & 5 : 0, as_bytes(key), as_bytes(value));
  const bool done = apply(page, PageOp::kNodeInsert, payload);
  if (!sound || !belongs || !own_key) return;
  if (view.is_leaf() || value.size() == 4) VG_FUZZ_CHECK(!done || room, "has_room denies what can be done");
  if (done) expect_sound(page);
}

/// Another value; what is kept of its room is enough for the one before.
void replace(TestPage& page, unsigned slot, InputReader& script, bool sound) {
  const unsigned bits = script.byte();
  const OldRoom old_room = (bits & 2) != 0 ? OldRoom::kKept : OldRoom::kGivenUp;
  const std::size_t value_bytes = NodeView(page.bytes()).value(slot).size();
  PayloadBuffer payload;
  encode_node_replace(payload, slot, bits & 5, as_bytes(script.text(kEntryBytesMax)), old_room);
  if (!apply(page, PageOp::kNodeReplace, payload) || !sound) return;
  expect_sound(page);
  const bool fits = NodeView(page.bytes()).has_room_to_replace(slot, value_bytes, OldRoom::kKept);
  VG_FUZZ_CHECK(fits || old_room == OldRoom::kGivenUp, "a value does not go back to where it was");
}

void purge(TestPage& page, InputReader& script, bool sound) {
  const unsigned count = NodeView(page.bytes()).count();
  std::vector<std::uint16_t> slots;
  for (unsigned slot = script.below(4); slot < count; slot += 1 + script.below(8)) {
    slots.push_back(static_cast<std::uint16_t>(slot | (script.flag() ? unsigned{kPurgeRoomOnly} : 0u)));
  }
  PayloadBuffer payload;
  encode_node_purge(payload, slots);
  if (apply(page, PageOp::kNodePurge, payload) && sound) expect_sound(page);
}

void change(TestPage& page, InputReader& script, bool sound) {
  const NodeView view(page.bytes());
  const unsigned slot = script.flag() ? script.integer<std::uint16_t>() : script.below(view.count() + 1);
  PayloadBuffer payload;
  switch (script.below(8)) {
    case 0:
      return insert_where_it_belongs(page, script, sound);
    case 1:
      encode_node_insert(payload, slot, script.byte(), as_bytes(script.text(kKeyBytesMax)), as_bytes(script.text(200)));
      static_cast<void>(apply(page, PageOp::kNodeInsert, payload));
      return;
    case 2:
      encode_node_remove(payload, slot);
      static_cast<void>(apply(page, PageOp::kNodeRemove, payload));
      return;
    case 3:
      return replace(page, slot, script, sound);
    case 4:
      encode_node_set_ghost(payload, slot, script.flag());
      static_cast<void>(apply(page, PageOp::kNodeSetGhost, payload));
      return;
    case 5:
      encode_node_truncate(payload, slot, as_bytes(script.text(kKeyBytesMax)), PageId{script.byte()});
      static_cast<void>(apply(page, PageOp::kNodeTruncate, payload));
      return;
    case 6:
      return purge(page, script, sound);
    default:
      set_history(page.bytes(), slot, script.flag());
      clear_history(page.bytes());
  }
}

/// Hints are copies of heads: without this, no head that a mutation changes gets past verify_node.
void repair_hints(TestPage& page) {
  const unsigned room = static_cast<unsigned>(kPageBytes - kNodeHeadsOffset) / 4;
  const unsigned count = std::min(NodeView(page.bytes()).count(), room);
  node::update_hints(page.bytes().data(), 0, count + 1000, count);
}

}  // namespace

void fuzz_node(Bytes input) {
  InputReader script(input);
  TestPage page = script.page();
  if (script.flag()) repair_hints(page);
  look(NodeView(page.bytes()), script);
  for (unsigned i = 0; i < 12; ++i) {
    const bool sound = verify_node(page.bytes()).has_value();
    if (sound) use_sound(page, script);
    if (script.at_end()) return;
    change(page, script, sound);
    look(NodeView(page.bytes()), script);
  }
}

}  // namespace vaultgres::fuzz
