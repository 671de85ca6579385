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
#include <csignal>

#include "support/crash_checker.h"
#include "support/scale.h"
#include "support/temp_directory.h"

namespace vaultgres {
namespace {

struct Ack {
  std::uint32_t thread;
  std::uint32_t acked;
};

/// What the child does; it never returns. Anything unexpected ends it with an exit status of 2.
[[noreturn]] void run_child(const std::string& directory, const Workload& workload, bool first, int pipe) {
  Result<Database> db = open_on(posix_file_system(), crash_options(workload), directory);
  if (!db) {
    std::fprintf(stderr, "child: open: %s\n", std::string(db.error().message()).c_str());
    ::_exit(2);
  }
  if (first) {
    const auto progress = run_workload(*db, workload, [&](unsigned thread, unsigned acked) {
      const Ack ack{thread, acked};
      if (::write(pipe, &ack, sizeof ack) != sizeof ack) ::_exit(3);
    });
    for (const WorkloadProgress& thread : progress) {
      if (!thread.error) continue;
      std::fprintf(stderr, "child: %s\n", std::string(thread.error->message()).c_str());
      ::_exit(2);
    }
  }
  const bool closed = db->close().has_value();
  ::_exit(closed ? 0 : 2);
}

class Child {
 public:
  Child(const std::string& directory, const Workload& workload, bool first) {
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe(ends.data()), 0);
    std::fflush(nullptr);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::close(ends[0]);
      run_child(directory, workload, first, ends[1]);
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
      pollfd poll{pipe_, POLLIN, 0};
      const bool enough = seen >= acks;
      const int ready = ::poll(&poll, 1, enough ? quiet_ms : 30000);
      if (ready <= 0 || !read_one(acked)) return;
      if (enough) return;
      ++seen;
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

 private:
  bool read_one(std::vector<unsigned>& acked) {
    Ack ack{};
    if (::read(pipe_, &ack, sizeof ack) != sizeof ack) return false;
    acked.at(ack.thread) = ack.acked;
    return true;
  }
  pid_t pid_ = -1;
  int pipe_ = -1;
};

void run_rounds(const char* name, std::uint64_t rounds, Workload workload, std::uint64_t stream) {
  TestRandom random(stream);
  std::uint64_t killed = 0;
  std::uint64_t steps = 0;
  std::uint64_t recoveries_killed = 0;
  for (std::uint64_t round = 0; round < rounds; ++round) {
    const TempDirectory parent;
    const std::string directory = parent.file("db");
    workload.seed = random.next();
    std::vector<unsigned> acked(workload.threads);
    {
      Child child(directory, workload, true);
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
      Child child(directory, workload, false);
      child.follow(acked, 0, static_cast<int>(random.uniform(25)));
      const int status = child.kill(acked);
      ASSERT_TRUE(status == -1 || status == 0) << "a recovery failed in round " << round;
      recoveries_killed += status == -1;
    }
    CrashChecker checker(workload, directory);
    ASSERT_EQ(checker.check(posix_file_system(), acked), "")
        << "round " << round << ", workload seed " << workload.seed;
    for (const unsigned thread : acked) steps += thread;
  }
  std::printf("%s: %llu rounds, %llu killed at work, %llu while recovering, %llu steps acknowledged\n", name,
              static_cast<unsigned long long>(rounds), static_cast<unsigned long long>(killed),
              static_cast<unsigned long long>(recoveries_killed), static_cast<unsigned long long>(steps));
  EXPECT_TRUE(rounds < 8 || killed > 0);
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

}  // namespace
}  // namespace vaultgres
