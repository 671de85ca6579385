// The database: open and close, objects, transactions, checks, statistics.
//
//   auto opened = vaultgres::Database::open("shop.vg");
//   if (!opened) return report(opened.error());
//   auto& db = *opened;
//   auto sessions = db.open_or_create_map("sessions");
//   if (!sessions) return report(sessions.error());
//   if (auto put = sessions->put("alice", "42"); !put) return report(put.error());   // durable
//
// A database is a directory. One process, and one handle in it, has it open at a time, or any number that only read
// (Options::read_only): an OS lock on the data file, which the kernel drops with the process. Handles of maps and
// transactions keep the core alive; after close() their calls return kClosed. Any number of threads may use one
// database at once. A child process made by fork() cannot use its parent's: there every call returns kClosed, close()
// too, and destruction does nothing. Open the database after forking (or becoming a daemon).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "vaultgres/backup.h"
#include "vaultgres/dump.h"
#include "vaultgres/map.h"
#include "vaultgres/options.h"
#include "vaultgres/result.h"
#include "vaultgres/table.h"

namespace vaultgres {

/// A transaction over any number of objects. Uncommitted changes are seen by nobody else; destruction
/// without commit() rolls back. One thread at a time. Must not outlive a closed database usefully: its calls
/// then return kClosed, and what it did is rolled back. One that was moved from is one that has ended.
class Transaction {
 public:
  struct State;  ///< internal
  Transaction(Transaction&& other) noexcept;
  Transaction& operator=(Transaction&& other) noexcept;
  ~Transaction();

  /// Ends it; its log space is kept from its first change on, so a full disk does not refuse it. After an error nothing
  /// of it is acknowledged: kPoisoned leaves the decision to the next open.
  Status commit();
  Status commit(Durability durability);
  Status rollback();
  bool active() const noexcept;

