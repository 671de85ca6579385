// Input: a page, then what is done with it.
#include "base/payload_buffer.h"
#include "heap/heap_page.h"
#include "input_reader.h"
#include "targets.h"

namespace vaultgres::fuzz {
namespace {

void look(const HeapPageView& view, InputReader& script) {
  static_cast<void>(view.plausible());
  const unsigned slots = view.slots();
  VG_FUZZ_CHECK(slots <= kPageBytes / sizeof(HeapSlotWord), "more slots than have room");
  VG_FUZZ_CHECK(view.free_slot() <= slots, "a free slot beyond the next one");
  VG_FUZZ_CHECK(view.free_bytes() <= 2 * kPageBytes, "more room than a page has");
  for (unsigned i = 0; i <= slots + 1; ++i) {
    const unsigned slot = i <= slots ? i : script.integer<std::uint16_t>();
    const HeapSlot content = view.slot(slot);
    VG_FUZZ_CHECK(lies_within(content.content, view.page()), "a row off the page");
    VG_FUZZ_CHECK(lies_within(content.row(), view.page()), "a row off the page");
    static_cast<void>(content.link());
    VG_FUZZ_CHECK(view.capacity(slot) <= kPageBytes && view.surplus_bytes(slot) <= kPageBytes, "too large a cell");
    static_cast<void>(view.has_room_to_update(slot, script.byte()));
  }
}

const RedoTable& heap_page_ops() {
  static const RedoTable table = [] {
    RedoTable ops;
    register_heap_page_ops(ops);
    return ops;
  }();
  return table;
}

void change(TestPage& page, InputReader& script) {
  const HeapPageView view(page.bytes());
  const unsigned slot = script.flag() ? script.integer<std::uint16_t>() : script.below(view.slots() + 2);
  const PageOp ops[] = {PageOp::kHeapInsert, PageOp::kHeapUpdate, PageOp::kHeapRemove, PageOp::kHeapSetGhost,
                        PageOp::kHeapRelease};
  const PageOp op = ops[script.below(std::size(ops))];
  PayloadBuffer payload;
  if (op == PageOp::kHeapRemove || op == PageOp::kHeapRelease) {
    std::vector<std::uint16_t> slots;
    for (unsigned i = script.below(4); i < view.slots() && slots.size() < 100; i += 1 + script.below(4)) {
      slots.push_back(static_cast<std::uint16_t>(i));
    }
    encode_heap_remove(payload, slots);
  } else if (op == PageOp::kHeapSetGhost) {
    encode_heap_set_ghost(payload, slot, script.flag());
  } else {
    const HeapSlotState state{static_cast<HeapKind>(script.below(4)), script.flag(), script.flag()};
    encode_heap_update(payload, slot, state, as_bytes(script.text(kHeapContentBytesMax + 1)));
  }
  static_cast<void>(heap_page_ops().find(raw(op)).apply(page.bytes(), exact_copy(payload.bytes())).has_value());
}

}  // namespace

void fuzz_heap_page(Bytes input) {
  InputReader script(input);
  TestPage page = script.page();
  look(HeapPageView(page.bytes()), script);
  bool sound = verify_heap_page(page.bytes()).has_value();
  for (unsigned i = 0; i < 12 && !script.at_end(); ++i) {
    if (script.one_in(8)) set_heap_history(page.bytes(), script.integer<std::uint16_t>(), script.flag());
    change(page, script);
    look(HeapPageView(page.bytes()), script);
    const bool still_sound = verify_heap_page(page.bytes()).has_value();
    VG_FUZZ_CHECK(!sound || still_sound, "an operation left a sound page unsound");
    sound = still_sound;
  }
  clear_heap_history(page.bytes());
}

}  // namespace vaultgres::fuzz
