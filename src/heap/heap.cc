#include "heap/heap.h"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "base/try.h"
#include "buffer/page_visits.h"

namespace vaultgres {

namespace {

/// Lost races before a reader takes latches.
constexpr unsigned kOptimisticAttempts = 8;
constexpr const char* kNotItsBody = "the slot that a stub leads to is not the body of the stub's row";

bool is_body_of(const HeapSlot& slot, Tid home) noexcept {
  return slot.state.kind == HeapKind::kBody && !slot.state.ghost && slot.link() == home;
}

/// What stands behind a ghost is nobody's row.
bool leads_to_body(const HeapSlot& home) noexcept {
  return home.state.kind == HeapKind::kStub && !home.state.ghost;
}

}  // namespace

void register_heap_ops(RedoTable& table) {
  register_heap_page_ops(table);
  register_map_page_ops(table);
}

std::uint64_t Heap::log_bytes_of_change(std::size_t content_bytes) noexcept {
  // Record and compensation each carry the old and the new content at most, and a stub beside it.
  return log_bytes_for(2 * (2 * content_bytes + 256));
}

Error Heap::damaged(PageId id, const char* what) const {
  return Error(ErrorCode::kCorruption, "page " + std::to_string(raw(id)) + " of table " + std::to_string(raw(object_)) +
                                           ": " + what + "; run `vaultgres check` on the database");
}

const char* Heap::heap_problem(Bytes page) const noexcept {
  const HeapPageView view(page);
  if (!view.plausible()) return "reached as a heap page, but it is none";
  return view.object() != object_ ? "belongs to another object than what leads to it" : nullptr;
}

const char* Heap::map_problem(Bytes page) const noexcept {
  const MapPageView view(page);
  if (!view.plausible()) return "reached as a free-space map page, but it is none";
  return view.object() != object_ ? "belongs to another object than what leads to it" : nullptr;
}

// --- Reading

Status Heap::read_page(PageId id, Hint hint, FunctionRef<const char*(Bytes)> problem,
                       FunctionRef<void(Bytes)> visit) const {
  for (unsigned attempt = 0; attempt < kOptimisticAttempts; ++attempt) {
    VG_ASSIGN(const OptimisticGuard page, context_->pool.optimistic(id, hint));
    const char* wrong = problem(page.page());
    if (wrong == nullptr) visit(page.page());
    if (!page.validate()) continue;
    return wrong == nullptr ? Status() : Status(damaged(id, wrong));
  }
  VG_ASSIGN(const SharedGuard page, context_->pool.shared(id, hint));
  if (const char* wrong = problem(page.page())) return damaged(id, wrong);
  visit(page.page());
  return {};
}

Status Heap::read(PageId page, FunctionRef<void(const HeapPageView&)> visit, Hint hint) const {
  context_->pool.count_visits(page_visits.heap, 1);
  return read_page(
      page, hint, [this](Bytes bytes) { return heap_problem(bytes); },
      [&](Bytes bytes) { visit(HeapPageView(bytes)); });
}

Status Heap::read_row(Tid tid, FunctionRef<void(const HeapSlot&, const HeapSlot&)> visit) const {
  for (unsigned attempt = 0; attempt < kOptimisticAttempts; ++attempt) {
    VG_ASSIGN(const bool done, try_read_row(tid, visit));
    if (done) return {};
  }
  return read_row_latched(tid, visit);
}

/// False: lost a race. The body is the one that the home means if the home is unchanged after the body's page was
/// found to be unchanged: a body moves, and its cell goes, only together with a change of its home.
Result<bool> Heap::try_read_row(Tid tid, FunctionRef<void(const HeapSlot&, const HeapSlot&)> visit) const {
  VG_ASSIGN(const OptimisticGuard home, context_->pool.optimistic(tid.page, hint_));
  if (const char* wrong = heap_problem(home.page())) {
    if (!home.validate()) return false;
    return damaged(tid.page, wrong);
  }
  const HeapSlot home_slot = HeapPageView(home.page()).slot(tid.slot);
  context_->pool.count_visits(page_visits.heap, 1);
  if (!leads_to_body(home_slot)) {
    visit(home_slot, home_slot);
    return home.validate();
  }
  const Tid link = home_slot.link();
  if (!home.validate()) return false;
  Result<OptimisticGuard> body = context_->pool.optimistic(link.page, hint_);
  if (!home.validate()) return false;  // an error on a page that the stub no longer leads to is no damage
  if (!body) return body.error();
  const char* wrong = heap_problem(body->page());
  const HeapSlot body_slot = HeapPageView(body->page()).slot(link.slot);
  if (wrong == nullptr && !is_body_of(body_slot, tid)) wrong = kNotItsBody;
  if (wrong == nullptr) visit(home_slot, body_slot);
  if (!body->validate() || !home.validate()) return false;
  context_->pool.count_visits(page_visits.heap, 1);
  if (wrong != nullptr) return damaged(link.page, wrong);
  return true;
}

/// Both pages under shared latches, taken in ascending order.
Status Heap::read_row_latched(Tid tid, FunctionRef<void(const HeapSlot&, const HeapSlot&)> visit) const {
  BufferPool& pool = context_->pool;
  LoadPin pin;
  PageId body_page = tid.page;  // until the stub is known
  for (;;) {
    const PageId low = std::min(tid.page, body_page);
    const PageId high = std::max(tid.page, body_page);
    Result<SharedGuard> low_guard = pool.shared(low, hint_);
    SharedGuard high_guard;
    std::optional<Error> error;
    if (!low_guard) {
      error = low_guard.error();
    } else if (high != low) {
      if (auto latched = pool.shared_if_resident(high)) {
        high_guard = *std::move(latched);
      } else {
        low_guard->release();
        auto loaded = pool.load(high, hint_);
        if (loaded) {
          pin = *std::move(loaded);
          continue;
        }
        error = loaded.error();
      }
    }
    if (error) {
      if (body_page == tid.page) return *error;
      // The stub may have changed since it was read; if it still leads there, the same error comes again.
      VG_ASSIGN(const bool done, try_read_row(tid, visit));
      if (done) return {};
      body_page = tid.page;
      continue;
    }
    const Bytes home = tid.page == low ? low_guard->page() : high_guard.page();
    if (const char* wrong = heap_problem(home)) return damaged(tid.page, wrong);
    const HeapSlot home_slot = HeapPageView(home).slot(tid.slot);
    if (!leads_to_body(home_slot)) {
      visit(home_slot, home_slot);
      return {};
    }
    const Tid link = home_slot.link();
    if (link.page != body_page) {
      body_page = link.page;
      continue;
    }
    const Bytes body = body_page == low ? low_guard->page() : high_guard.page();
    if (const char* wrong = heap_problem(body)) return damaged(body_page, wrong);
    const HeapSlot body_slot = HeapPageView(body).slot(link.slot);
    if (!is_body_of(body_slot, tid)) return damaged(body_page, kNotItsBody);
    visit(home_slot, body_slot);
    return {};
  }
}

// --- Latching

Result<ExclusiveGuard> Heap::latch(PageId page) const {
  VG_ASSIGN(ExclusiveGuard guard, context_->pool.exclusive(page, hint_));
  if (const char* wrong = heap_problem(guard.page())) return damaged(page, wrong);
  return guard;
}

Status Heap::latch_all(std::span<const PageId> pages, std::span<ExclusiveGuard> guards) const {
  std::vector<std::size_t> order(pages.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return pages[a] < pages[b]; });
  std::vector<LoadPin> pins;
  for (;;) {
    PageId missing = kNoPage;
    for (std::size_t i = 0; i < order.size() && missing == kNoPage; ++i) {
      const PageId id = pages[order[i]];
      VG_CHECK(i == 0 || id != pages[order[i - 1]], "a page is latched twice");
      if (i == 0) {
        VG_ASSIGN(guards[order[i]], context_->pool.exclusive(id, hint_));
      } else if (auto guard = context_->pool.exclusive_if_resident(id)) {
        guards[order[i]] = *std::move(guard);
      } else {
        missing = id;
      }
      if (missing != kNoPage) continue;
      if (const char* wrong = heap_problem(guards[order[i]].page())) {
        for (std::size_t latched = i + 1; latched-- > 0;) guards[order[latched]].release();  // the last one first
        return damaged(id, wrong);
      }
    }
    if (missing == kNoPage) return {};
    for (ExclusiveGuard& guard : guards) guard.release();
    VG_ASSIGN(LoadPin pin, context_->pool.load(missing, hint_));
    pins.push_back(std::move(pin));
  }
}

