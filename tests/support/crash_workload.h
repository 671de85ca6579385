// A workload whose state after every step is known without asking the database: for tests that cut power, kill, or
// inject faults, and then compare.
//
// Each thread owns the keys whose hash is its number, so all threads share all leaves but no key. A thread's steps
// follow from the seed alone: another process can compute them too. A step is a commit, a rollback, a change of the
// catalog (thread 0 only) or a checkpoint; thread 0's first ones make the maps and the table that all threads use.
//
// A table counts as a map from the rows' keys to their values (workload_rows.h), an index as one with its definition.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "support/database.h"
#include "support/random.h"
#include "support/workload_rows.h"

namespace vaultgres {

struct Workload {
  std::uint64_t seed = 0;
  unsigned threads = 1;
  unsigned steps = 100;  ///< of each thread
  unsigned keys = 400;
  unsigned ops_max = 8;        ///< of one transaction
  unsigned single_one_in = 2;  ///< the other steps are transactions
  unsigned large_one_in = 12;
  std::size_t value_bytes_max = 120;  ///< of values that are not large
  unsigned checkpoint_one_in = 40;
  unsigned ddl_one_in = 25;
  std::size_t cache_bytes = std::size_t{256} << 10;  ///< and 64 KiB more for each thread above the first
  Durability durability = Durability::kDurable;
  bool tables = false;  ///< rows of tables, and indexes, besides maps

  /// Steps of thread 0 before the others begin.
  unsigned setup_steps() const { return tables ? 5 : 2; }
};

struct WorkloadStep {
  enum class Kind : std::uint8_t {
    kSingle,
    kCommit,
    kRollback,
    kCreateMap,
    kDropMap,
    kRenameMap,
    kCreateTable,
    kLoadTable,  ///< of the rows of `ops`
    kDropTable,
    kCreateIndex,
    kDropIndex,
    kCheckpoint,
    kSync
  };
  struct Op {
    std::string map;  ///< or table
    std::string key;
    std::optional<std::string> value;  ///< none: erase
  };
  Kind kind = Kind::kSingle;
  std::vector<Op> ops;
  std::string map;  ///< of the changes of the catalog: the map, table or index
  std::string new_name;
  std::string table = {};  ///< of an index
  IndexSpec spec = {};

  /// Once it is acknowledged, it and all steps of the thread before it are durable, also in relaxed mode.
  bool makes_durable() const { return kind >= Kind::kCreateMap; }
};

/// What one thread has put: contents by map. Thread 0 has every map, the others only maps with entries of theirs.
using Partition = std::map<std::string, Content>;

inline std::string index_entry(const std::string& index) {
  return "index " + index;
}
inline Content index_content(const std::string& table, const IndexSpec& spec) {
  return {{"table", table}, {"columns", text_of(spec)}};
}

inline void apply_step(Partition& partition, const WorkloadStep& step) {
  using Kind = WorkloadStep::Kind;
  switch (step.kind) {
    case Kind::kSingle:
    case Kind::kCommit:
      for (const WorkloadStep::Op& op : step.ops) {
        Content& content = partition[op.map];
        if (op.value) {
          content[op.key] = *op.value;
        } else {
          content.erase(op.key);
        }
      }
      return;
    case Kind::kCreateMap:
      partition[step.map];
      return;
    case Kind::kDropMap:
      partition.erase(step.map);
      return;
    case Kind::kRenameMap: {
      auto node = partition.extract(step.map);
      node.key() = step.new_name;
      partition.insert(std::move(node));
      return;
    }
    case Kind::kCreateTable:
    case Kind::kLoadTable: {
      Content& content = partition[step.map];
      for (const WorkloadStep::Op& op : step.ops) content[op.key] = *op.value;
      return;
    }
    case Kind::kDropTable:
      partition.erase(step.map);
      std::erase_if(partition, [&](const auto& one) {
        const auto table = one.second.find("table");
        return one.first.starts_with(index_entry("")) && table != one.second.end() && table->second == step.map;
      });
      return;
    case Kind::kCreateIndex:
      partition[index_entry(step.map)] = index_content(step.table, step.spec);
      return;
    case Kind::kDropIndex:
      partition.erase(index_entry(step.map));
      return;
    default:
      return;
  }
}

inline unsigned owner_of(std::string_view key, unsigned threads) {
  std::uint64_t hash = 14695981039346656037u;
  for (const char c : key) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  return static_cast<unsigned>((hash >> 32) % threads);
}

/// The steps of one thread, one after the other.
class WorkloadSteps {
 public:
  WorkloadSteps(const Workload& workload, unsigned thread)
      : workload_(workload), thread_(thread), random_(TestRandom::of_seed(workload.seed * 1000003 + thread)) {}

