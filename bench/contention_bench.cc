// Many threads on one map, beside LMDB: operations per second with 1, 2, 8, 16 and 64 of them, how much more two do
// than one, how much of that 64 keep, and how long an operation took at worst.
//
//   bench_contention [--threads 1,2,8,16,64] [--keys 1000000] [--seconds 1] [DIRECTORY]
//
// Keys are 8 random bytes, values 16; one operation is one transaction. Vaultgres runs with its defaults, so everything
// is in its cache up to some 2,000,000 keys. Commits are durable or relaxed, as each load says; the loads that only
// read run on a durable database. LMDB does the same with its defaults, or with MDB_NOSYNC | MDB_WRITEMAP.
//
// Each load runs for so many seconds with each number of threads, but inserts end when all keys are in an empty map,
// and only durable ones when the time is over. There are two passes, the engines in turns: the better rate counts, and
// the longer wait. The clock is read after each operation: a wait is the time from one reading to the next, so it has
// in it what the system took the processor away for. What that alone comes to, threads show that do nothing else.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <latch>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "peers.h"

namespace {

using namespace bench;  // NOLINT: nothing else is here
using vaultgres::Durability;

enum class Choice { kUniform, kZipf, kOne, kNew };

struct Load {
  const char* name;
  Choice keys;
  unsigned writes_in_100;  // the others are gets
  Durability durability;
};
constexpr Load kLoads[] = {
    {"get, uniform", Choice::kUniform, 0, Durability::kDurable},
    {"get, Zipf 0.99", Choice::kZipf, 0, Durability::kDurable},
    {"get, one key", Choice::kOne, 0, Durability::kDurable},
    {"insert, relaxed", Choice::kNew, 100, Durability::kRelaxed},
    {"insert, durable", Choice::kNew, 100, Durability::kDurable},
    {"50/50, uniform, relaxed", Choice::kUniform, 50, Durability::kRelaxed},
    {"50/50, uniform, durable", Choice::kUniform, 50, Durability::kDurable},
    {"50/50, Zipf 0.99, relaxed", Choice::kZipf, 50, Durability::kRelaxed},
    {"50/50, Zipf 0.99, durable", Choice::kZipf, 50, Durability::kDurable},
    {"95/5, uniform, relaxed", Choice::kUniform, 5, Durability::kRelaxed},
    {"95/5, uniform, durable", Choice::kUniform, 5, Durability::kDurable},
    {"95/5, Zipf 0.99, relaxed", Choice::kZipf, 5, Durability::kRelaxed},
    {"95/5, Zipf 0.99, durable", Choice::kZipf, 5, Durability::kDurable},
    {"put, one key, relaxed", Choice::kOne, 100, Durability::kRelaxed},
    {"put, one key, durable", Choice::kOne, 100, Durability::kDurable},
};
enum Engine { kVaultgres, kLmdb };
constexpr unsigned kEngines = 2;

struct Settings {
  std::vector<unsigned> threads = {1, 2, 8, 16, 64};
  std::uint64_t keys = 1'000'000;
  double seconds = 1;
  std::string directory = "bench_data";
};

/// What came of a load with one number of threads.
struct Outcome {
  double rate = 0;  // per second, of all threads
  double longest_ms = 0;
};

/// One operation of a thread; false: there is nothing left to do.
using Operation = std::function<bool()>;

/// Each of `threads` gets its operation from `prepare` and calls it again and again, for `seconds`.
Outcome measure(unsigned threads, double seconds, const std::function<Operation(unsigned thread)>& prepare) {
  struct Share {
    std::uint64_t operations = 0;
    Clock::duration longest{};
    Clock::time_point end;
  };
  std::vector<Share> shares(threads);
  std::latch ready(threads);
  std::latch begun(1);
  Clock::time_point deadline;
  const auto work = [&](unsigned thread) {
    const Operation operation = prepare(thread);
    Share share;
    ready.count_down();
    begun.wait();
    share.end = Clock::now();
    while (share.end < deadline && operation()) {
      const Clock::time_point now = Clock::now();
      share.longest = std::max(share.longest, now - share.end);
      share.end = now;
      ++share.operations;
    }
    shares[thread] = share;
  };
  std::vector<std::thread> running;
  for (unsigned t = 0; t < threads; ++t) running.emplace_back(work, t);
  ready.wait();
  const Clock::time_point begin = Clock::now();
  deadline = begin + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  begun.count_down();
  for (std::thread& thread : running) thread.join();

  Share all;
  for (const Share& share : shares) {
    all.operations += share.operations;
    all.longest = std::max(all.longest, share.longest);
    all.end = std::max(all.end, share.end);
  }
  return {static_cast<double>(all.operations) / std::chrono::duration<double>(all.end - begin).count(),
          std::chrono::duration<double, std::milli>(all.longest).count()};
}

/// Key numbers of a Zipf distribution with exponent 0.99: number i as often as 1 / (i + 1) ^ 0.99.
std::vector<std::uint64_t> draw_zipf(std::uint64_t keys) {
  std::vector<double> sums(keys);
  double sum = 0;
  for (std::uint64_t i = 0; i < keys; ++i) sums[i] = sum += std::pow(static_cast<double>(i + 1), -0.99);
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> point(0, sum);
  std::vector<std::uint64_t> drawn(std::size_t{1} << 20);
  for (std::uint64_t& number : drawn) {
    const auto found = std::upper_bound(sums.begin(), sums.end(), point(random));
    number = std::min<std::uint64_t>(static_cast<std::uint64_t>(found - sums.begin()), keys - 1);
  }
  return drawn;
}

/// The value of key number n begins with n.
struct Value {
  std::uint64_t words[2];
  std::string_view view() const { return {reinterpret_cast<const char*>(words), sizeof words}; }
};

/// Gets and puts of keys that are there.
Operation use(Peer& peer, const Load& load, std::uint64_t keys, const std::vector<std::uint64_t>& zipf,
              unsigned thread) {
  // Each thread begins elsewhere.
  std::uint64_t step = std::uint64_t{thread} * 1'000'003;
  const std::shared_ptr<Peer::Reader> reader = peer.reader();
  return [&peer, &zipf, load, keys, reader, step]() mutable {
    const std::uint64_t random = mix(++step);
    std::uint64_t number = 0;
    if (load.keys == Choice::kUniform) number = random % keys;
    if (load.keys == Choice::kZipf) number = zipf[step % zipf.size()];
    const Key key(number);
    Value value{{number, step}};
    if ((random >> 40) % 100 < load.writes_in_100) {
      peer.put(key.view(), value.view());
    } else if (!reader->get(key.view(), reinterpret_cast<char*>(value.words)) || value.words[0] != number) {
      die(std::string(peer.name()) + " gave a wrong value");
    }
    return true;
  };
}

/// Puts of all keys, one after the other; threads take some at a time.
Outcome insert(Peer& peer, unsigned threads, std::uint64_t keys, double seconds) {
  constexpr std::uint64_t kAtATime = 64;
  std::atomic<std::uint64_t> taken{0};
  return measure(threads, seconds, [&](unsigned) -> Operation {
    return [&peer, &taken, keys, number = std::uint64_t{0}, end = std::uint64_t{0}]() mutable {
      if (number == end) {
        number = taken.fetch_add(kAtATime);
        if (number >= keys) return false;
        end = std::min(number + kAtATime, keys);
      }
      peer.put(Key(number).view(), Value{{number, 0}}.view());
      ++number;
      return true;
    };
  });
}

constexpr double kNoTimeLimit = 1e6;

class Benchmark {
 public:
  explicit Benchmark(Settings settings) : settings_(std::move(settings)), zipf_(draw_zipf(settings_.keys)) {}

