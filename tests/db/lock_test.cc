// Goal: a database has one owner, or readers only, whatever name it is reached by, from whichever process; whoever
// comes second is told so at once; the lock goes with its holder, however that ends, and with nothing else.
//
// Method: pairs of a holder and somebody who comes second, in this process or in others, by the directory's own name or
// another, with something done meanwhile that must not drop the lock; then the holder ends in one way or another, and
// the second one must get the database, with what was put.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <thread>

#include "support/cases.h"
#include "support/database.h"
#include "support/descriptors.h"
#include "support/forwarding_file_system.h"
#include "support/mount.h"
#include "support/other_process.h"
#include "support/random.h"
#include "support/sanitizers.h"
#include "support/scale.h"
#include "support/temp_directory.h"

namespace vaultgres {
namespace {

#define VG_SKIP_UNLESS_FORKS_MAY_START_THREADS() \
  if (kThreadSanitizer) GTEST_SKIP() << "the thread sanitizer knows no threads of a forked process"

// A fork beside another thread that allocates leaves the lock of the address sanitizer's allocator taken in the child.
constexpr bool kForksBesideThreadsMayAllocate = !kAddressSanitizer;
#define VG_SKIP_UNLESS_FORKS_BESIDE_THREADS_MAY_ALLOCATE() \
  if (!kForksBesideThreadsMayAllocate) GTEST_SKIP() << "the address sanitizer's allocator knows no forks"

/// Whoever is refused is told so; who gets it may have to recover it first.
constexpr std::chrono::milliseconds kSoon{1000};

Options options_for(bool read_only) {
  Options options = small_options();
  options.read_only = read_only;
  options.flush_interval_ms = 10;
  return options;
}

/// What opening gives.
struct Attempt {
  std::optional<Database> db;
  std::string wrong;  ///< empty: it is as expected
  bool late = false;
};
Attempt attempt_once(FileSystem& files, const std::string& directory, bool read_only, bool refused) {
  Attempt attempt;
  const auto begin = std::chrono::steady_clock::now();
  Result<Database> db = open_on(files, options_for(read_only), directory);
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin);
  if (db && refused) attempt.wrong = "two have it open";
  if (!db && !refused) attempt.wrong = "not opened: " + std::string(db.error().message());
  if (!db && refused && db.error().code() != ErrorCode::kLocked) {
    attempt.wrong = "refused for another reason: " + std::string(db.error().message());
  }
  attempt.late = attempt.wrong.empty() && refused && took > kSoon;
  if (attempt.late) attempt.wrong = "only after " + std::to_string(took.count()) + " ms";
  if (db) attempt.db.emplace(*std::move(db));
  return attempt;
}

/// Late five times in a row is late: once may be the machine's fault.
Attempt attempt(FileSystem& files, const std::string& directory, bool read_only, bool refused) {
  Attempt last = attempt_once(files, directory, read_only, refused);
  for (int again = 0; last.late && again < 4; ++again) {
    last = attempt_once(files, directory, read_only, refused);
  }
  return last;
}

class LockTest : public ::testing::Test {
 protected:
  static constexpr unsigned kNames = 6;
  static constexpr unsigned kDisturbances = 5;
  static constexpr unsigned kEnds = 3;

  explicit LockTest(FileSystem& files = posix_file_system()) : files_(files) {
    std::filesystem::create_directory(parent_.file("inner"));
    std::filesystem::create_directory_symlink(directory_, parent_.file("symlink"));
    put("created");
    // Another directory with the same data file, and the rest by symbolic links.
    const std::string twin = parent_.file("twin");
    std::filesystem::create_directory(twin);
    std::filesystem::create_hard_link(directory_ + "/data.vg", twin + "/data.vg");
    std::filesystem::create_hard_link(directory_ + "/doublewrite.vg", twin + "/doublewrite.vg");
    std::filesystem::create_directory_symlink(directory_ + "/log", twin + "/log");
  }

  void put(const std::string& key) {
    Result<Database> db = open_on(files_, options_for(false), directory_);
    ASSERT_OK(db);
    ASSERT_OK(db->open_or_create_map("m")->put(key, "there"));
    keys_.push_back(key);
  }

