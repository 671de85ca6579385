// Goal: what the tests on simulated disks show holds on the kernel's own file systems: a full one, one without direct
// I/O and without fallocate, a read-only one.
//
// Method: file systems in memory (tmpfs, ramfs), mounted for the test; skipped where that is not allowed. A limit of
// the files' size of this process, without a handler for the signal that comes with it.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "btree/node.h"
#include "support/cases.h"
#include "support/forwarding_file_system.h"
#include "support/mount.h"
#include "support/scale.h"
#include "support/table_fixture.h"
#include "support/watchdog.h"

namespace vaultgres {
namespace {

Options options_of_test() {
  Options options = small_options();
  options.durability = Durability::kDurable;
  return options;
}

Options for_reading_only() {
  Options options = options_of_test();
  options.read_only = true;
  return options;
}

/// Puts random values, some of them large, until `refused_max` puts found no space.
void put_until_full(Map& map, Content& content, TestRandom& random, const std::string& place, unsigned refused_max) {
  for (unsigned refused = 0; refused < refused_max;) {
    ASSERT_LT(content.size(), 200000u) << "it never fills";
    const std::string key = random.word(8);
    const std::string value = random.bytes(random.one_in(5) ? 2 * kPageBytes : random.uniform(400));
    if (const Status done = map.put(key, value)) {
      content[key] = value;
    } else {
      ASSERT_EQ(done.error().code(), ErrorCode::kNoSpace) << done.error().message();
      EXPECT_NE(done.error().message().find(place), std::string::npos) << done.error().message();
      EXPECT_NE(done.error().message().find("No space left"), std::string::npos) << done.error().message();
      ++refused;
    }
  }
}

TEST(RealDiskTest, AFullFileSystemIsReadErasedFromAndWrittenAgainWhenItIsLarger) {
  Mount disk("tmpfs", "size=24m");
  VG_SKIP_UNLESS_MOUNTED(disk);
  Watchdog watchdog("a full tmpfs", std::chrono::seconds(120));
  const std::string directory = disk.file("db");
  TestRandom random;
  Content content;
  {
    Database db = *Database::open(directory, options_of_test());
    Map map = *db.create_map("m");
    put_until_full(map, content, random, directory, 20);
    if (HasFatalFailure()) return;
    EXPECT_LT(disk.bytes_free(), kMiB);
    EXPECT_EQ(content_of(map), content);
    unsigned erased = 0;
    for (auto at = content.begin(); at != content.end() && erased < 400;) {
      if (random.one_in(3) || at->second.size() > inline_value_max(at->first.size())) {
        ++at;
        continue;
      }
      const Result<bool> gone = map.erase(at->first);
      ASSERT_OK(gone) << "after " << erased << " erases";
      ASSERT_TRUE(*gone);
      at = content.erase(at);
      ++erased;
    }
    EXPECT_EQ(content_of(map), content);
    expect_sound(db);
    ASSERT_EQ(disk.remount("size=48m"), "");
    for (int i = 0; i < 2000; ++i) {
      const std::string key = random.word(8);
      ASSERT_OK(map.put(key, std::string(3000, 'l')));
      content[key] = std::string(3000, 'l');
    }
    EXPECT_EQ(content_of(map), content);
    expect_sound(db);
    ASSERT_OK(db.close());
  }
  Database reopened = *Database::open(directory, options_of_test());
  EXPECT_EQ(content_of(*reopened.open_map("m")), content);
  expect_sound(reopened);
}

TEST(RealDiskTest, AFullFileSystemIsOpenedAgain) {
  const Mount disk("tmpfs", "size=12m");
  VG_SKIP_UNLESS_MOUNTED(disk);
  Watchdog watchdog("a full tmpfs", std::chrono::seconds(120));
  const std::string directory = disk.file("db");
  TestRandom random;
  Content content;
  for (int round = 0; round < 4; ++round) {
    Database db = *Database::open(directory, options_of_test());
    Map map = *db.open_or_create_map("m");
    EXPECT_EQ(content_of(map), content) << "round " << round;
    put_until_full(map, content, random, directory, 3);
    if (HasFatalFailure()) return;
    for (int i = 0; i < 100; ++i) {
      const auto small = std::find_if(content.begin(), content.end(), [](const auto& entry) {
        return entry.second.size() <= inline_value_max(entry.first.size());
      });
      if (small == content.end()) break;
      ASSERT_OK(map.erase(small->first));
      content.erase(small);
    }
    expect_sound(db);
    ASSERT_OK(db.close());
  }
}

/// Whether the file system refuses direct I/O.
bool refuses_direct_io(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);
  const bool refused = descriptor < 0 && errno == EINVAL;
  if (descriptor >= 0) ::close(descriptor);
  std::filesystem::remove(path);
  return refused;
}

TEST(RealDiskTest, AFileSystemWithoutDirectIoAndFallocateServesAsWell) {
  const Mount disk("ramfs", "");
  VG_SKIP_UNLESS_MOUNTED(disk);
  if (!refuses_direct_io(disk.file("probe"))) GTEST_SKIP() << "ramfs takes direct I/O on this kernel";
  const std::string directory = disk.file("db");
  TestRandom random;
  Content content;
  for (int round = 0; round < 3; ++round) {
    Database db = *Database::open(directory, options_of_test());
    Map map = *db.open_or_create_map("m");
    EXPECT_EQ(content_of(map), content) << "round " << round;
    for (int i = 0; i < 1500; ++i) {
      const std::string key = random.word(4);
      if (random.one_in(4)) {
        ASSERT_OK(map.erase(key));
        content.erase(key);
        continue;
      }
      const std::string value = random.bytes(random.one_in(20) ? 3 * kPageBytes : random.uniform(300));
      ASSERT_OK(map.put(key, value));
      content[key] = value;
    }
    ASSERT_OK(db.checkpoint());
    EXPECT_EQ(content_of(map), content);
    expect_sound(db);
    ASSERT_OK(db.close());
    EXPECT_ERROR(kNotFound, Database::open(disk.file("other"), for_reading_only()));
  }
  Database for_reading = *Database::open(directory, for_reading_only());
  EXPECT_EQ(content_of(*for_reading.open_map("m")), content);
  expect_sound(for_reading);
}

TEST(RealDiskTest, CreationThatFindsNoSpaceIsRepeatedWhenThereIsSome) {
  bool refused = false;
  bool made = false;
  for (std::uint64_t kib = 64; !made; kib = kib * 5 / 4) {
    ASSERT_LT(kib, 64u << 10);
    Mount disk("tmpfs", "size=" + std::to_string(kib) + "k");
    VG_SKIP_UNLESS_MOUNTED(disk);
    const std::string directory = disk.file("db");
    for (int i = 0; i < 3; ++i) {
      Result<Database> opened = Database::open(directory, options_of_test());
      made = opened.has_value();
      if (made) break;
      refused = true;
      EXPECT_EQ(opened.error().code(), ErrorCode::kNoSpace) << kib << " KiB: " << opened.error().message();
      EXPECT_NE(opened.error().message().find(directory), std::string::npos) << opened.error().message();
    }
    ASSERT_EQ(disk.remount("size=32m"), "");
    Result<Database> opened = Database::open(directory, options_of_test());
    ASSERT_OK(opened) << " after an attempt in " << kib << " KiB";
    Map map = *opened->create_map("m");
    for (int i = 0; i < 300; ++i) ASSERT_OK(map.put(std::to_string(i), std::string(300, 'v')));
    expect_sound(*opened);
    ASSERT_OK(opened->close());
  }
  EXPECT_TRUE(refused);
}

TEST(RealDiskTest, AReadOnlyMountIsReadAndNeverWrittenTo) {
  Mount disk("tmpfs", "size=24m");
  VG_SKIP_UNLESS_MOUNTED(disk);
  const std::string directory = disk.file("db");
  {
    Database db = *Database::open(directory, options_of_test());
    Map map = *db.create_map("m");
    for (int i = 0; i < 300; ++i) ASSERT_OK(map.put(std::to_string(i), std::string(300, 'v')));
    ASSERT_OK(db.close());
  }
  ASSERT_EQ(disk.remount("size=24m", true), "");
  const Result<Database> for_writing = Database::open(directory, options_of_test());
  ASSERT_FALSE(for_writing);
  EXPECT_EQ(for_writing.error().os_error(), EROFS) << for_writing.error().message();
  const Result<Database> fresh = Database::open(disk.file("new"), options_of_test());
  ASSERT_FALSE(fresh);
  EXPECT_EQ(fresh.error().os_error(), EROFS) << fresh.error().message();
  EXPECT_NE(fresh.error().message().find(disk.file("new")), std::string::npos) << fresh.error().message();
  {
    Database for_reading = *Database::open(directory, for_reading_only());
    EXPECT_EQ(content_of(*for_reading.open_map("m")).size(), 300u);
    EXPECT_ERROR(kReadOnly, for_reading.open_map("m")->put("k", "v"));
    expect_sound(for_reading);
  }
  ASSERT_EQ(disk.remount("size=24m"), "");
  ASSERT_OK(Database::open(directory, options_of_test()));
}

// --- Filled and emptied, again and again

/// Turns one errno into another; 0: into nothing, as if the call had worked.
class OtherErrno final : public ForwardingFileSystem {
 public:
  OtherErrno(int from, int to) : ForwardingFileSystem(posix_file_system()), from_(from), to_(to) {}

