#include "txn/heap_ghosts.h"

#include <array>
#include <vector>

#include "base/payload_buffer.h"
#include "base/schedule_noise.h"
#include "base/try.h"
#include "buffer/mini_txn.h"
#include "wal/log_space.h"

namespace vaultgres {

namespace {

/// Classes are hints: without log space the map finds out later.
Status tell_map(const Heap& heap, PageId page) {
  Status told = heap.note_free(page);
  return !told && told.error().code() == ErrorCode::kNoSpace ? Status() : told;
}

/// Slots have an entry in the version table only if their history flag is set; a body has that of its home.
bool is_needed(const Engine& engine, const Heap& heap, Tid tid, const HeapSlot& slot) {
  if (slot.state.kind == HeapKind::kBody) return engine.versions.has_entry(heap.object(), encode_tid(slot.link()));
  return slot.history && engine.versions.has_entry(heap.object(), encode_tid(tid));
}

struct Purge {
  std::vector<std::uint16_t> remove;
  std::vector<std::uint16_t> release;
};

Purge find_purgeable(const Engine& engine, const Heap& heap, PageId page, const HeapPageView& view) {
  Purge purge;
  const unsigned slots = view.slots();
  for (unsigned i = 0; i < slots; ++i) {
    const HeapSlot slot = view.slot(i);
    const bool gone = slot.state.ghost && slot.state.kind != HeapKind::kStub;
    const bool roomy = !slot.state.ghost && slot.used() && view.surplus_bytes(i) > 0;
    if (!gone && !roomy) continue;
    const auto number = static_cast<std::uint16_t>(i);
    if (is_needed(engine, heap, {page, number}, slot)) continue;
    (gone ? purge.remove : purge.release).push_back(number);
  }
  return purge;
}

/// A ghost whose row was moved, and its body, in one record. False: they are needed, or gone.
Result<bool> purge_moved(const Engine& engine, const Heap& heap, Tid tid, Tid body) {
  if (body.page == tid.page) {
    return Error(ErrorCode::kCorruption, "page " + std::to_string(raw(tid.page)) + " of table " +
                                             std::to_string(raw(heap.object())) +
                                             ": a stub leads to the stub's own page");
  }
  LogSpace log_space(engine.log);
  VG_TRY(log_space.reserve(kHeapPurgeLogBytes));
  const std::array<PageId, 2> pages{tid.page, body.page};
  std::array<ExclusiveGuard, 2> guards;
  VG_TRY(heap.latch_all(pages, guards));
  const HeapSlot home = HeapPageView(guards[0].page()).slot(tid.slot);
  if (home.state.kind != HeapKind::kStub || !home.state.ghost || home.link() != body) return false;
  if (is_needed(engine, heap, tid, home)) return false;
  const HeapSlot body_slot = HeapPageView(guards[1].page()).slot(body.slot);
  if (body_slot.state.kind != HeapKind::kBody || body_slot.link() != tid) {
    return Error(ErrorCode::kCorruption, "page " + std::to_string(raw(body.page)) + " of table " +
                                             std::to_string(raw(heap.object())) +
                                             ": the slot that a stub leads to is not the body of the stub's row");
  }
  MiniTxn mini(engine.pool, engine.log, RecordKind::kSystem);
  PayloadBuffer payload;
  encode_heap_remove(payload, std::span(&tid.slot, 1));
  mini.add(guards[0], PageOp::kHeapRemove, payload.bytes());
  payload.clear();
  encode_heap_remove(payload, std::span(&body.slot, 1));
  mini.add(guards[1], PageOp::kHeapRemove, payload.bytes());
  mini.commit();
  return true;
}

}  // namespace

unsigned purge_heap_page(const Engine& engine, const Heap& heap, ExclusiveGuard& page) {
  const Purge purge = find_purgeable(engine, heap, page.id(), HeapPageView(page.page()));
  if (purge.remove.empty() && purge.release.empty()) return 0;
  VG_NOISE(kPurgeBefore);
  MiniTxn mini(engine.pool, engine.log, RecordKind::kSystem);
  PayloadBuffer payload;
  if (!purge.remove.empty()) {
    encode_heap_remove(payload, purge.remove);
    mini.add(page, PageOp::kHeapRemove, payload.bytes());
    payload.clear();
  }
  if (!purge.release.empty()) {
    encode_heap_release(payload, purge.release);
    mini.add(page, PageOp::kHeapRelease, payload.bytes());
  }
  mini.commit();
  return static_cast<unsigned>(purge.remove.size() + purge.release.size());
}

Result<bool> purge_row(const Engine& engine, const Heap& heap, Tid tid) {
  bool again = false;
  bool noted = false;
  std::vector<std::pair<Tid, Tid>> moved;
  {
    LogSpace log_space(engine.log);
    VG_TRY(log_space.reserve(kHeapPurgeLogBytes));
    VG_ASSIGN(ExclusiveGuard page, heap.latch(tid.page));
    purge_heap_page(engine, heap, page);
    const HeapPageView view(page.page());
    const unsigned slots = view.slots();
    for (unsigned i = 0; i < slots; ++i) {
      const HeapSlot slot = view.slot(i);
      if (slot.state.kind != HeapKind::kStub || !slot.state.ghost) continue;
      moved.emplace_back(Tid{tid.page, static_cast<std::uint16_t>(i)}, slot.link());
    }
    // Who changed the row since has noted its home, not its body.
    const HeapSlot slot = view.slot(tid.slot);
    again = slot.state.kind == HeapKind::kBody && (slot.state.ghost || view.surplus_bytes(tid.slot) > 0);
    noted = heap.note_free(page);
  }
  if (!noted) VG_TRY(tell_map(heap, tid.page));
  for (const auto& [home, body] : moved) {
    VG_ASSIGN(const bool purged, purge_moved(engine, heap, home, body));
    if (!purged) continue;
    VG_TRY(tell_map(heap, home.page));
    VG_TRY(tell_map(heap, body.page));
  }
  return again;
}

}  // namespace vaultgres
