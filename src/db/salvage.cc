// vaultgres::salvage: object by object from what was found, then indexes, then the report.
#include "vaultgres/salvage.h"

#include <cstring>
#include <map>
#include <set>

#include "base/try.h"
#include "catalog/catalog_entry.h"
#include "db/core.h"
#include "db/salvage.h"
#include "db/salvage_chain.h"
#include "db/salvage_pages.h"
#include "db/salvage_table.h"
#include "db/salvage_tree.h"
#include "format/overflow.h"
#include "format/superblock.h"

namespace vaultgres {

bool SalvageReport::complete() const noexcept {
  if (log != SalvageLog::kApplied || lost.count != 0) return false;
  for (const SalvagedObject& object : objects) {
    if (object.lost.count != 0) return false;
  }
  return true;
}

namespace internal {

namespace {

void add_loss(SalvageLosses& losses, std::string what, std::optional<KeyRange> keys = {}) {
  ++losses.count;
  if (losses.listed.size() < SalvageLosses::kListedMax) losses.listed.push_back({std::move(what), std::move(keys)});
}

/// Errors of the new database that concern one entry or object: all others end the salvage.
bool is_refusal(const Error& error) {
  return error.code() == ErrorCode::kInvalidArgument || error.code() == ErrorCode::kTooLarge ||
         error.code() == ErrorCode::kDuplicateKey || error.code() == ErrorCode::kAlreadyExists;
}

SalvagedObject::Kind kind_of(ObjectKind kind) {
  switch (kind) {
    case ObjectKind::kTable:
      return SalvagedObject::Kind::kTable;
    case ObjectKind::kIndex:
      return SalvagedObject::Kind::kIndex;
    default:
      return SalvagedObject::Kind::kMap;
  }
}

class Salvager {
 public:
  Salvager(const DamagedFiles& files, FoundPages& found, ChainReader& chains, TreeReader trees, TableReader tables,
           Database& fresh, SalvageReport& report)
      : files_(files),
        found_(found),
        chains_(chains),
        trees_(std::move(trees)),
        tables_(std::move(tables)),
        fresh_(fresh),
        report_(report) {}

  Status run() {
    for (;;) {
      VG_ASSIGN(const std::optional<FoundGroup> group, found_.next_group());
      if (!group) break;
      VG_TRY(take_group(*group));
    }
    VG_TRY(take_unfound());
    VG_TRY(make_indexes());
    explain_roots();
    return report_pages();
  }

 private:
  struct Named {
    std::string name;
    CatalogEntry entry;
    std::string name_now;  ///< of a table that is in the new database; empty: it is not
    bool found = false;
  };

  Status take_group(const FoundGroup& group) {
    if (group.object == kCatalogObject && !group.heap) return read_catalog();
    if (group.object == kRetiredObject && !group.heap) return read_retired();
    if (raw(group.object) < raw(kFirstUserObject)) return {};
    const auto named = catalog_.find(group.object);
    if (named == catalog_.end()) return take_nameless(group);
    const ObjectKind kind = named->second.entry.kind;
    if (group.heap != (kind == ObjectKind::kTable)) return {};  // pages of something that nobody knows
    named->second.found = true;
    if (kind == ObjectKind::kMap) return copy_map(group.object, named->second.name, named->second.entry.pinned);
    if (kind == ObjectKind::kTable) return copy_table(named->second);
    return {};  // an index is made anew
  }

  // --- System trees

  Status read_catalog() {
    catalog_found_ = true;
    return trees_.read(
        kCatalogObject,
        [&](std::string_view name, std::string_view value) -> Status {
          auto entry = decode_catalog_entry(as_bytes(value));
          if (!entry) {
            lose_names("the name \"" + std::string(name) + "\": " + std::string(entry.error().message()), {});
            return {};
          }
          const ObjectId object = entry->object;
          catalog_.emplace(object, Named{std::string(name), *std::move(entry), {}});
          return {};
        },
        [&](std::string what, std::optional<KeyRange> keys) {
          lose_names("names in the catalog: " + what, std::move(keys));
        });
  }

  void lose_names(std::string what, std::optional<KeyRange> keys) {
    catalog_whole_ = false;
    add_loss(report_.lost, std::move(what), std::move(keys));
  }

