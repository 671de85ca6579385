// How soon a database is open again after its process was killed: random inserts, SIGKILL at a random moment, open;
// again and again. Real files, default options; the same in relaxed mode, which writes log much faster; and in a map
// that stays in the cache for 20 to 40 seconds, so that its pages are dirty for long (half as many kills).
//
//   bench_recovery [KEYS] [KILLS] [DIRECTORY]     default: 4,000,000 keys, 15 kills of each load
//
// The map begins with KEYS entries of 8 random bytes and a value of 100: more than the cache holds, so the pages that
// redo wants lie anywhere on the disk; that in the cache with a twentieth of them. VG_SEED repeats the moments of the
// kills.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "bench_support.h"
#include "db/file_names.h"
#include "io/file.h"
#include "recovery/superblock_store.h"
#include "vaultgres/database.h"
#include "wal/log_reader.h"

namespace {

using namespace vaultgres;  // NOLINT: it measures this engine alone
using bench::Clock;
using bench::die;
using bench::must;

constexpr std::size_t kValueBytes = 100;

struct Load {
  const char* name;
  Durability durability;
  unsigned threads;
  bool in_cache;  // the map begins with a twentieth of the keys, and so does each life
  std::uint64_t shortest_life_ms, longest_life_ms;
  unsigned one_kill_in;  // of those asked for
};
// While all that is dirty fits in half of the cache, pages are written only when the log since they changed is long. To
// come there takes longer lives.
constexpr Load kLoads[] = {
    {"durable", Durability::kDurable, 8, false, 2000, 8000, 1},
    {"relaxed", Durability::kRelaxed, 2, false, 2000, 8000, 1},
    {"durable, in the cache", Durability::kDurable, 8, true, 20'000, 40'000, 2},
};

std::string_view text_of(const std::uint64_t& key) {
  return {reinterpret_cast<const char*>(&key), sizeof key};
}

Database open_database(const std::string& directory, const Load& load) {
  Options options;
  options.durability = load.durability;
  return must(Database::open(directory, options));
}

void fill(const std::string& directory, const Load& load, std::uint64_t keys, std::uint64_t seed) {
  std::vector<std::uint64_t> sorted(keys);
  std::mt19937_64 random(seed);
  for (std::uint64_t& key : sorted) key = random();
  std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return text_of(a) < text_of(b); });
  sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
  Database db = open_database(directory, load);
  MapLoad entries = must(db.load_map("bench"));
  for (const std::uint64_t key : sorted) must(entries.add(text_of(key), std::string(kValueBytes, 'v')));
  must(entries.finish());
  must(db.close());
}

/// In a process of its own, until it is killed. Says when the first commit is done.
[[noreturn]] void insert_for_ever(const std::string& directory, const Load& load, std::uint64_t seed) {
  Database db = open_database(directory, load);
  Map map = must(db.open_map("bench"));
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < load.threads; ++t) {
    threads.emplace_back([&map, t, seed] {
      std::mt19937_64 random(seed * 100 + t);
      const std::string value(kValueBytes, 'w');
      for (std::uint64_t done = 0;; ++done) {
        must(map.put(text_of(random()), value));
        if (t == 0 && done == 0 && ::write(STDOUT_FILENO, "!", 1) != 1) std::exit(1);
      }
    });
  }
  threads[0].join();
  std::abort();
}

/// Starts that process, and kills it when it has been writing for so long.
void write_and_kill(const std::string& directory, std::size_t load, std::uint64_t seed,
                    std::chrono::milliseconds life) {
  int said[2];
  if (::pipe(said) != 0) die("no pipe");
  const pid_t writer = ::fork();
  if (writer == 0) {
    ::dup2(said[1], STDOUT_FILENO);
    const std::string load_text = std::to_string(load);
    const std::string seed_text = std::to_string(seed);
    ::execl("/proc/self/exe", "bench_recovery", "--write", directory.c_str(), load_text.c_str(), seed_text.c_str(),
            nullptr);
    ::_exit(1);
  }
  ::close(said[1]);
  char byte = 0;
  if (writer < 0 || ::read(said[0], &byte, 1) != 1) die("the writing process does not write");
  std::this_thread::sleep_for(life);
  ::kill(writer, SIGKILL);
  int status = 0;
  if (::waitpid(writer, &status, 0) != writer || !WIFSIGNALED(status)) die("the writing process has ended by itself");
  ::close(said[0]);
}

