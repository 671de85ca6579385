// Goal: transactions are atomic and isolated as promised: nobody sees uncommitted changes of others, a
// transaction sees its own, rollback restores everything, a wait for a writer ends with a conflict.
#include <gtest/gtest.h>

#include <thread>

#include "support/database.h"
#include "support/random.h"
#include "support/scale.h"

namespace vaultgres {
namespace {

class TxnTest : public ::testing::TestWithParam<Durability> {
 protected:
  TxnTest() : db_(*Database::open_in_memory(options())), map_(*db_.create_map("m")), other_(*db_.create_map("o")) {}
  static Options options() {
    Options options = small_options();
    options.durability = GetParam();
    options.lock_timeout = std::chrono::milliseconds(50);
    return options;
  }
  Database db_;
  Map map_;
  Map other_;
};

INSTANTIATE_TEST_SUITE_P(Modes, TxnTest, ::testing::Values(Durability::kDurable, Durability::kRelaxed),
                         durability_name);

TEST_P(TxnTest, OthersSeeAllOfACommitAndNothingBefore) {
  ASSERT_OK(map_.put("old", "1"));
  ASSERT_OK(map_.put("gone", "1"));
  Transaction txn = *db_.begin();
  ASSERT_OK(map_.put(txn, "new", "1"));
  ASSERT_OK(map_.put(txn, "old", "2"));
  ASSERT_TRUE(*map_.erase(txn, "gone"));
  ASSERT_OK(other_.put(txn, "x", "y"));
  EXPECT_EQ(**map_.get(txn, "new"), "1");
  EXPECT_EQ(**map_.get(txn, "old"), "2");
  EXPECT_EQ(*map_.get(txn, "gone"), std::nullopt);
  EXPECT_EQ(*map_.get("new"), std::nullopt);
  EXPECT_EQ(**map_.get("old"), "1");
  EXPECT_EQ(**map_.get("gone"), "1");
  EXPECT_EQ(content_of(map_), (Content{{"gone", "1"}, {"old", "1"}}));
  ASSERT_OK(txn.commit());
  EXPECT_EQ(content_of(map_), (Content{{"new", "1"}, {"old", "2"}}));
  EXPECT_EQ(content_of(other_), (Content{{"x", "y"}}));
  expect_sound(db_);
}

TEST_P(TxnTest, RollbackRestoresEverything) {
  TestRandom random;
  Content expected;
  for (int i = 0; i < 500; ++i) {
    expected["k" + std::to_string(i)] = random.bytes(random.uniform(60) + (i % 50 == 0 ? 3 * kPageBytes : 0));
    ASSERT_OK(map_.put("k" + std::to_string(i), expected["k" + std::to_string(i)]));
  }
  for (int round = 0; round < 5; ++round) {
    Transaction txn = *db_.begin();
    for (int i = 0; i < 800; ++i) {
      const std::string key = "k" + std::to_string(random.uniform(1000));
      if (random.one_in(3)) {
        ASSERT_OK(map_.erase(txn, key));
      } else {
        ASSERT_OK(map_.put(txn, key, random.bytes(random.uniform(100) + (random.one_in(40) ? 2 * kPageBytes : 0))));
      }
    }
    if (round % 2 == 0) {
      ASSERT_OK(txn.rollback());
    } else {
      Transaction dropped = std::move(txn);  // destruction rolls back
    }
    ASSERT_EQ(content_of(map_), expected);
    expect_sound(db_);
  }
}

TEST_P(TxnTest, AWriterWaitsForAnotherAndThenConflicts) {
  ASSERT_OK(map_.put("k", "0"));
  Transaction txn = *db_.begin();
  ASSERT_OK(map_.put(txn, "k", "1"));
  EXPECT_ERROR(kConflict, map_.put("k", "2"));
  EXPECT_ERROR(kConflict, map_.erase("k"));
  Transaction second = *db_.begin();
  EXPECT_ERROR(kConflict, map_.put(second, "k", "3"));
  ASSERT_OK(second.rollback());
  ASSERT_OK(txn.commit());
  EXPECT_EQ(**map_.get("k"), "1");
  ASSERT_OK(map_.put("k", "2"));
  EXPECT_EQ(**map_.get("k"), "2");
}

TEST_P(TxnTest, AWaiterGoesOnWhenTheHolderEnds) {
  for (const bool commit : {true, false}) {
    ASSERT_OK(map_.put("k", "0"));
    Transaction txn = *db_.begin();
    ASSERT_OK(map_.put(txn, "k", "1"));
    std::atomic<bool> done{false};
    Status put;
    std::thread waiter([&] {
      for (;;) {  // the timeout may strike first on a busy machine
        put = map_.put("k", "2");
        if (put || put.error().code() != ErrorCode::kConflict) break;
      }
      done.store(true);
    });
    EXPECT_FALSE(done.load());
    if (commit) {
      ASSERT_OK(txn.commit());
    } else {
      ASSERT_OK(txn.rollback());
    }
    waiter.join();
    ASSERT_OK(put);
    EXPECT_EQ(**map_.get("k"), "2");
  }
}

TEST_P(TxnTest, InsertJudgesOnTheNewestState) {
  Transaction txn = *db_.begin();
  ASSERT_OK(map_.insert(txn, "k", "1"));
  EXPECT_ERROR(kDuplicateKey, map_.insert(txn, "k", "2"));
  EXPECT_ERROR(kConflict, map_.insert("k", "3")) << "whether the key is there is not decided yet";
  ASSERT_OK(txn.rollback());
  ASSERT_OK(map_.insert("k", "4"));
  EXPECT_EQ(**map_.get("k"), "4");
}

TEST_P(TxnTest, AnEndedTransactionSaysSo) {
  Transaction txn = *db_.begin();
  ASSERT_OK(txn.commit());
  EXPECT_FALSE(txn.active());
  EXPECT_ERROR(kInvalidArgument, txn.commit());
  EXPECT_ERROR(kInvalidArgument, map_.put(txn, "k", "v"));
}

TEST_P(TxnTest, TransfersBetweenAccountsNeverLoseMoney) {
  // Writers move amounts between accounts under transactions with conflicts; readers in transactions of
  // their own sum up only committed states of single keys; at the end the sum is what it was.
  constexpr int kAccounts = 20;
  for (int i = 0; i < kAccounts; ++i) ASSERT_OK(map_.put("a" + std::to_string(i), "100"));
  std::vector<std::thread> threads;
  std::atomic<std::uint64_t> commits{0};
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      TestRandom random(t + 1);
      for (std::uint64_t i = 0; i < scaled(400); ++i) {
        Transaction txn = *db_.begin();
        // A lock first: the amount is read after it, so no update is lost.
        const std::string from = "a" + std::to_string(random.uniform(kAccounts));
        const std::string to = "a" + std::to_string(random.uniform(kAccounts));
        if (from == to) continue;
        const auto locked = [&](const std::string& key) { return map_.put(txn, "lock" + key, ""); };
        if (!locked(std::min(from, to)) || !locked(std::max(from, to))) continue;
        const auto a = map_.get(txn, from);
        const auto b = map_.get(txn, to);
        if (!a || !b || !*a || !*b) continue;
        const int amount = static_cast<int>(random.uniform(10));
        if (!map_.put(txn, from, std::to_string(std::stoi(**a) - amount))) continue;
        if (random.one_in(5)) continue;  // rolls back
        if (!map_.put(txn, to, std::to_string(std::stoi(**b) + amount))) continue;
        if (txn.commit()) commits.fetch_add(1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  int sum = 0;
  for (int i = 0; i < kAccounts; ++i) sum += std::stoi(**map_.get("a" + std::to_string(i)));
  EXPECT_EQ(sum, kAccounts * 100);
  EXPECT_GT(commits.load(), 0u);
  expect_sound(db_);
}

}  // namespace
}  // namespace vaultgres