  WorkloadStep next() {
    using Kind = WorkloadStep::Kind;
    ++number_;
    if (thread_ == 0 && number_ <= workload_.setup_steps()) return setup();
    if (thread_ == 0 && random_.one_in(workload_.ddl_one_in)) {
      return workload_.tables && random_.one_in(2) ? ddl_of_tables() : ddl();
    }
    if (random_.one_in(workload_.checkpoint_one_in)) {
      return {.kind = random_.one_in(2) ? Kind::kSync : Kind::kCheckpoint, .ops = {}, .map = {}, .new_name = {}};
    }
    WorkloadStep step;
    std::size_t ops = 1;
    if (!random_.one_in(workload_.single_one_in)) {
      step.kind = random_.one_in(4) ? Kind::kRollback : Kind::kCommit;
      ops = 1 + random_.uniform(workload_.ops_max);
    }
    for (std::size_t i = 0; i < ops; ++i) step.ops.push_back(op());
    return step;
  }

 private:
  WorkloadStep setup() const {
    using Kind = WorkloadStep::Kind;
    switch (number_) {
      case 1:
      case 2:
        return {.kind = Kind::kCreateMap, .ops = {}, .map = number_ == 1 ? "a" : "b", .new_name = {}};
      case 3:
        return {.kind = Kind::kCreateTable, .ops = {}, .map = kWorkloadTable, .new_name = {}};
      case 4:
        return create_index(kWorkloadKeyIndex, kWorkloadTable, workload_key_spec());
      default:
        return create_index(kWorkloadGroupIndex, kWorkloadTable, workload_group_spec());
    }
  }

  static WorkloadStep create_index(std::string name, std::string table, IndexSpec spec) {
    return {.kind = WorkloadStep::Kind::kCreateIndex,
            .ops = {},
            .map = std::move(name),
            .new_name = {},
            .table = std::move(table),
            .spec = std::move(spec)};
  }

  /// A further table, made empty or loaded, and a further index, of either table, that come and go.
  WorkloadStep ddl_of_tables() {
    using Kind = WorkloadStep::Kind;
    if (random_.one_in(2)) {
      if (!extra_index_.empty()) {
        return {.kind = Kind::kDropIndex, .ops = {}, .map = std::exchange(extra_index_, ""), .new_name = {}};
      }
      extra_index_ = "i" + std::to_string(number_);
      index_is_of_extra_table_ = !extra_table_.empty() && random_.one_in(2);
      IndexSpec spec{.columns = {{"group", random_.one_in(2)}}, .unique = false};
      if (random_.one_in(2)) spec = {.columns = {{"group"}, {"key", random_.one_in(2)}}, .unique = random_.one_in(2)};
      return create_index(extra_index_, index_is_of_extra_table_ ? extra_table_ : kWorkloadTable, std::move(spec));
    }
    if (!extra_table_.empty()) {
      if (index_is_of_extra_table_) extra_index_.clear();
      index_is_of_extra_table_ = false;
      return {.kind = Kind::kDropTable, .ops = {}, .map = std::exchange(extra_table_, ""), .new_name = {}};
    }
    extra_table_ = kWorkloadTable + std::to_string(number_);
    WorkloadStep step{.kind = Kind::kCreateTable, .ops = {}, .map = extra_table_, .new_name = {}};
    if (random_.one_in(3)) return step;
    step.kind = Kind::kLoadTable;
    std::map<std::string, WorkloadStep::Op> rows;  // by key
    for (std::uint64_t i = random_.uniform(60); i > 0; --i) {
      WorkloadStep::Op row = op();
      row.map = extra_table_;
      if (row.value) rows.emplace(row.key, std::move(row));
    }
    for (auto& [key, row] : rows) step.ops.push_back(std::move(row));
    return step;
  }