  void run() {
    for (const unsigned engine : {kVaultgres, kLmdb}) {
      insert(*open(engine, Durability::kRelaxed, filled(engine)), 2, settings_.keys, kNoTimeLimit);
    }
    std::printf("\nOperations per second\n\n");
    print_head("load", true);
    for (std::size_t i = 0; i < std::size(kLoads); ++i) {
      run(kLoads[i], outcomes_[i]);
      for (const unsigned engine : {kVaultgres, kLmdb}) print_rates(kLoads[i].name, engine, outcomes_[i][engine]);
    }
    std::printf("\nThe longest wait of an operation, in ms\n\n");
    print_head("load", false);
    print_waits("none, only threads", "", spin());
    for (std::size_t i = 0; i < std::size(kLoads); ++i) {
      for (const unsigned engine : {kVaultgres, kLmdb}) {
        print_waits(kLoads[i].name, name_of(engine), outcomes_[i][engine]);
      }
    }
  }

 private:
  static constexpr int kPasses = 2;
  using Outcomes = std::vector<Outcome>;  // one for each number of threads

  static const char* name_of(unsigned engine) { return engine == kVaultgres ? "vaultgres" : "lmdb"; }
  std::string filled(unsigned engine) const { return settings_.directory + "/" + name_of(engine); }

  std::unique_ptr<Peer> open(unsigned engine, Durability durability, const std::string& directory) const {
    if (engine == kLmdb) {
      return std::make_unique<Lmdb>(directory, durability,
                                    std::max<std::size_t>(settings_.keys * 256, std::size_t{1} << 30));
    }
    vaultgres::Options options;
    options.durability = durability;
    return std::make_unique<Vaultgres>(directory, options);
  }

  /// One that has all keys, read once.
  std::unique_ptr<Peer> open_filled(unsigned engine, Durability durability) const {
    std::unique_ptr<Peer> peer = open(engine, durability, filled(engine));
    const std::unique_ptr<Peer::Reader> reader = peer->reader();
    for (std::uint64_t i = 0; i < settings_.keys; ++i) {
      Value value;
      if (!reader->get(Key(i).view(), reinterpret_cast<char*>(value.words))) die("a key is not there");
    }
    return peer;
  }

