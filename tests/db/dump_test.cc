// Goal: what a database holds comes back from its dump, bit for bit; a dump that is cut off, damaged, newer or hostile
// is an error that says where, takes little memory, and leaves nothing half loaded.
//
// Method: databases in memory with every kind of object and value are dumped, loaded and dumped again. Dumps are cut at
// every byte and changed at random, with and without checksums that fit the change.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "catalog/random_values_support.h"
#include "db/allocation_support.h"
#include "db/dump_reader.h"
#include "db/dump_writer.h"
#include "support/listed.h"
#include "support/scale.h"
#include "support/sorted_rows.h"

namespace vaultgres {
namespace {

using internal::DumpItem;
using internal::DumpReader;

/// Gives the bytes of a dump in pieces of at most `step`.
class Bits {
 public:
  explicit Bits(std::string_view bytes, std::size_t step = SIZE_MAX) : rest_(bytes), step_(step) {}
  Result<std::size_t> read(char* into, std::size_t bytes) {
    const std::size_t part = std::min({bytes, rest_.size(), step_});
    std::memcpy(into, rest_.data(), part);
    rest_.remove_prefix(part);
    return part;
  }

 private:
  std::string_view rest_;
  std::size_t step_;
};

std::string dump_of(Database& db, const std::vector<std::string>& objects = {}) {
  std::string bytes;
  const auto done = db.dump([&](std::string_view part) { return bytes.append(part), Status(); }, objects);
  EXPECT_TRUE(done) << test_text(done);
  EXPECT_TRUE(done && done->bytes == bytes.size());
  return bytes;
}

Result<DumpSummary> load(Database& db, std::string_view bytes, const DumpNames& into = {},
                         std::size_t step = SIZE_MAX) {
  Bits bits(bytes, step);
  return db.load([&](char* to, std::size_t wanted) { return bits.read(to, wanted); }, into);
}

/// Reads all of it, as a load would.
Status read_through(std::string_view bytes) {
  Bits bits(bytes, 100000);
  const auto source = [&](MutableBytes into) { return bits.read(reinterpret_cast<char*>(into.data()), into.size()); };
  DumpReader reader(source);
  for (DumpItem item; item.kind != DumpItem::Kind::kEnd;) {
    if (Status read = reader.next(item); !read) return read;
  }
  return {};
}

Database fresh_database() {
  return *Database::open_in_memory(small_options());
}

Schema wide_schema() {
  std::vector<Column> columns;
  for (const ColumnType type : kAllTypes) {
    columns.push_back({"must " + std::string(column_type_name(type)), type, false});
    columns.push_back({"may " + std::string(column_type_name(type)), type, true});
  }
  return *Schema::create(std::move(columns));
}

class DumpTest : public ::testing::Test {
 protected:
  /// Every kind of object; values that fill no chunk, and one that fills several.
  void fill() {
    Map small = *db_.create_map("small");
    ASSERT_OK(small.put("", "the empty key"));
    for (int i = 0; i < 300; ++i)
      ASSERT_OK(small.put(random_.bytes(random_.uniform(100)), random_.bytes(random_.uniform(300))));
    Map large = *db_.create_map("large");
    for (const std::size_t bytes : {std::size_t{0}, kDumpDataBytes - 20, kDumpDataBytes, 5 * kDumpDataBytes + 7}) {
      ASSERT_OK(large.put("value of " + std::to_string(bytes), random_.bytes(bytes)));
    }
    ASSERT_OK(db_.create_map("no entries"));
    ASSERT_OK(db_.set_pinned("large", true));
    Table wide = *db_.create_table("wide", wide_schema());
    for (int i = 0; i < 300; ++i) ASSERT_OK(wide.insert(random_row(random_, wide_schema())));
    ASSERT_OK(db_.create_index("wide_many", "wide", {.columns = {{"may text", true}, {"must int16"}}}));
    fill_people();
    ASSERT_OK(db_.create_table("no rows", people_schema()));
  }
  void fill_people() {
    Table people = *db_.create_table("people", people_schema());
    std::vector<RowId> ids;
    for (int i = 0; i < 200; ++i) ids.push_back(*people.insert({i, "n" + std::to_string(i), {}, {}}));
    for (int i = 0; i < 200; i += 3) {
      ASSERT_OK(people.update(ids[i], {i, "moved", 7, Value::bytes(random_.bytes(i % 2 == 0 ? 1500 : 20000))}));
    }
    for (int i = 1; i < 200; i += 5) ASSERT_OK(people.erase(ids[i]));
    ASSERT_OK(db_.create_index("by_id", "people", {.columns = {{"id"}}, .unique = true}));
    ASSERT_OK(db_.set_pinned("by_id", true));
  }
  static Schema people_schema() {
    return *Schema::create({{"id", ColumnType::kInt64},
                            {"name", ColumnType::kText, true},
                            {"city", ColumnType::kInt32, true},
                            {"data", ColumnType::kBytes, true}});
  }
  /// Maps and tables of `db` are among those of db_, and whole.
  void expect_whole_objects(Database& db) {
    for (const MapInfo& map : list_of(db.maps())) {
      EXPECT_EQ(content_of(*db.open_map(map.name)), content_of(*db_.open_map(map.name))) << map.name;
    }
    for (const TableInfo& table : list_of(db.tables())) {
      EXPECT_EQ(*db.open_table(table.name)->count(), *db_.open_table(table.name)->count()) << table.name;
    }
    EXPECT_EQ(db.check()->problems.size(), 0u);
  }

