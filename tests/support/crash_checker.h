// Opens what a crash could have left of a database and says what is wrong with it.
#pragma once

#include <string>
#include <vector>

#include "io/file.h"
#include "support/crash_workload.h"

namespace vaultgres {

inline Options crash_options(const Workload& workload) {
  Options options;
  options.cache_bytes = workload.cache_bytes + (std::size_t{64} << 10) * (workload.threads - 1);
  options.durability = workload.durability;
  options.flush_interval_ms = 20;
  options.lock_timeout = std::chrono::milliseconds(10000);
  return options;
}

/// Opens databases after a crash and says what is wrong with them.
class CrashChecker {
 public:
  explicit CrashChecker(const Workload& workload, std::string directory = "/db");

  /// Empty: everything acknowledged is there, at most one step of each thread more, all sound, and the database
  /// goes on: it takes a write, closes, opens again and is the same.
  std::string check(FileSystem& disk, const std::vector<unsigned>& acked);
  /// The same for a database that is open.
  std::string check_open(Database& db, const std::vector<unsigned>& acked);

  std::uint64_t states() const noexcept { return states_; }

 private:
  std::string check_sound(Database& db) const;
  std::string check_content(Database& db, const std::vector<unsigned>& acked, std::vector<Partition>& found);
  std::string go_on(Database& db);
  static std::string go_on_with_table(Database& db);
  std::string check_reopened(FileSystem& disk, const std::vector<Partition>& before);

  const Workload workload_;
  const std::string directory_;
  std::vector<WorkloadOracle> oracles_;
  std::uint64_t states_ = 0;
};

inline CrashChecker::CrashChecker(const Workload& workload, std::string directory)
    : workload_(workload), directory_(std::move(directory)) {
  for (unsigned t = 0; t < workload.threads; ++t) oracles_.emplace_back(workload, t);
}

inline std::string CrashChecker::check(FileSystem& disk, const std::vector<unsigned>& acked) {
  ++states_;
  std::vector<Partition> found;
  {
    Result<Database> db = open_on(disk, crash_options(workload_), directory_);
    if (!db) return "open: " + std::string(db.error().message());
    if (std::string wrong = check_sound(*db); !wrong.empty()) return wrong;
    if (std::string wrong = check_content(*db, acked, found); !wrong.empty()) return wrong;
    if (std::string wrong = go_on(*db); !wrong.empty()) return wrong;
    if (const Status closed = db->close(); !closed) return "close: " + std::string(closed.error().message());
  }
  return check_reopened(disk, found);
}

inline std::string CrashChecker::check_open(Database& db, const std::vector<unsigned>& acked) {
  ++states_;
  std::vector<Partition> found;
  if (std::string wrong = check_content(db, acked, found); !wrong.empty()) return wrong;
  return check_sound(db);
}

inline std::string CrashChecker::check_sound(Database& db) const {
  const Result<CheckReport> report = db.check();
  if (!report) return "check: " + std::string(report.error().message());
  if (report->problems.empty()) return "";
  const CheckProblem& first = report->problems.front();
  return "check: " + std::to_string(report->problems.size()) + " problems, first: page " + std::to_string(first.page) +
         " of " + first.object + ": " + first.what;
}

inline std::string CrashChecker::check_content(Database& db, const std::vector<unsigned>& acked,
                                               std::vector<Partition>& found) {
  Result<std::vector<Partition>> read = read_partitions(db, workload_.threads);
  if (!read) return "read: " + std::string(read.error().message());
  found = *std::move(read);
  for (unsigned t = 0; t < workload_.threads; ++t) {
    if (std::string wrong = oracles_[t].compare(acked[t], found[t]); !wrong.empty()) return wrong;
  }
  return "";
}

inline std::string CrashChecker::go_on(Database& db) {
  Result<Map> map = db.open_or_create_map(kAfterMap);
  if (!map) return "map after recovery: " + std::string(map.error().message());
  const Status put = map->put("state", std::to_string(states_));
  if (!put) return "put after recovery: " + std::string(put.error().message());
  return workload_.tables ? go_on_with_table(db) : "";
}

/// A row comes, grows and goes again; what was there before stays as it is.
inline std::string CrashChecker::go_on_with_table(Database& db) {
  const auto text = [](const char* what, const auto& result) {
    return std::string(what) + " after recovery: " + (result ? "wrong answer" : std::string(result.error().message()));
  };
  Result<Table> table = db.open_table(kWorkloadTable);
  if (!table && table.error().code() == ErrorCode::kNotFound) return "";
  if (!table) return text("table", table);
  const Result<RowId> id = table->insert(workload_row(kAfterMap, "1"));
  if (!id) return text("insert", id);
  const Row row = workload_row(kAfterMap, std::string(kPageBytes / 5, '2'));
  if (const Status updated = table->update(*id, row); !updated) return text("update", updated);
  const auto found = table->get(*id);
  if (!found || *found != row) return text("get", found);
  const Result<bool> erased = table->erase(*id);
  return erased && *erased ? "" : text("erase", erased);
}

inline std::string CrashChecker::check_reopened(FileSystem& disk, const std::vector<Partition>& before) {
  Result<Database> db = open_on(disk, crash_options(workload_), directory_);
  if (!db) return "second open: " + std::string(db.error().message());
  Result<std::vector<Partition>> found = read_partitions(*db, workload_.threads);
  if (!found) return "second read: " + std::string(found.error().message());
  for (unsigned t = 0; t < workload_.threads; ++t) {
    const std::string wrong = describe_difference(before[t], (*found)[t], 0);
    if (!wrong.empty()) return "the second open differs from the first: " + wrong;
  }
  Result<Map> map = db->open_map(kAfterMap);
  if (!map) return "second open: " + std::string(map.error().message());
  const auto value = map->get("state");
  if (!value) return "second open: " + std::string(value.error().message());
  if (*value != std::to_string(states_)) return "the second open lacks what was put after the recovery";
  return check_sound(*db);
}

}  // namespace vaultgres
