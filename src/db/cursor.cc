// Cursors: entries are copied out of one leaf at a time, so that no latch is held between calls, and the
// next leaf is found by key, so that splits, merges and deletions in between do no harm.
#include <algorithm>

#include "base/seeded_bug.h"
#include "base/try.h"
#include "db/cursor_state.h"
#include "txn/overflow.h"
#include "vaultgres/map.h"

namespace vaultgres {

namespace internal {

Error no_cursor(bool no_memory) {
  if (no_memory) return Error(ErrorCode::kOutOfMemory, "there was no memory for the cursor; make a new one");
  return Error(ErrorCode::kInvalidArgument, "the cursor was moved from; use the one that it was moved to");
}

namespace {

/// A short range should not pay for a whole leaf; a long one reads whole leaves soon.
constexpr unsigned kFirstBatch = 64;
constexpr unsigned kGrowth = 2;
constexpr unsigned kWholeLeaf = kPageBytes;

int compare(Bytes a, std::string_view b) {
  return as_text(a).compare(b);
}

}  // namespace

/// Both ends are looked at, whichever way the cursor goes.
bool CursorState::inside(Bytes key) const noexcept {
  if (range.from) {
    const int order = compare(key, *range.from);
    if (order < 0 || (order == 0 && !range.from_inclusive)) return false;
  }
  if (range.to) {
    const int order = compare(key, *range.to);
    if (order > 0 || (order == 0 && !range.to_inclusive)) return false;
  }
  return true;
}

/// Keys go one way within a batch: when its first and its last key lie within the range, all do.
std::size_t CursorState::count_inside() const noexcept {
  std::size_t begin = 0;
  std::size_t end = batch_.size();
  if (end == 0 || !inside(batch_.key(0))) return 0;
  if (inside(batch_.key(end - 1))) return end;
  while (end - begin > 1) {
    const std::size_t middle = (begin + end) / 2;
    (inside(batch_.key(middle)) ? begin : end) = middle;
  }
  return end;
}

Result<bool> CursorState::out(ScanOrder order) noexcept {
  place = order == ScanOrder::kForward ? Place::kAfter : Place::kBefore;
  return false;
}

/// Reads leaves from `from` on until one has a visible entry. The cursor then stands on the first of them.
Result<bool> CursorState::fill(Bytes from, bool unbounded, ScanOrder order) {
  const Engine& engine = handle.core->engine();
  const Hint hint = scan_hint(handle.map->hint(), batch_max_ == 0);
  for (;;) {
    batch_max_ = std::clamp(batch_max_ * kGrowth, kFirstBatch, kWholeLeaf);
    const auto registration = engine.snapshots.enter([&] { return newest_snapshot(engine); });
    VG_TRY(scan_leaf(engine, handle.map->tree(engine), from, unbounded, order, self, registration.snapshot(),
                     batch_max_, hint, batch_));
    batch_order_ = order;
    inside_ = count_inside();
    if (batch_.size() > 0) return arrive(0);
    if (batch_.at_end()) return out(order);
    from = batch_.bound();
    unbounded = false;
    // An empty stretch beyond the range's end need not be walked.
    if (order == ScanOrder::kForward && range.to && as_text(from) > *range.to) return out(order);
    if (order == ScanOrder::kBackward && range.from && as_text(from) < *range.from) return out(order);
  }
}

/// Stands on entry `at` of the batch, unless it lies outside the range or has a large value that is gone.
Result<bool> CursorState::arrive(std::size_t at) {
  index_ = at;
  large_ = false;
  if (at >= inside_) return out(batch_order_);
  place = Place::kOn;
  if (!batch_.overflow(at)) return true;
  const Engine& engine = handle.core->engine();
  VG_ASSIGN(const bool there, get_entry(engine, handle.map->tree(engine), batch_.key(at), self, large_value_));
  if (!there) return step(batch_order_);
  large_ = true;
  return true;
}

Result<bool> CursorState::seek_forward(Bytes from) {
  batch_max_ = 0;
  return fill(from, false, ScanOrder::kForward);
}

Result<bool> CursorState::seek_backward(Bytes from, bool unbounded) {
  batch_max_ = 0;
  return fill(from, unbounded, ScanOrder::kBackward);
}

/// One entry on. A batch of the other direction is left behind: the place is found again by key.
Result<bool> CursorState::step(ScanOrder order) {
  if (batch_order_ == order) {
    if (index_ + 1 < batch_.size()) return arrive(index_ + 1);
    if (batch_.at_end()) return out(order);
    if (VG_SEEDED_BUG(kCursorSkips)) return fill(as_bytes(std::string(as_text(batch_.bound())) + '\0'), false, order);
    return fill(batch_.bound(), false, order);
  }
  batch_max_ = 0;
  const std::string here(as_text(key()));
  if (order == ScanOrder::kBackward) return fill(as_bytes(here), false, order);
  const std::string after = here + '\0';  // the least key above this one
  return fill(as_bytes(after), false, order);
}

}  // namespace internal

using internal::CursorState;

Cursor::Cursor(std::unique_ptr<CursorState> state) noexcept : state_(std::move(state)), no_memory_(state_ == nullptr) {}
Cursor::Cursor(Cursor&&) noexcept = default;
Cursor& Cursor::operator=(Cursor&&) noexcept = default;
Cursor::~Cursor() = default;

namespace {

/// Gates, and errors that stay.
template <class Move>
Result<bool> move_cursor(CursorState* state, bool no_memory, bool is_seek, Move&& move) {
  if (state == nullptr) return internal::no_cursor(no_memory);
  if (state->unusable) return *state->unusable;
  if (state->error && !is_seek) return *state->error;
  state->error.reset();
  const internal::MapState& map = *state->handle.map;
  Result<bool> moved = internal::run_call(state->handle.core, [&]() -> Result<bool> {
    if (map.dropped.load()) return map.dropped_error();
    VG_TRY(state->handle.core->engine().poison.check());
    Result<bool> there = move();
    const bool strange = !there && there.error().code() == ErrorCode::kCorruption;
    return strange && map.dropped.load() ? map.dropped_error() : there;
  });
  if (!moved) {
    state->place = CursorState::Place::kBefore;
    state->error = moved.error();
  }
  return moved;
}

Result<bool> to_first(CursorState& state) {
  const std::string from =
      state.range.from ? (state.range.from_inclusive ? *state.range.from : *state.range.from + '\0') : std::string();
  return state.seek_forward(as_bytes(from));
}

Result<bool> to_last(CursorState& state) {
  if (!state.range.to) return state.seek_backward({}, true);
  const std::string to = state.range.to_inclusive ? *state.range.to + '\0' : *state.range.to;
  return state.seek_backward(as_bytes(to), false);
}

}  // namespace

Result<bool> Cursor::first() {
  return move_cursor(state_.get(), no_memory_, true, [&] { return to_first(*state_); });
}

Result<bool> Cursor::last() {
  return move_cursor(state_.get(), no_memory_, true, [&] { return to_last(*state_); });
}

Result<bool> Cursor::seek(std::string_view key) {
  return move_cursor(state_.get(), no_memory_, true, [&]() -> Result<bool> {
    if (state_->range.from && key <= *state_->range.from) return to_first(*state_);
    return state_->seek_forward(as_bytes(key));
  });
}

Result<bool> Cursor::floor(std::string_view key) {
  return move_cursor(state_.get(), no_memory_, true, [&]() -> Result<bool> {
    if (state_->range.to && key >= *state_->range.to) return to_last(*state_);
    const std::string after = std::string(key) + '\0';
    return state_->seek_backward(as_bytes(after), false);
  });
}

Result<bool> Cursor::next() {
  if (state_ != nullptr && state_->step_within_batch(ScanOrder::kForward)) return true;
  return move_cursor(state_.get(), no_memory_, false, [&]() -> Result<bool> {
    switch (state_->place) {
      case CursorState::Place::kBefore:
        return to_first(*state_);
      case CursorState::Place::kOn:
        return state_->step(ScanOrder::kForward);
      case CursorState::Place::kAfter:
        return false;
    }
    return false;
  });
}

Result<bool> Cursor::prev() {
  if (state_ != nullptr && state_->step_within_batch(ScanOrder::kBackward)) return true;
  return move_cursor(state_.get(), no_memory_, false, [&]() -> Result<bool> {
    switch (state_->place) {
      case CursorState::Place::kBefore:
        return false;
      case CursorState::Place::kOn:
        return state_->step(ScanOrder::kBackward);
      case CursorState::Place::kAfter:
        return to_last(*state_);
    }
    return false;
  });
}

bool Cursor::valid() const noexcept {
  return state_ != nullptr && state_->place == CursorState::Place::kOn;
}
std::string_view Cursor::key() const noexcept {
  return valid() ? as_text(state_->key()) : std::string_view();
}
std::string_view Cursor::value() const noexcept {
  return valid() ? as_text(state_->value()) : std::string_view();
}

}  // namespace vaultgres
