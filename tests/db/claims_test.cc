// Goal: what a transaction has claimed and then failed to change is free when it has ended, also when it has logged
// nothing and commits.
//
// Method: each allocation of the transaction's only call fails in turn, some of them between the claim of the key, or
// row, and the change's log record; the transaction commits all the same, and the next one changes the same thing.
#include <gtest/gtest.h>

#include "db/allocation_support.h"
#include "support/sim_file_system.h"
#include "support/table_fixture.h"

namespace vaultgres {
namespace {

class ClaimsTest : public ::testing::Test {
 protected:
  ClaimsTest() {
    row_ = *people_.insert(person(1));
    EXPECT_TRUE(map_.put("k", "old"));
  }

  /// Nobody is at work, so whatever is still claimed stays so.
  bool nothing_is_claimed() {
    const AllocationsFail spared(false);
    return comes_true([&] {
      core_->txns().drop_versions();
      return core_->engine().versions.entry_count() == 0;
    });
  }

  /// Runs `change` as the only call of a transaction, with each of its allocations failing in turn.
  template <class Change>
  void fail_each_allocation_of(Change&& change) {
    const AllocationsFail spared(false);
    unsigned failed = 0;
    bool hit = true;
    for (std::uint64_t at = 1; hit; ++at) {
      SCOPED_TRACE("allocation " + std::to_string(at));
      ASSERT_LT(at, 200u);
      Transaction txn = *db_.begin();
      AllocationFault fault(at);
      const auto changed = expose("the change", [&] { return change(txn); });
      fault.stop();
      hit = fault.hit();
      if (!changed) {
        ++failed;
        ASSERT_EQ(changed.error().code(), ErrorCode::kOutOfMemory) << changed.error().message();
      }
      ASSERT_OK(changed ? txn.rollback() : txn.commit());
      ASSERT_TRUE(nothing_is_claimed()) << "the next writer would wait for ever";
      Transaction next = *db_.begin();
      ASSERT_OK(change(next));
      ASSERT_OK(next.rollback());
      ASSERT_TRUE(nothing_is_claimed());
    }
    EXPECT_GT(failed, 1u);
    expect_sound(db_);
  }

  SimFileSystem disk_;
  std::unique_ptr<FileSystem> files_ = spare_allocations_of(disk_);
  std::shared_ptr<internal::Core> core_ = *internal::Core::open({files_.get(), nullptr, "/db"}, small_options());
  Database db_ = internal::make_database(core_);
  Map map_ = *db_.create_map("m");
  Table people_ = *db_.create_table("people", people_schema());
  RowId row_;
};

TEST_F(ClaimsTest, APutThatFailsBeforeItsRecordLeavesTheKeyToOthers) {
  fail_each_allocation_of([&](Transaction& txn) { return map_.put(txn, "k", "new"); });
}

TEST_F(ClaimsTest, AnInsertThatFailsBeforeItsRecordLeavesTheKeyToOthers) {
  fail_each_allocation_of([&](Transaction& txn) { return map_.put(txn, "another", "new"); });
}

TEST_F(ClaimsTest, AnEraseThatFailsBeforeItsRecordLeavesTheKeyToOthers) {
  fail_each_allocation_of([&](Transaction& txn) { return map_.erase(txn, "k"); });
}

TEST_F(ClaimsTest, AnUpdateThatFailsBeforeItsRecordLeavesTheRowToOthers) {
  const Row longer = person(1, 40);
  fail_each_allocation_of([&](Transaction& txn) { return people_.update(txn, row_, longer); });
}

TEST_F(ClaimsTest, AnEraseOfARowThatFailsBeforeItsRecordLeavesTheRowToOthers) {
  fail_each_allocation_of([&](Transaction& txn) { return people_.erase(txn, row_); });
}

}  // namespace
}  // namespace vaultgres
