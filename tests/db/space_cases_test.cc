// Goal: page ids are neither lost nor used twice by what goes wrong: aborts, crashes while an index is made, late
// maintenance of objects that are gone.
#include <gtest/gtest.h>

#include "support/disk_fixture.h"
#include "support/random.h"
#include "support/scale.h"

namespace vaultgres {
namespace {

class SpaceCasesTest : public DatabaseOnDiskTest {
 protected:
  static constexpr std::uint64_t kGrowthPages = 64;  ///< of a small file, at once

  /// Does it so many times, and waits each time until all is given back. `pages_at_once`: what it takes when the
  /// collector does not come to it meanwhile; the file never needs more.
  template <class Round>
  void expect_no_growth(std::uint64_t rounds, std::uint64_t pages_at_once, Round round) {
    const std::uint64_t in_use = pages_in_use(*db_) + 8;  // leaves that are almost empty may stay
    const std::uint64_t pages = db_->stats()->pages;
    for (std::uint64_t i = 0; i < rounds && !HasFailure(); ++i) {
      ASSERT_NO_FATAL_FAILURE(round());
      expect_given_back(in_use);
    }
    EXPECT_LE(db_->stats()->pages, pages + pages_at_once + kGrowthPages) << "after " << rounds << " rounds";
  }

  void write_checkpoint() { ASSERT_OK(db_->checkpoint()); }

  /// Power cuts while `change` runs, which ends with as many pages as it began with, or fewer. Wherever one leaves a
  /// database of which `is_without` says that nothing of the change is there, its pages are soon free.
  template <class Change, class IsWithout>
  void expect_no_leak(Change&& change, IsWithout&& is_without) {
    ASSERT_OK(db_->checkpoint());
    const std::uint64_t before = pages_in_use(*db_);
    const std::size_t from = disk_.position();
    ASSERT_NO_FATAL_FAILURE(change());
    const std::size_t to = disk_.position();
    db_.reset();
    TestRandom random;
    unsigned without = 0;
    const std::uint64_t rounds = 10 + scaled(30);
    for (std::uint64_t round = 0; round < rounds; ++round) {
      const PowerCut mode = kPowerCuts[random.uniform(std::size(kPowerCuts))];
      // The first of them before anything has happened, so that one at least is without.
      const auto after = disk_.power_cut(round == 0 ? from : random.between(from, to), mode, random.next());
      Database db = *open_on(*after);
      expect_sound(db);
      if (!is_without(db)) continue;
      ++without;
      EXPECT_TRUE(comes_true([&] { return pages_in_use(db) <= before + 2; }))
          << pages_in_use(db) << " pages in use, before " << before;
      expect_sound(db);
    }
    EXPECT_GT(without, 0u);
  }