 private:
  int around(FileCall, const std::string&, FunctionRef<int()> forward) override {
    const int os_error = forward();
    return os_error == from_ ? to_ : os_error;
  }
  const int from_;
  const int to_;
};

/// While it lives, no file of this process grows beyond so many bytes.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    EXPECT_EQ(::getrlimit(RLIMIT_FSIZE, &before_), 0);
    set(bytes);
  }
  ~FileSizeLimit() { set(before_.rlim_cur); }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;
  void set(rlim_t bytes) const {
    const rlimit limit{bytes, before_.rlim_max};
    EXPECT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  }

 private:
  rlimit before_{};
};

/// A map and a table that are filled until nothing goes in, emptied by half, and filled again, without reopening.
class FullCycles {
 public:
  FullCycles(FileSystem& files, std::string directory) : files_(files), directory_(std::move(directory)) {}

  /// One cycle. Empty, or what went wrong.
  std::string run(TestRandom& random) {
    if (std::string wrong = open(); !wrong.empty()) return wrong;
    if (std::string wrong = fill(random); !wrong.empty()) return "filling: " + wrong;
    if (std::string wrong = compare(); !wrong.empty()) return "full: " + wrong;
    if (std::string wrong = empty(random); !wrong.empty()) return "emptying: " + wrong;
    if (std::string wrong = compare(); !wrong.empty()) return "emptied: " + wrong;
    if (std::string wrong = go_on(random); !wrong.empty()) return "going on: " + wrong;
    if (std::string wrong = compare(); !wrong.empty()) return "gone on: " + wrong;
    if (random.one_in(2)) return "";
    const Status closed = db_->close();
    db_.reset();
    return closed ? "" : "close: " + std::string(closed.error().message());
  }

