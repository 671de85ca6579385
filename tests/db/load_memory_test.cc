// Goal: a load of a map goes on after a call that found no memory, as if that call had not been.
//
// Method: each allocation of each add() fails in turn, and then the same entry is added again.
#include <gtest/gtest.h>

#include "db/allocation_support.h"
#include "support/cases.h"
#include "support/sim_file_system.h"
#include "support/table_fixture.h"
#include "support/watchdog.h"

namespace vaultgres {
namespace {

std::string uneven_key(unsigned i) {
  return std::to_string(100000 + i) + std::string(i % 90, 'k');
}
std::string value_of(unsigned i) {
  return std::string(i % 40 >= 36 ? 2 * kPageBytes : 10 * (i % 60), static_cast<char>('a' + i % 26));
}

TEST(LoadMemoryTest, AnEntryThatFoundNoMemoryCanBeAddedAgain) {
  Watchdog watchdog("a load without memory", std::chrono::seconds(60));
  const AllocationsFail spared(false);
  SimFileSystem disk;
  const std::unique_ptr<FileSystem> files = spare_allocations_of(disk);
  Database db = *open_on(*files);
  MapLoad load = *db.load_map("m");
  Content expected;
  CaseCount cases("R6");
  unsigned failures = 0;
  for (unsigned i = 0; i < 400; ++i) {
    watchdog.feed("entry " + std::to_string(i));
    const std::string key = uneven_key(i);
    const std::string value = value_of(i);
    for (std::uint64_t at = 1;; ++at) {
      SCOPED_TRACE("entry " + std::to_string(i) + ", allocation " + std::to_string(at));
      AllocationFault fault(at);
      const Status added = expose("add", [&] { return load.add(key, value); });
      fault.stop();
      if (added) break;
      ++failures;
      ++cases;
      ASSERT_EQ(added.error().code(), ErrorCode::kOutOfMemory) << added.error().message();
      ASSERT_EQ(load.entries(), i);
      ASSERT_OK(db.sync()) << "poisoned";
    }
    expected[key] = value;
  }
  Result<Map> map = load.finish();
  ASSERT_OK(map);
  EXPECT_EQ(content_of(*map), expected);
  EXPECT_GT(failures, 100u);
  expect_sound(db);
}

}  // namespace
}  // namespace vaultgres
