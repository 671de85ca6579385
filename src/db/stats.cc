// Statistics: walks over every page of one object, and the counters of the database.
#include <algorithm>
#include <cstring>

#include "base/try.h"
#include "db/core.h"
#include "format/overflow.h"

namespace vaultgres::internal {

namespace {

/// What a walk over an object's pages ended with. An object that is being taken apart answers anything.
Status walked(const ObjectState& object, const Status& walk, const std::optional<Error>& damage) {
  if (object.dropped.load()) return object.dropped_error();
  return walk && damage ? Status(*damage) : walk;
}

}  // namespace

Result<MapStats> Core::tree_stats(std::string_view name, const ObjectState& object, const Tree& tree) {
  MapStats stats;
  stats.name = name;
  std::uint64_t leaf_bytes = 0;
  std::uint64_t internal_bytes = 0;
  std::uint64_t children = 0;
  std::optional<Error> damage;
  const Status walk = tree.walk(
      [&](const NodeView& node, PageId) {
        stats.height = std::max(stats.height, node.level() + 1);
        if (!node.is_leaf()) {
          ++stats.internal_pages;
          internal_bytes += node.used_bytes();
          children += node.count();
          return;
        }
        ++stats.leaf_pages;
        leaf_bytes += node.used_bytes();
        for (unsigned slot = 0; slot < node.count(); ++slot) {
          const std::uint8_t flags = node.flags(slot);
          if ((flags & kSlotGhost) != 0) {
            ++stats.ghosts;
            continue;
          }
          ++stats.entries;
          if ((flags & kSlotOverflow) == 0 || node.value(slot).size() != sizeof(OverflowRef)) continue;
          OverflowRef ref;
          std::memcpy(&ref, node.value(slot).data(), sizeof ref);
          stats.overflow_pages += (ref.bytes.get() + kOverflowPageBytes - 1) / kOverflowPageBytes;
        }
      },
      [&](PageId id, const std::string& what) {
        if (!damage) damage = Error(ErrorCode::kCorruption, "page " + std::to_string(raw(id)) + ": " + what);
      });
  VG_TRY(walked(object, walk, damage));
  const auto capacity = static_cast<double>(NodeView::capacity_bytes());
  if (stats.leaf_pages > 0) {
    stats.leaf_fill = static_cast<double>(leaf_bytes) / (static_cast<double>(stats.leaf_pages) * capacity);
  }
  if (stats.internal_pages > 0) {
    stats.internal_fill = static_cast<double>(internal_bytes) / (static_cast<double>(stats.internal_pages) * capacity);
    stats.fan_out = static_cast<double>(children) / static_cast<double>(stats.internal_pages);
  }
  if (stats.entries > 0) {
    stats.bytes_per_entry =
        static_cast<double>((stats.leaf_pages + stats.internal_pages + stats.overflow_pages) * kPageBytes) /
        static_cast<double>(stats.entries);
  }
  return stats;
}

namespace {

/// Adds what one page of a table has to say.
class TableCounter {
 public:
  explicit TableCounter(TableStats& stats) : stats_(stats) {}

  void page(Bytes page) {
    if (page_header(page).type.get() != raw(PageType::kHeap)) {
      ++stats_.map_pages;
      return;
    }
    ++stats_.heap_pages;
    const HeapPageView view(page);
    used_bytes_ += kHeapCellsBytesMax - std::min(view.free_bytes(), kHeapCellsBytesMax);
    const unsigned slots = view.slots();
    for (unsigned i = 0; i < slots; ++i) slot(view.slot(i));
  }

  void finish() {
    if (stats_.heap_pages > 0) {
      stats_.heap_fill = static_cast<double>(used_bytes_) / static_cast<double>(stats_.heap_pages * kHeapCellsBytesMax);
    }
    if (stats_.rows > 0) {
      const std::uint64_t pages = stats_.heap_pages + stats_.map_pages + stats_.overflow_pages;
      stats_.bytes_per_row = static_cast<double>(pages * kPageBytes) / static_cast<double>(stats_.rows);
    }
  }

 private:
  void slot(const HeapSlot& slot) {
    if (slot.used() && slot.state.ghost) ++stats_.ghosts;
    if (!slot.live()) return;
    ++stats_.rows;
    if (slot.state.kind == HeapKind::kStub) ++stats_.moved_rows;
    if (!slot.state.overflow || slot.content.size() != sizeof(OverflowRef)) return;
    OverflowRef ref;
    std::memcpy(&ref, slot.content.data(), sizeof ref);
    stats_.overflow_pages += (ref.bytes.get() + kOverflowPageBytes - 1) / kOverflowPageBytes;
  }

  TableStats& stats_;
  std::uint64_t used_bytes_ = 0;
};

}  // namespace

Result<TableStats> Core::table_stats(std::string_view name) {
  VG_ASSIGN(const std::shared_ptr<TableState> table, find_table(name));
  TableStats stats;
  stats.name = name;
  TableCounter counter(stats);
  std::optional<Error> damage;
  const Status walk = table->heap(*engine_).walk([&](PageId, Bytes page) { counter.page(page); },
                                                 [&](PageId id, const std::string& what) {
                                                   if (!damage)
                                                     damage = Error(ErrorCode::kCorruption,
                                                                    "page " + std::to_string(raw(id)) + ": " + what);
                                                 });
  VG_TRY(walked(*table, walk, damage));
  counter.finish();
  return stats;
}

Result<DatabaseStats> Core::stats() {
  DatabaseStats stats;
  const SpaceStats space = space_->stats();
  stats.pages = space.pages;
  stats.pages_free = space.pages_free;
  const BufferStats pool = pool_->stats();
  stats.cache_pages = pool.frames;
  stats.cache_pages_free = pool.frames_free;
  stats.cache_pages_dirty = pool.frames_dirty;
  stats.page_visits = pool.visits;
  stats.page_loads = pool.loads;
  stats.page_evictions = pool.evictions;
  stats.pages_written = pool.pages_cleaned;
  stats.write_batches = pool.batches;
  stats.log_end = raw(log_->end());
  stats.log_durable = raw(log_->durable());
  stats.checkpoints = checkpoints_.load();
  stats.redo_start = redo_start();
  return stats;
}

}  // namespace vaultgres::internal
