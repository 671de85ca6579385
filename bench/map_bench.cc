// Maps beside LMDB, one run, the same keys in the same order: random inserts (relaxed, one put per
// transaction), uniform gets, scans of 100 entries; 1 and 2 threads; everything cached.
//
//   bench_map [KEYS] [DIRECTORY]        default: 10,000,000 keys, a directory below the current one
//
// Keys are 8 random bytes, values 16. Vaultgres runs with its defaults but relaxed durability and a cache
// that holds the data: log and checksums on. LMDB runs as its own expert would for speed: MDB_NOSYNC |
// MDB_WRITEMAP, read transactions renewed, a map size that fits.
#include <lmdb.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "vaultgres/database.h"

namespace {

using Clock = std::chrono::steady_clock;

std::uint64_t mix(std::uint64_t x) {  // splitmix64: a bijection, so keys are distinct
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

struct Key {
  char bytes[8];
  explicit Key(std::uint64_t number) {
    const std::uint64_t mixed = mix(number);
    std::memcpy(bytes, &mixed, 8);
  }
  std::string_view view() const { return {bytes, 8}; }
};

[[noreturn]] void die(const std::string& what) {
  std::fprintf(stderr, "bench_map: %s\n", what.c_str());
  std::exit(1);
}

constexpr unsigned kScanLength = 100;

/// What a benchmark asks of an engine. One Reader per thread.
struct Peer {
  virtual ~Peer() = default;
  virtual const char* name() const = 0;
  virtual void put(std::string_view key, std::string_view value) = 0;
  struct Reader {
    virtual ~Reader() = default;
    virtual bool get(std::string_view key, char* value) = 0;
    virtual unsigned scan(std::string_view from) = 0;  ///< entries read, at most kScanLength
  };
  virtual std::unique_ptr<Reader> reader() = 0;
};

class Vaultgres final : public Peer {
 public:
  Vaultgres(const std::string& directory, std::uint64_t keys) {
    vaultgres::Options options;
    options.durability = vaultgres::Durability::kRelaxed;
    options.cache_bytes = std::max<std::size_t>(keys * 64, std::size_t{64} << 20);
    auto opened = vaultgres::Database::open(directory, options);
    if (!opened) die(std::string(opened.error().message()));
    db_ = std::make_unique<vaultgres::Database>(*std::move(opened));
    auto map = db_->open_or_create_map("bench");
    if (!map) die(std::string(map.error().message()));
    map_ = std::make_unique<vaultgres::Map>(*std::move(map));
  }
  const char* name() const override { return "vaultgres"; }
  void put(std::string_view key, std::string_view value) override {
    if (auto done = map_->put(key, value); !done) die(std::string(done.error().message()));
  }

  class MapReader final : public Reader {
   public:
    explicit MapReader(const vaultgres::Map& map) : map_(map) {}
    bool get(std::string_view key, char* value) override {
      auto found = map_.get(key, value_);
      if (!found) die(std::string(found.error().message()));
      if (!*found || value_.size() != 16) return false;
      std::memcpy(value, value_.data(), 16);
      return true;
    }
    unsigned scan(std::string_view from) override {
      auto cursor = map_.cursor();
      unsigned entries = 0;
      std::uint64_t sum = 0;
      for (auto more = cursor.seek(from);; more = cursor.next()) {
        if (!more) die(std::string(more.error().message()));
        if (!*more) break;
        sum += static_cast<unsigned char>(cursor.value()[0]);
        if (++entries == kScanLength) break;
      }
      sink_ += sum;
      return entries;
    }

   private:
    const vaultgres::Map& map_;
    std::string value_;
    std::uint64_t sink_ = 0;
  };
  std::unique_ptr<Reader> reader() override { return std::make_unique<MapReader>(*map_); }

 private:
  std::unique_ptr<vaultgres::Database> db_;
  std::unique_ptr<vaultgres::Map> map_;
};

class Lmdb final : public Peer {
 public:
  Lmdb(const std::string& directory, std::uint64_t keys) {
    check(mdb_env_create(&env_));
    check(mdb_env_set_mapsize(env_, std::max<std::size_t>(keys * 128, std::size_t{256} << 20)));
    std::filesystem::create_directories(directory);
    check(mdb_env_open(env_, directory.c_str(), MDB_NOSYNC | MDB_WRITEMAP, 0644));
    MDB_txn* txn = nullptr;
    check(mdb_txn_begin(env_, nullptr, 0, &txn));
    check(mdb_dbi_open(txn, nullptr, 0, &dbi_));
    check(mdb_txn_commit(txn));
  }
  ~Lmdb() override { mdb_env_close(env_); }
  const char* name() const override { return "lmdb"; }
  void put(std::string_view key, std::string_view value) override {
    MDB_txn* txn = nullptr;
    check(mdb_txn_begin(env_, nullptr, 0, &txn));
    MDB_val k{key.size(), const_cast<char*>(key.data())};
    MDB_val v{value.size(), const_cast<char*>(value.data())};
    check(mdb_put(txn, dbi_, &k, &v, 0));
    check(mdb_txn_commit(txn));
  }

  class TxnReader final : public Reader {
   public:
    TxnReader(MDB_env* env, MDB_dbi dbi) : dbi_(dbi) {
      check(mdb_txn_begin(env, nullptr, MDB_RDONLY, &txn_));
      check(mdb_cursor_open(txn_, dbi_, &cursor_));
      mdb_txn_reset(txn_);
    }
    ~TxnReader() override {
      mdb_cursor_close(cursor_);
      mdb_txn_abort(txn_);
    }
    bool get(std::string_view key, char* value) override {
      check(mdb_txn_renew(txn_));
      MDB_val k{key.size(), const_cast<char*>(key.data())};
      MDB_val v;
      const bool found = mdb_get(txn_, dbi_, &k, &v) == 0 && v.mv_size == 16;
      if (found) std::memcpy(value, v.mv_data, 16);
      mdb_txn_reset(txn_);
      return found;
    }
    unsigned scan(std::string_view from) override {
      check(mdb_txn_renew(txn_));
      check(mdb_cursor_renew(txn_, cursor_));
      MDB_val k{from.size(), const_cast<char*>(from.data())};
      MDB_val v;
      unsigned entries = 0;
      for (int rc = mdb_cursor_get(cursor_, &k, &v, MDB_SET_RANGE); rc == 0;
           rc = mdb_cursor_get(cursor_, &k, &v, MDB_NEXT)) {
        sink_ += *static_cast<unsigned char*>(v.mv_data);
        if (++entries == kScanLength) break;
      }
      mdb_txn_reset(txn_);
      return entries;
    }

   private:
    MDB_dbi dbi_;
    MDB_txn* txn_ = nullptr;
    MDB_cursor* cursor_ = nullptr;
    std::uint64_t sink_ = 0;
  };
  std::unique_ptr<Reader> reader() override { return std::make_unique<TxnReader>(env_, dbi_); }

 private:
  static void check(int rc) {
    if (rc != 0) die(std::string("lmdb: ") + mdb_strerror(rc));
  }
  MDB_env* env_ = nullptr;
  MDB_dbi dbi_ = 0;
};

/// Runs `work(thread)` on each of `threads`; operations per second in total.
double run(unsigned threads, std::uint64_t operations, const std::function<void(unsigned)>& work) {
  const auto start = Clock::now();
  std::vector<std::thread> running;
  for (unsigned t = 1; t < threads; ++t) running.emplace_back(work, t);
  work(0);
  for (std::thread& thread : running) thread.join();
  return static_cast<double>(operations) / std::chrono::duration<double>(Clock::now() - start).count();
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
  return static_cast<double>(entries.load()) / std::chrono::duration<double>(Clock::now() - start).count();
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
  std::printf("%llu keys of 8 random bytes, values of 16; operations (scans: entries) per second\n",
              static_cast<unsigned long long>(keys));
  std::printf("%-22s %12s %12s %8s\n", "", "vaultgres", "lmdb", "ratio");
  for (const unsigned threads : {2u, 1u}) {
    const std::string suffix = std::to_string(threads);
    Vaultgres ours(directory + "/vaultgres" + suffix, keys);
    Lmdb theirs(directory + "/lmdb" + suffix, keys);
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
