// A database with every kind of page on a simulated disk, what stands on each of its pages, and what salvage makes of
// it once it is damaged.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <set>

#include "btree/node.h"
#include "catalog/row_encoding.h"
#include "db/read_only_support.h"
#include "db/salvage.h"
#include "format/doublewrite.h"
#include "format/overflow.h"
#include "format/superblock.h"
#include "heap/heap_page.h"
#include "support/listed.h"
#include "support/random.h"
#include "support/scale.h"
#include "support/sim_file_system.h"
#include "support/table.h"

namespace vaultgres {

inline Schema rows_schema() {
  return *Schema::create({{"id", ColumnType::kInt64}, {"text", ColumnType::kText, true}});
}

using RowTexts = std::multiset<std::string>;

inline RowTexts texts_of(const Table& table) {
  const RowCodec codec(table.schema());
  RowTexts texts;
  std::string bytes;
  for (const auto& [id, row] : rows_of(table)) {
    EXPECT_TRUE(codec.encode(row, bytes));
    texts.insert(bytes);
  }
  return texts;
}

inline std::string file_text(FileSystem& disk, const std::string& path) {
  const std::unique_ptr<File> file = *disk.open(path, OpenMode::kReadOnly);
  std::string bytes(*file->size(), '\0');
  EXPECT_TRUE(file->read(0, std::as_writable_bytes(std::span(bytes))));
  return bytes;
}
inline void write_bytes(FileSystem& disk, const std::string& path, std::uint64_t offset, std::string_view bytes) {
  EXPECT_TRUE((*disk.open(path, OpenMode::kReadWrite))->write(offset, as_bytes(bytes)));
}

/// What a database holds.
struct Everything {
  std::map<std::string, Content> maps;
  std::map<std::string, RowTexts> tables;
  std::set<std::string> indexes;
};

inline Everything all_of(Database& db) {
  Everything all;
  for (const MapInfo& map : list_of(db.maps())) all.maps[map.name] = content_of(*db.open_map(map.name));
  for (const TableInfo& table : list_of(db.tables())) all.tables[table.name] = texts_of(*db.open_table(table.name));
  for (const IndexInfo& index : list_of(db.indexes())) all.indexes.insert(index.name);
  return all;
}

/// What salvage said and made.
struct Salvaged {
  SalvageReport report;
  Everything all;

  const SalvagedObject* object(const std::string& name) const {
    for (const SalvagedObject& object : report.objects) {
      if (object.name == name) return &object;
    }
    return nullptr;
  }
  /// By its name, or by its number where the catalog did not say; null: neither, or both.
  const Content* map(const std::string& name, std::uint32_t number) const {
    const auto by_name = all.maps.find(name);
    const auto by_number = all.maps.find("object " + std::to_string(number));
    if ((by_name == all.maps.end()) == (by_number == all.maps.end())) return nullptr;
    return &(by_name != all.maps.end() ? by_name : by_number)->second;
  }
};

class SalvageTest : public ::testing::Test {
 protected:
  void SetUp() override {
    Database db = *open_on(disk_);
    ASSERT_NO_FATAL_FAILURE(fill(db));
    before_ = all_of(db);
    for (const MapInfo& map : list_of(db.maps())) names_[map.object_id] = map.name;
    for (const TableInfo& table : list_of(db.tables())) names_[table.object_id] = table.name;
    for (const IndexInfo& index : list_of(db.indexes())) names_[index.object_id] = index.name;
    ASSERT_OK(db.close());
    disk_.settle();
    sound_ = file_text(disk_, kDataPath);
    find_chains();
  }

  void fill(Database& db) {
    Map many = *db.create_map("many");
    Map large = *db.create_map("large");
    ASSERT_OK(db.create_map("empty"));
    ASSERT_OK(db.create_map("tiny")->put("one", "entry"));
    for (int i = 0; i < 1500; ++i) ASSERT_OK(many.put("key " + std::to_string(i), random_.word(40)));
    for (int i = 0; i < 1500; i += 7) ASSERT_OK(many.erase("key " + std::to_string(i)));
    for (int i = 0; i < 12; ++i) ASSERT_OK(large.put("large " + std::to_string(i), random_.word(3 * kPageBytes)));
    ASSERT_OK(db.drop_map("empty"));
    ASSERT_OK(db.create_map("empty"));
    fill_tables(db);
  }
  void fill_tables(Database& db) {
    Table rows = *db.create_table("rows", rows_schema());
    ASSERT_OK(db.create_table("no rows", rows_schema()));
    std::vector<RowId> ids;
    for (int i = 0; i < 600; ++i) ids.push_back(*rows.insert({i, random_.word(30)}));
    for (int i = 0; i < 600; i += 20) ASSERT_OK(rows.update(ids[i], {i, random_.word(kPageBytes / 5)}));  // moves
    for (int i = 5; i < 600; i += 60) ASSERT_OK(rows.update(ids[i], {i, random_.word(2 * kPageBytes)}));  // chains
    for (int i = 3; i < 600; i += 11) ASSERT_OK(rows.erase(ids[i]));
    ASSERT_OK(db.create_index("by_id", "rows", {.columns = {{"id"}}, .unique = true}));
    ASSERT_OK(db.create_index("by_id_down", "rows", {.columns = {{"id", true}}}));
  }