 private:
  std::string open() {
    if (db_) return "";
    Result<Database> db = open_on(files_, options_of_test(), directory_);
    if (!db) return "open: " + std::string(db.error().message());
    db_.emplace(*std::move(db));
    map_.emplace(*db_->open_or_create_map("m"));
    Result<Table> table = db_->open_table("t");
    if (!table) {
      table = db_->create_table("t", people_schema());
      if (!table || !db_->create_index("by_id", "t", {.columns = {{"id"}}, .unique = true})) return "no table";
    }
    table_.emplace(*std::move(table));
    return compare();
  }

  Status put(const std::string& key, const std::string& value) {
    const Status done = map_->put(key, value);
    if (done) content_[key] = value;
    return done;
  }
  Status insert(TestRandom& random) {
    const Row row = person(next_person_++, random.one_in(10) ? 2 * kPageBytes : random.uniform(400));
    const Result<RowId> id = table_->insert(row);
    if (!id) return id.error();
    rows_[*id] = row;
    return {};
  }
  Status add(TestRandom& random) {
    if (random.one_in(2)) return insert(random);
    return put(random.word(8), random.bytes(random.one_in(10) ? 2 * kPageBytes : random.uniform(400)));
  }

  std::string fill(TestRandom& random) {
    for (unsigned refused = 0, added = 0; refused < 10; ++added) {
      if (added > 200'000) return "it never fills";
      const Status done = add(random);
      if (done) continue;
      if (done.error().code() != ErrorCode::kNoSpace) return std::string(done.error().message());
      ++refused;
    }
    return "";
  }
  /// Half of everything. A large value leaves a row in `retired`, which may need a page.
  std::string empty(TestRandom& random) {
    for (auto at = content_.begin(); at != content_.end();) {
      const Result<bool> gone = random.one_in(2) ? map_->erase(at->first) : Result<bool>(false);
      const bool large = at->second.size() > inline_value_max(at->first.size());
      if (!gone && !(large && gone.error().code() == ErrorCode::kNoSpace)) return std::string(gone.error().message());
      at = gone && *gone ? content_.erase(at) : std::next(at);
    }
    for (auto at = rows_.begin(); at != rows_.end();) {
      const Result<bool> gone = random.one_in(2) ? table_->erase(at->first) : Result<bool>(false);
      if (!gone && gone.error().code() != ErrorCode::kNoSpace) return std::string(gone.error().message());
      at = gone && *gone ? rows_.erase(at) : std::next(at);
    }
    return "";
  }
  /// A quarter of what is left goes in again.
  std::string go_on(TestRandom& random) {
    const std::size_t more = (content_.size() + rows_.size()) / 4;
    if (more < 100) return "only " + std::to_string(more) + " are left";
    for (std::size_t i = 0; i < more; ++i) {
      const Status done = random.one_in(2) ? put(random.word(8), random.bytes(random.uniform(200))) : insert(random);
      if (!done) return std::to_string(i) + " of " + std::to_string(more) + ": " + std::string(done.error().message());
    }
    return "";
  }

  std::string compare() {
    Cursor cursor = map_->cursor();
    Content found;
    Result<bool> more = cursor.next();
    for (; more && *more; more = cursor.next()) found.emplace(cursor.key(), cursor.value());
    if (!more) return std::string(more.error().message());
    if (found != content_) return "the map differs";
    const Result<Rows> rows = read_rows(table_->scan());
    if (!rows) return std::string(rows.error().message());
    if (*rows != rows_) return "the table differs";
    const Status agrees = check_index(*db_->open_index("by_id"), rows_);
    if (!agrees) return std::string(agrees.error().message());
    const Result<CheckReport> report = db_->check();
    if (!report) return std::string(report.error().message());
    return report->problems.empty() ? "" : report->problems.front().what;
  }

  FileSystem& files_;
  const std::string directory_;
  std::optional<Database> db_;
  std::optional<Map> map_;
  std::optional<Table> table_;
  Content content_;
  Rows rows_;
  std::int64_t next_person_ = 0;
};

struct FullCase {
  const char* name;
  const char* mount_options;
  rlim_t file_bytes_max;
  int os_error;
};
class FullCycleTest : public ::testing::TestWithParam<FullCase> {};
INSTANTIATE_TEST_SUITE_P(Limits, FullCycleTest,
                         ::testing::Values(FullCase{"FileSystem", "size=10m", RLIM_INFINITY, ENOSPC},
                                           FullCase{"Quota", "size=10m", RLIM_INFINITY, EDQUOT},
                                           FullCase{"SizeOfFiles", "size=64m", 6 * kMiB, EFBIG}),
                         [](const auto& one) { return std::string(one.param.name); });

TEST_P(FullCycleTest, IsReadErasedFromAndFilledAgainWithoutReopening) {
  const Mount disk("tmpfs", GetParam().mount_options);
  VG_SKIP_UNLESS_MOUNTED(disk);
  const FileSizeLimit limit(GetParam().file_bytes_max);
  Watchdog watchdog("full", std::chrono::seconds(120));
  CaseCount cases("R21");
  OtherErrno files(ENOSPC, GetParam().os_error == EDQUOT ? EDQUOT : ENOSPC);
  FullCycles cycles(files, disk.file("db"));
  TestRandom random;
  for (std::uint64_t cycle = 0; cycle < scaled(4) && !HasFailure(); ++cycle) {
    watchdog.feed("cycle " + std::to_string(cycle));
    EXPECT_EQ(cycles.run(random), "") << "cycle " << cycle;
    ++cases;
  }
}

// The test of the test: a file system that says nothing when it is full.
TEST(FullCycleControlTest, AFullDiskThatSaysNothingIsNoticed) {
  const Mount disk("tmpfs", "size=10m");
  VG_SKIP_UNLESS_MOUNTED(disk);
  Watchdog watchdog("full", std::chrono::seconds(120));
  OtherErrno files(ENOSPC, 0);
  TestRandom random;
  std::string wrong;
  FullCycles cycles(files, disk.file("db"));
  for (int cycle = 0; cycle < 3 && wrong.empty(); ++cycle) wrong = cycles.run(random);
  EXPECT_NE(wrong, "");
  std::printf("noticed: %s\n", wrong.c_str());
}

// A limit that comes below what is there makes writes fail that were promised room: the database is poisoned, and not
// the process killed; what was acknowledged is there when the limit has gone.
TEST(FileSizeLimitTest, ALimitBelowTheFilesSizeNeitherKillsNorLoses) {
  const Mount disk("tmpfs", "size=64m");
  VG_SKIP_UNLESS_MOUNTED(disk);
  const std::string directory = disk.file("db");
  Content content;
  {
    const FileSizeLimit limit(RLIM_INFINITY);
    Database db = *Database::open(directory, options_of_test());
    Map map = *db.create_map("m");
    const auto put = [&](int i) {
      const std::string key = std::to_string(i);
      const Status done = map.put(key, std::string(500, 'v'));
      if (done) content[key] = std::string(500, 'v');
      return done;
    };
    for (int i = 0; i < 5000; ++i) ASSERT_OK(put(i));
    limit.set(64 << 10);
    Status done = db.checkpoint();
    ASSERT_FALSE(done);
    EXPECT_NE(done.error().message().find("File too large"), std::string_view::npos) << done.error().message();
    for (int i = 5000; i < 5010; ++i) EXPECT_FALSE(put(i));
    EXPECT_FALSE(db.close());
  }
  Database db = *Database::open(directory, options_of_test());
  EXPECT_EQ(content_of(*db.open_map("m")), content);
  expect_sound(db);
}

}  // namespace
}  // namespace vaultgres
