// Check: a walk over every page.
//
// It proves that the pages of the file are partitioned: each is a superblock, a bitmap, a page of exactly one tree,
// table or chain, or free, and the bitmaps say the same; and that each index has exactly one entry for each row of its
// table and no other: as many entries as rows, and the entries that the rows demand. That is told from sums over both,
// in one walk over each; only where these differ, or where a row cannot be read, each row is looked up, to name those
// without an entry.
#include <cstring>

#include "base/try.h"
#include "db/core.h"
#include "db/entry_sum.h"
#include "format/overflow.h"
#include "txn/overflow.h"

namespace vaultgres::internal {

namespace {

struct NamedIndex {
  std::string name;
  std::shared_ptr<const IndexState> index;
};

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

  /// `dropped`: a tree that is being freed; what its pages say about each other no longer has to hold. Adds its entries
  /// to `sum`, if there is one.
  Status tree(const Tree& tree, const std::string& name, bool dropped, EntrySum* sum = nullptr) {
    std::vector<ChainRef> chains;
    VG_TRY(tree.walk(
        [&](const NodeView& node, PageId id) {
          claim(id, tree.object(), name);
          if (!node.plausible() || !node.is_leaf()) return;
          if (sum != nullptr) add_entries(node, *sum);
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

  /// `dropped`: as of tree(). How many rows it has, into `rows`.
  Status table(const Heap& heap, const std::string& name, bool dropped, std::uint64_t& rows) {
    std::vector<ChainRef> chains;
    rows = 0;
    VG_TRY(heap.walk(
        [&](PageId id, Bytes page) {
          claim(id, heap.object(), name);
          const HeapPageView view(page);
          if (!view.plausible()) return;
          for (unsigned i = 0; i < view.slots(); ++i) {
            const HeapSlot slot = view.slot(i);
            if (slot.state.ghost) continue;  // its chain, if any, stands in `retired`
            if (slot.live()) ++rows;
            if (slot.state.overflow) add_chain(slot.content, heap.object(), id, name, chains);
          }
        },
        [&](PageId id, const std::string& what) {
          if (!dropped) problem(name, id, what);
        }));
    if (!dropped) report_.entries += rows;
    for (const ChainRef& chain : chains) VG_TRY(this->chain(chain, name));
    return {};
  }

  /// The indexes of a table of so many rows.
  Status indexes(const TableState& table, const std::vector<NamedIndex>& indexes, std::uint64_t rows) {
    const Result<std::vector<EntrySum>> sums = demanded(table, indexes);
    if (!sums && sums.error().code() != ErrorCode::kCorruption) return sums.error();
    for (std::size_t i = 0; i < indexes.size(); ++i) {
      VG_TRY(this->index(table, indexes[i], rows, sums ? &(*sums)[i] : nullptr));
    }
    return {};
  }

  /// The sum of the entries that the rows of the table demand of each of the indexes. kCorruption: a row cannot be
  /// read.
  Result<std::vector<EntrySum>> demanded(const TableState& table, const std::vector<NamedIndex>& indexes) {
    std::vector<EntrySum> sums(indexes.size());
    const auto add = [&](Tid tid) -> Status {
      for (std::size_t i = 0; i < indexes.size(); ++i) {
        VG_TRY(entry_of(*indexes[i].index, tid));
        sums[i].add(as_bytes(key_), as_bytes(value_));
      }
      return {};
    };
    VG_TRY(rows(table, nullptr, add));
    return sums;
  }

  /// Does each row of the table stand in the index, and nothing else? `demanded`: none when the rows cannot be read.
  Status index(const TableState& table, const NamedIndex& named, std::uint64_t rows, const EntrySum* demanded) {
    const std::string& name = named.name;
    const IndexState& index = *named.index;
    const std::uint64_t before = report_.entries;
    EntrySum found;
    VG_TRY(this->tree(index.tree(engine_), name, false, &found));
    const std::uint64_t entries = report_.entries - before;
    report_.entries = before;
    if (entries == rows && demanded != nullptr && found == *demanded) return {};
    if (entries != rows) {
      problem(name, index.root,
              "has " + std::to_string(entries) + " entries for " + std::to_string(rows) + " rows of its table");
    }
    bool all_found = true;
    const auto look_up = [&](Tid tid) {
      Status there = row_in_index(index, tid);
      all_found = all_found && there.has_value();
      return there;
    };
    VG_TRY(this->rows(table, &name, look_up));
    if (all_found && entries == rows && demanded != nullptr) {
      problem(name, index.root, "has other entries than those of its table's rows, although each of them has one");
    }
    return {};
  }

  Status retired() {
    std::vector<RetiredRow> listed;
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
            listed.emplace_back();
            std::memcpy(&listed.back(), value.data(), sizeof(RetiredRow));
          }
        },
        [&](PageId id, const std::string& what) { problem("the system tree of retired pages", id, what); }));
    for (const RetiredRow& row : listed) {
      const ObjectId object{row.object.get()};
      const PageId page{row.page.get()};
      if (row.kind.get() == static_cast<std::uint8_t>(RetiredKind::kTree)) {
        VG_TRY(tree(Tree(engine_.trees, object, page, Hint::kScan), "a dropped map or index", true));
      } else if (row.kind.get() == static_cast<std::uint8_t>(RetiredKind::kTable)) {
        std::uint64_t rows = 0;
        VG_TRY(table(Heap(engine_.heaps, object, page, Hint::kScan), "a dropped table", true, rows));
      } else {
        VG_TRY(chain({object, 0, page}, "a retired large value"));
      }
    }
    return {};
  }