  void run(const Load& load, Outcomes (&outcomes)[kEngines]) const {
    std::unique_ptr<Peer> peers[kEngines];
    for (const unsigned engine : {kVaultgres, kLmdb}) {
      outcomes[engine].resize(settings_.threads.size());
      if (load.keys != Choice::kNew) peers[engine] = open_filled(engine, load.durability);
    }
    for (std::size_t i = 0; i < settings_.threads.size(); ++i) {
      for (int pass = 0; pass < kPasses; ++pass) {
        for (const unsigned engine : {kVaultgres, kLmdb}) {
          const Outcome outcome = load.keys == Choice::kNew ? insert_anew(engine, load, settings_.threads[i])
                                                            : use_filled(*peers[engine], load, settings_.threads[i]);
          Outcome& kept = outcomes[engine][i];
          kept = {std::max(kept.rate, outcome.rate), std::max(kept.longest_ms, outcome.longest_ms)};
        }
      }
    }
  }

  Outcome insert_anew(unsigned engine, const Load& load, unsigned threads) const {
    const std::string directory = settings_.directory + "/new";
    const double seconds = load.durability == Durability::kRelaxed ? kNoTimeLimit : settings_.seconds;
    const Outcome outcome = insert(*open(engine, load.durability, directory), threads, settings_.keys, seconds);
    std::filesystem::remove_all(directory);
    return outcome;
  }

  Outcome use_filled(Peer& peer, const Load& load, unsigned threads) const {
    return measure(threads, settings_.seconds,
                   [&](unsigned thread) { return use(peer, load, settings_.keys, zipf_, thread); });
  }

  Outcomes spin() const {
    Outcomes outcomes;
    for (const unsigned threads : settings_.threads) {
      outcomes.push_back(
          measure(threads, settings_.seconds * kPasses, [](unsigned) -> Operation { return [] { return true; }; }));
    }
    return outcomes;
  }

  void print_head(const char* what, bool ratios) const {
    std::printf("| %s | |", what);
    std::string line = "|---|---|";
    for (const unsigned threads : settings_.threads) {
      std::printf(" %uT |", threads);
      line += "---:|";
    }
    if (ratios) {
      const unsigned first = settings_.threads[0];
      const unsigned second = settings_.threads[1];
      const unsigned last = settings_.threads.back();
      std::printf(" %uT/%uT | %uT/%uT | %uT/%uT |", second, first, last, second, last, first);
      line += "---:|---:|---:|";
    }
    std::printf("\n%s\n", line.c_str());
  }

  void print_rates(const char* load, unsigned engine, const Outcomes& outcomes) const {
    std::printf("| %s | %s |", load, name_of(engine));
    for (const Outcome& outcome : outcomes) std::printf(" %.0f |", outcome.rate);
    const double first = outcomes[0].rate;
    const double second = outcomes[1].rate;
    const double last = outcomes.back().rate;
    std::printf(" %.2f | %.2f | %.2f |\n", second / first, last / second, last / first);
    std::fflush(stdout);
  }

  void print_waits(const char* load, const char* engine, const Outcomes& outcomes) const {
    std::printf("| %s | %s |", load, engine);
    for (const Outcome& outcome : outcomes) std::printf(" %.1f |", outcome.longest_ms);
    std::printf("\n");
    std::fflush(stdout);
  }

  const Settings settings_;
  const std::vector<std::uint64_t> zipf_;
  Outcomes outcomes_[std::size(kLoads)][kEngines];
};

[[noreturn]] void die_of_usage() {
  die("usage: bench_contention [--threads N,N…] [--keys N] [--seconds N] [DIRECTORY]");
}

/// At least two numbers, each larger than the one before.
std::vector<unsigned> parse_threads(const char* text) {
  std::vector<unsigned> threads;
  for (char* end = nullptr;; text = end + 1) {
    const unsigned long number = std::strtoul(text, &end, 10);
    if (number <= (threads.empty() ? 0 : threads.back()) || number > 1000) die_of_usage();
    threads.push_back(static_cast<unsigned>(number));
    if (*end == '\0' && threads.size() > 1) return threads;
    if (*end != ',') die_of_usage();
  }
}

Settings parse(int count, char** words) {
  Settings settings;
  for (int i = 1; i < count; ++i) {
    const std::string word = words[i];
    if (!word.starts_with("--")) {
      settings.directory = word;
      continue;
    }
    if (++i == count) die_of_usage();
    if (word == "--threads") {
      settings.threads = parse_threads(words[i]);
    } else if (word == "--keys") {
      settings.keys = std::strtoull(words[i], nullptr, 10);
    } else if (word == "--seconds") {
      settings.seconds = std::strtod(words[i], nullptr);
    } else {
      die_of_usage();
    }
  }
  if (settings.keys == 0 || !(settings.seconds > 0)) die_of_usage();
  return settings;
}

}  // namespace

int main(int count, char** words) {
  const Settings settings = parse(count, words);
  std::filesystem::remove_all(settings.directory);
  std::filesystem::create_directories(settings.directory);
  std::printf("\n%llu keys, %u processors\n", static_cast<unsigned long long>(settings.keys),
              std::thread::hardware_concurrency());
  Benchmark(settings).run();
  std::filesystem::remove_all(settings.directory);
  return 0;
}
