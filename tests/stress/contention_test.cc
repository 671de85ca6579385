// Goal: entries of one leaf that many threads change come to stand on leaves of their own; one entry alone changes
// nothing, and no change is lost meanwhile.
//
// Method: threads put under several keys of one leaf, or under one, and are delayed now and then with its latch in
// hand, so that others sleep for it.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "base/schedule_noise.h"
#include "support/database.h"
#include "support/scale.h"
#include "support/sim_file_system.h"
#include "support/watchdog.h"

namespace vaultgres {
namespace {

enum class Way : std::uint8_t { kPut, kTransaction, kMultiPut };
constexpr Way kWays[] = {Way::kPut, Way::kTransaction, Way::kMultiPut};

Status put(Database& db, Map& map, Way way, const std::string& key, const std::string& value) {
  switch (way) {
    case Way::kPut:
      return map.put(key, value);
    case Way::kTransaction: {
      auto txn = db.begin();
      if (!txn) return txn.error();
      if (Status done = map.put(*txn, key, value); !done) return done;
      return txn->commit();
    }
    case Way::kMultiPut: {
      const KeyValue entries[] = {{key, value}};
      return map.multi_put(entries);
    }
  }
  return {};
}

/// While it lives, as many threads as there are keys put values that count up, each under its own key, each in its way.
class Fighters {
 public:
  Fighters(Database& db, const Map& map, std::vector<std::string> keys) : keys_(std::move(keys)), last_(keys_.size()) {
    for (std::size_t t = 0; t < keys_.size(); ++t) {
      threads_.emplace_back([this, &db, t, own = map]() mutable {
        while (!stop_.load(std::memory_order_relaxed)) {
          const Status done = put(db, own, kWays[t % std::size(kWays)], keys_[t], std::to_string(++last_[t]));
          ASSERT_TRUE(done) << done.error().message();
        }
      });
    }
  }
  Fighters(const Fighters&) = delete;
  Fighters& operator=(const Fighters&) = delete;
  ~Fighters() { stop(); }
  void stop() {
    stop_.store(true);
    for (std::thread& thread : threads_) {
      if (thread.joinable()) thread.join();
    }
  }
  void expect_last_values(const Map& map) const {
    for (std::size_t t = 0; t < keys_.size(); ++t) EXPECT_EQ(*map.get(keys_[t]), std::to_string(last_[t])) << keys_[t];
  }

 private:
  const std::vector<std::string> keys_;
  std::vector<std::uint64_t> last_;
  std::atomic<bool> stop_{false};
  std::vector<std::thread> threads_;
};

/// Whoever has changed an entry may be kept from giving up the latch of its leaf.
NoisePlan delays_in_the_leaf() {
  NoisePlan plan = NoisePlan::nowhere();
  plan.points[0] = static_cast<std::uint8_t>(NoisePoint::kChangeBeforeHistory);
  plan.odds_shift = 2;
  plan.delay = NoisePlan::Delay::kSleep;
  plan.amount_shift = 9;
  return plan;
}

class ContentionTest : public ::testing::TestWithParam<Durability> {
 protected:
  static constexpr unsigned kEntries = 20;
  ContentionTest() : db_(*open_on(disk_, options())), map_(*db_.create_map("m")) {}
  static Options options() {
    Options options = small_options();
    options.durability = GetParam();
    options.lock_timeout = std::chrono::milliseconds(60000);
    return options;
  }
  static std::string key(unsigned number) { return "key " + std::to_string(10000 + number); }
  void fill(unsigned count) {
    for (unsigned i = 0; i < count; ++i) ASSERT_OK(map_.put(key(i), "0"));
  }
  std::uint64_t leaves() { return db_.map_stats("m")->leaf_pages; }

  const Watchdog watchdog_{"threads that fight over a leaf", std::chrono::seconds(300)};
  SimFileSystem disk_;
  Database db_;
  Map map_;
};
INSTANTIATE_TEST_SUITE_P(Modes, ContentionTest, ::testing::Values(Durability::kDurable, Durability::kRelaxed),
                         durability_name);

/// One of them alone changes nothing by that.
TEST_P(ContentionTest, EntriesThatAreFoughtOverGetLeavesOfTheirOwn) {
  fill(kEntries);
  ASSERT_EQ(leaves(), 1u);
  const NoiseScope delays(delays_in_the_leaf());
  {
    std::vector<std::thread> threads;
    std::atomic<bool> stop{false};
    for (unsigned t = 0; t < 6; ++t) {
      threads.emplace_back([&, own = map_]() mutable {
        while (!stop.load(std::memory_order_relaxed)) ASSERT_OK(own.put(key(9), "0"));
      });
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1500));
    stop = true;
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(leaves(), 1u);
  }
  Fighters fighters(db_, map_, {key(8), key(9), key(10), key(11), key(12), key(13)});
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(120);
  while (leaves() == 1 && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_GT(leaves(), 1u);
  fighters.stop();
  fighters.expect_last_values(map_);
  EXPECT_EQ(*map_.count(), kEntries);
  expect_sound(db_);
}

/// They fight over each leaf, and where each change waits for a slow disk they do so for long: leaves stay as full as
/// they were.
TEST_P(ContentionTest, ACrowdThatPassesThroughLeavesNoMoreLeaves) {
  const auto count = static_cast<unsigned>(scaled(1500));
  fill(count);
  const std::uint64_t before = leaves();
  NoisePlan delays = delays_in_the_leaf();
  delays.odds_shift = 5;
  if (GetParam() == Durability::kDurable) {
    delays.points[0] = static_cast<std::uint8_t>(NoisePoint::kFlushWritten);
    delays.odds_shift = 1;
    delays.amount_shift = 11;
  }
  const NoiseScope scope(delays);
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 6; ++t) {
    threads.emplace_back([&, own = map_]() mutable {
      for (unsigned i = 0; i < count; ++i) ASSERT_OK(own.put(key(i), "1"));
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(noise_count(static_cast<NoisePoint>(delays.points[0])).delayed, 0u);
  EXPECT_LE(leaves(), before + before / 10 + 1);
  EXPECT_EQ(*map_.count(), count);
  expect_sound(db_);
}

}  // namespace
}  // namespace vaultgres