  /// What is there is being dropped, or was never finished.
  Status read_retired() {
    return trees_.read(
        kRetiredObject,
        [&](std::string_view, std::string_view value) -> Status {
          RetiredRow row;
          if (value.size() != sizeof row) return {};
          std::memcpy(&row, value.data(), sizeof row);
          const ObjectId object{row.object.get()};
          const PageId page{row.page.get()};
          if (row.kind.get() == static_cast<std::uint8_t>(RetiredKind::kChain)) {
            chains_.explain(object, page);
          } else {
            found_.explain(page, PageUse::kLostInner, object);
            retired_.insert(row.object.get());
          }
          return {};
        },
        [&](std::string, std::optional<KeyRange>) {
          report_.notes.emplace_back(
              "the list of objects that are being dropped cannot be read: some that were dropped may be back");
        });
  }

  // --- Objects

  SalvagedObject& add_object(ObjectKind kind, std::string name, ObjectId object) {
    SalvagedObject added;
    added.kind = kind_of(kind);
    added.name = std::move(name);
    added.object_id = raw(object);
    report_.objects.push_back(std::move(added));
    return report_.objects.back();
  }

  /// Begins an object of the new database, under another name if this one is taken.
  template <class Begin>
  auto begin_named(std::string& name, Begin&& begin) -> decltype(begin()) {
    auto begun = begin();
    while (!begun && begun.error().code() == ErrorCode::kAlreadyExists) {
      name += " (2)";
      begun = begin();
    }
    return begun;
  }

  /// A tree or table that the catalog does not name.
  Status take_nameless(const FoundGroup& group) {
    if (retired_.contains(raw(group.object))) return {};
    const std::string name = "object " + std::to_string(raw(group.object));
    if (catalog_found_ && catalog_whole_ && report_.log == SalvageLog::kApplied) {
      report_.notes.push_back(name + " has pages but no name: something unfinished, or dropped; left out");
      return {};
    }
    if (!group.heap) return copy_nameless_tree(group.object, name);
    std::uint64_t pages = 0;
    for (FoundHeapPage page;;) {
      VG_ASSIGN(const bool more, found_.next_heap_page(page));
      if (!more) break;
      if (!page.lost) ++pages;
    }
    add_loss(
        add_object(ObjectKind::kTable, name, group.object).lost,
        "all rows, on " + std::to_string(pages) + " pages: without its schema, which is lost, they cannot be read");
    return {};
  }

  Status copy_nameless_tree(ObjectId object, std::string name) {
    bool like_index = true;
    SalvagedObject copied;
    const auto begin = [&] { return fresh_.load_map(name); };
    VG_ASSIGN(MapLoad load, begin_named(name, begin));
    VG_TRY(fill_map(load, object, copied, &like_index));
    if (copied.entries > 0 && like_index) {
      SalvagedObject& index = add_object(ObjectKind::kIndex, name, object);
      add_loss(index.lost, "the index: its definition is lost, so it cannot be made anew; its rows are in its table");
      return {};
    }
    VG_TRY(load.finish());
    copied.name = name;
    copied.object_id = raw(object);
    copied.copied = true;
    report_.objects.push_back(std::move(copied));
    return {};
  }

  Status copy_map(ObjectId object, std::string name, bool pinned) {
    const auto begin = [&] { return fresh_.load_map(name); };
    VG_ASSIGN(MapLoad load, begin_named(name, begin));
    SalvagedObject& copied = add_object(ObjectKind::kMap, name, object);
    VG_TRY(fill_map(load, object, copied, nullptr));
    VG_TRY(load.finish());
    copied.copied = true;
    return pinned ? fresh_.set_pinned(name, true) : Status();
  }

  /// `like_index` stays true if all entries are as those of an index.
  Status fill_map(MapLoad& load, ObjectId object, SalvagedObject& copied, bool* like_index) {
    return trees_.read(
        object,
        [&](std::string_view key, std::string_view value) -> Status {
          if (like_index != nullptr) *like_index = *like_index && leads_to_row(key, value);
          Status added = load.add(key, value);
          if (added) ++copied.entries;
          if (added || !is_refusal(added.error())) return added;
          add_loss(copied.lost, "an entry: " + std::string(added.error().message()));
          return {};
        },
        [&](std::string what, std::optional<KeyRange> keys) {
          add_loss(copied.lost, std::move(what), std::move(keys));
        });
  }

