// Goal: nobody is starved. However many threads want one key, each of them goes on: none waits much longer than the
// system makes a thread wait that wants nothing but a processor, and none gets much less done than the others.
//
// Method: 8 and 64 threads on a map of one leaf, for a short while: a few writers among readers, a few readers among
// writers, and all alike. Readers get, scan, or look at the leaf under its shared latch; writers put, to one key; at
// last to any, for which the leaf may be split. The longest that a thread has waited for an operation to end is held
// against the longest that one of as many plain spinning threads has waited for its processor just before and after. A
// machine has its moments: what is wrong must be wrong again when it is measured for a longer while.
//
// How much each thread gets done is compared where all are alike and each has something else to do between its
// operations. Where threads do nothing but want one latch, most of them sleep, and who happens to find it free does a
// hundred times as much in his time as the others in theirs: that evens out in minutes only.
#include <gtest/gtest.h>

#include <algorithm>
#include <latch>
#include <numeric>

#include "base/seeded_bug.h"
#include "stress/stress_support.h"
#include "support/cases.h"
#include "support/database.h"
#include "support/watchdog.h"

namespace vaultgres {
namespace {

using ProgressClock = std::chrono::steady_clock;
using std::chrono::milliseconds;

/// More than the system does by itself, for as many threads as want it to be quick.
constexpr milliseconds kWaitMax{100};
constexpr milliseconds kWaitNever{5000};

/// kManyKeys: the last, as the leaf may be split for them.
enum class Crowd : std::uint8_t { kFewWriters, kFewReaders, kAllAlike, kManyKeys };
constexpr Crowd kCrowds[] = {Crowd::kFewWriters, Crowd::kFewReaders, Crowd::kAllAlike, Crowd::kManyKeys};

const char* crowd_name(Crowd crowd) {
  const char* const names[] = {"few writers", "few readers", "all alike", "many keys"};
  return names[static_cast<std::size_t>(crowd)];
}

struct ThreadProgress {
  ProgressClock::duration longest{};  ///< operation, from the end of the one before
  std::uint64_t operations = 0;
};

struct Measured {
  ProgressClock::duration longest{};
  double slowest_share = 1;  ///< of the slowest thread, of the mean
};

/// `one(thread)` again and again by so many threads.
template <class One>
std::vector<ThreadProgress> run_together(unsigned count, milliseconds time, One&& one) {
  std::vector<ThreadProgress> threads(count);
  std::latch all_here(count);
  std::atomic<ProgressClock::rep> begun{0};
  on_threads(count, [&](unsigned number) {
    all_here.arrive_and_wait();
    ProgressClock::rep begin = 0;  // the first one's
    const ProgressClock::rep here = ProgressClock::now().time_since_epoch().count();
    if (begun.compare_exchange_strong(begin, here)) begin = here;
    ProgressClock::time_point last{ProgressClock::duration(begin)};
    const ProgressClock::time_point end = last + time;
    ThreadProgress progress;
    for (ProgressClock::time_point now = last; now < end;) {
      one(number);
      now = ProgressClock::now();
      progress.longest = std::max(progress.longest, now - last);
      last = now;
      ++progress.operations;
    }
    threads[number] = progress;
  });
  return threads;
}

Measured measured(const std::vector<ThreadProgress>& threads) {
  Measured result;
  std::uint64_t sum = 0;
  std::uint64_t least = UINT64_MAX;
  for (const ThreadProgress& thread : threads) {
    result.longest = std::max(result.longest, thread.longest);
    sum += thread.operations;
    least = std::min(least, thread.operations);
  }
  result.slowest_share = static_cast<double>(least * threads.size()) / static_cast<double>(sum);
  return result;
}
/// Of both, what is worse.
Measured worse_of(const Measured& a, const Measured& b) {
  return {std::max(a.longest, b.longest), std::min(a.slowest_share, b.slowest_share)};
}

long long in_ms(ProgressClock::duration time) {
  return static_cast<long long>(std::chrono::duration_cast<milliseconds>(time).count());
}

/// A map whose entries stand in one leaf.
class HotLeaf {
 public:
  HotLeaf() : db_(*Database::open_in_memory(options())), map_(*db_.create_map("m")) {
    for (std::uint64_t i = 0; i < kKeys; ++i) EXPECT_TRUE(map_.put(number_key(i), std::string(kValueBytes, 'v')));
    EXPECT_EQ(db_.map_stats("m")->height, 1u);
  }

  /// How threads that do nothing but run get along.
  Measured plain(unsigned threads, milliseconds time) {
    time_ += time;
    return measured(run_together(threads, time, [](unsigned) {}));
  }
  Measured crowded(Crowd crowd, unsigned threads, milliseconds time) {
    time_ += time;
    std::vector<TestRandom> randoms;
    for (unsigned t = 0; t < threads; ++t) randoms.emplace_back(9000 + t);
    return measured(run_together(threads, time, [&](unsigned number) { one(crowd, number, randoms[number]); }));
  }
  /// For so long threads have been measured.
  milliseconds time() const { return time_; }
  void expect_unchanged() {
    EXPECT_EQ(*map_.count(), kKeys);
    expect_sound(db_);
  }

 private:
  static constexpr std::size_t kValueBytes = 24;
  static constexpr std::uint64_t kKeys = kPageBytes / 64;
  static constexpr std::uint64_t kHotKey = kKeys / 2;