  WorkloadStep ddl() {
    using Kind = WorkloadStep::Kind;
    if (extra_.empty()) {
      extra_ = "x" + std::to_string(number_);
      return {.kind = Kind::kCreateMap, .ops = {}, .map = extra_, .new_name = {}};
    }
    const std::string old = std::exchange(extra_, "");
    if (random_.one_in(2)) return {.kind = Kind::kDropMap, .ops = {}, .map = old, .new_name = {}};
    extra_ = "y" + std::to_string(number_);
    return {.kind = Kind::kRenameMap, .ops = {}, .map = old, .new_name = extra_};
  }

  WorkloadStep::Op op() {
    WorkloadStep::Op op;
    op.map = !extra_.empty() && random_.one_in(3) ? extra_ : random_.one_in(3) ? "b" : "a";
    if (workload_.tables && !random_.one_in(4)) {
      op.map = !extra_table_.empty() && random_.one_in(4) ? extra_table_ : kWorkloadTable;
    }
    do {
      const std::uint64_t i = random_.uniform(workload_.keys);
      op.key = std::to_string(i * 7919 % 1000) + std::string(i % 23, 'k') + std::to_string(i);
    } while (owner_of(op.key, workload_.threads) != thread_);
    if (random_.one_in(4)) return op;
    const std::size_t bytes = random_.one_in(workload_.large_one_in) ? random_.between(kPageBytes / 2, 3 * kPageBytes)
                                                                     : random_.uniform(workload_.value_bytes_max + 1);
    op.value = std::to_string(thread_) + "." + std::to_string(number_) + "." + std::to_string(random_.uniform(1000));
    op.value->resize(bytes, static_cast<char>('a' + number_ % 26));
    return op;
  }

  const Workload workload_;
  const unsigned thread_;
  TestRandom random_;
  unsigned number_ = 0;
  std::string extra_;  // the map that comes and goes
  std::string extra_table_;
  std::string extra_index_;
  bool index_is_of_extra_table_ = false;
};

/// How far one thread came.
struct WorkloadProgress {
  unsigned acked = 0;
  std::optional<Error> error;  ///< of the step after those acknowledged
  Partition content;           ///< after those acknowledged
};

namespace workload_internal {

inline Status change_entry(Database& db, Transaction* txn, const WorkloadStep::Op& op, bool was_there) {
  Result<Map> map = db.open_map(op.map);
  if (!map) return map.error();
  if (op.value) return txn != nullptr ? map->put(*txn, op.key, *op.value) : map->put(op.key, *op.value);
  const Result<bool> erased = txn != nullptr ? map->erase(*txn, op.key) : map->erase(op.key);
  if (!erased) return erased.error();
  if (*erased != was_there) return wrong_answer("erase(" + op.key + ") says " + (*erased ? "true" : "false"));
  return {};
}

inline Result<std::optional<std::string>> read_entry(Database& db, Transaction* txn, const std::string& name,
                                                     const std::string& key) {
  const Result<Map> map = db.open_map(name);
  if (!map) return map.error();
  return txn != nullptr ? map->get(*txn, key) : map->get(key);
}

/// One change; `mine` are the thread's entries before it.
inline Status change(Database& db, Transaction* txn, const WorkloadStep::Op& op, Content& mine) {
  const bool was_there = mine.contains(op.key);
  Status done = is_workload_table(op.map) ? change_row(db, txn, op.map, op.key, op.value, was_there)
                                          : change_entry(db, txn, op, was_there);
  if (!done) return done;
  if (op.value) {
    mine[op.key] = *op.value;
  } else {
    mine.erase(op.key);
  }
  return {};
}

inline Status run_changes(Database& db, Transaction* txn, const WorkloadStep& step, Partition mine) {
  for (const WorkloadStep::Op& op : step.ops) {
    if (Status done = change(db, txn, op, mine[op.map]); !done) return done;
    const auto read =
        is_workload_table(op.map) ? read_row(db, txn, op.map, op.key) : read_entry(db, txn, op.map, op.key);
    if (!read) {
      // An error after a change that was acknowledged: for a single one the step is done.
      if (txn == nullptr && read.error().code() == ErrorCode::kPoisoned) return {};
      return read.error();
    }
    if (*read != op.value) return wrong_answer("get(" + op.key + ") does not give what was just written");
  }
  return {};
}

inline Status load_table(Database& db, const WorkloadStep& step) {
  Result<TableLoad> load = db.load_table(step.map, workload_schema());
  if (!load) return load.error();
  for (const WorkloadStep::Op& op : step.ops) {
    if (Status added = load->add(workload_row(op.key, *op.value)); !added) return added;
  }
  const Result<Table> table = load->finish();
  return table ? Status() : Status(table.error());
}

}  // namespace workload_internal

inline Status run_step(Database& db, const WorkloadStep& step, const Partition& mine) {
  using Kind = WorkloadStep::Kind;
  switch (step.kind) {
    case Kind::kSingle:
      return workload_internal::run_changes(db, nullptr, step, mine);
    case Kind::kCommit:
    case Kind::kRollback: {
      Result<Transaction> txn = db.begin();
      if (!txn) return txn.error();
      if (Status done = workload_internal::run_changes(db, &*txn, step, mine); !done) return done;
      return step.kind == Kind::kCommit ? txn->commit() : txn->rollback();
    }
    case Kind::kCreateMap: {
      const Result<Map> map = db.create_map(step.map);
      return map ? Status() : Status(map.error());
    }
    case Kind::kDropMap:
      return db.drop_map(step.map);
    case Kind::kRenameMap:
      return db.rename_map(step.map, step.new_name);
    case Kind::kCreateTable: {
      const Result<Table> table = db.create_table(step.map, workload_schema());
      return table ? Status() : Status(table.error());
    }
    case Kind::kLoadTable:
      return workload_internal::load_table(db, step);
    case Kind::kDropTable:
      return db.drop_table(step.map);
    case Kind::kCreateIndex: {
      const Result<Index> index = db.create_index(step.map, step.table, step.spec);
      return index ? Status() : Status(index.error());
    }
    case Kind::kDropIndex:
      return db.drop_index(step.map);
    case Kind::kCheckpoint:
      return db.checkpoint();
    case Kind::kSync:
      return db.sync();
  }
  return {};
}

/// Told of each acknowledged step at once: thread, number of its steps so far. From all threads.
using OnAck = std::function<void(unsigned thread, unsigned acked)>;

/// The steps of all threads, in one piece or in several.
class WorkloadRun {
 public:
  explicit WorkloadRun(const Workload& workload) : workload_(workload), progress_(workload.threads) {
    for (unsigned t = 0; t < workload.threads; ++t) steps_.emplace_back(workload, t);
  }