  /// What the bitmaps say against what was found.
  Status bitmaps() {
    report_.pages = owner_.size();
    const char* const unowned =
        report_.problems.empty() ? "is allocated, but nothing owns it"
                                 : "is allocated, but nothing that could be read leads to it; its owner may be among "
                                   "the problems above";
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
        problem("the database", id, unowned);
      } else if (!owned) {
        ++report_.pages_free;
      }
    }
    return {};
  }

 private:
  /// A row as it stands in the heap now, changes of open transactions included; false when there is none.
  Result<bool> newest_row(const Heap& heap, Tid tid, std::string& bytes) {
    bool live = false;
    bool overflow = false;
    VG_TRY(heap.read_row(tid, [&](const HeapSlot& home, const HeapSlot& body) {
      live = home.live();
      overflow = body.state.overflow;
      bytes.assign(as_text(body.row()));
    }));
    if (!live || !overflow) return live;
    const std::string ref = std::move(bytes);
    VG_TRY(read_chain(engine_, heap.object(), as_bytes(ref), bytes));
    return true;
  }

  /// Calls `visit` for each row, which is in row_ then. Damage is a problem of the index `name`, and the next row
  /// comes; without a name it ends the walk. No writer is at work, and statements are atomic: what an index says now is
  /// about what the heap says now.
  Status rows(const TableState& table, const std::string* name, FunctionRef<Status(Tid)> visit) {
    const Heap heap(engine_.heaps, table.object, table.root, Hint::kScan);
    const auto keep = [&](PageId page, const Status& status) {
      return name == nullptr ? status : keep_problem(*name, page, status);
    };
    std::vector<PageId> pages;
    std::vector<Tid> tids;
    for (std::uint32_t number = 0;; number += static_cast<std::uint32_t>(pages.size())) {
      pages.clear();
      const Status listed = heap.pages(number, [&](std::uint32_t, PageId page) {
        pages.push_back(page);
        return pages.size() < 256;
      });
      for (std::size_t i = 0; i < pages.size(); ++i) {
        engine_.pool.read_ahead(std::span(pages).subspan(i), read_ahead_);
        VG_TRY(keep(pages[i], live_rows(heap, pages[i], tids)));
        for (const Tid tid : tids) VG_TRY(keep(pages[i], row(table, heap, tid, visit)));
      }
      if (!listed || pages.empty()) return keep(heap.root(), listed);
    }
  }

  static Status live_rows(const Heap& heap, PageId page, std::vector<Tid>& tids) {
    tids.clear();
    return heap.read(
        page,
        [&](const HeapPageView& view) {
          tids.clear();
          const unsigned slots = view.slots();
          for (unsigned i = 0; i < slots; ++i) {
            if (view.slot(i).live()) tids.push_back({page, static_cast<std::uint16_t>(i)});
          }
        },
        Hint::kScan);
  }

  Status row(const TableState& table, const Heap& heap, Tid tid, FunctionRef<Status(Tid)> visit) {
    VG_ASSIGN(const bool there, newest_row(heap, tid, bytes_));
    if (!there) return {};
    VG_TRY(table.codec.decode(as_bytes(bytes_), row_));
    return visit(tid);
  }

  /// Into key_ and value_: what the row in row_ demands.
  Status entry_of(const IndexState& index, Tid tid) {
    const Status made = index_entry_of(index, row_, tid, key_, value_);
    if (made) return {};
    // No such row was ever let in.
    return Error(ErrorCode::kCorruption, "can have no entry for the row " + std::to_string(raw(tid.page)) + ":" +
                                             std::to_string(tid.slot) +
                                             " of its table: " + std::string(made.error().message()));
  }

  Status row_in_index(const IndexState& index, Tid tid) {
    VG_TRY(entry_of(index, tid));
    bool found = false;
    VG_TRY(index.tree(engine_).read_leaf(as_bytes(key_), [&](const NodeView& leaf) {
      const NodeView::Position position = leaf.lower_bound(as_bytes(key_));
      found = position.exact && (leaf.flags(position.slot) & kSlotGhost) == 0 &&
              as_text(leaf.value(position.slot)) == value_;
    }));
    if (found) return {};
    return Error(ErrorCode::kCorruption, "has no entry for the row " + std::to_string(raw(tid.page)) + ":" +
                                             std::to_string(tid.slot) + " of its table");
  }

  static void add_entries(const NodeView& leaf, EntrySum& sum) {
    leaf.visit_up(0, [&](unsigned, Bytes key, Bytes value, std::uint8_t flags) {
      if ((flags & kSlotGhost) == 0) sum.add(key, value);
      return true;
    });
  }

  /// Damage is a problem of the report; errors of the environment end the check.
  Status keep_problem(const std::string& name, PageId page, const Status& status) {
    if (status || status.error().code() != ErrorCode::kCorruption) return status;
    problem(name, page, std::string(status.error().message()));
    return {};
  }

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
  ReadAhead read_ahead_;
  std::string bytes_, key_, value_;  // of the row at hand
  Row row_;
};

}  // namespace