  static Options options() {
    Options options = small_options();
    options.durability = Durability::kRelaxed;
    options.lock_timeout = milliseconds(60000);
    return options;
  }
  void one(Crowd crowd, unsigned thread, TestRandom& random) {
    const bool is_of_few = thread % 8 == 0;
    const bool has_side = crowd == Crowd::kFewWriters || crowd == Crowd::kFewReaders;
    const bool writes = has_side ? is_of_few == (crowd == Crowd::kFewWriters) : random.one_in(2);
    if (writes) {
      put(crowd == Crowd::kManyKeys ? random.uniform(kKeys) : kHotKey, random);
    } else {
      read(random);
    }
    for (int i = crowd == Crowd::kAllAlike ? 4000 : 0; i > 0; --i) random.next();
  }

  void put(std::uint64_t key, TestRandom& random) {
    const auto letter = static_cast<char>('a' + random.uniform(26));
    const Status done = map_.put(number_key(key), std::string(kValueBytes, letter));
    EXPECT_TRUE(done) << done.error().message();
  }
  void read(TestRandom& random) {
    const std::uint64_t choice = random.uniform(8);
    if (choice < 2) {
      const auto found = map_.get(number_key(kHotKey));
      EXPECT_TRUE(found && found->has_value()) << "the hot key is not found";
    } else if (choice < 4) {
      Cursor cursor = map_.cursor();
      std::uint64_t seen = 0;
      for (auto more = cursor.seek(number_key(kHotKey)); more && *more; more = cursor.next()) ++seen;
      EXPECT_EQ(seen, kKeys - kHotKey);
    } else {  // latches the leaf
      const Result<SizeEstimate> size = map_.size_estimate();
      EXPECT_TRUE(size && size->entries > 0) << "the leaf is empty";
    }
  }

  Database db_;
  Map map_;
  milliseconds time_{0};
};

/// What must not be, or nothing. `plain`: how as many threads get along that only run.
std::string what_is_starved(Crowd crowd, unsigned threads, const Measured& crowded, const Measured& plain) {
  auto longest = plain.longest + kWaitMax;
  // So many that no processor is left for most of them.
  if (threads > 8) longest = std::min<ProgressClock::duration>(std::max(longest, 3 * plain.longest), kWaitNever);
  if (crowded.longest > longest) {
    return "an operation took " + std::to_string(in_ms(crowded.longest)) + " ms, and a plain thread waits " +
           std::to_string(in_ms(plain.longest)) + " ms at most; ";
  }
  if (crowd == Crowd::kAllAlike && crowded.slowest_share < 0.5 * plain.slowest_share) {
    return "the slowest thread has done " + std::to_string(crowded.slowest_share) + " of the mean, and of plain ones " +
           std::to_string(plain.slowest_share) + "; ";
  }
  return "";
}

/// Measures once; what is wrong is measured again, four times as long.
std::string confirmed_starvation(HotLeaf& leaf, Crowd crowd, unsigned threads) {
  milliseconds time(threads > 8 ? 900 : 300);
  std::string wrong;
  for (int i = 0; i < 2; ++i, time *= 4) {
    const Measured before = leaf.plain(threads, time / 4);
    const Measured crowded = leaf.crowded(crowd, threads, time);
    const Measured plain = worse_of(before, leaf.plain(threads, time / 4));
    std::printf("%u threads, %s: longest %lld ms, plain %lld ms; slowest %.2f of the mean, plain %.2f\n", threads,
                crowd_name(crowd), in_ms(crowded.longest), in_ms(plain.longest), crowded.slowest_share,
                plain.slowest_share);
    const std::string now = what_is_starved(crowd, threads, crowded, plain);
    if (now.empty()) return "";
    wrong += now;
  }
  return std::to_string(threads) + " threads, " + crowd_name(crowd) + ": " + wrong;
}

TEST(ProgressTest, NobodyStarvesOnAHotLeaf) {
  const Watchdog watchdog("threads on one leaf", std::chrono::seconds(120 * scaled(1)));
  HotLeaf leaf;
  std::string wrong;
  for (std::uint64_t round = 0; round < scaled(1) && wrong.empty(); ++round) {
    for (const unsigned threads : {8u, 64u}) {
      for (const Crowd crowd : kCrowds) {
        if (wrong.empty()) wrong = confirmed_starvation(leaf, crowd, threads);
      }
    }
  }
  EXPECT_EQ(wrong, "");
  leaf.expect_unchanged();
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(leaf.time());
  record_cases("R17", static_cast<std::uint64_t>(seconds.count()), HasFailure() ? 1 : 0);
}

// The test of the test: a latch whose exclusive waiters nobody makes room for.
TEST(ProgressControlTest, AnUnfairLatchIsNoticed) {
  const Watchdog watchdog("threads on one leaf", std::chrono::seconds(120));
  HotLeaf leaf;
  const SeededBugScope bug(SeededBug::kUnfairLatch);
  const std::string wrong = confirmed_starvation(leaf, Crowd::kFewWriters, 64);
  EXPECT_NE(wrong, "") << "writers starved, and nobody noticed";
  std::printf("noticed: %s\n", wrong.c_str());
}

}  // namespace
}  // namespace vaultgres
