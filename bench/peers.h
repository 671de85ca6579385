// The engines that are measured side by side: one map of keys and values of 16 bytes, one put per transaction.
#pragma once

#include <lmdb.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "bench_support.h"
#include "vaultgres/database.h"

namespace bench {

inline constexpr unsigned kScanLength = 100;

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
  Vaultgres(const std::string& directory, const vaultgres::Options& options)
      : db_(must(vaultgres::Database::open(directory, options))), map_(must(db_.open_or_create_map("bench"))) {}
  const char* name() const override { return "vaultgres"; }
  void put(std::string_view key, std::string_view value) override { must(map_.put(key, value)); }

  class MapReader final : public Reader {
   public:
    explicit MapReader(const vaultgres::Map& map) : map_(map) {}
    bool get(std::string_view key, char* value) override {
      if (!must(map_.get(key, value_)) || value_.size() != 16) return false;
      std::memcpy(value, value_.data(), 16);
      return true;
    }
    unsigned scan(std::string_view from) override {
      auto cursor = map_.cursor();
      unsigned entries = 0;
      std::uint64_t sum = 0;
      for (bool more = must(cursor.seek(from)); more; more = must(cursor.next())) {
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
  std::unique_ptr<Reader> reader() override { return std::make_unique<MapReader>(map_); }

 private:
  vaultgres::Database db_;
  vaultgres::Map map_;
};

class Lmdb final : public Peer {
 public:
  /// Relaxed: as its own expert would run it for speed, read transactions renewed; durable: with its defaults.
  Lmdb(const std::string& directory, vaultgres::Durability durability, std::size_t bytes_max) {
    check(mdb_env_create(&env_));
    check(mdb_env_set_mapsize(env_, bytes_max));
    std::filesystem::create_directories(directory);
    const bool relaxed = durability == vaultgres::Durability::kRelaxed;
    check(mdb_env_open(env_, directory.c_str(), relaxed ? MDB_NOSYNC | MDB_WRITEMAP : 0, 0644));
    MDB_txn* txn = nullptr;
    check(mdb_txn_begin(env_, nullptr, 0, &txn));
    check(mdb_dbi_open(txn, nullptr, 0, &dbi_));
    check(mdb_txn_commit(txn));
  }
  ~Lmdb() override { mdb_env_close(env_); }
  Lmdb(const Lmdb&) = delete;
  Lmdb& operator=(const Lmdb&) = delete;
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

}  // namespace bench