  bool leads_to_row(std::string_view key, std::string_view value) const {
    const std::string_view tid = value.empty() && key.size() >= kTidBytes ? key.substr(key.size() - kTidBytes) : value;
    return tid.size() == kTidBytes && found_.use(decode_tid(as_bytes(tid)).page) == PageUse::kHeap;
  }

  Status copy_table(Named& table) {
    std::string name = table.name;
    const auto begin = [&] { return fresh_.load_table(name, *table.entry.schema); };
    VG_ASSIGN(TableLoad load, begin_named(name, begin));
    SalvagedObject& copied = add_object(ObjectKind::kTable, name, table.entry.object);
    const RowCodec codec(*table.entry.schema);
    VG_TRY(tables_.read(
        table.entry.object, codec,
        [&](const Row& row) -> Status {
          Status added = load.add(row);
          if (added) ++copied.entries;
          if (added || !is_refusal(added.error())) return added;
          add_loss(copied.lost, "a row: " + std::string(added.error().message()));
          return {};
        },
        [&](std::string what) { add_loss(copied.lost, std::move(what)); }));
    if (tables_.homeless() > 0) {
      report_.notes.push_back(std::to_string(tables_.homeless()) + " rows of \"" + name +
                              "\" were moved from pages that are lost; if one was deleted just before, it is back");
    }
    VG_TRY(load.finish());
    copied.copied = true;
    table.name_now = name;
    return table.entry.pinned ? fresh_.set_pinned(name, true) : Status();
  }

  /// Objects of the catalog of which no page was found: all of a map's are lost; a table may have had none.
  Status take_unfound() {
    if (!catalog_found_) lose_names("names in the catalog: all keys: no leaf that holds them can be read", KeyRange{});
    for (auto& [object, named] : catalog_) {
      if (named.found) continue;
      if (named.entry.kind == ObjectKind::kMap) VG_TRY(make_lost_map(object, named.name));
      if (named.entry.kind == ObjectKind::kTable) VG_TRY(copy_table(named));  // of no pages
    }
    return {};
  }

  Status make_lost_map(ObjectId object, std::string name) {
    const auto begin = [&] { return fresh_.create_map(name); };
    VG_TRY(begin_named(name, begin));
    SalvagedObject& lost = add_object(ObjectKind::kMap, name, object);
    lost.copied = true;
    add_loss(lost.lost, "all keys: no leaf that holds them can be read", KeyRange{});
    return {};
  }

  // --- Indexes

  Status make_indexes() {
    for (const auto& [object, named] : catalog_) {
      if (named.entry.kind == ObjectKind::kIndex) VG_TRY(make_index(named));
    }
    return {};
  }

  Status make_index(const Named& index) {
    SalvagedObject& made = add_object(ObjectKind::kIndex, index.name, index.entry.object);
    const auto table = catalog_.find(index.entry.index->table);
    if (table == catalog_.end() || table->second.name_now.empty()) {
      add_loss(made.lost, "the index: its table is lost");
      return {};
    }
    const Schema& schema = *table->second.entry.schema;
    if (auto fits = KeyCodec::create(schema, index.entry.index->columns); !fits) {
      add_loss(made.lost, "the index: " + std::string(fits.error().message()));
      return {};
    }
    const auto created = fresh_.create_index(index.name, table->second.name_now, spec_of(schema, *index.entry.index));
    if (created) {
      made.copied = true;
      return index.entry.pinned ? fresh_.set_pinned(index.name, true) : Status();
    }
    if (!is_refusal(created.error())) return created.error();
    add_loss(made.lost, "the index: " + std::string(created.error().message()));
    return {};
  }

  // --- Pages

  /// What the catalog says of roots that cannot be read: what was below them was found without them.
  void explain_roots() {
    found_.explain(kCatalogRootPage, PageUse::kLostInner, kCatalogObject);
    found_.explain(kRetiredRootPage, PageUse::kLostInner, kRetiredObject);
    for (const auto& [object, named] : catalog_) {
      const bool table = named.entry.kind == ObjectKind::kTable;
      found_.explain(named.entry.root, table ? PageUse::kLostMap : PageUse::kLostInner, object);
    }
  }

  std::string owner_of(PageId id) const {
    const ObjectId object = found_.object(id);
    if (object == kCatalogObject) return "the catalog";
    if (object == kRetiredObject) return "the list of what is being dropped";
    const auto named = catalog_.find(object);
    if (named != catalog_.end()) return named->second.name;
    return object == ObjectId{0} ? std::string() : "object " + std::to_string(raw(object));
  }