Result<CheckReport> Core::check() {
  const std::lock_guard ddl(ddl_mutex_);
  const SharedGate::Hold hold = writers_.hold();
  if (!hold) return closed_error();
  CheckReport report;
  Checker checker(*engine_, report);
  std::map<std::string, std::shared_ptr<ObjectState>, std::less<>> objects;
  {
    const std::lock_guard lock(catalog_mutex_);
    objects = objects_;
  }
  VG_TRY(checker.tree(Tree(engine_->trees, kCatalogObject, kCatalogRootPage), "the catalog", false));
  report.entries = 0;  // of maps and tables only
  VG_TRY(checker.retired());
  struct CheckedTable {
    const TableState* table = nullptr;
    std::uint64_t rows = 0;
    std::vector<NamedIndex> indexes;
  };
  std::map<ObjectId, CheckedTable> tables;
  for (const auto& [name, object] : objects) {
    if (object->kind == ObjectKind::kMap) {
      VG_TRY(checker.tree(static_cast<const MapState&>(*object).tree(*engine_), name, false));
    } else if (object->kind == ObjectKind::kTable) {
      CheckedTable& checked = tables[object->object];
      checked.table = static_cast<const TableState*>(object.get());
      const Heap heap(engine_->heaps, object->object, object->root, Hint::kScan);
      VG_TRY(checker.table(heap, name, false, checked.rows));
    } else {
      auto index = std::static_pointer_cast<const IndexState>(object);
      const ObjectId table = index->definition.table;
      tables[table].indexes.push_back({name, std::move(index)});
    }
  }
  for (const auto& [id, checked] : tables) {
    if (checked.table == nullptr || checked.indexes.empty()) continue;
    VG_TRY(checker.indexes(*checked.table, checked.indexes, checked.rows));
  }
  VG_TRY(checker.bitmaps());
  return report;
}

}  // namespace vaultgres::internal