  /// The directory by one of its names.
  std::string name(unsigned which) {
    switch (which) {
      case 0:
        return directory_;
      case 1:
        return parent_.file("symlink");
      case 2:
        return parent_.file("inner/../db");
      case 3:
        return std::filesystem::relative(directory_).string();
      case 4:
        return parent_.file("twin");
      default:
        return bound();
    }
  }
  /// Mounted at another place; where that is not allowed, its own name.
  const std::string& bound() {
    if (mount_) return bound_;
    bound_ = directory_;
    mount_.emplace("tmpfs", "size=64k");
    const std::string place = mount_->file("bound");
    if (mount_->why_not().empty() && std::filesystem::create_directory(place) &&
        ::mount(directory_.c_str(), place.c_str(), nullptr, MS_BIND, nullptr) == 0) {
      bound_ = place;
    }
    return bound_;
  }

  /// Something that has no business dropping a lock.
  void disturb(unsigned which) {
    const std::string data = directory_ + "/data.vg";
    switch (which) {
      case 0:
        return;
      case 1:  // fcntl() locks would go with any descriptor of the file
        ::close(::open(data.c_str(), O_RDWR | O_CLOEXEC));
        return;
      case 2:
        EXPECT_EQ(run_in_child([] { return 0; }), 0);
        return;
      case 3: {  // nor with a file that was copied away and back
        std::error_code ignored;
        std::filesystem::copy_file(data, parent_.file("copy"), std::filesystem::copy_options::overwrite_existing,
                                   ignored);
        return;
      }
      default:
        static_cast<void>(open_on(files_, options_for(false), directory_).has_value());
    }
  }

  /// One pair. Empty, or what is wrong.
  std::string pair(TestRandom& random) {
    const bool holder_reads = random.one_in(3);
    const bool holder_is_here = random.one_in(2);
    const bool second_reads = random.one_in(3);
    const bool second_is_here = random.one_in(2) || (holder_is_here && !kForksBesideThreadsMayAllocate);
    const bool refused = !(holder_reads && second_reads);
    const std::string first_name = name(static_cast<unsigned>(random.uniform(kNames)));
    const std::string second_name = name(static_cast<unsigned>(random.uniform(kNames)));
    const std::string what = std::string(holder_is_here ? "here" : "another process") +
                             (holder_reads ? " reads " : " writes ") + first_name + ", then " +
                             (second_is_here ? "here" : "another process") + (second_reads ? " reads " : " writes ") +
                             second_name + ": ";
    std::optional<Database> here;
    std::optional<OtherProcess> there;
    if (holder_is_here) {
      Attempt first = attempt(files_, first_name, holder_reads, false);
      if (!first.wrong.empty()) return what + "the first: " + first.wrong;
      here = std::move(first.db);
    } else {
      there.emplace([&] {
        static std::optional<Database> kept;
        kept = std::move(attempt(files_, first_name, holder_reads, false).db);
        return kept.has_value();
      });
      if (!there->holds()) return what + "the first cannot open it";
    }
    disturb(static_cast<unsigned>(random.uniform(kDisturbances)));
    if (std::string wrong = come_second(second_is_here, second_name, second_reads, refused); !wrong.empty()) {
      return what + wrong;
    }
    here.reset();
    there.reset();  // killed
    if (std::string wrong = come_second(second_is_here, second_name, second_reads, false); !wrong.empty()) {
      return what + "after its end: " + wrong;
    }
    return "";
  }

  std::string come_second(bool here, const std::string& directory, bool read_only, bool refused) {
    const auto come = [&] {
      Attempt second = attempt(files_, directory, read_only, refused);
      if (!second.wrong.empty() || refused) return second.wrong;
      const Result<Map> map = second.db->open_map("m");
      if (!map) return std::string(map.error().message());
      for (const std::string& key : keys_) {
        const auto value = map->get(key);
        if (!value || *value != "there") return key + " is not there";
      }
      return std::string();
    };
    if (here) return come();
    const int status = run_in_child([&] {
      const std::string wrong = come();
      if (!wrong.empty()) std::fprintf(stderr, "%s\n", wrong.c_str());
      return wrong.empty() ? 0 : 1;
    });
    return status == 0 ? "" : "the other process ended with " + std::to_string(status);
  }

