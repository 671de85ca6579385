// Goal: a recovery that reads ahead, many batches of pages, and meets a read that fails, of a page or of the log, or
// has no memory for it, says so or does without; the next one finds everything acknowledged.
#include <gtest/gtest.h>

#include <cerrno>

#include "db/allocation_support.h"
#include "support/cases.h"
#include "support/database.h"
#include "support/scale.h"
#include "support/sim_file_system.h"

namespace vaultgres {
namespace {

class RedoAheadTest : public ::testing::Test {
 protected:
  void SetUp() override {
    SimFileSystem disk;
    Database db = *open_on(disk);
    Map map = *db.create_map("m");
    for (int i = 0; i < keys_; ++i) put(map, i, 'a');
    ASSERT_OK(db.checkpoint());
    for (int i = 0; i < keys_; ++i) put(map, static_cast<int>(random_.uniform(static_cast<std::uint64_t>(keys_))), 'b');
    ASSERT_OK(db.sync());
    killed_ = disk.killed();
  }
  void put(Map& map, int key, char fill) {
    std::string& value = expected_[numbered_key(key)];
    value = std::string(300, fill);
    ASSERT_OK(map.put(numbered_key(key), value));
  }
  void expect_all_there(Database& db) {
    EXPECT_TRUE(content_of(*db.open_map("m")) == expected_);
    expect_sound(db);
  }
  /// Recoveries of which one read of a file with this in its path fails, each at another one.
  void fail_a_read_of(const std::string& path, bool sticky) {
    std::uint64_t reads = 0;  // about as many as there are each time
    {
      const auto disk = killed_->killed();
      disk->inject({.call = IoCall::kRead, .sticky = true, .path_contains = path});  // only counts
      Database db = *open_on(*disk);
      reads = disk->faults_hit();
      disk->clear_faults();
      expect_all_there(db);
    }
    unsigned failed = 0;
    const std::uint64_t rounds = scaled(30);
    for (std::uint64_t round = 0; round < rounds && !HasFailure(); ++round) {
      const auto disk = killed_->killed();
      disk->inject({.call = IoCall::kRead,
                    .at = random_.between(1, reads),
                    .os_error = EIO,
                    .sticky = sticky,
                    .path_contains = path});
      std::unique_ptr<SimFileSystem> again;
      Result<Database> db = open_on(*disk);
      if (!db) {
        ++failed;
        EXPECT_EQ(db.error().code(), ErrorCode::kIo) << db.error().message();
        again = disk->killed();
        db = open_on(*again);
        ASSERT_OK(db);
      }
      disk->clear_faults();
      expect_all_there(*db);
    }
    if (sticky && rounds >= 30) {
      EXPECT_GT(failed, 0u) << "of " << rounds << ", " << reads << " reads";
    }
  }

  /// An open in whose threads, not in its own, an allocation fails: in those that read ahead, above all. Whether it
  /// did.
  bool open_without_memory_beside(std::uint64_t at, bool sticky) {
    const auto disk = killed_->killed();
    const AllocationsFail spared(false);
    bool hit = false;
    {
      const auto files = spare_allocations_of(*disk);
      AllocationFault fault(at, sticky);
      Result<Database> db = open_on(*files);
      fault.stop();
      hit = fault.hit();
      const Status usable = db ? db->checkpoint() : Status(db.error());
      if (usable) {
        expect_all_there(*db);
        return hit;
      }
      // The log or the cleaner had no memory either.
      const ErrorCode code = usable.error().code();
      EXPECT_TRUE(code == ErrorCode::kOutOfMemory || code == ErrorCode::kPoisoned) << error_code_name(code);
      ++failed_;
    }
    Result<Database> again = open_on(*disk);
    if (again) {
      expect_all_there(*again);
    } else {
      ADD_FAILURE() << again.error().message();
    }
    return hit;
  }

  /// On a page for each few of them: some batches of pages to be read.
  const int keys_ = test_scale() < 1 ? 1500 : 3000;
  TestRandom random_;
  Content expected_;
  std::unique_ptr<SimFileSystem> killed_;
  unsigned failed_ = 0;  // opens
};

TEST_F(RedoAheadTest, AReadOfAPageFailsOnce) {
  fail_a_read_of("data.vg", false);
}

TEST_F(RedoAheadTest, ReadsOfPagesFailForGood) {
  fail_a_read_of("data.vg", true);
}

TEST_F(RedoAheadTest, AReadOfTheLogFailsOnce) {
  fail_a_read_of("/log/", false);
}

TEST_F(RedoAheadTest, ReadsOfTheLogFailForGood) {
  fail_a_read_of("/log/", true);
}

TEST_F(RedoAheadTest, AnAllocationInItsThreadsFails) {
  ASSERT_TRUE(open_without_memory_beside(1, true));
  std::uint64_t last = 1;  // about as many as there are each time
  while (open_without_memory_beside(2 * last, false)) last *= 2;
  CaseCount cases("R6");
  for (std::uint64_t round = 0; round < scaled(30) && !HasFailure(); ++round) {
    if (open_without_memory_beside(random_.between(1, last), round % 2 == 1)) ++cases;
  }
  std::printf("%llu allocations, %u opens failed\n", static_cast<unsigned long long>(last), failed_);
}

}  // namespace
}  // namespace vaultgres
