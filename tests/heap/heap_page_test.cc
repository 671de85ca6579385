#include "heap/heap_page.h"

#include <optional>

#include "format/overflow.h"
#include "heap/page_support.h"

namespace vaultgres {
namespace {

constexpr HeapSlotState kRow{HeapKind::kRow, false, false};
constexpr HeapSlotState kStub{HeapKind::kStub, false, false};
constexpr HeapSlotState kBody{HeapKind::kBody, false, false};

struct ModelSlot {
  HeapSlotState state;
  std::string content;
  std::size_t capacity = 0;
  bool history = false;
};

/// A page beside what it has to contain; every change goes through encode and apply, on the page and on a twin
/// that never sees a history flag, as redo does not.
class Model {
 public:
  Model() {
    build_heap_page(page_.bytes(), ObjectId{7}, 42);
    twin_ = page_;
  }
  HeapPageView view() const { return HeapPageView(page_.bytes()); }
  const std::vector<std::optional<ModelSlot>>& slots() const { return slots_; }

  bool insert(HeapSlotState state, const std::string& content) {
    const unsigned slot = view().free_slot();
    EXPECT_EQ(slot, free_slot());
    const bool room = view().has_room(content.size());
    PayloadBuffer payload;
    encode_heap_insert(payload, slot, state, as_bytes(content));
    const bool done = run(PageOp::kHeapInsert, payload);
    EXPECT_EQ(room, done) << "has_room and apply disagree about " << content.size() << " bytes";
    if (!done) return false;
    if (slot == slots_.size()) slots_.emplace_back();
    slots_[slot] = ModelSlot{state, content, std::max(content.size(), kHeapCapacityMin), false};
    return true;
  }
  bool update(unsigned slot, HeapSlotState state, const std::string& content) {
    const bool room = view().has_room_to_update(slot, content.size());
    PayloadBuffer payload;
    encode_heap_update(payload, slot, state, as_bytes(content));
    const bool done = run(PageOp::kHeapUpdate, payload);
    EXPECT_EQ(room, done) << "has_room_to_update and apply disagree about " << content.size() << " bytes";
    if (!done) return false;
    ModelSlot& row = *slots_[slot];
    row = {state, content, std::max(content.size(), row.capacity), row.history};
    return true;
  }
  void remove(const std::vector<std::uint16_t>& slots) {
    PayloadBuffer payload;
    encode_heap_remove(payload, slots);
    EXPECT_TRUE(run(PageOp::kHeapRemove, payload));
    for (const unsigned slot : slots) slots_[slot].reset();
    while (!slots_.empty() && !slots_.back()) slots_.pop_back();
  }
  void release(const std::vector<std::uint16_t>& slots) {
    PayloadBuffer payload;
    encode_heap_release(payload, slots);
    EXPECT_TRUE(run(PageOp::kHeapRelease, payload));
    for (const unsigned slot : slots) slots_[slot]->capacity = std::max(slots_[slot]->content.size(), kHeapCapacityMin);
  }
  void set_ghost(unsigned slot, bool ghost) {
    PayloadBuffer payload;
    encode_heap_set_ghost(payload, slot, ghost);
    EXPECT_TRUE(run(PageOp::kHeapSetGhost, payload));
    slots_[slot]->state.ghost = ghost;
  }
  void set_history(unsigned slot, bool on) {
    set_heap_history(page_.bytes(), slot, on);
    if (slot < slots_.size() && slots_[slot]) slots_[slot]->history = on;
  }

