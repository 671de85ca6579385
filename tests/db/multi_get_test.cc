// Goal: multi_get() answers as get() does, key by key: whatever the map holds, whoever has changed it or is about to,
// whatever is in the cache, and whatever fails.
//
// Method: the same keys by both. Where a call is made to fail, values follow from the keys.
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <mutex>

#include "db/allocation_support.h"
#include "support/hooked_file_system.h"
#include "support/scale.h"
#include "support/sim_file_system.h"
#include "support/table_fixture.h"

namespace vaultgres {
namespace {

using Keys = std::vector<std::string>;
using Values = std::vector<std::optional<std::string>>;

std::vector<std::string_view> views_of(const Keys& keys) {
  return {keys.begin(), keys.end()};
}

/// `values` is what an earlier call has left.
void expect_as_gets(const Map& map, const Keys& keys, Values& values) {
  ASSERT_OK(map.multi_get(views_of(keys), values));
  ASSERT_EQ(values.size(), keys.size());
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const auto value = map.get(keys[i]);
    ASSERT_OK(value);
    ASSERT_TRUE(values[i] == *value) << "key " << i << ", \"" << keys[i] << '"';
  }
}
void expect_as_gets(const Map& map, const Transaction& txn, const Keys& keys) {
  Values values;
  ASSERT_OK(map.multi_get(txn, views_of(keys), values));
  ASSERT_EQ(values.size(), keys.size());
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const auto value = map.get(txn, keys[i]);
    ASSERT_OK(value);
    ASSERT_TRUE(values[i] == *value) << "key " << i << ", \"" << keys[i] << '"';
  }
}

class MultiGetTest : public ::testing::TestWithParam<Durability> {
 protected:
  MultiGetTest() : db_(*Database::open_in_memory(options())), map_(*db_.create_map("m")) {}
  static Options options() {
    Options options = small_options();
    options.durability = GetParam();
    return options;
  }
  std::string random_key() {
    return random_.word(random_.uniform(3)) + std::string(random_.uniform(8), 'p') + random_.word(1);
  }
  /// Mostly short, at times one that stands in a chain.
  std::string random_value() { return random_.bytes(random_.uniform(random_.one_in(50) ? 5 * kPageBytes : 120)); }
  Keys random_keys() {
    Keys keys(random_.uniform(random_.one_in(5) ? 300 : 30));
    for (std::string& key : keys) key = random_key();
    return keys;
  }

  TestRandom random_;
  Database db_;
  Map map_;
  Values values_;
};
INSTANTIATE_TEST_SUITE_P(Modes, MultiGetTest, ::testing::Values(Durability::kDurable, Durability::kRelaxed),
                         durability_name);

TEST_P(MultiGetTest, RandomMaps) {
  for (std::uint64_t i = 0; i < scaled(10000); ++i) {
    if (random_.one_in(3)) {
      ASSERT_OK(map_.erase(random_key()));
    } else {
      ASSERT_OK(map_.put(random_key(), random_value()));
    }
    if (random_.one_in(20)) expect_as_gets(map_, random_keys(), values_);
    if (HasFatalFailure()) return;
  }
}

TEST_P(MultiGetTest, ADeepTree) {
  Keys there;
  while (db_.map_stats("m")->height < 4) {
    for (int i = 0; i < 200; ++i) {
      // Separators as long as keys, without a common prefix: few children.
      const auto first = static_cast<char>('a' + random_.uniform(8));
      there.push_back(first + std::string(kKeyBytesMax - 3, 'k') + random_.bytes(2));
      ASSERT_OK(map_.put(there.back(), random_value()));
    }
  }
  for (int round = 0; round < 30; ++round) {
    Keys keys = random_keys();
    for (int i = 0; i < 40; ++i) keys.push_back(there[random_.uniform(there.size())]);
    random_.shuffle(keys);
    expect_as_gets(map_, keys, values_);
    if (HasFatalFailure()) return;
  }
}

// Goal: others see what was there before, the transaction what it has done; afterwards all see the same.
TEST_P(MultiGetTest, OpenTransactions) {
  for (int i = 0; i < 500; ++i) ASSERT_OK(map_.put(random_key(), random_value()));
  for (int round = 0; round < 20; ++round) {
    Transaction txn = *db_.begin();
    Keys touched;
    for (int i = 0; i < 40; ++i) {
      touched.push_back(random_key());
      if (random_.one_in(3)) {
        ASSERT_OK(map_.erase(txn, touched.back()));
      } else {
        ASSERT_OK(map_.put(txn, touched.back(), random_value()));
      }
    }
    Keys keys = random_keys();
    keys.insert(keys.end(), touched.begin(), touched.end());
    Values before;
    ASSERT_OK(map_.multi_get(views_of(keys), before));
    expect_as_gets(map_, keys, values_);
    expect_as_gets(map_, txn, keys);
    if (random_.one_in(2)) {
      ASSERT_OK(txn.rollback());
      expect_as_gets(map_, keys, values_);
      ASSERT_TRUE(values_ == before);
    } else {
      ASSERT_OK(txn.commit());
      expect_as_gets(map_, keys, values_);
    }
    if (HasFatalFailure()) return;
  }
}

