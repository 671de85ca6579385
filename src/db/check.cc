// Check and statistics: walks over every page.
//
// Check proves that the pages of the file are partitioned: each is a superblock, a bitmap, a page of exactly
// one tree, a page of exactly one chain, or free, and the bitmaps say the same.
#include <array>
#include <cstring>

#include "base/try.h"
#include "db/core.h"
#include "format/overflow.h"

namespace vaultgres::internal {

namespace {

struct ChainRef {
  ObjectId owner;
  std::uint64_t bytes;  ///< 0: unknown, a chain that is being freed
  PageId head;
};

class Checker {
 public:
  Checker(const Engine& engine, CheckReport& report)
      : engine_(engine), report_(report), owner_(engine.pool.page_count(), 0) {}

  void problem(const std::string& object, PageId page, std::string what) {
    // A broken file can be wrong in every page: the first thousand tell enough.
    if (report_.problems.size() < 1000) report_.problems.push_back({object, raw(page), std::move(what)});
  }

  void claim(PageId page, ObjectId object, const std::string& name) {
    if (raw(page) >= owner_.size()) {
      problem(name, page, "lies beyond the end of the data file");
      return;
    }
    std::uint32_t& owner = owner_[raw(page)];
    if (owner != 0) {
      problem(name, page, "belongs to it and to object " + std::to_string(owner) + " as well");
    }
    owner = raw(object);
    ++report_.pages_checked;
  }

  /// `dropped`: a tree that is being freed; what its pages say about each other no longer has to hold.
  Status tree(const Tree& tree, const std::string& name, bool dropped) {
    std::vector<ChainRef> chains;
    VG_TRY(tree.walk(
        [&](const NodeView& node, PageId id) {
          claim(id, tree.object(), name);
          if (!node.plausible() || !node.is_leaf()) return;
          for (unsigned slot = 0; slot < node.count(); ++slot) {
            const std::uint8_t flags = node.flags(slot);
            if ((flags & kSlotGhost) != 0) continue;  // its chain, if any, stands in `retired`
            if (!dropped) ++report_.entries;
            if ((flags & kSlotOverflow) != 0) add_chain(node.value(slot), tree.object(), id, name, chains);
          }
        },
        [&](PageId id, const std::string& what) {
          if (!dropped) problem(name, id, what);
        }));
    for (const ChainRef& chain : chains) VG_TRY(this->chain(chain, name));
    return {};
  }

  Status retired() {
    struct Row {
      RetiredRow row;
    };
    std::vector<RetiredRow> rows;
    VG_TRY(engine_.retired().walk(
        [&](const NodeView& node, PageId id) {
          claim(id, kRetiredObject, "the system tree of retired pages");
          if (!node.plausible() || !node.is_leaf()) return;
          for (unsigned slot = 0; slot < node.count(); ++slot) {
            if ((node.flags(slot) & kSlotGhost) != 0) continue;  // published: its owner claims it
            const Bytes value = node.value(slot);
            if (value.size() != sizeof(RetiredRow)) {
              problem("the system tree of retired pages", id, "holds a row of the wrong size");
              continue;
            }
            rows.emplace_back();
            std::memcpy(&rows.back(), value.data(), sizeof(RetiredRow));
          }
        },
        [&](PageId id, const std::string& what) { problem("the system tree of retired pages", id, what); }));
    for (const RetiredRow& row : rows) {
      const ObjectId object{row.object.get()};
      const PageId page{row.page.get()};
      if (row.kind.get() == static_cast<std::uint8_t>(RetiredKind::kTree)) {
        VG_TRY(tree(Tree(engine_.trees, object, page, Hint::kScan), "a dropped map", true));
      } else {
        VG_TRY(chain({object, 0, page}, "a retired large value"));
      }
    }
    return {};
  }