  // --- The sound file

  std::uint32_t pages() const { return static_cast<std::uint32_t>(sound_.size() / kPageBytes); }
  std::string page(std::uint32_t id) const { return sound_.substr(std::size_t{id} * kPageBytes, kPageBytes); }
  static PageType type_of(const std::string& image) {
    return static_cast<PageType>(page_header(as_bytes(image)).type.get());
  }
  static std::uint32_t object_of(const std::string& image) { return page_header(as_bytes(image)).object.get(); }
  std::string owner_of(const std::string& image) const {
    const auto found = names_.find(object_of(image));
    return found == names_.end() ? std::string() : found->second;
  }
  DatabaseId database_id() const { return reinterpret_cast<const Superblock*>(sound_.data())->database; }
  /// With the right checksum for the page `id`.
  std::string sealed(std::uint32_t id, std::string image) const {
    PageHeader& header = *reinterpret_cast<PageHeader*>(image.data());
    header.checksum.set(page_checksum(database_id(), PageId{id}, as_bytes(image)));
    return image;
  }

  void add_chain(Bytes reference, const std::string& holder) {
    OverflowRef ref;
    std::memcpy(&ref, reference.data(), sizeof ref);
    for (std::uint32_t id = ref.head.get(); id != raw(kNoPage);) {
      chains_[id] = holder;
      id = reinterpret_cast<const OverflowHeader*>(sound_.data() + std::size_t{id} * kPageBytes + kPageHeaderBytes)
               ->next.get();
    }
  }
  /// Which key's value stands on an overflow page; empty: a row's.
  void find_chains() {
    for (std::uint32_t id = 2; id < pages(); ++id) {
      const std::string image = page(id);
      if (type_of(image) == PageType::kLeaf && before_.maps.contains(owner_of(image))) {
        NodeView(as_bytes(image)).visit_up(0, [&](unsigned, Bytes key, Bytes value, std::uint8_t flags) {
          if ((flags & (kSlotOverflow | kSlotGhost)) == kSlotOverflow) add_chain(value, std::string(as_text(key)));
          return true;
        });
      } else if (type_of(image) == PageType::kHeap) {
        const HeapPageView view(as_bytes(image));
        for (unsigned i = 0; i < view.slots(); ++i) {
          if (!view.slot(i).state.ghost && view.slot(i).state.overflow) add_chain(view.slot(i).row(), "");
        }
      }
    }
  }
  std::set<std::string> keys_on(const std::string& image) const {
    std::set<std::string> keys;
    NodeView(as_bytes(image)).visit_up(0, [&](unsigned, Bytes key, Bytes, std::uint8_t flags) {
      if ((flags & kSlotGhost) == 0) keys.emplace(as_text(key));
      return true;
    });
    return keys;
  }
  /// Rows whose bytes are on the page: a stub's row is found without it.
  static std::size_t rows_on(const std::string& image) {
    const HeapPageView view(as_bytes(image));
    std::size_t rows = 0;
    for (unsigned i = 0; i < view.slots(); ++i) {
      const HeapSlot slot = view.slot(i);
      if (!slot.state.ghost && (slot.state.kind == HeapKind::kRow || slot.state.kind == HeapKind::kBody)) ++rows;
    }
    return rows;
  }

  // --- Damage

  void put_page(std::uint32_t id, const std::string& image) {
    write_bytes(disk_, kDataPath, std::uint64_t{id} * kPageBytes, image);
  }
  std::string damaged(std::uint32_t id) {
    std::string image = page(id);
    switch (random_.uniform(4)) {
      case 0:
        return std::string(kPageBytes, '\0');
      case 1:
        return random_.bytes(kPageBytes);
      case 2: {
        const std::string other = page(static_cast<std::uint32_t>(random_.between(2, pages() - 1)));
        if (other != image) return other;
        break;
      }
      default:
        break;
    }
    const std::uint64_t bit = random_.uniform(8 * kPageBytes);
    image[bit / 8] = static_cast<char>(image[bit / 8] ^ 1 << bit % 8);
    return image;
  }
  void remove_doublewrite() { ASSERT_OK(disk_.remove("/db/doublewrite.vg")); }

  /// The new database is sound, and holds nothing that was not there before.
  Salvaged salvage(FileSystem& from) {
    SimFileSystem target;
    Salvaged salvaged;
    const auto report = internal::salvage(from, "/db", target, "/new", {.cache_bytes = std::size_t{4} << 20});
    EXPECT_TRUE(report) << test_text(report);
    if (!report) return salvaged;
    salvaged.report = *report;
    Database db = *open_on(target, small_options(), "/new");
    expect_sound(db);
    salvaged.all = all_of(db);
    for (const TableInfo& table : list_of(db.tables())) expect_agreement(db, *db.open_table(table.name));
    return salvaged;
  }
  Salvaged salvage() { return salvage(disk_); }