 private:
  friend class Database;
  friend class Map;
  friend class Table;
  friend class Index;
  explicit Transaction(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

struct MapInfo {
  std::string name;
  std::uint32_t object_id = 0;
};

/// One thing that `check` found wrong.
struct CheckProblem {
  std::string object;  ///< name of the map, table or index; "the catalog", "the database" and the like
  std::uint32_t page = 0;
  std::string what;
};
struct CheckReport {
  std::vector<CheckProblem> problems;  ///< empty: all is well
  std::uint64_t pages = 0;             ///< of the file
  std::uint64_t pages_free = 0;
  std::uint64_t pages_checked = 0;
  std::uint64_t entries = 0;
};

struct MapStats {
  std::string name;
  unsigned height = 0;  ///< levels, the leaves' included
  std::uint64_t leaf_pages = 0;
  std::uint64_t internal_pages = 0;
  std::uint64_t overflow_pages = 0;
  std::uint64_t entries = 0;  ///< ghosts not included
  std::uint64_t ghosts = 0;
  double leaf_fill = 0;      ///< 0 to 1
  double internal_fill = 0;  ///< 0 to 1
  double fan_out = 0;        ///< mean children of an internal node
  double bytes_per_entry = 0;
};
struct DatabaseStats {
  std::uint64_t pages = 0;
  std::uint64_t pages_free = 0;
  std::uint64_t cache_pages = 0;
  std::uint64_t cache_pages_free = 0;
  std::uint64_t cache_pages_dirty = 0;
  std::uint64_t page_visits = 0;  ///< pages that reads have looked at, counted by the thousand in each thread
  std::uint64_t page_loads = 0;   ///< pages read from disk for whomever: for reads, those are the misses
  std::uint64_t page_evictions = 0;
  std::uint64_t pages_written = 0;
  std::uint64_t write_batches = 0;
  std::uint64_t log_end = 0;  ///< log position: bytes ever logged, padding included
  std::uint64_t log_durable = 0;
  std::uint64_t checkpoints = 0;  ///< since open
  std::uint64_t redo_start = 0;   ///< where recovery would begin, as of the last checkpoint
};

class Database;

namespace internal {
Database make_database(std::shared_ptr<Core> core);
}

/// One that was moved from is a closed one.
class Database {
 public:
  /// Opens, recovers after a crash, and creates if Options say so.
  static Result<Database> open(const std::string& directory, Options options = {});
  /// A temporary database that lives in memory and is gone with its last handle.
  static Result<Database> open_in_memory(Options options = {});

  Database(Database&& other) noexcept;
  Database& operator=(Database&& other) noexcept;
  ~Database();  ///< close(), errors dropped

  /// Waits for calls under way, rolls back open transactions, writes everything and releases the directory.
  Status close();

  Result<Map> create_map(std::string_view name);
  /// Fills a new map with sorted entries; it has its name when the load is finished.
  Result<MapLoad> load_map(std::string_view name);
  Result<Map> open_map(std::string_view name);
  Result<Map> open_or_create_map(std::string_view name);
  /// kConflict, at once, while transactions that wrote to it are open. Its pages are given back in the
  /// background.
  Status drop_map(std::string_view name);
  Status rename_map(std::string_view from, std::string_view to);
  Result<std::vector<MapInfo>> maps();

  Result<Table> create_table(std::string_view name, Schema schema);
  /// Fills a new table; it has its name when the load is finished.
  Result<TableLoad> load_table(std::string_view name, Schema schema);
  Result<Table> open_table(std::string_view name);
  /// With its indexes. As drop_map().
  Status drop_table(std::string_view name);
  Status rename_table(std::string_view from, std::string_view to);
  Result<std::vector<TableInfo>> tables();

  /// On an empty or a full table, whose writers wait meanwhile, up to Options::lock_timeout. kDuplicateKey: two rows
  /// are equal in the columns of a unique index; kConflict while transactions that wrote to the table are open.
  Result<Index> create_index(std::string_view name, std::string_view table, const IndexSpec& spec);
  Result<Index> open_index(std::string_view name);
  /// Waits for transactions that wrote to its table, up to Options::lock_timeout; then kConflict.
  Status drop_index(std::string_view name);
  Status rename_index(std::string_view from, std::string_view to);
  /// Of all tables, or of one.
  Result<std::vector<IndexInfo>> indexes();
  Result<std::vector<IndexInfo>> indexes(std::string_view table);

  /// Pages of a pinned map, table or index leave the cache last. Stays until it is changed, also across restarts.
  Status set_pinned(std::string_view name, bool pinned);

  /// As many as 43,688 transactions may be open and have changed something; the first change of another is kTooLarge.
  /// So is then any call that is a transaction of its own, except for puts and erases of small values in maps.
  Result<Transaction> begin();

  /// Makes every commit so far durable (relaxed commits). kNoSpace: the disk is full, and what is left of the log is
  /// needed by transactions that are open or roll back; they stay what they were.
  Status sync();
  /// Writes all changed pages and a checkpoint: the next open has nothing to redo.
  Status checkpoint();

  /// Writes maps and tables with their indexes to `sink`: these, or all when none is named. What is committed meanwhile
  /// may be in it or not, object by object; while nobody writes it is the database as it stands. After an error what
  /// was written is no dump, and load() says so.
  Result<DumpSummary> dump(const DumpSink& sink, const std::vector<std::string>& objects = {});
  /// Makes the maps, tables and indexes of a dump. `into`: names that they get instead of their own, by those.
  /// kAlreadyExists, and nothing is loaded, when a name is taken. Each map or table gets its name when it is whole,
  /// then its indexes are made: after an error those that were whole by then are there, and nothing of the others.
  /// kCorruption: the dump is damaged or was cut off; kUnsupported: a newer version wrote it.
  Result<DumpSummary> load(const DumpSource& source, const DumpNames& into = {});

  /// Looks at every page: checksums, order, fences, levels, siblings, that every page belongs to exactly one
  /// owner or is free, that indexes have the entries of their tables' rows. Writers wait while it runs.
  Result<CheckReport> check();
  /// Copies the database, while others go on reading and writing, into a new directory, from which restore() makes a
  /// database again: one that has every commit that was acknowledged before the call, and of the later ones all up to
  /// some moment before its return. The log of that time is kept until then, so it needs room. A crash leaves half a
  /// backup, which restore() refuses; an error removes what was made, or says what stays. kConflict: another backup is
  /// under way; kAlreadyExists: the directory is there; kCorruption names the page that is damaged; kReadOnly: the
  /// database is open read-only.
  Result<BackupReport> backup(const std::string& directory, const CopyProgress& progress = {});
  Result<DatabaseStats> stats();
  Result<MapStats> map_stats(std::string_view name);
  Result<TableStats> table_stats(std::string_view name);
  /// As of a map.
  Result<MapStats> index_stats(std::string_view name);

 private:
  friend Database internal::make_database(std::shared_ptr<internal::Core> core);
  explicit Database(std::shared_ptr<internal::Core> core);
  std::shared_ptr<internal::Core> core_;
};

}  // namespace vaultgres
