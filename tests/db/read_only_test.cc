// Goal: a database that is open read-only shows what opening it for writing would show, whatever state it was left
// in; refuses every change; writes nothing; and shares the directory with its like, not with writers.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "db/allocation_support.h"
#include "db/crash_support.h"
#include "db/read_only_support.h"
#include "support/database.h"
#include "support/other_process.h"
#include "support/random.h"
#include "support/scale.h"
#include "support/sim_file_system.h"
#include "support/temp_directory.h"

#define EXPECT_OK(expression) EXPECT_EQ(::vaultgres::test_text((expression)), "")

namespace vaultgres {
namespace {

Options read_only_options() {
  Options options = small_options();
  options.read_only = true;
  return options;
}

std::string numbered(const char* what, int number) {
  return what + std::to_string(1000 + number);
}

/// Every kind of page: leaves, inner nodes, large values, ghosts, pages of a dropped map.
void fill(Database& db, TestRandom& random) {
  Map map = *db.create_map("m");
  for (int i = 0; i < 400; ++i) ASSERT_OK(map.put(numbered("k", i), random.bytes(random.uniform(300))));
  for (int i = 0; i < 5; ++i) ASSERT_OK(map.put(numbered("large", i), random.bytes(40'000)));
  for (int i = 0; i < 400; i += 3) ASSERT_OK(map.erase(numbered("k", i)));
  ASSERT_OK(db.create_map("dropped")->put("k", random.bytes(100'000)));
  ASSERT_OK(db.drop_map("dropped"));
}

/// A database that was filled and closed as it should be; what is in it.
Content fill_and_close(FileSystem& disk, TestRandom& random) {
  Database db = *open_on(disk);
  fill(db, random);
  return content_of(*db.open_map("m"));
}

/// Reads in every way there is.
void expect_content(Database& db, const Content& expected) {
  Result<Map> map = db.open_map("m");
  ASSERT_OK(map);
  EXPECT_EQ(content_of(*map), expected);
  EXPECT_EQ(*map->count(), expected.size());
  for (const auto& [key, value] : expected) EXPECT_EQ(map->get(key)->value(), value);
  EXPECT_EQ(db.map_stats("m")->entries, expected.size());
  EXPECT_OK(db.stats());
  EXPECT_EQ(db.maps()->size(), 1u);
  expect_sound(db);
}

// Closed as it should be: opens, reads, and no file is even opened for writing.
TEST(ReadOnlyTest, AClosedDatabaseIsReadAndNothingIsTouched) {
  TestRandom random;
  SimFileSystem disk;
  const Content expected = fill_and_close(disk, random);
  disk.settle();
  ReadOnlyMount mount(disk);
  std::vector<std::string> lines;
  Options options = read_only_options();
  options.on_log = [&](std::string_view line) { lines.emplace_back(line); };
  for (int round = 0; round < 20; ++round) {
    Result<Database> db = open_on(mount, options);
    ASSERT_OK(db);
    if (round == 0) expect_content(*db, expected);
    ASSERT_OK(db->sync());
    ASSERT_OK(db->close());
    EXPECT_EQ(mount.files_open(), 0u);
  }
  EXPECT_TRUE(lines.empty()) << lines[0];
  EXPECT_EQ(mount.attempts(), 0u);
  EXPECT_EQ(disk.position(), 0u);
  Database db = *open_on(disk);
  expect_content(db, expected);
}

// Left by a killed process, with a transaction under way: recovered in memory, as often as it is opened.
TEST(ReadOnlyTest, AKilledDatabaseIsRecoveredInMemory) {
  TestRandom random;
  SimFileSystem disk;
  Content expected;
  std::unique_ptr<SimFileSystem> killed;
  {
    Database db = *open_on(disk);
    fill(db, random);
    Map map = *db.open_map("m");
    expected = content_of(map);
    Transaction open = *db.begin();
    for (int i = 0; i < 400; ++i) ASSERT_OK(map.put(open, numbered("k", i), "never committed"));
    ASSERT_OK(db.create_map("dropped"));
    ASSERT_OK(db.drop_map("dropped"));  // durable: what stands before it in the log is, too
    killed = disk.killed();
  }
  const std::size_t before = killed->position();
  ReadOnlyMount mount(*killed);
  for (int round = 0; round < 3; ++round) {
    std::vector<std::string> lines;
    Options options = read_only_options();
    options.on_log = [&](std::string_view line) { lines.emplace_back(line); };
    Result<Database> db = open_on(mount, options);
    ASSERT_OK(db);
    expect_content(*db, expected);
    EXPECT_EQ(db->open_map("m")->put("k", "v").error().code(), ErrorCode::kReadOnly);
    ASSERT_EQ(lines.size(), 1u);
    EXPECT_NE(lines[0].find("recovered in memory"), std::string::npos) << lines[0];
    EXPECT_NE(lines[0].find("1 open transactions rolled back"), std::string::npos) << lines[0];
  }
  EXPECT_EQ(mount.attempts(), 0u);
  EXPECT_EQ(killed->position(), before);
  Database db = *open_on(*killed);
  expect_content(db, expected);
}

// After a power cut anywhere: the same as opening for writing shows, be it content or an error.
TEST(ReadOnlyTest, AfterAPowerCutItShowsWhatOpeningForWritingShows) {
  TestRandom random;
  SimFileSystem disk;
  fill_and_close(disk, random);
  const std::size_t end = disk.position();
  unsigned recovered = 0;
  for (const Cut& cut : choose_cuts(disk.trace(), 0, scaled(60), random)) {
    ASSERT_LE(cut.position, end);
    const auto after = disk.power_cut(cut.position, cut.mode, cut.seed);
    SCOPED_TRACE(describe(cut));
    ReadOnlyMount mount(*after);
    std::optional<Content> shown;
    {
      Result<Database> db = open_on(mount, read_only_options());
      if (!db) {
        // Creation did not get so far, and opening for writing would begin anew.
        ASSERT_EQ(db.error().code(), ErrorCode::kNotFound) << db.error().message();
        continue;
      }
      expect_sound(*db);
      if (Result<Map> map = db->open_map("m"); map) shown = content_of(*map);
    }
    EXPECT_EQ(mount.attempts(), 0u);
    Result<Database> db = open_on(*after);
    ASSERT_OK(db);
    Result<Map> map = db->open_map("m");
    ASSERT_EQ(map.has_value(), shown.has_value());
    if (!map) continue;
    EXPECT_EQ(content_of(*map), *shown);
    ++recovered;
  }
  EXPECT_GT(recovered, scaled(60) / 3);
}

// Each changing call says why not, changes nothing, and leaves the handle in order.
TEST(ReadOnlyTest, EveryChangeIsRefused) {
  TestRandom random;
  SimFileSystem disk;
  fill_and_close(disk, random);
  disk.settle();
  Database db = *open_on(disk, read_only_options());
  Map map = *db.open_map("m");
  const Content before = content_of(map);
  const std::string key = before.begin()->first;
  EXPECT_ERROR(kReadOnly, db.create_map("n"));
  EXPECT_ERROR(kReadOnly, db.create_map("m"));
  EXPECT_ERROR(kReadOnly, db.open_or_create_map("n"));
  EXPECT_OK(db.open_or_create_map("m"));
  EXPECT_ERROR(kReadOnly, db.drop_map("m"));
  EXPECT_ERROR(kReadOnly, db.rename_map("m", "n"));
  EXPECT_ERROR(kReadOnly, db.checkpoint());
  EXPECT_OK(db.sync());
  EXPECT_ERROR(kReadOnly, map.put(key, "v"));
  EXPECT_ERROR(kReadOnly, map.put("large", std::string(100'000, 'v')));
  EXPECT_ERROR(kReadOnly, map.insert("no such key", "v"));
  EXPECT_ERROR(kReadOnly, map.erase(key));
  EXPECT_ERROR(kReadOnly, map.erase("no such key"));
  for (const bool commit : {false, true}) {
    Transaction txn = *db.begin();
    EXPECT_ERROR(kReadOnly, map.put(txn, key, "v"));
    EXPECT_ERROR(kReadOnly, map.insert(txn, "no such key", "v"));
    EXPECT_ERROR(kReadOnly, map.erase(txn, key));
    EXPECT_EQ(map.get(txn, key)->value(), before.begin()->second);
    EXPECT_TRUE(*map.cursor(txn).first());
    EXPECT_OK(commit ? txn.commit() : txn.rollback());
  }
  const std::string text(map.put(key, "v").error().message());
  EXPECT_NE(text.find("read-only"), std::string::npos) << text;
  EXPECT_EQ(content_of(map), before);
  ASSERT_OK(db.close());
  EXPECT_ERROR(kClosed, map.put(key, "v"));
  EXPECT_EQ(disk.position(), 0u);
}

// The same for tables and indexes, left by a killed process.
TEST(ReadOnlyTest, TablesAreReadAndNotChanged) {
  SimFileSystem disk;
  std::unique_ptr<SimFileSystem> killed;
  const Schema schema = *Schema::create({{"id", ColumnType::kInt64}, {"name", ColumnType::kText, true}});
  {
    Database db = *open_on(disk);
    Table table = *db.create_table("t", schema);
    ASSERT_OK(db.create_index("by_id", "t", {.columns = {{"id"}}, .unique = true}));
    for (int i = 0; i < 200; ++i) ASSERT_OK(table.insert({i, std::string(static_cast<std::size_t>(i), 'n')}));
    Transaction open = *db.begin();
    ASSERT_OK(table.insert(open, {1000, "never committed"}));
    ASSERT_OK(db.create_map("m"));  // durable: what stands before it in the log is, too
    killed = disk.killed();
  }
  const std::size_t before = killed->position();
  ReadOnlyMount mount(*killed);
  Database db = *open_on(mount, read_only_options());
  expect_sound(db);
  Table table = *db.open_table("t");
  const Index by_id = *db.open_index("by_id");
  EXPECT_EQ(*table.count(), 200u);
  EXPECT_FALSE(by_id.find({1000})->has_value());
  const TableRow row = **by_id.find({42});
  EXPECT_EQ(row.values[1].text(), std::string(42, 'n'));
  EXPECT_EQ((*table.get(row.id))->at(0).integer(), 42);
  EXPECT_EQ(db.table_stats("t")->rows, 200u);
  EXPECT_EQ(db.index_stats("by_id")->entries, 200u);

  EXPECT_ERROR(kReadOnly, db.create_table("u", schema));
  EXPECT_ERROR(kReadOnly, db.load_table("u", schema));
  EXPECT_ERROR(kReadOnly, db.drop_table("t"));
  EXPECT_ERROR(kReadOnly, db.rename_table("t", "u"));
  EXPECT_ERROR(kReadOnly, db.create_index("by_name", "t", {.columns = {{"name"}}}));
  EXPECT_ERROR(kReadOnly, db.drop_index("by_id"));
  EXPECT_ERROR(kReadOnly, db.rename_index("by_id", "u"));
  EXPECT_ERROR(kReadOnly, db.set_pinned("t", true));
  EXPECT_ERROR(kReadOnly, table.insert({1001, "new"}));
  EXPECT_ERROR(kReadOnly, table.update(row.id, {42, "new"}));
  EXPECT_ERROR(kReadOnly, table.erase(row.id));
  Transaction txn = *db.begin();
  EXPECT_ERROR(kReadOnly, table.insert(txn, {1001, "new"}));
  EXPECT_ERROR(kReadOnly, table.update(txn, row.id, {42, "new"}));
  EXPECT_ERROR(kReadOnly, table.erase(txn, row.id));
  EXPECT_EQ((*table.get(txn, row.id))->at(0).integer(), 42);
  EXPECT_TRUE(by_id.find(txn, {42})->has_value());
  EXPECT_OK(txn.commit());
  EXPECT_EQ(*table.count(), 200u);
  ASSERT_OK(db.close());
  EXPECT_EQ(mount.attempts(), 0u);
  EXPECT_EQ(killed->position(), before);
}

// Readers together, or a writer alone, and handles that live on hold nothing.
TEST(ReadOnlyTest, ReadersExcludeWritersAndWritersReaders) {
  SimFileSystem disk;
  { ASSERT_OK(open_on(disk)->create_map("m")); }
  Database one = *open_on(disk, read_only_options());
  Database two = *open_on(disk, read_only_options());
  const Map kept = *one.open_map("m");
  const auto refused_writer = open_on(disk);
  ASSERT_EQ(refused_writer.error().code(), ErrorCode::kLocked);
  EXPECT_NE(refused_writer.error().message().find("readers"), std::string_view::npos)
      << refused_writer.error().message();
  ASSERT_OK(one.close());
  EXPECT_ERROR(kLocked, open_on(disk));
  ASSERT_OK(two.close());
  Result<Database> writer = open_on(disk);
  ASSERT_OK(writer);
  const auto refused_reader = open_on(disk, read_only_options());
  ASSERT_EQ(refused_reader.error().code(), ErrorCode::kLocked);
  EXPECT_NE(refused_reader.error().message().find("for writing"), std::string_view::npos)
      << refused_reader.error().message();
  ASSERT_OK(writer->close());
  EXPECT_OK(open_on(disk, read_only_options()));
}

// A failed open gives the lock back; no read that fails makes it write or hang.
TEST(ReadOnlyTest, AnOpenThatFailsHoldsNothing) {
  TestRandom random;
  SimFileSystem disk;
  std::unique_ptr<SimFileSystem> killed;
  {
    Database db = *open_on(disk);
    fill(db, random);
    killed = disk.killed();
  }
  const std::size_t before = killed->position();
  unsigned failed = 0;
  for (const IoCall call : {IoCall::kRead, IoCall::kOpen}) {
    for (std::uint64_t k = 1; k < 40; ++k) {
      killed->clear_faults();
      killed->inject({.call = call, .at = k, .os_error = 5});
      if (!open_on(*killed, read_only_options())) ++failed;
    }
  }
  EXPECT_GT(failed, 5u);
  EXPECT_EQ(killed->position(), before);
  killed->clear_faults();
  EXPECT_OK(open_on(*killed));
}

// Memory that runs out on the way is an error of that open; the next one finds all as it was.
TEST(ReadOnlyTest, AnOpenWithoutMemoryHarmsNothing) {
  const AllocationsFail spared(false);
  TestRandom random;
  SimFileSystem disk;
  std::unique_ptr<SimFileSystem> killed;
  Content expected;
  {
    Database db = *open_on(disk);
    fill(db, random);
    expected = content_of(*db.open_map("m"));
    killed = disk.killed();
  }
  const std::size_t before = killed->position();
  const auto files = spare_allocations_of(*killed);
  unsigned failed = 0;
  unsigned hit = 0;
  for (int round = 0; round < 80; ++round) {
    AllocationFault fault(1 + random.uniform(round < 40 ? 300 : 20'000), random.one_in(2));
    const Result<Database> db = [&]() -> Result<Database> {
      try {
        const AllocationsFail exposed(true);
        return open_on(*files, read_only_options());
      } catch (const std::bad_alloc&) {  // of the test's own call; Database::open() does the same
        return Error(ErrorCode::kOutOfMemory, "no memory to open the database");
      }
    }();
    fault.stop();
    if (fault.hit()) ++hit;
    if (!db) {
      ++failed;
      EXPECT_NE(db.error().code(), ErrorCode::kCorruption) << db.error().message();
      EXPECT_NE(db.error().code(), ErrorCode::kReadOnly) << db.error().message();
    }
  }
  EXPECT_GT(hit, 30u);
  EXPECT_GT(failed, 20u);
  EXPECT_EQ(killed->position(), before);
  Database db = *open_on(*killed, read_only_options());
  expect_content(db, expected);
}

// What recovery changes has to fit in memory: else the error says what to do, and that works.
TEST(ReadOnlyTest, ARecoveryThatIsTooLargeIsRefused) {
  TestRandom random;
  SimFileSystem disk;
  std::unique_ptr<SimFileSystem> killed;
  {
    Options large = small_options();
    large.cache_bytes = std::size_t{32} << 20;
    Database db = *open_on(disk, large);
    Map map = *db.create_map("m");
    for (int i = 0; i < 1000; ++i) ASSERT_OK(map.put(numbered("k", i), random.bytes(kPageBytes / 8)));
    killed = disk.killed();
  }
  const std::size_t before = killed->position();
  Options little = read_only_options();
  little.cache_bytes = std::size_t{256} << 10;
  const auto refused = open_on(*killed, little);
  if (kPageBytes == 8192) {
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), ErrorCode::kReadOnly) << refused.error().message();
    EXPECT_NE(refused.error().message().find("was not closed cleanly"), std::string_view::npos)
        << refused.error().message();
  }
  EXPECT_EQ(killed->position(), before);
  Options enough = read_only_options();
  enough.cache_bytes = std::size_t{32} << 20;
  EXPECT_EQ(*open_on(*killed, enough)->open_map("m")->count(), 1000u);
  { ASSERT_OK(open_on(*killed)); }
  EXPECT_OK(open_on(*killed, little)) << "closed by a writer, it needs no memory";
}

// Nothing is made where there is nothing.
TEST(ReadOnlyTest, AMissingDatabaseIsNotMade) {
  SimFileSystem disk;
  Options options = read_only_options();
  options.create_if_missing = true;
  EXPECT_ERROR(kNotFound, open_on(disk, options));
  ASSERT_OK(disk.make_directory("/db"));
  EXPECT_ERROR(kNotFound, open_on(disk, options));
  EXPECT_TRUE(disk.list("/db")->empty());
  EXPECT_ERROR(kInvalidArgument, Database::open_in_memory(options));
}

// Several threads over a cache that is smaller than the data: pages come and go, none is written.
TEST(ReadOnlyTest, ThreadsShareASmallCache) {
  TestRandom random;
  SimFileSystem disk;
  const Content expected = fill_and_close(disk, random);
  ReadOnlyMount mount(disk);
  Options options = read_only_options();
  options.cache_bytes = std::size_t{256} << 10;
  Database db = *open_on(mount, options);
  const Map map = *db.open_map("m");
  std::vector<std::thread> threads;
  for (std::uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      TestRandom own(t + 1);
      for (int round = 0; round < 300; ++round) {
        auto at = expected.lower_bound(numbered("k", static_cast<int>(own.uniform(400))));
        if (at == expected.end()) at = expected.begin();
        EXPECT_EQ(map.get(at->first)->value(), at->second);
        if (round % 100 == 0) {
          EXPECT_EQ(*map.count(), expected.size());
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(db.stats()->pages_written, 0u);
  ASSERT_OK(db.close());
  EXPECT_EQ(mount.attempts(), 0u);
}

// --- On the machine's own file system

/// Bytes and times of every file.
std::map<std::string, std::string> everything_in(const std::string& directory) {
  std::map<std::string, std::string> all;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    std::ostringstream text;
    text << std::filesystem::last_write_time(entry).time_since_epoch().count() << '\n';
    if (entry.is_regular_file()) text << std::ifstream(entry.path(), std::ios::binary).rdbuf();
    all[entry.path()] = text.str();
  }
  return all;
}

void make_database(const std::string& directory) {
  Database db = *Database::open(directory, small_options());
  ASSERT_OK(db.create_map("m")->put("alice", "42"));
}

// Permissions that forbid all writing (which do not stop root) suffice, and no file changes.
TEST(ReadOnlyTest, FilesWithoutWritePermissionSuffice) {
  const TempDirectory temporary;
  const std::string directory = temporary.file("shop.vg");
  make_database(directory);
  const auto before = everything_in(directory);
  const auto permit = [&](std::filesystem::perms files, std::filesystem::perms directories) {
    std::filesystem::permissions(directory, std::filesystem::perms::owner_all);
    std::filesystem::permissions(directory + "/log", std::filesystem::perms::owner_all);
    for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
      if (entry.is_regular_file()) std::filesystem::permissions(entry, files);
    }
    std::filesystem::permissions(directory + "/log", directories);
    std::filesystem::permissions(directory, directories);
  };
  permit(std::filesystem::perms::owner_read, std::filesystem::perms::owner_read | std::filesystem::perms::owner_exec);
  {
    Result<Database> db = Database::open(directory, read_only_options());
    ASSERT_OK(db);
    EXPECT_EQ(db->open_map("m")->get("alice")->value(), "42");
    expect_sound(*db);
    if (::geteuid() != 0) {
      EXPECT_ERROR(kIo, Database::open(directory, small_options()));
    }
  }
  EXPECT_EQ(everything_in(directory), before);
  permit(std::filesystem::perms::owner_read | std::filesystem::perms::owner_write, std::filesystem::perms::owner_all);
}

// Two processes read, neither lets a writer in; a killed one holds nothing.
TEST(ReadOnlyTest, TwoProcessesReadAtOnce) {
  const TempDirectory temporary;
  const std::string directory = temporary.file("shop.vg");
  make_database(directory);
  OtherProcess other([&] {
    auto db = Database::open(directory, read_only_options());
    const bool good = db && db->open_map("m")->get("alice")->value() == "42";
    return good ? std::optional<Database>(*std::move(db)) : std::nullopt;
  });
  ASSERT_TRUE(other.holds());
  EXPECT_ERROR(kLocked, Database::open(directory, small_options()));
  Result<Database> here = Database::open(directory, read_only_options());
  ASSERT_OK(here);
  EXPECT_EQ(here->open_map("m")->get("alice")->value(), "42");
  other.kill();
  EXPECT_ERROR(kLocked, Database::open(directory, small_options()));
  ASSERT_OK(here->close());
  EXPECT_OK(Database::open(directory, small_options()));
}

}  // namespace
}  // namespace vaultgres
