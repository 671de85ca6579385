// What tests of backups share: a workload beside which backups are made, and what a restored one may say.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <string>
#include <vector>

#include "db/crash_support.h"
#include "db/log_archive.h"
#include "db/restore.h"
#include "support/database.h"

namespace vaultgres {

inline Result<RestoreReport> restore_on(FileSystem& files, const std::string& backup, const std::string& target,
                                        RestoreOptions options = {}) {
  options.cache_bytes = small_options().cache_bytes;
  return internal::restore(files, backup, target, options);
}

inline std::vector<std::string> names_in(FileSystem& files, const std::string& directory) {
  Result<std::vector<std::string>> names = files.list(directory);
  EXPECT_TRUE(names) << directory;
  return names ? *std::move(names) : std::vector<std::string>{};
}

/// A database or a backup.
inline void remove_directory(FileSystem& files, const std::string& directory) {
  for (const std::string& name : names_in(files, directory)) {
    const std::string path = directory + "/" + name;
    if (name == "log") {
      remove_directory(files, path);
    } else {
      EXPECT_TRUE(files.remove(path)) << path;
    }
  }
  EXPECT_TRUE(files.remove(directory)) << directory;
}

/// While there is one, closing waits for the archive, and so does who needs the log's space, on the slowest machine.
class PatientArchives {
 public:
  PatientArchives() { set(std::chrono::minutes(10), std::chrono::minutes(10)); }
  PatientArchives(const PatientArchives&) = delete;
  PatientArchives& operator=(const PatientArchives&) = delete;
  ~PatientArchives() { set(close_wait_, segment_wait_); }

 private:
  static void set(std::chrono::milliseconds close_wait, std::chrono::milliseconds segment_wait) {
    internal::archive_close_wait.store(close_wait);
    internal::archive_segment_wait.store(segment_wait);
  }
  const std::chrono::milliseconds close_wait_ = internal::archive_close_wait.load();
  const std::chrono::milliseconds segment_wait_ = internal::archive_segment_wait.load();
};

/// Steps that each thread of a workload has acknowledged so far.
class AckCounts {
 public:
  explicit AckCounts(unsigned threads) : counts_(threads) {}
  OnAck counter() {
    return [this](unsigned thread, unsigned acked) { counts_[thread].store(acked); };
  }
  std::vector<unsigned> now() const { return {counts_.begin(), counts_.end()}; }

 private:
  std::vector<std::atomic<unsigned>> counts_;
};

/// Empty: the database holds, of each thread, what it had after some number of steps: `from` at least, `to` and the one
/// under way at most.
inline std::string describe_state(Database& db, const Workload& workload, const std::vector<unsigned>& from,
                                  const std::vector<unsigned>& to) {
  const auto report = db.check();
  if (!report) return "check: " + std::string(report.error().message());
  if (!report->problems.empty()) return "check: " + report->problems[0].what;
  const auto found = read_partitions(db, workload.threads);
  if (!found) return "reading: " + std::string(found.error().message());
  for (unsigned t = 0; t < workload.threads; ++t) {
    WorkloadOracle oracle(workload, t);
    std::string wrong = "thread " + std::to_string(t) + " is asked for no state";
    for (unsigned steps = from[t]; steps <= to[t] && !wrong.empty(); ++steps)
      wrong = oracle.compare(steps, (*found)[t]);
    if (!wrong.empty()) return wrong + " (from " + std::to_string(from[t]) + ")";
  }
  return "";
}

/// Opens and looks; whether it goes on is shown by a change and a second open.
inline void expect_state(FileSystem& disk, const std::string& directory, const Workload& workload,
                         const std::vector<unsigned>& from, const std::vector<unsigned>& to) {
  {
    Result<Database> db = open_on(disk, crash_options(workload), directory);
    ASSERT_OK(db);
    ASSERT_EQ(describe_state(*db, workload, from, to), "");
    Result<Map> map = db->open_or_create_map(kAfterMap);
    ASSERT_OK(map);
    ASSERT_OK(map->put("state", "goes on"));
    ASSERT_OK(db->close());
  }
  Result<Database> again = open_on(disk, crash_options(workload), directory);
  ASSERT_OK(again);
  ASSERT_EQ(describe_state(*again, workload, from, to), "");
  EXPECT_EQ(again->open_map(kAfterMap)->get("state")->value(), "goes on");
}

}  // namespace vaultgres
