// A workload whose state after every step is known without asking the database: for tests that cut power, kill, or
// inject faults, and then compare.
//
// Each thread owns the keys whose hash is its number, so all threads share all leaves but no key. A thread's steps
// follow from the seed alone: another process can compute them too. A step is a commit, a rollback, a change of the
// catalog (thread 0 only) or a checkpoint; thread 0's first two make the maps that all threads use.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "support/database.h"
#include "support/random.h"

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
};

struct WorkloadStep {
  enum class Kind : std::uint8_t { kSingle, kCommit, kRollback, kCreateMap, kDropMap, kRenameMap, kCheckpoint, kSync };
  struct Op {
    std::string map;
    std::string key;
    std::optional<std::string> value;  ///< none: erase
  };
  Kind kind = Kind::kSingle;
  std::vector<Op> ops;
  std::string map;  ///< of the changes of the catalog
  std::string new_name;

  /// Once it is acknowledged, it and all steps of the thread before it are durable, also in relaxed mode.
  bool makes_durable() const { return kind >= Kind::kCreateMap; }
};

/// What one thread has put: contents by map. Thread 0 has every map, the others only maps with entries of theirs.
using Partition = std::map<std::string, Content>;

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
    if (thread_ == 0 && number_ <= 2)
      return {.kind = Kind::kCreateMap, .ops = {}, .map = number_ == 1 ? "a" : "b", .new_name = {}};
    if (thread_ == 0 && random_.one_in(workload_.ddl_one_in)) return ddl();
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
};

/// How far one thread came.
struct WorkloadProgress {
  unsigned acked = 0;
  std::optional<Error> error;  ///< of the step after those acknowledged
  Partition content;           ///< after those acknowledged
};

inline Error wrong_answer(const std::string& what) {
  return Error(ErrorCode::kCorruption, "wrong answer: " + what);
}

namespace workload_internal {

/// One change; `mine` are the thread's entries before it.
inline Status change(Map& map, Transaction* txn, const WorkloadStep::Op& op, Content& mine) {
  if (op.value) {
    Status put = txn != nullptr ? map.put(*txn, op.key, *op.value) : map.put(op.key, *op.value);
    if (put) mine[op.key] = *op.value;
    return put;
  }
  const Result<bool> erased = txn != nullptr ? map.erase(*txn, op.key) : map.erase(op.key);
  if (!erased) return erased.error();
  const bool was_there = mine.erase(op.key) == 1;
  if (*erased != was_there) return wrong_answer("erase(" + op.key + ") says " + (*erased ? "true" : "false"));
  return {};
}

inline Status run_changes(Database& db, Transaction* txn, const WorkloadStep& step, Partition mine) {
  for (const WorkloadStep::Op& op : step.ops) {
    Result<Map> map = db.open_map(op.map);
    if (!map) return map.error();
    Content& content = mine[op.map];
    if (Status done = change(*map, txn, op, content); !done) return done;
    const auto read = txn != nullptr ? map->get(*txn, op.key) : map->get(op.key);
    if (!read) {
      // An error after a change that was acknowledged: for a single one the step is done.
      if (txn == nullptr && read.error().code() == ErrorCode::kPoisoned) return {};
      return read.error();
    }
    if (*read != op.value) return wrong_answer("get(" + op.key + ") does not give what was just written");
  }
  return {};
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
    case Kind::kCheckpoint:
      return db.checkpoint();
    case Kind::kSync:
      return db.sync();
  }
  return {};
}

/// Told of each acknowledged step at once: thread, number of its steps so far. From all threads.
using OnAck = std::function<void(unsigned thread, unsigned acked)>;

/// Runs all steps; a thread stops at its first error.
inline std::vector<WorkloadProgress> run_workload(Database& db, const Workload& workload, const OnAck& on_ack) {
  std::vector<WorkloadProgress> progress(workload.threads);
  std::vector<WorkloadSteps> steps;
  for (unsigned t = 0; t < workload.threads; ++t) steps.emplace_back(workload, t);
  const auto run = [&](unsigned t, unsigned until) {
    WorkloadProgress& own = progress[t];
    while (own.acked < until && !own.error) {
      const WorkloadStep step = steps[t].next();
      if (Status done = run_step(db, step, own.content); !done) {
        own.error = done.error();
        return;
      }
      apply_step(own.content, step);
      on_ack(t, ++own.acked);
    }
  };
  run(0, 2);  // the maps
  if (progress[0].error) return progress;
  std::vector<std::thread> threads;
  for (unsigned t = 1; t < workload.threads; ++t) threads.emplace_back(run, t, workload.steps);
  run(0, workload.steps);
  for (std::thread& thread : threads) thread.join();
  return progress;
}

/// Maps that begin so belong to nobody: tests write there after a recovery.
inline constexpr char kAfterMap[] = "after";

/// What a database holds, by owner.
inline Result<std::vector<Partition>> read_partitions(Database& db, unsigned threads) {
  std::vector<Partition> partitions(threads);
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