  static std::string_view use_text(PageUse use) {
    switch (use) {
      case PageUse::kLostFree:
        return "; it was free";
      case PageUse::kLostBitmap:
        return "; it said which pages are free";
      case PageUse::kLostLeaf:
        return "; it was a leaf";
      case PageUse::kLostInner:
        return "; it was above the leaves, or the only one of its tree";
      case PageUse::kLostHeap:
        return "; it held rows";
      case PageUse::kLostMap:
        return "; it listed the pages of the table";
      case PageUse::kLostOverflow:
        return "; it was part of a large value or row";
      default:
        return "; nothing says whose it was";
    }
  }

  void report_page(PageId id, const std::string& what) {
    ++report_.pages_damaged;
    if (report_.damaged.size() < SalvageLosses::kListedMax) report_.damaged.push_back({raw(id), owner_of(id), what});
  }

  Status report_pages() {
    VG_ASSIGN(AlignedBuffer page, AlignedBuffer::make(kPageBytes));
    for (unsigned copy = 0; copy < 2; ++copy) {
      if (!files_.superblock_is_good(copy)) report_page(kSuperblockPages[copy], "is no superblock that can be read");
    }
    for (std::uint32_t i = raw(kFirstBitmapPage); i < found_.count(); ++i) {
      const PageId id{i};
      const PageUse use = found_.use(id);
      if (!is_lost(use) || use == PageUse::kAbsent) continue;
      std::string why;
      files_.read(id, page.span().first(kPageBytes), &why);
      report_page(id, why + std::string(use_text(use)));
      if (use == PageUse::kLost) {
        add_loss(report_.lost, "page " + std::to_string(i) + " " + why + ", and nothing says what was on it");
      }
    }
    return {};
  }

  const DamagedFiles& files_;
  FoundPages& found_;
  ChainReader& chains_;
  TreeReader trees_;
  TableReader tables_;
  Database& fresh_;
  SalvageReport& report_;
  std::map<ObjectId, Named> catalog_;
  std::set<std::uint32_t> retired_;
  bool catalog_found_ = false;
  bool catalog_whole_ = true;
};

Status salvage_into(const DamagedFiles& files, FileSystem& to, const std::string& fresh, const SalvageOptions& options,
                    SalvageReport& report) {
  Options opened;
  opened.cache_bytes = options.cache_bytes;
  VG_ASSIGN(auto core, Core::open({&to, nullptr, fresh}, std::move(opened)));
  Database database = make_database(std::move(core));
  FoundPages found(to, fresh + "/" + kSortFilePrefix + "salvage");
  VG_TRY(found.look(files, report));
  VG_ASSIGN(ChainReader chains, ChainReader::make(files, found));
  VG_ASSIGN(TreeReader trees, TreeReader::make(files, found, chains));
  VG_ASSIGN(TableReader tables, TableReader::make(files, found, chains));
  Salvager salvager(files, found, chains, std::move(trees), std::move(tables), database, report);
  VG_TRY(salvager.run());
  return database.close();
}

}  // namespace

Result<SalvageReport> salvage(FileSystem& from, const std::string& damaged, FileSystem& to, const std::string& fresh,
                              const SalvageOptions& options) {
  VG_ASSIGN(const bool taken, to.exists(fresh + "/data.vg"));
  if (taken) {
    return Error(ErrorCode::kAlreadyExists, fresh + " is a database already; name a directory for a new one");
  }
  SalvageReport report;
  VG_ASSIGN(const auto files, DamagedFiles::open(from, damaged, options, report));
  if (Status done = salvage_into(*files, to, fresh, options, report); !done) {
    return done.error().with_context("salvage into " + fresh);
  }
  return report;
}

}  // namespace internal

Result<SalvageReport> salvage(const std::string& damaged, const std::string& fresh, const SalvageOptions& options) {
  if (damaged.empty() || fresh.empty()) {
    return Error(ErrorCode::kInvalidArgument, "the name of a database directory is empty");
  }
  return internal::catch_bad_alloc(
      [&] { return internal::salvage(posix_file_system(), damaged, posix_file_system(), fresh, options); });
}

}  // namespace vaultgres