  void check() const {
    const HeapPageView view = this->view();
    ASSERT_TRUE(view.plausible());
    ASSERT_EQ(text_of(verify_heap_page(page_.bytes())), "ok");
    ASSERT_EQ(view.number(), 42u);
    ASSERT_EQ(raw(view.object()), 7u);
    ASSERT_EQ(view.slots(), slots_.size());
    ASSERT_EQ(view.free_slot(), free_slot());
    unsigned ghosts = 0;
    std::size_t used = kHeapSlotsOffset;
    for (unsigned i = 0; i < slots_.size(); ++i) {
      const HeapSlot slot = view.slot(i);
      used += sizeof(HeapSlotWord);
      ASSERT_EQ(slot.used(), slots_[i].has_value());
      if (!slots_[i]) continue;
      const ModelSlot& model = *slots_[i];
      ASSERT_EQ(slot.state, model.state);
      ASSERT_EQ(slot.history, model.history);
      ASSERT_EQ(as_text(slot.content), model.content);
      ASSERT_EQ(view.capacity(i), model.capacity);
      ASSERT_EQ(view.surplus_bytes(i), model.capacity - std::max(model.content.size(), kHeapCapacityMin));
      if (model.state.ghost) ++ghosts;
      used += sizeof(HeapCellHeader) + model.capacity;
    }
    ASSERT_EQ(view.ghosts(), ghosts);
    const bool new_slot = free_slot() == slots_.size();
    const std::size_t overhead = sizeof(HeapCellHeader) + (new_slot ? sizeof(HeapSlotWord) : 0) + kHeapCapacityMin;
    const std::size_t left = kPageBytes - used;
    ASSERT_EQ(view.free_bytes(), left < overhead ? 0 : left - overhead + kHeapCapacityMin);
    TestPage masked = page_;
    clear_heap_history(masked.bytes());
    ASSERT_TRUE(masked == twin_) << "do and redo differ";
  }

 private:
  unsigned free_slot() const {
    unsigned slot = 0;
    while (slot < slots_.size() && slots_[slot]) ++slot;
    return slot;
  }
  bool run(PageOp op, const PayloadBuffer& payload) {
    const TestPage before = page_;
    const bool done = apply(page_, op, payload.bytes()).has_value();
    EXPECT_EQ(apply(twin_, op, payload.bytes()).has_value(), done);
    if (!done) {
      EXPECT_TRUE(page_ == before) << "a refused operation changed the page";
    }
    return done;
  }

