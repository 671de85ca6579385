// Map::partition and Map::parallel_scan: a range in pieces, side by side.
#include <atomic>
#include <mutex>

#include "base/in_parallel.h"
#include "base/try.h"
#include "db/core.h"
#include "vaultgres/map.h"

namespace vaultgres {

static_assert(Map::kMaxScanThreads <= kPartsMax);

Result<std::vector<KeyRange>> Map::partition(KeyRange range, unsigned pieces) const {
  if (pieces == 0 || pieces > kMaxPieces) {
    return Error(ErrorCode::kInvalidArgument,
                 "a range is cut into 1 to " + std::to_string(kMaxPieces) + " pieces, not " + std::to_string(pieces));
  }
  return internal::run_call(*handle_->core, [&]() -> Result<std::vector<KeyRange>> {
    if (handle_->map->dropped.load()) return handle_->map->dropped_error();
    const Engine& engine = handle_->core->engine();
    VG_TRY(engine.poison.check());
    std::optional<Bytes> to;
    if (range.to) to = as_bytes(*range.to);
    const auto cuts =
        handle_->map->tree(engine).cut(as_bytes(range.from ? *range.from : std::string_view()), to, pieces);
    if (handle_->map->dropped.load()) return handle_->map->dropped_error();
    if (!cuts) return cuts.error();
    std::vector<KeyRange> parts;
    for (const std::string& cut : *cuts) {
      KeyRange before = range;
      before.to = cut;
      before.to_inclusive = false;
      parts.push_back(std::move(before));
      range.from = cut;
      range.from_inclusive = true;
    }
    parts.push_back(std::move(range));
    return parts;
  });
}

namespace {

/// A cursor over each, in a thread of its own. The first error, or false of `visit`, ends them all.
Status scan_pieces(const Map& map, const std::vector<KeyRange>& pieces, const Map::VisitEntry& visit) {
  std::atomic<bool> over{false};
  std::mutex first_mutex;
  Status first;
  const auto scan = [&](unsigned piece) -> Status {
    Cursor entries = map.cursor(pieces[piece]);
    while (!over.load(std::memory_order_relaxed)) {
      VG_ASSIGN(const bool more, entries.next());
      if (!more) break;
      if (!visit(piece, entries.key(), entries.value())) over.store(true, std::memory_order_relaxed);
    }
    return {};
  };
  in_parallel(static_cast<unsigned>(pieces.size()), [&](unsigned piece) {
    Status done = internal::catch_bad_alloc([&] { return scan(piece); });
    if (done) return;
    over.store(true, std::memory_order_relaxed);
    const std::lock_guard lock(first_mutex);
    if (first) first = std::move(done);
  });
  return first;
}

}  // namespace

Status Map::parallel_scan(KeyRange range, unsigned threads, const VisitEntry& visit) const {
  if (threads == 0 || threads > kMaxScanThreads) {
    return Error(ErrorCode::kInvalidArgument,
                 "a scan has 1 to " + std::to_string(kMaxScanThreads) + " threads, not " + std::to_string(threads));
  }
  VG_ASSIGN(const std::vector<KeyRange> pieces, partition(std::move(range), threads));
  return internal::catch_bad_alloc([&] { return scan_pieces(*this, pieces, visit); });
}

}  // namespace vaultgres