/// Bytes of log that the next open replays.
std::uint64_t log_to_replay(const std::string& directory) {
  FileSystem& files = posix_file_system();
  const auto data = must(files.open(directory + "/" + internal::kDataName, OpenMode::kReadOnly));
  const SuperblockState state = must(SuperblockStore::load(*data)).current();
  const SuperblockState::Epoch& epoch = state.epochs.back();
  LogReader reader =
      must(LogReader::open(files, directory + "/" + internal::kLogName, state.database, state.segment_bytes,
                           {{epoch.number, epoch.salt, epoch.first, epoch.end}}, state.redo_start, state.durable));
  while (must(reader.next())) {
  }
  return raw(reader.accepted_end()) - std::max(raw(state.redo_start), raw(epoch.first));
}

template <class T>
T median(std::vector<T> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void run(std::size_t load, const std::string& directory, std::uint64_t all_keys, unsigned all_kills,
         std::uint64_t seed) {
  const Load& kind = kLoads[load];
  const std::uint64_t keys = kind.in_cache ? all_keys / 20 : all_keys;
  const unsigned kills = (all_kills + kind.one_kill_in - 1) / kind.one_kill_in;
  std::mt19937_64 random(seed);
  std::vector<double> seconds;
  std::vector<double> megabytes;
  for (unsigned i = 0; i < kills; ++i) {
    if (i == 0 || kind.in_cache) {
      std::filesystem::remove_all(directory);
      fill(directory, kind, keys, seed);
    }
    const std::chrono::milliseconds life(kind.shortest_life_ms +
                                         random() % (kind.longest_life_ms - kind.shortest_life_ms));
    write_and_kill(directory, load, seed + i + 1, life);
    megabytes.push_back(static_cast<double>(log_to_replay(directory)) / 1e6);
    const Clock::time_point begin = Clock::now();
    Database db = open_database(directory, kind);
    seconds.push_back(bench::seconds_since(begin));
    must(db.close());
    std::fprintf(stderr, "%s, killed after %.1f s: %.0f MB of log, open again in %.2f s\n", kind.name,
                 static_cast<double>(life.count()) / 1e3, megabytes.back(), seconds.back());
  }
  double all_seconds = 0;
  double all_megabytes = 0;
  for (unsigned i = 0; i < kills; ++i) {
    all_seconds += seconds[i];
    all_megabytes += megabytes[i];
  }
  std::printf("| %s, %uT | %llu | %u | %.0f | %.0f | %.2f | %.2f | %.1f |\n", kind.name, kind.threads,
              static_cast<unsigned long long>(keys), kills, median(megabytes),
              *std::max_element(megabytes.begin(), megabytes.end()), median(seconds),
              *std::max_element(seconds.begin(), seconds.end()), all_seconds / all_megabytes * 1e3);
  std::fflush(stdout);
  std::filesystem::remove_all(directory);
}

}  // namespace

int main(int count, char** words) {
  if (count == 5 && std::strcmp(words[1], "--write") == 0) {
    insert_for_ever(words[2], kLoads[std::strtoull(words[3], nullptr, 10)], std::strtoull(words[4], nullptr, 10));
  }
  const std::uint64_t keys = count > 1 ? std::strtoull(words[1], nullptr, 10) : 4'000'000;
  const auto kills = static_cast<unsigned>(count > 2 ? std::strtoul(words[2], nullptr, 10) : 15);
  const std::string directory = count > 3 ? words[3] : "bench_recovery.vg";
  if (keys < 20 || kills == 0) die("usage: bench_recovery [KEYS] [KILLS] [DIRECTORY]");
  const char* const wish = std::getenv("VG_SEED");
  const std::uint64_t seed = wish != nullptr ? std::strtoull(wish, nullptr, 10) : std::random_device{}();
  std::printf("\nReopening after SIGKILL, %llu keys, seed %llu\n\n", static_cast<unsigned long long>(keys),
              static_cast<unsigned long long>(seed));
  std::printf(
      "| load | keys | kills | log replayed, median MB | max | open again, median s | max | s per GB of log |\n");
  std::printf("|---|---:|---:|---:|---:|---:|---:|---:|\n");
  for (std::size_t load = 0; load < std::size(kLoads); ++load) run(load, directory, keys, kills, seed);
}