  TestPage page_;
  TestPage twin_;
  std::vector<std::optional<ModelSlot>> slots_;
};

std::string tid_text(Tid tid) {
  return std::string(as_text(encode_tid(tid)));
}

/// A state and a content that go together.
std::pair<HeapSlotState, std::string> random_content(TestRandom& random, std::size_t bytes_max) {
  HeapSlotState state{static_cast<HeapKind>(random.between(1, 3)), random.one_in(4), false};
  std::string row = random.bytes(random.uniform(bytes_max + 1));
  if (state.kind == HeapKind::kRow && random.one_in(8)) {
    state.overflow = true;
    row = random.bytes(sizeof(OverflowRef));
  }
  const Tid link{PageId{static_cast<std::uint32_t>(random.uniform(1000))},
                 static_cast<std::uint16_t>(random.uniform(100))};
  if (state.kind == HeapKind::kStub) return {state, tid_text(link)};
  return {state, state.kind == HeapKind::kBody ? tid_text(link) + row : row};
}

std::vector<std::uint16_t> random_slots(const Model& model, TestRandom& random, unsigned one_in) {
  std::vector<std::uint16_t> slots;
  for (unsigned i = 0; i < model.slots().size(); ++i) {
    if (model.slots()[i] && random.one_in(one_in)) slots.push_back(static_cast<std::uint16_t>(i));
  }
  return slots;
}

void random_step(Model& model, TestRandom& random, std::size_t bytes_max) {
  const auto slots = static_cast<unsigned>(model.slots().size());
  const unsigned slot = slots == 0 ? 0 : static_cast<unsigned>(random.uniform(slots));
  const bool used = slot < slots && model.slots()[slot];
  const std::uint64_t what = random.uniform(20);
  if (what < 8 || slots == 0) {
    const auto [state, content] = random_content(random, bytes_max);
    model.insert(state, content);
  } else if (what < 13 && used) {
    const auto [state, content] = random_content(random, bytes_max);
    model.update(slot, state, content);
  } else if (what < 15 && used) {
    model.set_ghost(slot, random.one_in(2));
  } else if (what < 17) {
    model.set_history(slot, random.one_in(2));
  } else if (what < 19) {
    const auto some = random_slots(model, random, random.one_in(10) ? 1 : 6);
    if (!some.empty()) model.remove(some);
  } else {
    const auto some = random_slots(model, random, 2);
    if (!some.empty()) model.release(some);
  }
}

// Goal: whatever is done, the page contains what it should, verifies, says what room it has, and redo gives the
// same page. Method: random operations with rows of several sizes against a model.
TEST(HeapPage, AgainstAModel) {
  for (std::uint64_t round = 0; round < scaled(120); ++round) {
    TestRandom random(round);
    Model model;
    const std::size_t sizes[] = {8, 40, kInlineRowBytesMax};
    const std::size_t bytes_max = sizes[round % 3];
    for (int step = 0; step < 400; ++step) {
      random_step(model, random, bytes_max);
      ASSERT_NO_FATAL_FAILURE(model.check()) << "round " << round << " step " << step;
    }
  }
}

// Goal: four of the largest moved rows fit; a page can be filled to the last byte, by an insert and by an update
// that has to compact, and not beyond.
TEST(HeapPage, ExactFit) {
  Model full;
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(full.insert(kBody, std::string(kHeapContentBytesMax, 'b')));
  EXPECT_FALSE(full.insert(kRow, "x"));
  ASSERT_NO_FATAL_FAILURE(full.check());

  Model model;
  while (model.view().free_bytes() > 200) ASSERT_TRUE(model.insert(kRow, std::string(50, 'a')));
  const std::size_t room = model.view().free_bytes();
  EXPECT_FALSE(model.insert(kRow, std::string(room + 1, 'x')));
  ASSERT_TRUE(model.insert(kRow, std::string(room, 'x')));
  EXPECT_EQ(model.view().free_bytes(), 0u);
  EXPECT_FALSE(model.insert(kRow, ""));
  ASSERT_NO_FATAL_FAILURE(model.check());

  // Holes between rows: only in one piece are they enough.
  model.remove({1, 3, 5});
  const std::size_t holes = 3 * (50 + sizeof(HeapCellHeader));
  EXPECT_EQ(model.view().free_bytes(), holes - sizeof(HeapCellHeader));
  EXPECT_FALSE(model.update(0, kRow, std::string(50 + holes + 1, 'y')));
  ASSERT_TRUE(model.update(0, kRow, std::string(50 + holes, 'y')));
  EXPECT_EQ(model.view().free_bytes(), 0u);
  ASSERT_NO_FATAL_FAILURE(model.check());
}

// Goal: undo always finds place. Method: on a full page a row shrinks, becomes a stub, becomes a ghost, while
// others take all room there is; its old content goes back every time; only a release gives the room away.
TEST(HeapPage, UndoFitsInPlace) {
  Model model;
  const std::string old_row(100, 'o');
  ASSERT_TRUE(model.insert(kRow, old_row));
  const auto fill = [&] {
    while (model.view().free_bytes() > 0) {
      ASSERT_TRUE(model.insert(kRow, std::string(std::min<std::size_t>(model.view().free_bytes(), 30), 'f')));
    }
  };
  for (const auto& [state, content] : {std::pair{kRow, std::string("s")}, std::pair{kStub, tid_text({PageId{9}, 1})},
                                       std::pair{kRow, std::string()}}) {
    ASSERT_TRUE(model.update(0, state, content));
    ASSERT_NO_FATAL_FAILURE(fill());
    EXPECT_EQ(model.view().free_bytes(), 0u);
    ASSERT_TRUE(model.update(0, kRow, old_row));
  }
  model.set_ghost(0, true);
  model.set_ghost(0, false);
  ASSERT_TRUE(model.update(0, kStub, tid_text({PageId{9}, 1})));
  EXPECT_EQ(model.view().surplus_bytes(0), 100 - kHeapCapacityMin);
  model.release({0});
  EXPECT_EQ(model.view().surplus_bytes(0), 0u);
  ASSERT_NO_FATAL_FAILURE(fill());
  EXPECT_FALSE(model.update(0, kRow, old_row));
  // Even the shortest row can become a stub, or a reference.
  Model tight;
  ASSERT_TRUE(tight.insert(kRow, ""));
  while (tight.view().free_bytes() > 0) {
    ASSERT_TRUE(tight.insert(kRow, std::string(std::min<std::size_t>(tight.view().free_bytes(), 30), 'f')));
  }
  ASSERT_TRUE(tight.update(0, kStub, tid_text({PageId{9}, 1})));
  ASSERT_NO_FATAL_FAILURE(tight.check());
}

// Goal: what a slot says of itself: rows, links, what a scan takes.
TEST(HeapPage, SlotsSayWhatTheyAre) {
  Model model;
  const Tid elsewhere{PageId{77}, 513};
  ASSERT_TRUE(model.insert(kRow, "row"));
  ASSERT_TRUE(model.insert(kStub, tid_text(elsewhere)));
  ASSERT_TRUE(model.insert(kBody, tid_text(elsewhere) + "moved"));
  EXPECT_EQ(as_text(model.view().slot(0).row()), "row");
  EXPECT_EQ(as_text(model.view().slot(2).row()), "moved");
  EXPECT_TRUE(model.view().slot(1).row().empty());
  EXPECT_EQ(model.view().slot(1).link(), elsewhere);
  EXPECT_EQ(model.view().slot(2).link(), elsewhere);
  EXPECT_EQ(model.view().slot(0).link(), Tid{});
  EXPECT_TRUE(model.view().slot(0).live());
  EXPECT_TRUE(model.view().slot(1).live());
  EXPECT_FALSE(model.view().slot(2).live());
  model.set_ghost(0, true);
  EXPECT_FALSE(model.view().slot(0).live());
  EXPECT_FALSE(model.view().slot(3).used());
  EXPECT_FALSE(model.view().slot(70000).used());
}

// Goal: operations that no honest writer logs are refused with kCorruption.
TEST(HeapPage, RefusesWrongOperations) {
  Model model;
  ASSERT_TRUE(model.insert(kRow, "row"));
  ASSERT_TRUE(model.insert(kRow, "another"));
  TestPage page;
  std::memcpy(page.bytes().data(), model.view().page().data(), kPageBytes);
  const TestPage before = page;
  const auto refused = [&](PageOp op, const PayloadBuffer& payload) {
    const Status done = apply(page, op, payload.bytes());
    return !done && done.error().code() == ErrorCode::kCorruption && page == before;
  };
  const auto change = [](unsigned slot, HeapSlotState state, const std::string& content) {
    PayloadBuffer payload;
    encode_heap_insert(payload, slot, state, as_bytes(content));
    return payload;
  };
  EXPECT_TRUE(refused(PageOp::kHeapInsert, change(0, kRow, "taken")));
  EXPECT_TRUE(refused(PageOp::kHeapInsert, change(3, kRow, "gap")));
  EXPECT_TRUE(refused(PageOp::kHeapInsert, change(2, {HeapKind::kUnused, false, false}, "")));
  EXPECT_TRUE(refused(PageOp::kHeapInsert, change(2, kStub, "short")));
  EXPECT_TRUE(refused(PageOp::kHeapInsert, change(2, kBody, "home?")));
  EXPECT_TRUE(refused(PageOp::kHeapInsert, change(2, {HeapKind::kRow, false, true}, "no reference")));
  EXPECT_TRUE(refused(PageOp::kHeapInsert, change(2, kRow, std::string(kInlineRowBytesMax + 1, 'x'))));
  EXPECT_TRUE(refused(PageOp::kHeapUpdate, change(2, kRow, "none")));
  EXPECT_TRUE(refused(PageOp::kHeapUpdate, change(1, kStub, "1234567")));
  for (const std::vector<std::uint16_t>& slots : {std::vector<std::uint16_t>{}, {2}, {1, 0}, {0, 0}, {0, 65535}}) {
    PayloadBuffer payload;
    encode_heap_remove(payload, slots);
    EXPECT_TRUE(refused(PageOp::kHeapRemove, payload));
    EXPECT_TRUE(refused(PageOp::kHeapRelease, payload));
  }
  PayloadBuffer ghost;
  encode_heap_set_ghost(ghost, 5, true);
  EXPECT_TRUE(refused(PageOp::kHeapSetGhost, ghost));
  EXPECT_TRUE(refused(PageOp::kHeapSetGhost, PayloadBuffer()));
}

// --- Hostile bytes

TestPage random_page(TestRandom& random) {
  Model model;
  const std::size_t bytes_max = random.one_in(2) ? 30 : kInlineRowBytesMax;
  const std::uint64_t steps = random.uniform(200);
  for (std::uint64_t i = 0; i < steps; ++i) random_step(model, random, bytes_max);
  TestPage page;
  std::memcpy(page.bytes().data(), model.view().page().data(), kPageBytes);
  return page;
}

void look_at_everything(const TestPage& page, TestRandom& random) {
  const HeapPageView view(page.bytes());
  static_cast<void>(view.plausible());
  ASSERT_LE(view.slots(), kPageBytes / sizeof(HeapSlotWord));
  ASSERT_LE(view.free_slot(), view.slots());
  ASSERT_LE(view.free_bytes(), 2 * kPageBytes);
  for (int i = 0; i < 24; ++i) {
    const auto slot =
        static_cast<unsigned>(random.one_in(4) ? random.uniform(70000) : random.uniform(view.slots() + 1));
    const HeapSlot content = view.slot(slot);
    ASSERT_TRUE(within(content.content, page.bytes()) && within(content.row(), page.bytes()));
    static_cast<void>(content.link());
    ASSERT_LE(view.capacity(slot), kPageBytes);
    ASSERT_LE(view.surplus_bytes(slot), kPageBytes);
    static_cast<void>(view.has_room_to_update(slot, random.uniform(kPageBytes)));
  }
}

void apply_anything(TestPage& page, TestRandom& random) {
  const PageOp ops[] = {PageOp::kHeapInsert, PageOp::kHeapUpdate, PageOp::kHeapRemove, PageOp::kHeapSetGhost,
                        PageOp::kHeapRelease};
  const PageOp op = ops[random.uniform(std::size(ops))];
  const HeapPageView view(page.bytes());
  const auto slot = static_cast<unsigned>(random.one_in(8) ? random.uniform(70000) : random.uniform(view.slots() + 2u));
  PayloadBuffer payload;
  if (op == PageOp::kHeapRemove || op == PageOp::kHeapRelease) {
    std::vector<std::uint16_t> slots;
    for (unsigned i = 0; i < view.slots() && slots.size() < 200; ++i) {
      if (view.slot(i).used() && random.one_in(3)) slots.push_back(static_cast<std::uint16_t>(i));
    }
    encode_heap_remove(payload, slots);
  } else if (op == PageOp::kHeapSetGhost) {
    encode_heap_set_ghost(payload, slot, random.one_in(2));
  } else {
    const auto [state, content] = random_content(random, random.one_in(2) ? 30 : kInlineRowBytesMax + 1);
    encode_heap_update(payload, random.one_in(2) ? view.free_slot() : slot, state, as_bytes(content));
  }
  std::string bytes(as_text(payload.bytes()));
  if (random.one_in(8)) bytes.resize(random.uniform(bytes.size() + 1));
  if (random.one_in(8) && !bytes.empty()) bytes[random.uniform(bytes.size())] = static_cast<char>(random.next());
  const Status done = apply(page, op, as_bytes(bytes));
  if (!done) {
    ASSERT_EQ(done.error().code(), ErrorCode::kCorruption);
  }
  if (random.one_in(4)) set_heap_history(page.bytes(), slot, random.one_in(2));
  if (random.one_in(20)) clear_heap_history(page.bytes());
}

// Goal: views, verify_heap_page and every operation stay within a damaged page, and errors are kCorruption.
// Method: sound pages with bytes changed, mostly of header and slots; operations with fields changed.
TEST(HeapPageHostile, DamagedPages) {
  for (std::uint64_t round = 0; round < scaled(1500); ++round) {
    TestRandom random(1000 + round);
    TestPage page = random_page(random);
    for (int i = 0; i < 6; ++i) {
      const std::size_t end = random.one_in(2)   ? kHeapSlotsOffset
                              : random.one_in(2) ? kHeapSlotsOffset + 80
                                                 : kPageBytes;
      page.bytes()[random.between(kPageHeaderBytes, end - 1)] = static_cast<std::byte>(random.next());
      ASSERT_NO_FATAL_FAILURE(look_at_everything(page, random));
      const Status sound = verify_heap_page(page.bytes());
      if (!sound) {
        ASSERT_EQ(sound.error().code(), ErrorCode::kCorruption);
      }
      for (int k = 0; k < 4; ++k) ASSERT_NO_FATAL_FAILURE(apply_anything(page, random));
    }
  }
}

// Goal: the same for noise with a heap page's type.
TEST(HeapPageHostile, Noise) {
  for (std::uint64_t round = 0; round < scaled(600); ++round) {
    TestRandom random(5000 + round);
    TestPage page;
    for (std::byte& byte : page.bytes()) byte = static_cast<std::byte>(random.next());
    page.bytes()[offsetof(PageHeader, type)] = static_cast<std::byte>(PageType::kHeap);
    if (random.one_in(2)) {
      // A header that is believed, over cells that are not cells.
      auto& header = *reinterpret_cast<HeapHeader*>(page.bytes().data() + kPageHeaderBytes);
      const auto slots = static_cast<std::uint16_t>(random.uniform(60));
      header.slots.set(slots);
      header.unused.set(static_cast<std::uint16_t>(slots / 4));
      header.ghosts.set(static_cast<std::uint16_t>(slots / 4));
      header.cell_begin.set(static_cast<std::uint16_t>(kHeapSlotsOffset + 4 * slots + random.uniform(100)));
      header.dead_bytes.set(static_cast<std::uint16_t>(random.uniform(300)));
    }
    ASSERT_NO_FATAL_FAILURE(look_at_everything(page, random));
    ASSERT_FALSE(verify_heap_page(page.bytes()));
    for (int k = 0; k < 8; ++k) ASSERT_NO_FATAL_FAILURE(apply_anything(page, random));
  }
}

// Goal: a sound page stays sound under anything that is applied.
TEST(HeapPageHostile, AnyOperationLeavesASoundPage) {
  for (std::uint64_t round = 0; round < scaled(400); ++round) {
    TestRandom random(9000 + round);
    TestPage page = random_page(random);
    for (int k = 0; k < 8; ++k) {
      ASSERT_NO_FATAL_FAILURE(apply_anything(page, random));
      ASSERT_EQ(text_of(verify_heap_page(page.bytes())), "ok");
    }
  }
}

// Goal: verify_heap_page notices damage in each field. Method: one bit of each changed, on a page with all kinds.
TEST(HeapPageHostile, VerifyFindsEachDamage) {
  Model model;
  ASSERT_TRUE(model.insert(kRow, std::string(40, 'r')));
  ASSERT_TRUE(model.insert(kStub, tid_text({PageId{3}, 1})));
  ASSERT_TRUE(model.insert(kBody, tid_text({PageId{3}, 1}) + "body"));
  ASSERT_TRUE(model.insert({HeapKind::kRow, true, false}, "ghost"));
  ASSERT_TRUE(model.insert(kRow, "last"));
  ASSERT_TRUE(model.update(0, kRow, "short"));
  model.remove({2});
  TestPage sound;
  std::memcpy(sound.bytes().data(), model.view().page().data(), kPageBytes);
  ASSERT_EQ(text_of(verify_heap_page(sound.bytes())), "ok");
  const std::size_t slot0 = kHeapSlotsOffset;
  const auto damaged = [&](std::size_t at, unsigned bits) {
    TestPage page = sound;
    page.bytes()[at] ^= static_cast<std::byte>(bits);
    const Status status = verify_heap_page(page.bytes());
    return !status && status.error().code() == ErrorCode::kCorruption;
  };
  for (const std::size_t at : {20, 21, 22, 23, 24, 26, 28, 30, 32, 34, 35}) EXPECT_TRUE(damaged(at, 1)) << at;
  EXPECT_TRUE(damaged(slot0, 0x10));           // offset
  EXPECT_TRUE(damaged(slot0 + 1, 0x20));       // kind: row to unused
  EXPECT_TRUE(damaged(slot0 + 1, 0x80));       // ghost
  EXPECT_TRUE(damaged(slot0 + 3, 0x80));       // unknown flag
  EXPECT_TRUE(damaged(slot0 + 3, 0x20));       // overflow without a reference
  EXPECT_TRUE(damaged(slot0 + 2, 0x40));       // length beyond the room
  EXPECT_TRUE(damaged(slot0 + 4 + 2, 0x01));   // stub of another length
  EXPECT_TRUE(damaged(slot0 + 8, 0x01));       // unused, not zero
  EXPECT_TRUE(damaged(kPageBytes - 1, 0x01));  // room behind the content of row 0
}

}  // namespace
}  // namespace vaultgres