  FileSystem& files_;
  const TempDirectory parent_;
  const std::string directory_ = parent_.file("db");
  std::optional<Mount> mount_;
  std::string bound_;
  std::vector<std::string> keys_;
};

TEST_F(LockTest, HasOneOwnerByWhateverNameAndFreesWithIt) {
  VG_SKIP_UNLESS_FORKS_MAY_START_THREADS();
  CaseCount cases("R22");
  TestRandom random;
  for (std::uint64_t round = 0; round < scaled(60) && !HasFailure(); ++round) {
    if (round % 10 == 9) put("round " + std::to_string(round));
    EXPECT_EQ(pair(random), "");
    ++cases;
  }
}

// The test of the test: a file system whose locks are always granted.
class LocksAlwaysGranted final : public ForwardingFileSystem {
 public:
  using ForwardingFileSystem::ForwardingFileSystem;

 private:
  int around(FileCall call, const std::string&, FunctionRef<int()> forward) override {
    return call == FileCall::kLock ? 0 : forward();
  }
};
class LockControlTest : public LockTest {
 protected:
  LockControlTest() : LockTest(without_locks_) {}
  static inline LocksAlwaysGranted without_locks_{posix_file_system()};
};

TEST_F(LockControlTest, ALockThatIsAlwaysGrantedIsNoticed) {
  const Attempt first = attempt(files_, directory_, true, false);
  ASSERT_EQ(first.wrong, "");
  // Who only reads does no harm.
  EXPECT_EQ(attempt(files_, directory_, false, true).wrong, "two have it open");
}

// --- Forks

/// What every call answers in a child process.
bool is_refused(const std::optional<Error>& error) {
  return error && error->code() == ErrorCode::kClosed &&
         error->message().find("before a fork") != std::string_view::npos;
}
template <class T>
bool is_refused(const Result<T>& result) {
  return is_refused(result ? std::nullopt : std::optional(result.error()));
}

class ForkTest : public ::testing::Test {
 protected:
  void open() {
    db_.emplace(*Database::open(directory_, options_for(false)));
    map_.emplace(*db_->open_or_create_map("m"));
  }
  void expect_sound_with(const Content& expected) {
    EXPECT_EQ(content_of(*map_), expected);
    expect_sound(*db_);
  }