Result<HeapSlotGuard> Heap::latch_for_insert(std::size_t content_bytes, std::span<const PageId> others) const {
  VG_CHECK(content_bytes <= kHeapContentBytesMax, "a row that belongs into an overflow chain");
  VG_CHECK(others.size() <= HeapSlotGuard::kOthersMax, "too many pages latched at once");
  for (;;) {
    HeapSlotGuard place;
    VG_ASSIGN(place.page, find_room(content_bytes, others));
    if (!others.empty()) {
      // Found first, then latched with the others in order, then looked at again.
      std::array<PageId, HeapSlotGuard::kOthersMax + 1> ids;
      std::array<ExclusiveGuard, HeapSlotGuard::kOthersMax + 1> guards;
      const std::size_t count = others.size() + 1;
      std::copy(others.begin(), others.end(), ids.begin());
      ids[others.size()] = place.page.id();
      place.page.release();
      VG_TRY(latch_all(std::span(ids).first(count), std::span(guards).first(count)));
      std::move(guards.begin(), guards.begin() + others.size(), place.others.begin());
      place.page = std::move(guards[others.size()]);
      if (!HeapPageView(place.page.page()).has_room(content_bytes)) continue;
    }
    place.slot = HeapPageView(place.page.page()).free_slot();
    return place;
  }
}

}  // namespace vaultgres