TEST_P(MultiGetTest, KeysComeInAnyOrderAndMoreThanOnce) {
  ASSERT_OK(map_.put("", "empty"));
  ASSERT_OK(map_.put("a", ""));
  const std::string longest(kKeyBytesMax, 'x');
  ASSERT_OK(map_.put(longest, "longest"));
  expect_as_gets(map_, {}, values_);
  expect_as_gets(map_, {longest, "b", "a", "", "a", "b", longest, longest}, values_);
  EXPECT_EQ(values_, (Values{"longest", std::nullopt, "", "empty", "", std::nullopt, "longest", "longest"}));
  expect_as_gets(map_, {"a"}, values_);
}

TEST_P(MultiGetTest, MemoryOfFormerValuesIsUsedAgain) {
  const std::string value(200, 'v');
  ASSERT_OK(map_.put("a", value));
  const std::string_view keys[] = {"a"};
  ASSERT_OK(map_.multi_get(keys, values_));
  const char* const memory = values_[0]->data();
  ASSERT_OK(map_.multi_get(keys, values_));
  EXPECT_EQ(values_[0]->data(), memory);
}

TEST_P(MultiGetTest, WhatGetRefusesIsRefused) {
  const std::string too_long(kKeyBytesMax + 1, 'x');
  ASSERT_OK(map_.put("a", "1"));
  EXPECT_ERROR(kTooLarge, map_.multi_get(views_of({"a", too_long}), values_));
  Transaction ended = *db_.begin();
  ASSERT_OK(ended.commit());
  EXPECT_ERROR(kInvalidArgument, map_.get(ended, "a"));
  EXPECT_ERROR(kInvalidArgument, map_.multi_get(ended, views_of({"a"}), values_));
  Database other = *Database::open_in_memory(options());
  Transaction foreign = *other.begin();
  EXPECT_ERROR(kInvalidArgument, map_.get(foreign, "a"));
  EXPECT_ERROR(kInvalidArgument, map_.multi_get(foreign, views_of({"a"}), values_));
  Transaction txn = *db_.begin();
  EXPECT_ERROR(kTooLarge, map_.multi_get(txn, views_of({too_long}), values_));
  ASSERT_OK(txn.rollback());
  ASSERT_OK(db_.drop_map("m"));
  EXPECT_EQ(test_code(map_.multi_get(views_of({"a"}), values_)), test_code(map_.get("a")));
  EXPECT_FALSE(map_.get("a"));
  ASSERT_OK(db_.close());
  EXPECT_ERROR(kClosed, map_.multi_get(views_of({"a"}), values_));
  EXPECT_ERROR(kClosed, map_.multi_get({}, values_));
}

// --- Absent pages

std::string numbered_value(std::uint64_t i) {
  return std::string(kPageBytes / 8, static_cast<char>('a' + i % 26)) + std::to_string(i);
}

/// A map of several times the cache, which is as small as may be.
class ColdMultiGetTest : public ::testing::Test {
 protected:
  /// On `files`, or on the disk itself.
  void fill(std::unique_ptr<FileSystem> files = nullptr) {
    files_ = std::move(files);
    Options options = small_options();
    options.durability = Durability::kRelaxed;
    db_.emplace(*open_on(files_ != nullptr ? *files_ : disk_, options));
    map_.emplace(*db_->create_map("m"));
    entries_ = 3 * 8 * db_->stats()->cache_pages;
    for (std::uint64_t i = 0; i < entries_; ++i) {
      ASSERT_OK(map_->put(numbered_key(static_cast<int>(i)), numbered_value(i)));
    }
    // Nothing is left to be done in the background.
    ASSERT_OK(db_->checkpoint());
  }
  /// Some that are there, but for the first two; every 16th is not.
  Keys random_keys(std::size_t count) {
    Keys keys;
    numbers_.clear();
    for (std::size_t i = 0; i < count; ++i) {
      numbers_.push_back(i % 16 == 15 ? entries_ : random_.between(2, entries_ - 1));
      keys.push_back(numbered_key(static_cast<int>(numbers_.back())));
    }
    return keys;
  }
  void expect_values(const Values& values) const {
    ASSERT_EQ(values.size(), numbers_.size());
    for (std::size_t i = 0; i < values.size(); ++i) {
      ASSERT_EQ(values[i].has_value(), numbers_[i] < entries_) << numbers_[i];
      if (values[i]) {
        ASSERT_EQ(*values[i], numbered_value(numbers_[i]));
      }
    }
  }