  const TempDirectory parent_;
  const std::string directory_ = parent_.file("db");
  std::optional<Database> db_;
  std::optional<Map> map_;
};

TEST_F(ForkTest, AChildThatUsesItsParentsHandlesIsRefusedAndHarmsNothing) {
  VG_SKIP_UNLESS_FORKS_BESIDE_THREADS_MAY_ALLOCATE();
  CaseCount cases("R22");
  open();
  Table table = *db_->create_table("t", *Schema::create({{"id", ColumnType::kInt64}}));
  Index index = *db_->create_index("i", "t", {.columns = {{"id"}}, .unique = true});
  Content expected;
  for (int i = 0; i < 300; ++i) {
    const std::string key = "key " + std::to_string(i);
    ASSERT_OK(map_->put(key, "v"));
    ASSERT_OK(table.insert({Value(i)}));
    expected[key] = "v";
  }
  for (int round = 0; round < 10; ++round) {
    std::optional<Transaction> txn(*db_->begin());
    ASSERT_OK(map_->put(*txn, "open", "v"));
    std::optional<Cursor> cursor(map_->cursor());
    ASSERT_TRUE(*cursor->next());
    std::optional<TableScan> scan(table.scan());
    ASSERT_TRUE(*scan->next());
    std::optional<MapLoad> load(*db_->load_map("loaded"));
    ASSERT_OK(load->add("k", "v"));
    const int status = run_in_child([&] {
      int call = 0;
      const auto refused = [&](const auto& result) {
        ++call;
        return is_refused(result);
      };
      const bool all = refused(map_->get("key 1")) && refused(map_->put("child", "v")) &&
                       refused(map_->erase("key 1")) && refused(map_->count()) &&
                       refused(map_->put(*txn, "child", "v")) && refused(txn->commit()) && refused(cursor->next()) &&
                       refused(cursor->first()) && refused(scan->next()) && refused(table.insert({Value(1000)})) &&
                       refused(table.count()) && refused(index.find({Value(1)})) && refused(load->add("l", "v")) &&
                       refused(load->finish()) && refused(db_->begin()) && refused(db_->create_map("child")) &&
                       refused(db_->drop_map("m")) && refused(db_->maps()) && refused(db_->check()) &&
                       refused(db_->stats()) && refused(db_->sync()) && refused(db_->checkpoint()) &&
                       refused(db_->close());
      if (!all) return call;
      // Destruction ends, and writes nothing.
      load.reset();
      scan.reset();
      cursor.reset();
      txn.reset();
      map_.reset();
      db_.reset();
      return 0;
    });
    EXPECT_EQ(status, 0) << "the call of that number was not refused";
    ASSERT_OK(txn->rollback());
    load.reset();
    const std::string key = "after " + std::to_string(round);
    ASSERT_OK(map_->put(key, "v")) << "the parent goes on";
    expected[key] = "v";
    EXPECT_ERROR(kLocked, Database::open(directory_, options_for(false))) << "the child took the lock along";
    cases.add(23);
  }
  expect_sound_with(expected);
  db_.reset();
  open();
  expect_sound_with(expected);
}

// A child process has the parent's descriptors, and with them its lock.
TEST_F(ForkTest, AChildThatOutlivesItsParentHoldsNoLock) {
  VG_SKIP_UNLESS_FORKS_MAY_START_THREADS();
  CaseCount cases("R22");
  open();
  ASSERT_OK(map_->put("k", "v"));
  db_.reset();
  for (int round = 0; round < 5; ++round) {
    int pids[2];
    ASSERT_EQ(::pipe(pids), 0);
    pid_t grandchild = 0;
    {
      OtherProcess holder([&] {
        open();
        const pid_t child = ::fork();
        if (child != 0) return child > 0;
        // The child says so itself: it has the lock until its fork() returns.
        const pid_t self = ::getpid();
        static_cast<void>(!::write(pids[1], &self, sizeof self));
        ::alarm(300);
        while (true) ::pause();
      });
      ASSERT_TRUE(holder.holds());
      ASSERT_EQ(::read(pids[0], &grandchild, sizeof grandchild), static_cast<ssize_t>(sizeof grandchild));
      EXPECT_ERROR(kLocked, Database::open(directory_, options_for(false)));
      holder.kill();
    }
    EXPECT_EQ(attempt(posix_file_system(), directory_, false, false).wrong, "") << "beside the dead holder's child";
    EXPECT_EQ(::kill(grandchild, SIGKILL), 0);
    ::close(pids[0]);
    ::close(pids[1]);
    ++cases;
  }
}

TEST_F(ForkTest, AChildOpensItOnceTheParentHasClosedIt) {
  VG_SKIP_UNLESS_FORKS_MAY_START_THREADS();
  VG_SKIP_UNLESS_FORKS_BESIDE_THREADS_MAY_ALLOCATE();
  open();
  ASSERT_OK(map_->put("k", "v"));
  int told[2];
  int go[2];
  ASSERT_EQ(::pipe(told), 0);
  ASSERT_EQ(::pipe(go), 0);
  char byte = 'g';
  std::thread closer([&] {
    char refused = 'n';
    EXPECT_EQ(::read(told[0], &refused, 1), 1);
    EXPECT_EQ(refused, 'y');
    EXPECT_TRUE(db_->close());
    EXPECT_EQ(::write(go[1], &byte, 1), 1);
  });
  std::optional<OtherProcess> child;
  child.emplace([&] {
    const Result<Database> early = Database::open(directory_, options_for(false));
    const char refused = !early && early.error().code() == ErrorCode::kLocked ? 'y' : 'n';
    if (::write(told[1], &refused, 1) != 1 || ::read(go[0], &byte, 1) != 1) return false;
    Result<Database> late = Database::open(directory_, options_for(false));
    return late && late->open_map("m")->put("of the child", "v") && late->close();
  });
  closer.join();
  EXPECT_TRUE(child->holds());
  child.reset();
  open();
  expect_sound_with({{"k", "v"}, {"of the child", "v"}});
}

// Nothing that a child does with a file of its parent's, by whatever mistake, reaches that file.
TEST_F(ForkTest, AChildsDescriptorsOfItsParentsFilesAreUseless) {
  const std::string path = parent_.file("file");
  const std::string text(kIoAlignment, 'p');
  const auto file = *posix_file_system().open(path, OpenMode::kCreate);
  ASSERT_OK(file->write(0, as_bytes(text)));
  ASSERT_OK(file->lock());
  EXPECT_EQ(run_in_child([&] {
              std::string into(kIoAlignment, '\0');
              const bool refused = !file->write(0, as_bytes("child")) && !file->sync() && !file->truncate(0) &&
                                   !file->read(0, {reinterpret_cast<std::byte*>(into.data()), into.size()}) &&
                                   !file->allocate(0, 1 << 20) && !file->lock(LockMode::kShared);
              return refused ? 0 : 1;
            }),
            0);
  std::string back(kIoAlignment, '\0');
  ASSERT_OK(file->read(0, {reinterpret_cast<std::byte*>(back.data()), back.size()}));
  EXPECT_EQ(back, text);
  EXPECT_EQ(*file->size(), kIoAlignment);
  EXPECT_ERROR(kLocked, (*posix_file_system().open(path, OpenMode::kReadWrite))->lock());
}

// Also when its parent was just about to get one.
TEST_F(ForkTest, AChildThatIsMadeBesideAnOpenHasNoDescriptorOfTheFile) {
  const std::string path = parent_.file("file");
  ASSERT_OK(posix_file_system().open(path, OpenMode::kCreate));
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> opened{0};
  std::thread opener([&] {
    while (!stop.load()) {
      if (posix_file_system().open(path, OpenMode::kReadWrite)) ++opened;
    }
  });
  while (opened.load() == 0) std::this_thread::yield();
  for (std::uint64_t round = 0; round < scaled(300); ++round) {
    EXPECT_EQ(run_in_child([&] { return descriptor_of(path) < 0 ? 0 : 1; }), 0) << "round " << round;
  }
  stop.store(true);
  opener.join();
}

/// Takes every descriptor that this process may have.
class NoDescriptors {
 public:
  NoDescriptors() {
    EXPECT_EQ(::getrlimit(RLIMIT_NOFILE, &before_), 0);
    const int next = ::open("/", O_PATH | O_CLOEXEC);
    taken_.push_back(next);
    const rlimit limit{static_cast<rlim_t>(next) + 32, before_.rlim_max};
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
    for (int descriptor = next; descriptor >= 0;) {
      descriptor = ::open("/", O_PATH | O_CLOEXEC);
      if (descriptor >= 0) taken_.push_back(descriptor);
    }
  }
  NoDescriptors(const NoDescriptors&) = delete;
  NoDescriptors& operator=(const NoDescriptors&) = delete;
  ~NoDescriptors() {
    for (const int descriptor : taken_) ::close(descriptor);
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &before_), 0);
  }
  int last() const { return taken_.back(); }

 private:
  rlimit before_{};
  std::vector<int> taken_;
};

