// Databases for tests: on any file system, and their content as a std::map.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <string>

#include "db/core.h"
#include "vaultgres/database.h"

namespace vaultgres {

using Content = std::map<std::string, std::string>;

inline constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;
inline constexpr std::uint64_t kSegmentBytes = std::uint64_t{256} << 10;  ///< of a database under test
/// What open_on() makes.
inline constexpr char kDataPath[] = "/db/data.vg";

/// All of one length up to 899,999.
inline std::string numbered_key(int i) {
  return "key " + std::to_string(100'000 + i);
}

/// Small, so that evictions, cleaning and checkpoints happen all the time.
inline Options small_options() {
  Options options;
  options.cache_bytes = std::size_t{2} << 20;
  options.lock_timeout = std::chrono::milliseconds(2000);
  return options;
}

inline Result<Database> open_on(FileSystem& files, Options options = small_options(),
                                const std::string& directory = "/db") {
  auto core = internal::Core::open({&files, nullptr, directory}, std::move(options));
  if (!core) return core.error();
  return internal::make_database(*std::move(core));
}

inline Content content_of(const Map& map) {
  Content content;
  Cursor cursor = map.cursor();
  for (;;) {
    const Result<bool> more = cursor.next();
    EXPECT_TRUE(more) << (more ? "" : more.error().message());
    if (!more || !*more) return content;
    const bool added = content.emplace(cursor.key(), cursor.value()).second;
    EXPECT_TRUE(added) << "the cursor gave a key twice";
  }
}

inline void expect_sound(Database& db) {
  const Result<CheckReport> report = db.check();
  ASSERT_TRUE(report) << report.error().message();
  for (const CheckProblem& problem : report->problems) {
    ADD_FAILURE() << "check: page " << problem.page << " of " << problem.object << ": " << problem.what;
  }
}

/// Names the instances of tests that run with both modes of commit.
inline std::string durability_name(const ::testing::TestParamInfo<Durability>& mode) {
  return mode.param == Durability::kDurable ? "Durable" : "Relaxed";
}

/// The error's text, or nothing.
template <class T>
std::string test_text(const Result<T>& result) {
  return result ? std::string() : "error: " + std::string(result.error().message());
}
template <class T>
std::optional<ErrorCode> test_code(const Result<T>& result) {
  if (result) return std::nullopt;
  return result.error().code();
}
template <class T>
Status status_of(const Result<T>& result) {
  return result ? Status() : Status(result.error());
}

#define ASSERT_OK(expression)                                                           \
  if (const auto vg_status = ::vaultgres::test_text((expression)); vg_status.empty()) { \
  } else                                                                                \
    FAIL() << #expression << ": " << vg_status

#define EXPECT_ERROR(code_, expression)                                                           \
  if (const auto vg_error = ::vaultgres::test_code((expression)); vg_error == ErrorCode::code_) { \
  } else                                                                                          \
    ADD_FAILURE() << #expression << (vg_error ? " gave another error: " : " succeeded ")          \
                  << (vg_error ? error_code_name(*vg_error) : "")

}  // namespace vaultgres
