// Goal: as many transactions as a checkpoint can list change something at once, and no more: the next one is told so,
// by each call that would change anything, and goes on when another has ended, however that did. Readers and what makes
// no transaction are not among them.
#include <gtest/gtest.h>

#include <deque>

#include "support/table_fixture.h"
#include "txn/txn.h"

namespace vaultgres {
namespace {

class ManyTransactionsTest : public PeopleTest {
 protected:
  /// Transactions that change, until one is refused; how many were let in.
  std::size_t open_all() {
    std::size_t count = 0;
    for (;; ++count) {
      Transaction txn = *db_.begin();
      const Status put = map_.put(txn, "key " + std::to_string(keys_++), "value");
      if (!put) {
        EXPECT_EQ(put.error().code(), ErrorCode::kTooLarge) << put.error().message();
        EXPECT_NE(put.error().message().find(std::to_string(kChangingTxnsMax)), std::string::npos);
        return count;
      }
      open_.push_back(std::move(txn));
    }
  }

  Map map_ = *db_.create_map("m");
  std::deque<Transaction> open_;
  unsigned keys_ = 0;
};

TEST_F(ManyTransactionsTest, OneMoreThanACheckpointCanListChangesNothing) {
  const RowId row = *people_.insert(person(1));
  ASSERT_EQ(open_all(), kChangingTxnsMax);
  Transaction txn = *db_.begin();
  EXPECT_ERROR(kTooLarge, map_.put(txn, "one more", "value"));
  EXPECT_ERROR(kTooLarge, map_.erase(txn, "one more"));
  EXPECT_ERROR(kTooLarge, people_.insert(txn, person(2)));
  EXPECT_ERROR(kTooLarge, people_.update(txn, row, person(2)));
  EXPECT_ERROR(kTooLarge, people_.erase(txn, row));
  EXPECT_ERROR(kTooLarge, people_.insert(person(2)));  // a transaction of its own
  EXPECT_ERROR(kTooLarge, map_.put("one more", std::string(2 * kPageBytes, 'l')));
  EXPECT_ERROR(kTooLarge, db_.create_map("another"));
  // What is no such transaction goes on.
  EXPECT_EQ(**people_.get(txn, row), person(1));
  ASSERT_OK(map_.put("single", "value"));
  ASSERT_OK(db_.checkpoint());
  ASSERT_OK(txn.commit());
  for (Transaction& open : open_) ASSERT_OK(open.commit());
  EXPECT_EQ(*map_.count(), kChangingTxnsMax + 1);
  expect_sound(db_);
}

// Counted right: as many again find room as have ended.
TEST_F(ManyTransactionsTest, WhoeverEndsMakesRoomForOne) {
  ASSERT_EQ(open_all(), kChangingTxnsMax);
  const auto end = [&](auto&& how) {
    ASSERT_OK(how(open_.front()));
    open_.pop_front();
    EXPECT_EQ(open_all(), 1u);
  };
  end([](Transaction& txn) { return txn.commit(); });
  end([](Transaction& txn) { return txn.rollback(); });
  end([](Transaction& txn) {
    const Transaction dropped = std::move(txn);
    return Status();
  });
  // Those that were let in and changed nothing.
  Transaction first = std::move(open_.front());
  open_.pop_front();
  ASSERT_OK(first.commit());
  for (const bool commit : {true, false}) {
    Transaction txn = *db_.begin();
    ASSERT_FALSE(*map_.erase(txn, "nothing"));
    ASSERT_OK(commit ? txn.commit() : txn.rollback());
  }
  EXPECT_EQ(open_all(), 1u);
  open_.clear();
  EXPECT_EQ(open_all(), kChangingTxnsMax);
}

}  // namespace
}  // namespace vaultgres