  /// What the bitmaps say against what was found.
  Status bitmaps() {
    report_.pages = owner_.size();
    for (std::uint32_t i = 0; i < owner_.size(); ++i) {
      const PageId id{i};
      const bool fixed = id == kSuperblockPages[0] || id == kSuperblockPages[1] || bitmap_page_of(id) == id;
      const bool owned = owner_[i] != 0;
      auto allocated = engine_.space.is_allocated(id);
      if (!allocated) {
        if (allocated.error().code() != ErrorCode::kCorruption) return allocated.error();
        problem("the database", bitmap_page_of(id), std::string(allocated.error().message()));
        i = i / kPagesPerBitmap * kPagesPerBitmap + kPagesPerBitmap - 1;  // on to the next bitmap
        continue;
      }
      if (fixed) {
        if (owned) problem("the database", id, "is a system page, but something else claims it");
        if (!*allocated) problem("the database", id, "is a system page, but its bitmap says that it is free");
        ++report_.pages_checked;
      } else if (owned && !*allocated) {
        problem("the database", id,
                "belongs to object " + std::to_string(owner_[i]) + ", but its bitmap says that it is free");
      } else if (!owned && *allocated) {
        problem("the database", id, "is allocated, but nothing owns it");
      } else if (!owned) {
        ++report_.pages_free;
      }
    }
    return {};
  }

 private:
  void add_chain(Bytes value, ObjectId owner, PageId leaf, const std::string& name, std::vector<ChainRef>& chains) {
    if (value.size() != sizeof(OverflowRef)) {
      problem(name, leaf, "holds a reference to a large value of the wrong size");
      return;
    }
    OverflowRef ref;
    std::memcpy(&ref, value.data(), sizeof ref);
    chains.push_back({owner, ref.bytes.get(), PageId{ref.head.get()}});
  }

  Status chain(const ChainRef& ref, const std::string& name) {
    std::uint64_t bytes = 0;
    std::uint64_t pages = 0;
    for (PageId page = ref.head; page != kNoPage;) {
      if (++pages > owner_.size()) {
        problem(name, ref.head, "begins a large value whose pages run in a circle");
        return {};
      }
      claim(page, ref.owner, name);
      auto guard = engine_.pool.shared(page, Hint::kScan);
      if (!guard) {
        if (guard.error().code() != ErrorCode::kCorruption) return guard.error();
        problem(name, page, std::string(guard.error().message()));
        return {};
      }
      const PageHeader& header = page_header(guard->page());
      const auto& overflow = *reinterpret_cast<const OverflowHeader*>(guard->page().data() + kPageHeaderBytes);
      if (header.type.get() != static_cast<std::uint8_t>(PageType::kOverflow) ||
          header.object.get() != raw(ref.owner) || overflow.bytes.get() > kOverflowPageBytes) {
        problem(name, page, "is reached as part of a large value, but is none of this object");
        return {};
      }
      bytes += overflow.bytes.get();
      page = PageId{overflow.next.get()};
    }
    if (ref.bytes != 0 && bytes != ref.bytes) {
      problem(
          name, ref.head,
          "begins a large value of " + std::to_string(bytes) + " bytes that should have " + std::to_string(ref.bytes));
    }
    return {};
  }

  const Engine& engine_;
  CheckReport& report_;
  std::vector<std::uint32_t> owner_;
};

}  // namespace

Result<CheckReport> Core::check() {
  const std::lock_guard ddl(ddl_mutex_);
  const SharedGate::Hold hold = writers_.hold();
  if (!hold) return closed_error();
  CheckReport report;
  Checker checker(*engine_, report);
  std::map<std::string, std::shared_ptr<MapState>, std::less<>> maps;
  {
    const std::lock_guard lock(catalog_mutex_);
    maps = maps_;
  }
  VG_TRY(checker.tree(Tree(engine_->trees, kCatalogObject, kCatalogRootPage), "the catalog", false));
  report.entries = 0;  // of the maps only
  VG_TRY(checker.retired());
  for (const auto& [name, map] : maps) VG_TRY(checker.tree(map->tree(*engine_), name, false));
  VG_TRY(checker.bitmaps());
  return report;
}

Result<MapStats> Core::map_stats(std::string_view name) {
  VG_ASSIGN(const std::shared_ptr<MapState> map, find_map(name));
  MapStats stats;
  stats.name = map->name;
  std::uint64_t leaf_bytes = 0;
  std::uint64_t internal_bytes = 0;
  std::uint64_t children = 0;
  std::optional<Error> damage;
  VG_TRY(map->tree(*engine_).walk(
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
      }));
  if (damage) return *damage;
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

Result<DatabaseStats> Core::stats() {
  DatabaseStats stats;
  const SpaceStats space = space_->stats();
  stats.pages = space.pages;
  stats.pages_free = space.pages_free;
  const BufferStats pool = pool_->stats();
  stats.cache_pages = pool.frames;
  stats.cache_pages_free = pool.frames_free;
  stats.cache_pages_dirty = pool.frames_dirty;
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
