// Goal: a process that is killed at any instant, also while it opens, recovers, checkpoints or closes, loses no
// acknowledged commit, leaves no lock behind and a sound database.
//
// Method: a child process on the machine's own file system runs a workload and tells each acknowledged step through
// a pipe. It is killed at random; some rounds kill the next children, too, while they recover. Then the parent,
// which computes the same steps, opens and compares.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <optional>

#include "support/cases.h"
#include "support/crash_checker.h"
#include "support/scale.h"
#include "support/temp_directory.h"

namespace vaultgres {
namespace {

/// What a child is about when it is killed: anything, or one call, whose begin and end it tells.
enum class Phase : std::uint32_t { kAny, kOpen, kCheckpoint, kClose, kBackup };

struct Task {
  Phase phase = Phase::kAny;
  bool works = true;        ///< runs the workload; otherwise it opens and closes only
  bool acks_early = false;  ///< it tells of each step before it has made it durable, or begun it
};

/// What a child says: a thread's number of acknowledged steps, or that the call of its phase begins (0) or has ended.
struct Message {
  std::uint32_t thread;  ///< kOfPhase for the latter
  std::uint32_t number;
};
constexpr std::uint32_t kOfPhase = 0xFFFFFFFF;

/// What the child does. Anything unexpected ends it with an exit status of 2.
class ChildWork {
 public:
  ChildWork(std::string directory, const Workload& workload, Task task, int pipe)
      : directory_(std::move(directory)), workload_(workload), task_(task), pipe_(pipe) {}

  [[noreturn]] void run() {
    std::optional<Database> db;
    phase(Phase::kOpen, [&] { db = expect(open_on(posix_file_system(), crash_options(workload_), directory_)); });
    if (task_.works) work(*db);
    if (task_.phase == Phase::kCheckpoint) phase(Phase::kCheckpoint, [&] { expect(db->checkpoint()); });
    if (task_.phase == Phase::kBackup) {
      phase(Phase::kBackup, [&] { static_cast<void>(expect(db->backup(backup_of(directory_)))); });
    }
    phase(Phase::kClose, [&] { expect(db->close()); });
    ::_exit(0);
  }
  static std::string backup_of(const std::string& directory) { return directory + ".backup"; }

 private:
  static void fail(const Error& error) {
    std::fprintf(stderr, "child: %s\n", std::string(error.message()).c_str());
    ::_exit(2);
  }
  static void expect(const Status& done) {
    if (!done) fail(done.error());
  }
  template <class T>
  static T expect(Result<T> result) {
    if (!result) fail(result.error());
    return *std::move(result);
  }
  void tell(std::uint32_t thread, std::uint32_t number) const {
    const Message message{thread, number};
    if (::write(pipe_, &message, sizeof message) != sizeof message) ::_exit(3);
  }
  template <class Call>
  void phase(Phase phase, Call&& call) const {
    if (task_.phase == phase) tell(kOfPhase, 0);
    call();
    if (task_.phase == phase) tell(kOfPhase, 1);
  }
  void work(Database& db) const {
    const auto progress = run_workload(
        db, workload_, [&](unsigned thread, unsigned acked) { tell(thread, acked + (task_.acks_early ? 2 : 0)); });
    for (const WorkloadProgress& thread : progress) {
      if (thread.error) fail(*thread.error);
    }
  }

  const std::string directory_;
  const Workload& workload_;
  const Task task_;
  const int pipe_;
};

class Child {
 public:
  Child(const std::string& directory, const Workload& workload, Task task) {
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe(ends.data()), 0);
    std::fflush(nullptr);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::close(ends[0]);
      ChildWork(directory, workload, task, ends[1]).run();
    }
    ::close(ends[1]);
    pipe_ = ends[0];
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() { ::close(pipe_); }