  /// Everything is there.
  void expect_all(const Salvaged& salvaged) const {
    EXPECT_TRUE(salvaged.all.maps == before_.maps);
    EXPECT_TRUE(salvaged.all.tables == before_.tables);
    EXPECT_EQ(salvaged.all.indexes, before_.indexes);
  }
  /// The same, and what was dropped may be back, under its number.
  void expect_all_and_dropped(const Salvaged& salvaged) const {
    for (const auto& [name, content] : before_.maps) EXPECT_TRUE(salvaged.all.maps.at(name) == content) << name;
    for (const auto& [name, content] : salvaged.all.maps) {
      EXPECT_TRUE(before_.maps.contains(name) || name.starts_with("object ")) << name;
    }
    EXPECT_TRUE(salvaged.all.tables == before_.tables);
    EXPECT_EQ(salvaged.all.indexes, before_.indexes);
  }
  static bool is_part(const Content& part, const Content& whole) {
    return std::includes(whole.begin(), whole.end(), part.begin(), part.end());
  }
  void expect_nothing_invented(const Salvaged& salvaged) const {
    for (const auto& [name, content] : salvaged.all.maps) {
      const auto original = before_.maps.find(name);
      EXPECT_TRUE(original == before_.maps.end() || is_part(content, original->second)) << name;
    }
    for (const auto& [name, rows] : salvaged.all.tables) {
      const RowTexts& original = before_.tables.at(name);
      EXPECT_TRUE(std::includes(original.begin(), original.end(), rows.begin(), rows.end())) << name;
    }
  }

  /// What must be lost when just this page is: nothing of other objects, and of its own just what stands on it.
  void expect_just_lost(const Salvaged& salvaged, const std::string& image, std::uint32_t id) const {
    const std::string owner = owner_of(image);
    const PageType type = type_of(image);
    const bool of_map = before_.maps.contains(owner);
    std::set<std::string> keys;
    std::size_t rows = 0;
    if (type == PageType::kLeaf && of_map) keys = keys_on(image);
    if (type == PageType::kOverflow && of_map && chains_.contains(id)) keys.insert(chains_.at(id));
    if (type == PageType::kOverflow && !of_map && chains_.contains(id)) rows = 1;
    if (type == PageType::kHeap) rows = rows_on(image);
    for (const auto& [name, content] : before_.maps) {
      Content left = content;
      if (name == owner) std::erase_if(left, [&](const auto& entry) { return keys.contains(entry.first); });
      EXPECT_TRUE(salvaged.all.maps.at(name) == left) << name;
    }
    for (const auto& [name, texts] : before_.tables) {
      EXPECT_EQ(salvaged.all.tables.at(name).size(), texts.size() - (name == owner ? rows : 0)) << name;
    }
    EXPECT_EQ(salvaged.all.indexes, before_.indexes);
    const bool loss = type == PageType::kHeap || !keys.empty() || rows > 0 || (type == PageType::kLeaf && of_map);
    EXPECT_EQ(salvaged.report.complete(), !loss);
    if (!loss) return;
    ASSERT_NE(salvaged.object(owner), nullptr) << owner;
    EXPECT_GT(salvaged.object(owner)->lost.count, 0u);
    EXPECT_EQ(salvaged.report.lost.count, 0u);
    ASSERT_EQ(salvaged.report.damaged.size(), 1u);
    EXPECT_EQ(salvaged.report.damaged[0].page, id);
    EXPECT_EQ(salvaged.report.damaged[0].object, owner);
  }

  /// Names on a page of the catalog: maps are there by their numbers, tables are reported.
  void expect_names_lost(const Salvaged& salvaged, const std::string& image) const {
    const std::set<std::string> names = keys_on(image);
    EXPECT_FALSE(salvaged.report.complete());
    EXPECT_GT(salvaged.report.lost.count, 0u);
    for (const auto& [object, name] : names_) {
      const std::string numbered = "object " + std::to_string(object);
      const bool named = !names.contains(name);
      if (before_.maps.contains(name)) {
        const auto found = salvaged.all.maps.find(named ? name : numbered);
        ASSERT_NE(found, salvaged.all.maps.end()) << name;
        EXPECT_TRUE(found->second == before_.maps.at(name));
      } else if (before_.tables.contains(name) && named) {
        EXPECT_TRUE(salvaged.all.tables.at(name) == before_.tables.at(name));
      } else if (before_.tables.contains(name) && !before_.tables.at(name).empty()) {
        ASSERT_NE(salvaged.object(numbered), nullptr);
        EXPECT_FALSE(salvaged.object(numbered)->copied);
      } else if (before_.indexes.contains(name)) {
        const bool made = named && !names.contains("rows");
        EXPECT_EQ(salvaged.all.indexes.contains(name), made);
        EXPECT_EQ(salvaged.object(named ? name : numbered)->lost.count, made ? 0 : 1);
      }
    }
  }

  TestRandom random_;
  SimFileSystem disk_;
  Everything before_;
  std::map<std::uint32_t, std::string> names_;   ///< of objects, by their ids
  std::map<std::uint32_t, std::string> chains_;  ///< see find_chains()
  std::string sound_;                            ///< the data file
};

}  // namespace vaultgres
