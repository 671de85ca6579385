// How many cases a test of a row of docs/RELIABILITY.md has run: one line, and one more in a file that a runner adds
// up.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "support/random.h"

namespace vaultgres {

/// Prints "[cases] ROW N", and " failed M" where some have. VG_CASES_FILE names a file: to it goes a line of JSON with
/// row, test, cases, failures and seed. A test says so once for each row, at its end, also when it has failed.
inline void record_cases(const char* row, std::uint64_t cases, std::uint64_t failures = 0) {
  const std::string failed = failures == 0 ? "" : " failed " + std::to_string(failures);
  std::printf("[cases] %s %llu%s\n", row, static_cast<unsigned long long>(cases), failed.c_str());
  std::fflush(stdout);
  const char* const path = std::getenv("VG_CASES_FILE");
  const testing::TestInfo* const test = testing::UnitTest::GetInstance()->current_test_info();
  if (path == nullptr || test == nullptr) return;
  const std::string line = std::string("{\"row\":\"") + row + "\",\"test\":\"" + test->test_suite_name() + "." +
                           test->name() + "\",\"cases\":" + std::to_string(cases) +
                           ",\"failures\":" + std::to_string(failures) + ",\"seed\":" + std::to_string(test_seed()) +
                           "}\n";
  const int file = ::open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  // One write: lines of test programs that run at the same time do not mix.
  const bool written = file >= 0 && ::write(file, line.data(), line.size()) == static_cast<ssize_t>(line.size());
  if (!written) ADD_FAILURE() << "the cases cannot be written to " << path;
  if (file >= 0) ::close(file);
}

/// The same for a test whose cases fail by EXPECT and ASSERT: at the end of the scope, whichever way it is left.
class CaseCount {
 public:
  /// `row` null: counted, but not recorded, as the cases of a test of the test.
  explicit CaseCount(const char* row) : row_(row) {}
  ~CaseCount() {
    if (row_ != nullptr) record_cases(row_, cases_, testing::Test::HasFailure() ? 1 : 0);
  }
  CaseCount(const CaseCount&) = delete;
  CaseCount& operator=(const CaseCount&) = delete;
  CaseCount& operator++() {
    ++cases_;
    return *this;
  }
  void add(std::uint64_t cases) { cases_ += cases; }
  std::uint64_t cases() const { return cases_; }

 private:
  const char* const row_;
  std::uint64_t cases_ = 0;
};

/// Cases spread over 1 to `last`: one out of the `part`-th of as many equal parts, which begin with part 0.
inline std::uint64_t case_in_part(std::uint64_t part, std::uint64_t parts, std::uint64_t last, TestRandom& random) {
  const std::uint64_t before = part * last / parts;
  return before + 1 + random.uniform(std::max<std::uint64_t>((part + 1) * last / parts - before, 1));
}

}  // namespace vaultgres