  /// Until every thread has made so many steps in all; a thread stops at its first error, and for good.
  void run(Database& db, unsigned until, const OnAck& on_ack) {
    run_thread(db, 0, workload_.setup_steps(), on_ack);
    if (progress_[0].error) return;
    std::vector<std::thread> threads;
    for (unsigned t = 1; t < workload_.threads; ++t) {
      threads.emplace_back([&, t] { run_thread(db, t, until, on_ack); });
    }
    run_thread(db, 0, until, on_ack);
    for (std::thread& thread : threads) thread.join();
  }
  const std::vector<WorkloadProgress>& progress() const { return progress_; }
  bool failed() const {
    return std::any_of(progress_.begin(), progress_.end(), [](const auto& one) { return one.error.has_value(); });
  }

 private:
  void run_thread(Database& db, unsigned t, unsigned until, const OnAck& on_ack) {
    WorkloadProgress& own = progress_[t];
    while (own.acked < until && !own.error) {
      const WorkloadStep step = steps_[t].next();
      if (Status done = run_step(db, step, own.content); !done) {
        own.error = done.error();
        return;
      }
      apply_step(own.content, step);
      on_ack(t, ++own.acked);
    }
  }

  const Workload workload_;
  std::vector<WorkloadSteps> steps_;
  std::vector<WorkloadProgress> progress_;
};

/// All steps, in one piece.
inline std::vector<WorkloadProgress> run_workload(Database& db, const Workload& workload, const OnAck& on_ack) {
  WorkloadRun run(workload);
  run.run(db, workload.steps, on_ack);
  return run.progress();
}

/// Maps that begin so belong to nobody: tests write there after a recovery.
inline constexpr char kAfterMap[] = "after";

/// What a database holds, by owner.
inline Result<std::vector<Partition>> read_partitions(Database& db, unsigned threads) {
  std::vector<Partition> partitions(threads);
  const Result<std::vector<TableInfo>> tables = db.tables();
  if (!tables) return tables.error();
  for (const TableInfo& info : *tables) {
    const Result<Content> content = read_workload_table(db, info.name);
    if (!content) return content.error();
    partitions[0][info.name];
    for (const auto& [key, value] : *content) partitions[owner_of(key, threads)][info.name][key] = value;
  }
  const Result<std::vector<IndexInfo>> indexes = db.indexes();
  if (!indexes) return indexes.error();
  for (const IndexInfo& info : *indexes) {
    partitions[0][index_entry(info.name)] = index_content(info.table, info.spec);
  }
  const Result<std::vector<MapInfo>> maps = db.maps();
  if (!maps) return maps.error();
  for (const MapInfo& info : *maps) {
    if (info.name == kAfterMap) continue;
    partitions[0][info.name];
    Result<Map> map = db.open_map(info.name);
    if (!map) return map.error();
    Cursor cursor = map->cursor();
    for (;;) {
      const Result<bool> more = cursor.next();
      if (!more) return more.error().with_context("scan of " + info.name);
      if (!*more) break;
      Partition& owner = partitions[owner_of(cursor.key(), threads)];
      if (!owner[info.name].emplace(cursor.key(), cursor.value()).second) {
        return wrong_answer("the cursor gave a key twice: " + std::string(cursor.key()));
      }
    }
  }
  return partitions;
}

/// Empty: they are equal. `thread` other than 0: a map without entries is as good as none.
inline std::string describe_difference(const Partition& expected, const Partition& found, unsigned thread) {
  for (const auto& [map, content] : expected) {
    const auto other = found.find(map);
    if (other == found.end()) {
      if (thread != 0 && content.empty()) continue;
      return "map " + map + " is missing";
    }
    for (const auto& [key, value] : content) {
      const auto entry = other->second.find(key);
      if (entry == other->second.end()) return "map " + map + " lacks " + key + " = " + value.substr(0, 20);
      if (entry->second != value) {
        return "map " + map + " has " + key + " = " + entry->second.substr(0, 20) + " (" +
               std::to_string(entry->second.size()) + " bytes) and not " + value.substr(0, 20) + " (" +
               std::to_string(value.size()) + " bytes)";
      }
    }
    for (const auto& [key, value] : other->second) {
      if (!content.contains(key)) return "map " + map + " has " + key + " = " + value.substr(0, 20);
    }
  }
  for (const auto& [map, content] : found) {
    if (!expected.contains(map)) return "map " + map + " is there";
  }
  return "";
}

/// What a thread's partition must be after so many steps. Cheap when asked in ascending order.
class WorkloadOracle {
 public:
  WorkloadOracle(const Workload& workload, unsigned thread) : workload_(workload), thread_(thread) { restart(); }