  TestRandom random_;
  SimFileSystem disk_;
  std::unique_ptr<FileSystem> files_;
  std::optional<Database> db_;
  std::optional<Map> map_;
  std::uint64_t entries_ = 0;
  std::vector<std::uint64_t> numbers_;
};

TEST_F(ColdMultiGetTest, PagesThatAreNotInTheCacheAreLoaded) {
  fill();
  const std::uint64_t loads = db_->stats()->page_loads;
  Values values;
  for (int round = 0; round < 100; ++round) {
    const Keys keys = random_keys(random_.uniform(150));
    ASSERT_OK(map_->multi_get(views_of(keys), values));
    expect_values(values);
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(db_->stats()->page_loads, loads + 1000);
  expect_sound(*db_);
}

// Method: reads wait, for a while, until another one is under way.
TEST_F(ColdMultiGetTest, ReadsOfPagesAreUnderWayAtTheSameTime) {
  struct State {
    std::mutex mutex;
    std::condition_variable another;
    bool watched = false;
    unsigned under_way = 0;
    unsigned most = 0;
  };
  const auto state = std::make_shared<State>();
  fill(std::make_unique<HookedFileSystem>(disk_, [state](FileCall call, const std::string& path) {
    if (call != FileCall::kRead || !path.starts_with(kDataPath)) return;
    std::unique_lock lock(state->mutex);
    if (!state->watched) return;
    state->most = std::max(state->most, ++state->under_way);
    state->another.notify_all();
    // Not for long: where inner nodes are absent, few are wanted at a time.
    state->another.wait_for(lock, std::chrono::milliseconds(300), [&] { return state->most >= 4; });
    --state->under_way;
  }));
  const Keys keys = random_keys(64);
  Values values;
  const auto watch = [&](bool watched) {
    const std::lock_guard lock(state->mutex);
    state->watched = watched;
  };
  watch(true);
  ASSERT_OK(map_->multi_get(views_of(keys), values));
  watch(false);
  expect_values(values);
  EXPECT_GE(state->most, 4u);
}

// Goal: whichever read of a page fails, once or for good, the answers are right, or the call says so.
TEST_F(ColdMultiGetTest, AReadThatFailsIsAnErrorOrIsMadeAgain) {
  fill();
  unsigned failed = 0;
  for (const bool sticky : {false, true}) {
    const std::uint64_t step = sticky ? 5 : 1;
    for (std::uint64_t at = 1; at < 60; at += step) {
      SCOPED_TRACE("read " + std::to_string(at) + (sticky ? " and all later ones" : ""));
      const Keys keys = random_keys(48);
      Values values;
      disk_.inject({.call = IoCall::kRead, .at = at, .os_error = EIO, .sticky = sticky, .path_contains = "data.vg"});
      const Status got = map_->multi_get(views_of(keys), values);
      disk_.clear_faults();
      if (got) {
        expect_values(values);
      } else {
        ++failed;
        EXPECT_EQ(got.error().code(), ErrorCode::kIo) << got.error().message();
      }
      ASSERT_OK(map_->multi_get(views_of(keys), values));
      expect_values(values);
      if (HasFailure()) return;
    }
  }
  EXPECT_GT(failed, 3u) << "those that fail for good";
}

// Goal: whichever allocation fails, the call says so, or its answers are right; nothing stays behind.
TEST_F(ColdMultiGetTest, WithoutMemoryTheCallSaysSo) {
  const AllocationsFail spared(false);
  fill(spare_allocations_of(disk_));
  Transaction other = *db_->begin();
  ASSERT_OK(map_->put(numbered_key(0), std::string(3 * kPageBytes, 'c')));
  ASSERT_OK(map_->put(other, numbered_key(1), "not yet"));
  unsigned failed = 0;
  bool hit = true;
  for (std::uint64_t at = 1; hit; ++at) {
    SCOPED_TRACE("allocation " + std::to_string(at));
    ASSERT_LT(at, 2000u);
    Keys keys = random_keys(30);
    keys.push_back(numbered_key(0));
    keys.push_back(numbered_key(1));
    const std::vector<std::string_view> views = views_of(keys);
    Values values;
    AllocationFault fault(at);
    const Status got = expose("multi_get", [&] { return map_->multi_get(views, values); });
    fault.stop();
    hit = fault.hit();
    if (got) {
      ASSERT_EQ(values.size(), keys.size());
      EXPECT_EQ(values[30], std::string(3 * kPageBytes, 'c'));
      EXPECT_EQ(values[31], numbered_value(1));
      values.resize(30);
      expect_values(values);
    } else {
      ++failed;
      EXPECT_EQ(got.error().code(), ErrorCode::kOutOfMemory) << got.error().message();
    }
    if (HasFailure()) return;
  }
  std::printf("%u failed\n", failed);
  EXPECT_GT(failed, 20u);
  ASSERT_OK(other.rollback());
  expect_sound(*db_);
}

}  // namespace
}  // namespace vaultgres
