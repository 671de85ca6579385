// Maps beside LMDB, one run, the same keys in the same order: random inserts (relaxed, one put per
// transaction), uniform gets, scans of 100 entries; 1 and 2 threads; everything cached.
//
//   bench_map [KEYS] [DIRECTORY]        default: 10,000,000 keys, a directory below the current one
//
// Keys are 8 random bytes, values 16. Vaultgres runs with its defaults but relaxed durability and a cache
// that holds the data: log and checksums on. LMDB runs as its own expert would for speed: MDB_NOSYNC |
// MDB_WRITEMAP, read transactions renewed, a map size that fits.
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "peers.h"

namespace {

using namespace bench;  // NOLINT: nothing else is here

/// Runs `work(thread)` on each of `threads`; operations per second in total.
double run(unsigned threads, std::uint64_t operations, const std::function<void(unsigned)>& work) {
  const auto start = Clock::now();
  std::vector<std::thread> running;
  for (unsigned t = 1; t < threads; ++t) running.emplace_back(work, t);
  work(0);
  for (std::thread& thread : running) thread.join();
  return static_cast<double>(operations) / seconds_since(start);
}

double insert(Peer& peer, unsigned threads, std::uint64_t keys) {
  return run(threads, keys, [&](unsigned thread) {
    char value[16] = "fifteen letters";
    for (std::uint64_t i = thread; i < keys; i += threads) {
      std::memcpy(value, &i, 8);
      peer.put(Key(i).view(), {value, 16});
    }
  });
}

double get(Peer& peer, unsigned threads, std::uint64_t keys, std::uint64_t operations) {
  std::atomic<bool> wrong{false};
  const double rate = run(threads, operations, [&](unsigned thread) {
    const auto reader = peer.reader();
    char value[16];
    for (std::uint64_t i = thread; i < operations; i += threads) {
      const std::uint64_t number = mix(i + 12345) % keys;
      if (!reader->get(Key(number).view(), value) || std::memcmp(value, &number, 8) != 0) wrong.store(true);
    }
  });
  if (wrong.load()) die(std::string(peer.name()) + " gave a wrong value");
  return rate;
}

double scan(Peer& peer, unsigned threads, std::uint64_t keys, std::uint64_t scans) {
  std::atomic<std::uint64_t> entries{0};
  const auto start = Clock::now();
  run(threads, scans, [&](unsigned thread) {
    const auto reader = peer.reader();
    std::uint64_t seen = 0;
    for (std::uint64_t i = thread; i < scans; i += threads) seen += reader->scan(Key(mix(i + 777) % keys).view());
    entries.fetch_add(seen);
  });
  return static_cast<double>(entries.load()) / seconds_since(start);
}

std::uint64_t bytes_on_disk(const std::string& directory) {
  std::uint64_t bytes = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    if (entry.is_regular_file()) bytes += entry.file_size();
  }
  return bytes;
}

void row(const char* what, double ours, double theirs) {
  std::printf("%-22s %12.0f %12.0f %8.2f\n", what, ours, theirs, ours / theirs);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t keys = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 10'000'000;
  const std::string directory = argc > 2 ? argv[2] : "bench_data";
  if (keys == 0) die("the number of keys must be at least 1");
  std::filesystem::remove_all(directory);
  std::filesystem::create_directories(directory);
  vaultgres::Options options;
  options.durability = vaultgres::Durability::kRelaxed;
  options.cache_bytes = std::max<std::size_t>(keys * 64, std::size_t{64} << 20);
  std::printf("%llu keys of 8 random bytes, values of 16; operations (scans: entries) per second\n",
              static_cast<unsigned long long>(keys));
  std::printf("%-22s %12s %12s %8s\n", "", "vaultgres", "lmdb", "ratio");
  for (const unsigned threads : {2u, 1u}) {
    const std::string suffix = std::to_string(threads);
    Vaultgres ours(directory + "/vaultgres" + suffix, options);
    Lmdb theirs(directory + "/lmdb" + suffix, options.durability,
                std::max<std::size_t>(keys * 128, std::size_t{256} << 20));
    const std::string label = "insert " + suffix + "T";
    row(label.c_str(), insert(ours, threads, keys), insert(theirs, threads, keys));
    if (threads != 1) continue;
    for (const unsigned readers : {1u, 2u}) {
      const std::string reading = std::to_string(readers) + "T";
      get(ours, readers, keys, keys / 5 + 1);  // warm
      get(theirs, readers, keys, keys / 5 + 1);
      const std::uint64_t operations = keys / 2 + 1;
      // Two interleaved passes each; the better one counts, for both.
      double best[4] = {};
      for (int pass = 0; pass < 2; ++pass) {
        best[0] = std::max(best[0], get(ours, readers, keys, operations));
        best[1] = std::max(best[1], get(theirs, readers, keys, operations));
        best[2] = std::max(best[2], scan(ours, readers, keys, operations / 25 + 1));
        best[3] = std::max(best[3], scan(theirs, readers, keys, operations / 25 + 1));
      }
      row(("get " + reading).c_str(), best[0], best[1]);
      row(("scan 100 " + reading).c_str(), best[2], best[3]);
    }
    std::printf("%-22s %12.2f %12.2f\n", "bytes on disk / raw",
                static_cast<double>(bytes_on_disk(directory + "/vaultgres1")) / static_cast<double>(keys * 24),
                static_cast<double>(bytes_on_disk(directory + "/lmdb1")) / static_cast<double>(keys * 24));
  }
  std::filesystem::remove_all(directory);
  return 0;
}