  /// Empty when `found` is the state after some number of steps from `acked` (in relaxed mode: from the last that
  /// made all before it durable) to acked + 1.
  std::string compare(unsigned acked, const Partition& found) {
    if (acked < at_) restart();
    while (at_ < acked) {
      const WorkloadStep step = take();
      if (workload_.durability == Durability::kDurable || step.makes_durable()) {
        apply_not_durable();
        apply_step(lowest_, step);
      } else {
        not_durable_.push_back(step);
      }
    }
    const std::string first = describe_difference(lowest_, found, thread_);
    if (first.empty()) return "";
    std::string difference = first;
    Partition expected = lowest_;
    for (std::size_t i = 0; !difference.empty() && i <= not_durable_.size(); ++i) {
      apply_step(expected, i < not_durable_.size() ? not_durable_[i] : peek());
      difference = describe_difference(expected, found, thread_);
    }
    if (difference.empty()) return "";
    return "thread " + std::to_string(thread_) + " after " + std::to_string(acked) + " acknowledged steps: " + first +
           "; and with one step more: " + difference;
  }

 private:
  void restart() {
    steps_.emplace(workload_, thread_);
    next_.reset();
    at_ = 0;
    lowest_.clear();
    not_durable_.clear();
  }
  WorkloadStep take() {
    WorkloadStep step = peek();
    next_.reset();
    ++at_;
    return step;
  }
  const WorkloadStep& peek() {
    if (!next_) next_ = steps_->next();
    return *next_;
  }
  void apply_not_durable() {
    for (const WorkloadStep& step : not_durable_) apply_step(lowest_, step);
    not_durable_.clear();
  }

  const Workload workload_;
  const unsigned thread_;
  std::optional<WorkloadSteps> steps_;
  std::optional<WorkloadStep> next_;
  unsigned at_ = 0;
  Partition lowest_;
  std::vector<WorkloadStep> not_durable_;
};

}  // namespace vaultgres
