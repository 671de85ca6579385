// Goal: multi_put() leaves what as many put() calls would, in the order of the entries; or, if anything fails, nothing,
// and the transaction that it belongs to goes on.
//
// Method: a sorted map that gets the same entries; keys in order, backwards, by chance and more than once; errors in
// the middle; writers on neighbouring keys.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <thread>

#include "support/scale.h"
#include "support/sim_file_system.h"
#include "support/table_fixture.h"

namespace vaultgres {
namespace {

using PutEntries = std::vector<std::pair<std::string, std::string>>;

std::vector<KeyValue> pairs_of(const PutEntries& entries) {
  std::vector<KeyValue> views;
  for (const auto& [key, value] : entries) views.push_back({key, value});
  return views;
}

class MultiPutTest : public ::testing::TestWithParam<Durability> {
 protected:
  MultiPutTest() : db_(*Database::open_in_memory(options())), map_(*db_.create_map("m")) {}
  static Options options() {
    Options options = small_options();
    options.durability = GetParam();
    options.lock_timeout = std::chrono::milliseconds(20);
    return options;
  }
  PutEntries random_entries() {
    PutEntries entries(random_.uniform(random_.one_in(8) ? 400 : 40));
    for (auto& [key, value] : entries) {
      key = random_.word(random_.uniform(4)) + std::string(random_.uniform(8), 'p');
      value = random_.bytes(random_.uniform(random_.one_in(60) ? 3 * kPageBytes : 100));
    }
    if (!random_.one_in(3)) std::sort(entries.begin(), entries.end());
    if (random_.one_in(4)) std::reverse(entries.begin(), entries.end());
    return entries;
  }
  void note(const PutEntries& entries) {
    for (const auto& [key, value] : entries) model_[key] = value;
  }
  void expect_model() {
    const Content content = content_of(map_);
    ASSERT_EQ(content.size(), model_.size());
    ASSERT_TRUE(std::equal(model_.begin(), model_.end(), content.begin(),
                           [](const auto& a, const auto& b) { return a.first == b.first && a.second == b.second; }));
  }

  TestRandom random_;
  Database db_;
  Map map_;
  std::map<std::string, std::string> model_;
};
INSTANTIATE_TEST_SUITE_P(Modes, MultiPutTest, ::testing::Values(Durability::kDurable, Durability::kRelaxed),
                         durability_name);

TEST_P(MultiPutTest, LeavesWhatPutsWould) {
  for (std::uint64_t round = 0; round < scaled(200); ++round) {
    const PutEntries entries = random_entries();
    if (random_.one_in(2)) {
      ASSERT_OK(map_.multi_put(pairs_of(entries)));
      note(entries);
    } else {
      Transaction txn = *db_.begin();
      ASSERT_OK(map_.multi_put(txn, pairs_of(entries)));
      const PutEntries more = random_entries();
      ASSERT_OK(map_.multi_put(txn, pairs_of(more)));
      if (random_.one_in(3)) {
        ASSERT_OK(txn.rollback());
      } else {
        ASSERT_OK(txn.commit());
        note(entries);
        note(more);
      }
    }
    if (round % 20 == 0) expect_model();
    if (HasFatalFailure()) return;
  }
  expect_model();
  expect_sound(db_);
}

TEST_P(MultiPutTest, NothingIsLeftOfOneThatFails) {
  note({{"a", "1"}, {"m", "2"}});
  ASSERT_OK(map_.multi_put(pairs_of({{"a", "1"}, {"m", "2"}})));
  const std::string too_long(kMaxKeyBytes + 1, 'k');
  EXPECT_ERROR(kTooLarge, map_.multi_put(pairs_of({{"b", "x"}, {too_long, "x"}, {"z", "x"}})));
  expect_model();

  Transaction other = *db_.begin();
  ASSERT_OK(map_.put(other, "m", "others"));
  EXPECT_ERROR(kConflict, map_.multi_put(pairs_of({{"b", "x"}, {"m", "x"}, {"z", "x"}})));
  Transaction txn = *db_.begin();
  ASSERT_OK(map_.put(txn, "c", "3"));
  EXPECT_ERROR(kConflict, map_.multi_put(txn, pairs_of({{"a", "x"}, {"b", "x"}, {"m", "x"}, {"z", "x"}})));
  EXPECT_EQ(*map_.get(txn, "a"), "1");
  EXPECT_EQ(*map_.get(txn, "b"), std::nullopt);
  EXPECT_EQ(*map_.get(txn, "c"), "3");
  ASSERT_OK(other.rollback());
  ASSERT_OK(map_.multi_put(txn, pairs_of({{"d", "4"}})));
  ASSERT_OK(txn.commit());
  note({{"c", "3"}, {"d", "4"}});
  expect_model();
  ASSERT_OK(map_.multi_put({}));
  expect_sound(db_);
}

TEST_P(MultiPutTest, MoreThanATransactionCanRememberIsRefused) {
  PutEntries entries(40000);
  for (std::size_t i = 0; i < entries.size(); ++i) entries[i].first = std::to_string(i);
  EXPECT_ERROR(kTooLarge, map_.multi_put(pairs_of(entries)));
  expect_model();
  expect_sound(db_);
}

// In the order in which the entries come each would soon hold what the other wants.
TEST_P(MultiPutTest, TwoThatGoOppositeWays) {
  Options patient = options();
  patient.lock_timeout = std::chrono::seconds(120);
  Database db = *Database::open_in_memory(patient);
  const Map map = *db.create_map("m");
  PutEntries up;
  for (unsigned i = 0; i < 200; ++i) up.emplace_back(std::to_string(1000 + i), "up");
  PutEntries down(up.rbegin(), up.rend());
  for (auto& [key, value] : down) value = "down";
  const std::uint64_t rounds = scaled(100);
  const auto put = [&](const PutEntries& entries) {
    for (std::uint64_t round = 0; round < rounds; ++round) ASSERT_OK(Map(map).multi_put(pairs_of(entries)));
  };
  std::thread other(put, down);
  put(up);
  other.join();
  const Content content = content_of(map);
  ASSERT_EQ(content.size(), up.size());
  const std::string& one = content.begin()->second;
  for (const auto& [key, value] : content) EXPECT_EQ(value, one) << "two calls that are one change each";
  expect_sound(db);
}

// Their leaves are split, merged and changed by each other all the time: no trail lasts long.
TEST_P(MultiPutTest, ManyOnTheSameLeaves) {
  constexpr unsigned kThreads = 4;
  const std::uint64_t rounds = scaled(60);
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      Map map = map_;
      for (std::uint64_t round = 0; round < rounds; ++round) {
        PutEntries entries;
        for (unsigned i = 0; i < 120; ++i) {
          entries.emplace_back(std::to_string(1000 + i) + "-" + std::to_string(t), std::to_string(round));
        }
        ASSERT_OK(map.multi_put(pairs_of(entries)));
        for (const auto& [key, value] : entries) {
          const auto found = map.get(key);
          ASSERT_OK(found);
          ASSERT_EQ(*found, value);
        }
        for (unsigned i = 0; i < 120; i += 3) ASSERT_OK(map.erase(entries[i].first));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(*map_.count(), kThreads * 80u);
  expect_sound(db_);
}

}  // namespace
}  // namespace vaultgres