  TestRandom random_;
  Database db_ = fresh_database();
};

TEST_F(DumpTest, WhatIsLoadedGivesTheSameDumpAgain) {
  ASSERT_NO_FATAL_FAILURE(fill());
  const std::string dump = dump_of(db_);
  for (const std::size_t step : {std::size_t{1} << 20, std::size_t{4099}}) {
    Database copy = fresh_database();
    const auto loaded = load(copy, dump, {}, step);
    ASSERT_OK(loaded);
    EXPECT_EQ(loaded->maps, 3u);
    EXPECT_EQ(loaded->tables, 3u);
    EXPECT_EQ(loaded->indexes, 2u);
    EXPECT_EQ(loaded->entries, content_of(*db_.open_map("small")).size() + 4);
    EXPECT_EQ(loaded->rows, 300 + *db_.open_table("people")->count());
    const std::string again = dump_of(copy);
    const auto differs = std::mismatch(dump.begin(), dump.end(), again.begin(), again.end());
    EXPECT_TRUE(again == dump) << "of " << dump.size() << " and " << again.size() << " bytes, the first to differ is "
                               << differs.first - dump.begin();
    for (const char* name : {"small", "large", "no entries", "wide", "people", "no rows"}) {
      EXPECT_TRUE(dump_of(copy, {name}) == dump_of(db_, {name})) << name;
    }
    expect_sound(copy);
    expect_agreement(copy, *copy.open_table("people"));
    const Rows wide = expect_agreement(copy, *copy.open_table("wide"));
    const Rows original = rows_of(*db_.open_table("wide"));
    EXPECT_TRUE(sorted_rows(wide) == sorted_rows(original));
    EXPECT_EQ(copy.open_table("wide")->schema(), wide_schema());
    EXPECT_EQ(copy.open_index("wide_many")->spec(), db_.open_index("wide_many")->spec());
    EXPECT_EQ(content_of(*copy.open_map("large")), content_of(*db_.open_map("large")));
  }
}

TEST_F(DumpTest, AnEmptyDatabaseHasADump) {
  Database copy = fresh_database();
  const auto loaded = load(copy, dump_of(db_));
  ASSERT_OK(loaded);
  EXPECT_EQ(loaded->maps + loaded->tables, 0u);
}

TEST_F(DumpTest, OnlyWhatIsNamedIsDumped) {
  ASSERT_NO_FATAL_FAILURE(fill());
  Database copy = fresh_database();
  ASSERT_OK(load(copy, dump_of(db_, {"people", "small", "people"})));
  EXPECT_EQ(copy.maps()->size(), 1u);
  ASSERT_EQ(copy.tables()->size(), 1u);
  EXPECT_EQ(copy.indexes()->size(), 1u);
  const auto ignore = [](std::string_view) { return Status(); };
  EXPECT_ERROR(kNotFound, db_.dump(ignore, {"small", "nobody"}));
  EXPECT_ERROR(kInvalidArgument, db_.dump(ignore, {"by_id"}));
}

TEST_F(DumpTest, ATakenNameIsFoundBeforeAnythingIsLoaded) {
  ASSERT_NO_FATAL_FAILURE(fill());
  const std::string dump = dump_of(db_);
  for (const char* name : {"wide", "by_id", "small"}) {
    Database copy = fresh_database();
    ASSERT_OK(copy.create_map(name));
    EXPECT_ERROR(kAlreadyExists, load(copy, dump));
    EXPECT_EQ(copy.maps()->size(), 1u);
    EXPECT_EQ(copy.tables()->size(), 0u);
  }
}

TEST_F(DumpTest, ObjectsGetOtherNamesOnDemand) {
  ASSERT_NO_FATAL_FAILURE(fill_people());
  const std::string dump = dump_of(db_);
  ASSERT_OK(load(db_, dump, {{"people", "others"}, {"by_id", "others_by_id"}}));
  EXPECT_EQ(expect_agreement(db_, *db_.open_table("others")).size(), rows_of(*db_.open_table("people")).size());
  EXPECT_EQ(db_.open_index("others_by_id")->table_name(), "others");
  Database copy = fresh_database();
  EXPECT_ERROR(kNotFound, load(copy, dump, {{"nobody", "x"}}));
  EXPECT_EQ(copy.tables()->size(), 0u);
  EXPECT_ERROR(kInvalidArgument, load(copy, dump, {{"people", ""}}));
}

TEST_F(DumpTest, ErrorsOfSinkAndSourceEndTheCall) {
  ASSERT_NO_FATAL_FAILURE(fill());
  unsigned parts = 0;
  EXPECT_ERROR(kNoSpace, db_.dump([&](std::string_view) {
    return ++parts < 20 ? Status() : Status(Error(ErrorCode::kNoSpace, "full"));
  }));
  EXPECT_EQ(parts, 20u);
  Database copy = fresh_database();
  EXPECT_ERROR(kIo, copy.load([](char*, std::size_t) -> Result<std::size_t> { return Error(ErrorCode::kIo, "gone"); }));
}

// --- Damage

TEST_F(DumpTest, WhereverADumpIsCutOffItIsNoticed) {
  ASSERT_NO_FATAL_FAILURE(fill());
  const std::string whole = dump_of(db_);
  ASSERT_OK(read_through(whole));
  for (std::size_t bytes = 0; bytes < whole.size();
       bytes += whole.size() - bytes < 300 ? 1 : 1 + random_.uniform(whole.size() / 300)) {
    const Status cut = read_through(std::string_view(whole).substr(0, bytes));
    ASSERT_FALSE(cut) << bytes << " of " << whole.size();
    ASSERT_EQ(cut.error().code(), ErrorCode::kCorruption);
    ASSERT_NE(cut.error().message().find("ends at byte " + std::to_string(bytes)), std::string_view::npos)
        << cut.error().message();
  }
  EXPECT_ERROR(kCorruption, read_through(whole + '\0'));
  EXPECT_ERROR(kCorruption, read_through(whole + whole));
}

TEST_F(DumpTest, ASmallDumpIsNoticedToBeCutOffAtEveryByte) {
  ASSERT_OK(db_.create_map("m")->put("key", "value"));
  Table table = *db_.create_table("t", people_schema());
  ASSERT_OK(table.insert({1, "name", 2, {}}));
  ASSERT_OK(db_.create_index("i", "t", {.columns = {{"id"}}}));
  const std::string whole = dump_of(db_);
  ASSERT_OK(read_through(whole));
  for (std::size_t bytes = 0; bytes < whole.size(); ++bytes) {
    ASSERT_EQ(test_code(read_through(std::string_view(whole).substr(0, bytes))), ErrorCode::kCorruption) << bytes;
  }
  for (std::size_t bit = 0; bit < 8 * whole.size(); ++bit) {
    std::string flipped = whole;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ 1 << bit % 8);
    ASSERT_FALSE(read_through(flipped)) << "bit " << bit;
  }
}

TEST_F(DumpTest, OfADamagedDumpOnlyWholeObjectsAreLoaded) {
  ASSERT_NO_FATAL_FAILURE(fill());
  const std::string whole = dump_of(db_);
  std::size_t objects = 0;
  for (std::uint64_t round = 0; round < scaled(25); ++round) {
    std::string bytes = whole;
    const std::size_t at = random_.uniform(bytes.size());
    if (random_.one_in(2)) {
      bytes.resize(at);
    } else {
      bytes[at] = static_cast<char>(bytes[at] ^ 1 << random_.uniform(8));
    }
    Database copy = fresh_database();
    const auto loaded = load(copy, bytes);
    ASSERT_FALSE(loaded) << "byte " << at;
    EXPECT_TRUE(loaded.error().code() == ErrorCode::kCorruption || at < sizeof(DumpHeader)) << test_text(loaded);
    expect_whole_objects(copy);
    objects += copy.maps()->size() + copy.tables()->size();
  }
  std::printf("%zu objects loaded from before the damage\n", objects);
}

// --- Hostile dumps: their checksums fit

CatalogEntry map_entry() {
  CatalogEntry entry;
  entry.kind = ObjectKind::kMap;
  return entry;
}
CatalogEntry table_entry() {
  CatalogEntry entry;
  entry.kind = ObjectKind::kTable;
  entry.schema = Schema::create({{"c", ColumnType::kText}}).value();
  return entry;
}

/// Puts chunks together that the writer would not.
class Forger {
 public:
  Forger() {
    DumpHeader header{};
    header.magic.set(kDumpMagic);
    header.version.set(kDumpVersion);
    append(header);
  }
  Forger& chunk(DumpChunkKind kind, const std::string& payload) {
    DumpChunk header{};
    header.kind.set(raw(kind));
    header.bytes.set(static_cast<std::uint32_t>(payload.size()));
    header.checksum.set(internal::dump_checksum(bytes_.size(), header, as_bytes(payload)));
    append(header);
    bytes_ += payload;
    return *this;
  }
  /// A map or table begins.
  Forger& object(const CatalogEntry& entry, const std::string& name = "o") {
    DumpNamed named{};
    named.name_bytes.set(static_cast<std::uint16_t>(name.size()));
    return chunk(DumpChunkKind::kObject,
                 std::string(reinterpret_cast<const char*>(&named), sizeof named) + name + encode_catalog_entry(entry));
  }
  Forger& map() { return object(map_entry()); }
  template <class T>
  void append(const T& structure) {
    bytes_.append(reinterpret_cast<const char*>(&structure), sizeof structure);
  }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

std::string entry_header(std::size_t key_bytes, std::size_t value_bytes) {
  DumpEntry entry;
  entry.key_bytes.set(static_cast<std::uint16_t>(key_bytes));
  entry.value_bytes.set(static_cast<std::uint32_t>(value_bytes));
  return std::string(reinterpret_cast<const char*>(&entry), sizeof entry);
}

TEST(HostileDumpTest, ALengthIsNotBelieved) {
  DumpChunk huge{};
  huge.bytes.set(0xFFFFFFFFu);
  huge.kind.set(raw(DumpChunkKind::kData));
  Forger long_chunk;
  long_chunk.append(huge);
  const std::string value = Forger().map().chunk(DumpChunkKind::kData, entry_header(3, kMaxValueBytes) + "key").bytes();
  DumpRow row;
  row.bytes.set(kMaxValueBytes);
  const CatalogEntry table = table_entry();
  const std::string long_row = Forger()
                                   .object(table)
                                   .chunk(DumpChunkKind::kData, std::string(reinterpret_cast<char*>(&row), sizeof row))
                                   .bytes();
  for (const std::string& dump : {long_chunk.bytes(), value, long_row}) {
    reset_allocated_bytes_peak();
    const std::size_t before = allocated_bytes();
    EXPECT_ERROR(kCorruption, read_through(dump));
    EXPECT_LT(allocated_bytes_peak() - before, std::size_t{1} << 20);
  }
}

TEST(HostileDumpTest, MemoryIsThatOfTheBytesThatAreThere) {
  Forger forger;
  forger.map().chunk(DumpChunkKind::kData, entry_header(0, kMaxValueBytes));
  for (int i = 0; i < 64; ++i) forger.chunk(DumpChunkKind::kData, std::string(kDumpDataBytes, 'v'));
  reset_allocated_bytes_peak();
  const std::size_t before = allocated_bytes();
  EXPECT_ERROR(kCorruption, read_through(forger.bytes()));
  EXPECT_LT(allocated_bytes_peak() - before, 4 * forger.bytes().size());
}

TEST(HostileDumpTest, WhatHasNoPlaceThereIsRefused) {
  const std::string end_of_none(sizeof(DumpObjectEnd), '\0');
  CatalogEntry index;
  index.kind = ObjectKind::kIndex;
  index.index = IndexDefinition{ObjectId{0}, false, {{0, false}}};
  CatalogEntry placed = map_entry();
  placed.root = PageId{7};
  const CatalogEntry table = table_entry();
  const std::string entry = entry_header(1, 1) + "kv";
  const Forger forged[] = {
      Forger().chunk(DumpChunkKind::kData, entry),
      Forger().chunk(DumpChunkKind::kObjectEnd, end_of_none),
      Forger().map().map(),
      Forger().map().chunk(DumpChunkKind::kEnd, std::string(sizeof(DumpEnd), '\0')),
      Forger().map().chunk(DumpChunkKind::kData, entry).chunk(DumpChunkKind::kObjectEnd, end_of_none),
      Forger().map().chunk(DumpChunkKind::kData, "abc").chunk(DumpChunkKind::kObjectEnd, end_of_none),
      Forger().map().chunk(DumpChunkKind::kData, entry + entry),
      Forger().map().chunk(DumpChunkKind::kData,
                           entry_header(kMaxKeyBytes + 1, 0) + std::string(kMaxKeyBytes + 1, 'k')),
      Forger().map().chunk(DumpChunkKind::kData, entry_header(0, kMaxValueBytes + 1)),
      Forger().map().chunk(DumpChunkKind::kContents, ""),
      Forger().object(index),
      Forger().object(placed),
      Forger().object(map_entry(), ""),
      Forger().object(map_entry(), "a\nb"),
      Forger().object(table).chunk(DumpChunkKind::kData, std::string("\1\0\0\0?", 5)),
      Forger().chunk(static_cast<DumpChunkKind>(99), ""),
      Forger().chunk(DumpChunkKind::kContents, "\1\5name"),
      Forger().chunk(DumpChunkKind::kContents, "\7\4name"),
      Forger()
          .chunk(DumpChunkKind::kContents, "\1\4name")
          .chunk(DumpChunkKind::kEnd, std::string(sizeof(DumpEnd), '\0')),
  };
  for (const Forger& dump : forged) {
    const Status read = read_through(dump.bytes());
    ASSERT_FALSE(read) << (&dump - forged);
    EXPECT_EQ(read.error().code(), ErrorCode::kCorruption);
    EXPECT_EQ(read.error().message().find("ends at byte"), std::string_view::npos)
        << (&dump - forged) << ": only its end was noticed";
  }
}

TEST(HostileDumpTest, ANewerVersionIsRefused) {
  Database db = fresh_database();
  std::string dump = dump_of(db);
  dump[offsetof(DumpHeader, version)] = 2;
  EXPECT_ERROR(kUnsupported, load(db, dump));
  EXPECT_ERROR(kCorruption, load(db, "not a dump at all, but long enough"));
  EXPECT_ERROR(kCorruption, load(db, ""));
}

TEST(HostileDumpTest, RandomChangesWithChecksumsThatFitNeverLeadAstray) {
  TestRandom random;
  Database db = fresh_database();
  ASSERT_OK(db.create_map("m")->put("key", std::string(500, 'v')));
  Table table = *db.create_table("t", wide_schema());
  for (int i = 0; i < 20; ++i) ASSERT_OK(table.insert(random_row(random, wide_schema())));
  ASSERT_OK(db.create_index("i", "t", {.columns = {{"may text"}}}));
  const std::string whole = dump_of(db);
  for (std::uint64_t round = 0; round < scaled(3000); ++round) {
    Forger forger;
    for (std::size_t at = sizeof(DumpHeader); at < whole.size();) {
      DumpChunk chunk;
      std::memcpy(&chunk, whole.data() + at, sizeof chunk);
      std::string payload = whole.substr(at + sizeof chunk, chunk.bytes.get());
      at += sizeof chunk + payload.size();
      if (random.one_in(4)) payload = damaged(random, std::move(payload));
      forger.chunk(static_cast<DumpChunkKind>(random.one_in(40) ? random.uniform(8) : chunk.kind.get()), payload);
    }
    const Status read = read_through(forger.bytes());
    ASSERT_TRUE(read || read.error().code() == ErrorCode::kCorruption || read.error().code() == ErrorCode::kUnsupported)
        << test_text(read);
    ASSERT_TRUE(!read || forger.bytes() == whole);
  }
}

TEST(HostileDumpTest, PartsOfAnotherDumpAreNoticed) {
  Database db = fresh_database();
  Map map = *db.create_map("m");
  ASSERT_OK(map.put("key", "one"));
  const std::string one = dump_of(db);
  ASSERT_OK(map.put("key", "two"));
  std::string two = dump_of(db);
  ASSERT_EQ(one.size(), two.size());
  // The part with the entry, whole and with its own checksum, from one in the other.
  const std::size_t at = one.find("one") - 3 - sizeof(DumpEntry) - sizeof(DumpChunk);
  two.replace(at, sizeof(DumpChunk) + sizeof(DumpEntry) + 6, one, at, sizeof(DumpChunk) + sizeof(DumpEntry) + 6);
  const Status read = read_through(two);
  ASSERT_FALSE(read);
  EXPECT_NE(read.error().message().find("another dump"), std::string_view::npos) << read.error().message();
}

}  // namespace
}  // namespace vaultgres