  /// Until so many acknowledgements came and no further one for `quiet_ms`, or the child has ended.
  void follow(std::vector<unsigned>& acked, unsigned acks, int quiet_ms) {
    unsigned seen = 0;
    for (;;) {
      const bool enough = seen >= acks;
      if (!comes_one(enough ? quiet_ms : kLongMs) || !read_one(acked)) return;
      if (enough) return;
      ++seen;
    }
  }
  /// Until the call of its phase begins.
  void follow_to_phase(std::vector<unsigned>& acked) {
    while (!phase_begun_ && comes_one(kLongMs) && read_one(acked)) {
    }
  }
  /// Until the call of its phase has ended, or so long. How long it took, if it has ended.
  std::optional<std::chrono::microseconds> follow_phase(std::vector<unsigned>& acked, std::chrono::microseconds limit) {
    const auto begin = std::chrono::steady_clock::now();
    for (;;) {
      const auto gone = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - begin);
      if (phase_ended_) return gone;
      if (gone >= limit || !comes_one(limit - gone) || !read_one(acked)) return std::nullopt;
    }
  }
  /// Kills it, takes what it had still said; the exit status, or -1 for one that was killed.
  int kill(std::vector<unsigned>& acked) {
    ::kill(pid_, SIGKILL);
    int status = 0;
    EXPECT_EQ(::waitpid(pid_, &status, 0), pid_);
    while (read_one(acked)) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  bool in_phase() const { return phase_begun_ && !phase_ended_; }

 private:
  static constexpr int kLongMs = 30000;

  bool comes_one(int milliseconds) { return comes_one(std::chrono::milliseconds(milliseconds)); }
  bool comes_one(std::chrono::microseconds limit) {
    pollfd poll{pipe_, POLLIN, 0};
    const timespec left{limit.count() / 1000000, limit.count() % 1000000 * 1000};
    return ::ppoll(&poll, 1, &left, nullptr) > 0;
  }
  bool read_one(std::vector<unsigned>& acked) {
    Message message{};
    if (::read(pipe_, &message, sizeof message) != sizeof message) return false;
    if (message.thread == kOfPhase) {
      (message.number == 0 ? phase_begun_ : phase_ended_) = true;
    } else {
      acked.at(message.thread) = message.number;
    }
    return true;
  }
  pid_t pid_ = -1;
  int pipe_ = -1;
  bool phase_begun_ = false;
  bool phase_ended_ = false;
};

void run_rounds(const char* name, std::uint64_t rounds, Workload workload, std::uint64_t stream) {
  TestRandom random(stream);
  std::uint64_t killed = 0;
  std::uint64_t steps = 0;
  std::uint64_t recoveries_killed = 0;
  CaseCount cases("R3");
  for (std::uint64_t round = 0; round < rounds; ++round) {
    const TempDirectory parent;
    const std::string directory = parent.file("db");
    workload.seed = random.next();
    std::vector<unsigned> acked(workload.threads);
    {
      Child child(directory, workload, {});
      // One in four is killed at the very beginning, one in eight about when it closes.
      const unsigned total = workload.threads * workload.steps;
      const unsigned acks = random.one_in(4)   ? 0
                            : random.one_in(8) ? total
                                               : static_cast<unsigned>(random.uniform(total));
      child.follow(acked, acks, static_cast<int>(random.uniform(acks == 0 ? 40 : 4)));
      const int status = child.kill(acked);
      ASSERT_TRUE(status == -1 || status == 0) << "the child failed in round " << round;
      killed += status == -1;
    }
    while (random.one_in(2)) {
      Child child(directory, workload, {.works = false});
      child.follow(acked, 0, static_cast<int>(random.uniform(25)));
      const int status = child.kill(acked);
      ASSERT_TRUE(status == -1 || status == 0) << "a recovery failed in round " << round;
      recoveries_killed += status == -1;
    }
    CrashChecker checker(workload, directory);
    ASSERT_EQ(checker.check(posix_file_system(), acked), "")
        << "round " << round << ", workload seed " << workload.seed;
    for (const unsigned thread : acked) steps += thread;
    ++cases;
  }
  std::printf("%s: %llu rounds, %llu killed at work, %llu while recovering, %llu steps acknowledged\n", name,
              static_cast<unsigned long long>(rounds), static_cast<unsigned long long>(killed),
              static_cast<unsigned long long>(recoveries_killed), static_cast<unsigned long long>(steps));
  EXPECT_TRUE(rounds < 8 || killed > 0);
}

/// A backup that was cut off is refused, one that was not holds all that was acknowledged before it.
void check_backup(const Workload& workload, const std::string& backup, const std::vector<unsigned>& acked) {
  const std::string restored = backup + ".restored";
  const Result<RestoreReport> report = restore(backup, restored);
  if (!report) {
    EXPECT_EQ(report.error().code(), ErrorCode::kInvalidArgument) << report.error().message();
    EXPECT_FALSE(std::filesystem::exists(restored));
    return;
  }
  EXPECT_EQ(CrashChecker(workload, restored).check(posix_file_system(), acked), "") << "the backup's restore";
}

/// Kills during one call, at any moment of the time that one takes, which is learnt.
void run_phase_rounds(const char* name, std::uint64_t rounds, Phase phase, std::uint64_t stream) {
  Workload workload;
  workload.threads = 2;
  workload.steps = 40;
  workload.checkpoint_one_in = 200;
  TestRandom random(stream);
  std::uint64_t killed = 0;
  std::chrono::microseconds longest(8000);
  CaseCount cases("R3");
  for (std::uint64_t round = 0; round < rounds || (killed == 0 && round < 20 * rounds); ++round) {
    const TempDirectory parent;
    const std::string directory = parent.file("db");
    workload.seed = random.next();
    std::vector<unsigned> acked(workload.threads);
    if (phase == Phase::kOpen) {
      Child child(directory, workload, {});
      child.follow(acked, workload.threads * workload.steps, 0);
      child.kill(acked);
    }
    Child child(directory, workload, {.phase = phase, .works = phase != Phase::kOpen});
    child.follow_to_phase(acked);
    const auto wait = longest * static_cast<int>(random.uniform(1001)) / 1000;  // when it is killed is what is random
    const auto took = child.follow_phase(acked, wait);
    const int status = child.kill(acked);
    ASSERT_TRUE(status == -1 || status == 0) << "the child failed in round " << round;
    killed += child.in_phase();
    if (took) longest = std::max(*took, std::chrono::microseconds(100));
    // One that had not ended takes longer than that.
    if (child.in_phase() && 2 * wait > longest)
      longest = std::min<std::chrono::microseconds>(2 * longest, std::chrono::seconds(1));
    CrashChecker checker(workload, directory);
    ASSERT_EQ(checker.check(posix_file_system(), acked), "")
        << "round " << round << ", workload seed " << workload.seed;
    if (phase == Phase::kBackup) check_backup(workload, ChildWork::backup_of(directory), acked);
    ++cases;
  }
  std::printf("%s: %llu rounds, %llu killed in it\n", name, static_cast<unsigned long long>(cases.cases()),
              static_cast<unsigned long long>(killed));
  EXPECT_GT(killed, 0u);
}

TEST(KillTest, FourThreads) {
  Workload workload;
  workload.threads = 4;
  workload.steps = 60;
  run_rounds("four threads", scaled(25), workload, 1);
}

TEST(KillTest, MoreDataThanCacheAndManyCheckpoints) {
  Workload workload;
  workload.threads = 2;
  workload.steps = 80;
  workload.keys = 3000;
  workload.ops_max = 40;
  workload.checkpoint_one_in = 8;
  run_rounds("more data than cache", scaled(12), workload, 2);
}

TEST(KillTest, TablesAndIndexes) {
  Workload workload;
  workload.threads = 2;
  workload.steps = 80;
  workload.ddl_one_in = 8;  // loads of tables, indexes made and dropped
  workload.tables = true;
  run_rounds("tables and indexes", scaled(15), workload, 4);
}

TEST(KillTest, RelaxedCommits) {
  Workload workload;
  workload.threads = 2;
  workload.steps = 200;
  workload.durability = Durability::kRelaxed;
  run_rounds("relaxed", scaled(12), workload, 3);
}

TEST(KillTest, WhileItOpens) {
  run_phase_rounds("open", scaled(10), Phase::kOpen, 6);
}
TEST(KillTest, WhileItWritesACheckpoint) {
  run_phase_rounds("checkpoint", scaled(10), Phase::kCheckpoint, 7);
}
TEST(KillTest, WhileItCloses) {
  run_phase_rounds("close", scaled(10), Phase::kClose, 8);
}
TEST(KillTest, WhileABackupIsMade) {
  run_phase_rounds("backup", scaled(10), Phase::kBackup, 9);
}

// The test of the test: acknowledgements that come too early.
TEST(KillTest, ControlStepsThatWereNotMadeAreMissed) {
  Workload workload;
  workload.threads = 2;
  workload.steps = 60;
  TestRandom random(5);
  for (int round = 0; round < 10; ++round) {
    const TempDirectory parent;
    workload.seed = random.next();
    std::vector<unsigned> acked(workload.threads);
    Child child(parent.file("db"), workload, {.acks_early = true});
    child.follow(acked, 40, 0);
    child.kill(acked);
    const std::string wrong = CrashChecker(workload, parent.file("db")).check(posix_file_system(), acked);
    if (wrong.empty()) continue;
    std::printf("noticed in round %d: %s\n", round, wrong.c_str());
    return;
  }
  ADD_FAILURE() << "steps were acknowledged that had not been made, and nothing was found wrong";
}

}  // namespace
}  // namespace vaultgres