  const std::string large_ = std::string(3 * kPageBytes, 'v');
  static constexpr std::uint64_t kLargePages = 4;
};

TEST_F(SpaceCasesTest, AbortsMakeTheFileGrow) {
  Map map = *db_->create_map("m");
  ASSERT_OK(map.put("stays", large_));
  const auto abort = [&](int number) {
    Transaction txn = *db_->begin();
    for (int i = 0; i < 4; ++i) ASSERT_OK(map.put(txn, std::to_string(number % 3) + "." + std::to_string(i), large_));
    for (int i = 0; i < 20; ++i) ASSERT_OK(map.put(txn, "small " + std::to_string(i), std::string(100, 'v')));
    ASSERT_OK(txn.rollback());
  };
  int aborts = 0;
  expect_no_growth(3 + scaled(100), 10 * 4 * kLargePages, [&] {
    for (int i = 0; i < 10; ++i) ASSERT_NO_FATAL_FAILURE(abort(aborts++));
  });
}

// The second key of a unique index is a duplicate: the row, its large value and the first index's entry go again.
TEST_F(SpaceCasesTest, StatementsThatFailMakeTheFileGrow) {
  Table people = *db_->create_table("people", people_schema());
  ASSERT_OK(db_->create_index("by_city", "people", {.columns = {{"city"}}, .unique = false}));
  ASSERT_OK(db_->create_index("by_id", "people", {.columns = {{"id"}}, .unique = true}));
  ASSERT_OK(people.insert(person(1, 3 * kPageBytes)));
  expect_no_growth(3 + scaled(30), 30 * (kLargePages + 1), [&] {
    for (int i = 0; i < 30; ++i) EXPECT_ERROR(kDuplicateKey, people.insert(person(1, 3 * kPageBytes)));
  });
}

TEST_F(SpaceCasesTest, ACrashLeaksAHalfBuiltIndex) {
  Table people = *db_->create_table("people", people_schema());
  for (std::int64_t id = 0; id < 400; ++id) ASSERT_OK(people.insert(person(id, 60)));
  expect_no_leak(
      [&] {
        ASSERT_OK(db_->create_index("by_data", "people", {.columns = {{"data"}, {"id"}}, .unique = false}));
      },
      [](Database& db) { return !db.open_index("by_data"); });
}

TEST_F(SpaceCasesTest, ACrashLeaksAnOverflowChain) {
  Map map = *db_->create_map("m");
  ASSERT_OK(map.put("replaced", large_));
  ASSERT_OK(map.put("erased", large_));
  const std::string longer(7 * kPageBytes, 'w');
  expect_no_leak(
      [&] {
        ASSERT_OK(map.put("new", longer));
        ASSERT_OK(map.erase("new"));
        ASSERT_OK(map.put("replaced", longer));
        ASSERT_OK(map.put("replaced", large_));
        ASSERT_TRUE(*map.erase("erased"));
      },
      [](Database& db) {
        const Map after = *db.open_map("m");
        return !*after.contains("new") && (*after.get("replaced"))->size() == 3 * kPageBytes;
      });
}

TEST_F(SpaceCasesTest, ACrashLeaksADroppedTree) {
  Map map = *db_->create_map("m");
  expect_no_leak(
      [&] {
        Map gone = *db_->create_map("gone");
        for (int i = 0; i < 100; ++i) ASSERT_OK(gone.put("key " + std::to_string(i), std::string(kPageBytes / 8, 'g')));
        ASSERT_OK(db_->drop_map("gone"));
      },
      [](Database& db) { return !db.open_map("gone"); });
}

// What was deleted in an object is remembered for the collector; the object goes, others get its pages.
TEST_F(SpaceCasesTest, GhostsOfADroppedMapArePurgedOnPagesOfOthers) {
  for (int round = 0; round < 20; ++round) {
    Map gone = *db_->create_map("gone");
    Content kept;
    for (int i = 0; i < 60; ++i) ASSERT_OK(gone.put("key " + std::to_string(i), std::string(kPageBytes / 8, 'g')));
    {
      Transaction txn = *db_->begin();
      for (int i = 0; i < 60; i += 2) ASSERT_TRUE(*gone.erase(txn, "key " + std::to_string(i)));
      ASSERT_OK(txn.commit());
    }
    ASSERT_OK(db_->drop_map("gone"));
    Map next = *db_->open_or_create_map("next");
    for (int i = 0; i < 60; ++i) {
      const std::string key = "key " + std::to_string(i);
      kept[key] = std::string(kPageBytes / 8, static_cast<char>('a' + round));
      ASSERT_OK(next.put(key, kept[key]));
    }
    EXPECT_TRUE(content_of(next) == kept) << "round " << round;
    if (round % 5 == 4) expect_sound(*db_);
  }
}

// Whoever reads for long holds neither old versions of what others change, nor log, nor pages.
TEST_F(SpaceCasesTest, ALongReaderPinsSpace) {
  Map map = *db_->create_map("m");
  const auto churn = [&](int rounds) {
    for (int round = 0; round < rounds; ++round) {
      for (int i = 0; i < 20; ++i) ASSERT_OK(map.put("large " + std::to_string(i), large_));
      for (int i = 0; i < 200; ++i) ASSERT_OK(map.put("key " + std::to_string(i), std::string(100, 'v')));
      if (round % 10 == 9 || round + 1 == rounds) write_checkpoint();
    }
  };
  ASSERT_NO_FATAL_FAILURE(churn(5));
  Cursor cursor = map.cursor();
  ASSERT_TRUE(*cursor.next());
  Transaction reader = *db_->begin();
  ASSERT_TRUE(*map.contains(reader, "key 7"));
  Cursor own = map.cursor(reader);
  ASSERT_TRUE(*own.next());
  ASSERT_NO_FATAL_FAILURE(churn(10));
  const std::size_t segments = disk_.list("/db/log")->size();
  // So long a file grows by an eighth at once.
  expect_no_growth(1 + scaled(10), 10 * 20 * kLargePages * 5 / 4, [&] { ASSERT_NO_FATAL_FAILURE(churn(10)); });
  EXPECT_LE(disk_.list("/db/log")->size(), 2 * segments);
  EXPECT_TRUE(*cursor.next());
  EXPECT_TRUE(*own.next());
  ASSERT_OK(reader.commit());
}

// A load finds no space, and a smaller one follows at once, in the same process or in the next, while the collector is
// still freeing what the first one took, or has not begun to.
TEST_F(SpaceCasesTest, ASmallerLoadFitsAfterOneThatDidNot) {
  disk_.limit_space(disk_.used_bytes() + 600 * kPageBytes);
  for (const std::size_t bytes : {kPageBytes / 20, kPageBytes / 2}) {
    for (const bool in_next_process : {false, true}) {
      std::int64_t rows = 0;
      {
        TableLoad many = *db_->load_table("many", people_schema());
        Status added;
        for (; added; ++rows) added = many.add(person(rows, bytes));
        EXPECT_ERROR(kNoSpace, added);
      }
      EXPECT_GT(rows, 100);
      if (in_next_process) reopen();
      TableLoad some = *db_->load_table("some", people_schema());
      for (std::int64_t id = 0; id < rows / 2; ++id) ASSERT_OK(some.add(person(id, bytes))) << id << " of " << rows;
      ASSERT_OK(some.finish());
      ASSERT_OK(db_->drop_table("some"));
    }
  }
  expect_sound(*db_);
}

}  // namespace
}  // namespace vaultgres
