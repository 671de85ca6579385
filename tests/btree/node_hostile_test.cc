// Pages and payloads that no honest writer made. Run under the address sanitizer, pages lie on the heap with
// nothing behind them.
#include "btree/node_model.h"
#include "btree/node_probe.h"
#include "btree/node_run.h"

namespace vaultgres {
namespace {

bool within(Bytes part, Bytes page) {
  return part.empty() || (part.data() >= page.data() && part.data() + part.size() <= page.data() + page.size());
}

OldRoom some_old_room(TestRandom& random) {
  return random.one_in(2) ? OldRoom::kKept : OldRoom::kGivenUp;
}

/// A search in steps, over bytes that may change between them.
void probe(const NodeView& view, Bytes key, TestRandom& random) {
  NodePage page;
  std::memcpy(page.bytes().data(), view.page().data(), kPageBytes);
  const auto change = [&] {
    if (random.one_in(2)) page.bytes()[random.uniform(kPageBytes)] = static_cast<std::byte>(random.next());
    if (random.one_in(8)) {  // the frame has another page
      for (std::byte& byte : page.bytes()) byte = static_cast<std::byte>(random.next());
    }
  };
  const unsigned count = view.count();
  NodeProbe probe;
  probe.look_at_hints(page.bytes(), key);
  change();
  probe.look_at_heads();
  change();
  const NodeView::Found found = probe.find();
  ASSERT_TRUE(within(found.value, page.bytes()));
  ASSERT_LE(found.position.slot, count);
  static_cast<void>(probe.child());
  static_cast<void>(probe.covers());
}

/// Calls everything that a view offers and bounds what it says.
void look_at_everything(const NodeView& view, TestRandom& random) {
  static_cast<void>(view.plausible());
  const unsigned count = view.count();
  ASSERT_LE(count, kPageBytes / 4);
  ASSERT_TRUE(within(view.low_fence(), view.page()) && view.low_fence().size() <= kKeyBytesMax);
  ASSERT_TRUE(within(view.high_fence(), view.page()) && view.high_fence().size() <= kKeyBytesMax);
  static_cast<void>(view.is_root());
  static_cast<void>(view.right());
  ASSERT_LE(view.used_bytes(), 64 * kPageBytes * kPageBytes);
  std::vector<std::byte> key(kKeyBytesMax);
  for (unsigned i = 0; i < 24; ++i) {
    const auto slot = static_cast<unsigned>(random.one_in(4) ? random.uniform(70000) : random.uniform(count + 1));
    ASSERT_LE(view.copy_key(slot, key), kKeyBytesMax);
    ASSERT_TRUE(within(view.value(slot), view.page()));
    static_cast<void>(view.flags(slot));
    static_cast<void>(view.child(slot));
    static_cast<void>(view.has_room_to_replace(slot, random.uniform(kPageBytes), some_old_room(random)));
    static_cast<void>(view.keeps_room(slot));
    static_cast<void>(view.has_room(random.uniform(2 * kKeyBytesMax), random.uniform(kPageBytes)));
    const std::string wanted = random.bytes(random.uniform(random.one_in(2) ? 12 : kKeyBytesMax + 1));
    static_cast<void>(view.covers(as_bytes(wanted)));
    static_cast<void>(view.compare_key(slot, as_bytes(wanted)));
    ASSERT_LE(view.lower_bound(as_bytes(wanted)).slot, count);
    ASSERT_LE(view.child_slot(as_bytes(wanted)), count);
    ASSERT_NO_FATAL_FAILURE(probe(view, as_bytes(wanted), random));
  }
  EntryRun run;
  for (unsigned i = 0; i < 2; ++i) {
    const auto first = static_cast<unsigned>(i == 0 ? 0 : random.uniform(count + 2));
    const auto end = static_cast<unsigned>(i == 0 ? 70000 : random.uniform(count + 2));
    run.copy(view, first, end, random.one_in(2));
    ASSERT_LE(run.size(), count);
    std::string all;  // every byte is there
    for (std::size_t at = 0; at < run.size(); ++at) all.append(as_text(run.key(at))).append(as_text(run.value(at)));
  }
}

/// A sound node of random form, more or less full.
NodePage random_node(TestRandom& random) {
  const auto level = static_cast<unsigned>(random.one_in(3) ? random.between(1, 3) : 0);
  const bool has_fences = random.one_in(2);
  const std::string low = has_fences ? random.bytes(random.uniform(10)) : "";
  NodeModel model(level, low, low + "\xFF", has_fences);
  const bool fixed = random.one_in(2);
  if (level > 0) model.insert(low, child_value(5));
  const std::uint64_t entries = random.uniform(random.one_in(2) ? 20 : 400);
  for (std::uint64_t i = 0; i < entries; ++i) {
    std::string key = low + random.bytes(fixed ? 6 : 1 + random.uniform(20));
    key[low.size()] = static_cast<char>(static_cast<unsigned char>(key[low.size()]) % 250);
    if (key <= low || model.entries().count(key) != 0) continue;
    const std::string value =
        level > 0 ? child_value(static_cast<std::uint32_t>(i)) : random.bytes(fixed ? 9 : random.uniform(20));
    if (!model.insert(key, value, level > 0 ? 0 : random.one_in(6) ? kSlotGhost : 0)) break;
    if (level == 0 && !fixed && random.one_in(4)) {
      model.replace(key, random.bytes(random.uniform(20)), 0, some_old_room(random));
    }
  }
  NodePage page;
  std::memcpy(page.bytes().data(), model.view().page().data(), kPageBytes);
  return page;
}

/// Changes a few bytes, mostly where they hurt.
void mutate(NodePage& page, TestRandom& random) {
  for (std::uint64_t i = random.between(1, 6); i > 0; --i) {
    const std::uint64_t where = random.uniform(4);
    std::size_t at = random.uniform(kPageBytes);
    if (where < 2) at = random.between(16, 63);
    if (where == 2) at = random.between(64, 400);
    const std::uint64_t how = random.uniform(4);
    std::byte& byte = page.bytes()[at];
    byte = how == 0   ? std::byte{0xFF}
           : how == 1 ? std::byte{0}
           : how == 2 ? byte ^ static_cast<std::byte>(1u << random.uniform(8))
                      : static_cast<std::byte>(random.next());
  }
}

void apply_anything(NodePage& page, TestRandom& random) {
  const PageOp ops[] = {PageOp::kNodeInsert,   PageOp::kNodeRemove,   PageOp::kNodeReplace,
                        PageOp::kNodeSetGhost, PageOp::kNodeTruncate, PageOp::kNodePurge};
  const PageOp op = ops[random.uniform(6)];
  const auto slot =
      static_cast<unsigned>(random.one_in(8) ? random.uniform(70000) : random.uniform(page.view().count() + 1u));
  PayloadBuffer payload;
  const std::string key = random.one_in(2) && page.view().count() > 0
                              ? key_of(page.view(), 0) + random.bytes(random.uniform(3))
                              : random.bytes(random.uniform(kKeyBytesMax + 2));
  const std::string value = random.bytes(random.one_in(3) ? 4 : random.uniform(kEntryBytesMax + 2));
  switch (op) {
    case PageOp::kNodeInsert:
      encode_node_insert(payload, slot, static_cast<std::uint8_t>(random.uniform(8)), as_bytes(key), as_bytes(value));
      break;
    case PageOp::kNodeRemove:
      encode_node_remove(payload, slot);
      break;
    case PageOp::kNodeReplace:
      encode_node_replace(payload, slot, static_cast<std::uint8_t>(random.uniform(8)), as_bytes(value),
                          some_old_room(random));
      break;
    case PageOp::kNodeSetGhost:
      encode_node_set_ghost(payload, slot, random.one_in(2));
      break;
    case PageOp::kNodeTruncate:
      encode_node_truncate(payload, slot, as_bytes(key), PageId{3});
      break;
    default: {
      std::vector<std::uint16_t> slots;
      for (unsigned i = 0; i < page.view().count(); ++i) {
        const unsigned room_only = random.one_in(2) ? kPurgeRoomOnly : 0;
        if (random.one_in(5)) {
          slots.push_back(static_cast<std::uint16_t>(random.one_in(50) ? random.next() : i | room_only));
        }
      }
      if (slots.size() > kPageBytes / 4) slots.resize(kPageBytes / 4);
      encode_node_purge(payload, slots);
    }
  }
  std::string bytes(as_text(payload.bytes()));
  if (random.one_in(6)) bytes.resize(random.uniform(bytes.size() + 1));
  if (random.one_in(6) && !bytes.empty()) bytes[random.uniform(bytes.size())] = static_cast<char>(random.next());
  // An exact copy on the heap: the sanitizer sees a look beyond the payload too.
  std::vector<std::byte> exact(bytes.size());
  if (!bytes.empty()) std::memcpy(exact.data(), bytes.data(), bytes.size());
  const Status done = apply(page.bytes(), op, exact);
  if (!done) {
    ASSERT_EQ(done.error().code(), ErrorCode::kCorruption);
  }
  if (random.one_in(4)) set_history(page.bytes(), slot, random.one_in(2));
}

TEST(NodeHostile, AGhostThatIsNeitherOnNorOff) {
  NodeModel model(0, "", "", false);
  ASSERT_TRUE(model.insert("k", "v"));
  PayloadBuffer payload;
  encode_node_set_ghost(payload, 0, true);
  std::string bytes(as_text(payload.bytes()));
  bytes.back() = 2;
  const Status done = apply(model.bytes(), PageOp::kNodeSetGhost, as_bytes(bytes));
  EXPECT_NE(text_of(done).find("neither on nor off"), std::string::npos) << text_of(done);
}

// Goal: a view of a damaged page, verify_node and every operation stay within the page, whatever is on it,
// and errors are kCorruption. Method: sound nodes with bytes changed; operations with fields changed.
TEST(NodeHostile, DamagedPages) {
  for (std::uint64_t round = 0; round < scaled(1500); ++round) {
    TestRandom random(round);
    NodePage page = random_node(random);
    for (int i = 0; i < 6; ++i) {
      mutate(page, random);
      ASSERT_NO_FATAL_FAILURE(look_at_everything(page.view(), random));
      const Status sound = verify_node(page.bytes());
      if (!sound) {
        ASSERT_EQ(sound.error().code(), ErrorCode::kCorruption);
      }
      for (int k = 0; k < 4; ++k) ASSERT_NO_FATAL_FAILURE(apply_anything(page, random));
    }
  }
}

// Goal: the same for pages of pure noise with a node's type.
TEST(NodeHostile, Noise) {
  for (std::uint64_t round = 0; round < scaled(600); ++round) {
    TestRandom random(5000 + round);
    NodePage page;
    for (std::byte& byte : page.bytes()) byte = static_cast<std::byte>(random.next());
    page.bytes()[20] = static_cast<std::byte>(random.one_in(2) ? PageType::kLeaf : PageType::kInternal);
    if (random.one_in(2)) page.bytes()[24] = std::byte{0};
    ASSERT_NO_FATAL_FAILURE(look_at_everything(page.view(), random));
    ASSERT_FALSE(verify_node(page.bytes()));
    for (int k = 0; k < 4; ++k) ASSERT_NO_FATAL_FAILURE(apply_anything(page, random));
  }
}

// Goal: operations on a sound page never make an unsound one without saying so, except for what only the
// caller can know: where the key belongs. Method: operations with valid fields at right places are checked
// elsewhere; here refused ones must leave a page that still verifies.
TEST(NodeHostile, RefusedOperationsLeaveASoundPage) {
  for (std::uint64_t round = 0; round < scaled(1500); ++round) {
    TestRandom random(9000 + round);
    NodePage page = random_node(random);
    const NodePage before(page);
    std::string noise = random.bytes(random.uniform(64));
    const PageOp ops[] = {PageOp::kNodeInsert, PageOp::kNodeReplace, PageOp::kNodeTruncate, PageOp::kNodePurge};
    if (apply(page.bytes(), ops[random.uniform(4)], as_bytes(noise))) continue;
    ASSERT_EQ(std::memcmp(std::as_const(page).bytes().data(), before.bytes().data(), kPageBytes), 0);
  }
}

// Goal: verify_node names what is wrong with each part of a page. Method: one byte of each part changed.
TEST(NodeHostile, VerifyFindsEachDamage) {
  for (const bool fixed : {true, false}) {
    NodeModel model(0, "aa", "az", true);
    for (char c = 'b'; c < 'm'; ++c) {
      ASSERT_TRUE(model.insert(std::string("a") + c + "1234567", std::string(fixed || c != 'd' ? 8 : 5, 'v')));
    }
    ASSERT_EQ(is_fixed(model.view()), fixed);
    NodePage sound;
    std::memcpy(sound.bytes().data(), model.view().page().data(), kPageBytes);
    ASSERT_EQ(text_of(verify_node(sound.bytes())), "ok");
    // Of a head the byte that counts most: others give another key that may be in order too.
    const std::size_t parts[] = {20,
                                 21,
                                 22,
                                 24,
                                 25,
                                 26,
                                 32,
                                 34,
                                 36,
                                 38,
                                 40,
                                 42,
                                 44,
                                 46,
                                 48,
                                 56,
                                 64,
                                 124,
                                 131,
                                 135,
                                 131 + 10 * 4,
                                 kPageBytes - 1,
                                 kPageBytes - 4};
    for (const std::size_t at : parts) {
      NodePage page(sound);
      page.bytes()[at] ^= std::byte{0x80};
      const Status status = verify_node(page.bytes());
      ASSERT_FALSE(status) << "a changed byte at " << at;
      EXPECT_EQ(status.error().code(), ErrorCode::kCorruption);
    }
  }
}

// Goal: verify_node finds what a kept cell says wrongly: room that does not count itself, that reaches into the next
// cell, that is not zero, that takes more than any value, in an internal node. Method: one cell, changed.
TEST(NodeHostile, VerifyFindsDamagedRoom) {
  for (const std::size_t left : {19u, 18u, 2u}) {  // behind the value 1, 2, 18 bytes
    NodeModel model(0, "", "", false);
    ASSERT_TRUE(model.insert("a", std::string(20, 'v')));
    ASSERT_TRUE(model.insert("b", std::string(20, 'v')));
    ASSERT_TRUE(model.replace("a", std::string(left, 'v'), 0, OldRoom::kKept));
    NodePage sound;
    std::memcpy(sound.bytes().data(), model.view().page().data(), kPageBytes);
    ASSERT_EQ(text_of(verify_node(sound.bytes())), "ok");
    const std::size_t surplus = 20 - left;
    const auto at = static_cast<std::size_t>(model.view().value(0).data() - model.view().page().data()) + left;
    const auto expect_damage = [&](std::size_t byte, unsigned value) {
      NodePage page(sound);
      page.bytes()[byte] = static_cast<std::byte>(value);
      const Status status = verify_node(page.bytes());
      ASSERT_FALSE(status) << "byte " << byte << " is " << value;
      EXPECT_EQ(status.error().code(), ErrorCode::kCorruption);
    };
    if (surplus == 1) {
      expect_damage(at, 1);
      continue;
    }
    for (const unsigned count :
         {0u, 1u, static_cast<unsigned>(surplus) - 1, static_cast<unsigned>(surplus) + 1, 255u}) {
      expect_damage(at, count);
    }
    expect_damage(at + 1, 0x7F);
    if (surplus > 2) expect_damage(at + 2, 1);
  }
  NodeModel model(1, "", "", false);
  ASSERT_TRUE(model.insert("", child_value(1)));
  ASSERT_TRUE(model.insert("a", child_value(2)));
  ASSERT_TRUE(model.insert("long key", child_value(3)));  // slotted
  ASSERT_FALSE(is_fixed(model.view()));
  NodePage page;
  std::memcpy(page.bytes().data(), model.view().page().data(), kPageBytes);
  PayloadBuffer payload;
  encode_node_replace(payload, 1, 0, as_bytes(child_value(4)), OldRoom::kKept);
  EXPECT_FALSE(apply(page.bytes(), PageOp::kNodeReplace, payload.bytes()));
  ASSERT_EQ(text_of(verify_node(page.bytes())), "ok");
  const auto value = static_cast<std::size_t>(model.view().value(1).data() - model.view().page().data());
  page.bytes()[value - 1] |= static_cast<std::byte>(raw(CellRoom::kKeptNone) << (kCellRoomShift - 8));
  EXPECT_FALSE(verify_node(page.bytes()));
}

}  // namespace
}  // namespace vaultgres