// A number that became free would be that of the next file which the child opens: it would write into that.
TEST_F(ForkTest, AChildThatCanHaveNoMoreDescriptorsKeepsTheNumbersOfItsParentsFiles) {
  if (kSanitized) GTEST_SKIP() << "sanitizers take descriptors of their own";
  const std::string own = parent_.file("own");
  const auto file = *posix_file_system().open(parent_.file("file"), OpenMode::kCreate);
  const NoDescriptors none;
  EXPECT_EQ(run_in_child([&] {
              ::close(none.last());
              if (::open(own.c_str(), O_RDWR | O_CREAT, 0644) < 0) return 1;
              return file->write(0, as_bytes("child")) ? 2 : 0;
            }),
            0);
}

// A child that closes all that it does not know has its own files under the numbers of its parent's. Neither a child of
// its own nor the end of its parent's handles takes them away.
TEST_F(ForkTest, AChildsFileUnderANumberOfItsParentsIsNotGivenUp) {
  const std::string path = parent_.file("file");
  const std::string own = parent_.file("own");
  auto file = *posix_file_system().open(path, OpenMode::kCreate);
  const int number = descriptor_of(path);
  ASSERT_GE(number, 0);
  EXPECT_EQ(run_in_child([&] {
              const int opened = ::open(own.c_str(), O_RDWR | O_CREAT | O_APPEND, 0644);
              if (::dup2(opened, number) != number) return 1;
              if (run_in_child([&] { return ::write(number, "g", 1) == 1 ? 0 : 1; }) != 0) return 2;
              file.reset();
              return ::write(number, "c", 1) == 1 ? 0 : 3;
            }),
            0);
  EXPECT_EQ(std::filesystem::file_size(own), 2u);
}

}  // namespace
}  // namespace vaultgres
