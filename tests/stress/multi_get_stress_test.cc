// Goal: what one call of multi_get() answers belongs to one state of the map, and no key is missed, while others change
// the keys in transactions and the leaves around them split and merge.
//
// Method: keys of a group are far apart and always get one value together, or go together. Keys that are never changed
// stand between entries that come and go.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "stress/stress_support.h"
#include "support/database.h"
#include "support/random.h"
#include "support/watchdog.h"

namespace vaultgres {
namespace {

constexpr unsigned kKeyGroups = 6;
constexpr unsigned kGroupKeys = 40;
constexpr std::uint64_t kFillers = 6000;

std::string place_key(std::uint64_t place) {
  const std::string digits = std::to_string(place);
  return std::string(8 - digits.size(), '0') + digits;
}
/// Between two fillers.
std::string group_key(unsigned group, unsigned number) {
  return place_key(number * kFillers / kGroupKeys + group * 7) + "group" + std::to_string(group);
}
/// Stands between fillers, and stays.
std::string lasting_key(std::uint64_t number) {
  return place_key(number) + "lasting";
}
constexpr std::uint64_t kLastingEvery = 15;

class MultiGetStress : public ::testing::TestWithParam<Durability> {
 protected:
  MultiGetStress() : db_(*Database::open_in_memory(options())), map_(*db_.create_map("m")) {}
  static Options options() {
    Options options = small_options();
    options.durability = GetParam();
    return options;
  }
  void SetUp() override {
    for (std::uint64_t i = 0; i < kFillers; i += kLastingEvery) ASSERT_OK(map_.put(lasting_key(i), place_key(i)));
    for (unsigned group = 0; group < kKeyGroups; ++group) set(group, "0");
  }
  void set(unsigned group, const std::string& value) {
    Transaction txn = *db_.begin();
    for (unsigned i = 0; i < kGroupKeys; ++i) ASSERT_OK(map_.put(txn, group_key(group, i), value));
    ASSERT_OK(txn.commit());
  }

  /// Changes its groups: one value for all keys, now longer, now shorter, or none.
  void change_groups(unsigned writer, unsigned writers) {
    TestRandom random(10 + writer);
    for (std::uint64_t n = 1; !done_.load(); ++n) {
      const unsigned group = writer + writers * static_cast<unsigned>(random.uniform(kKeyGroups / writers));
      const std::string value = std::to_string(n) + std::string(random.uniform(kPageBytes / 20), 'v');
      Transaction txn = *db_.begin();
      const bool erase = random.one_in(5);
      for (unsigned i = 0; i < kGroupKeys; ++i) {
        if (erase) {
          ASSERT_OK(map_.erase(txn, group_key(group, i)));
        } else {
          ASSERT_OK(map_.put(txn, group_key(group, i), value));
        }
      }
      ASSERT_OK(random.one_in(4) ? txn.rollback() : txn.commit());
      changes_.fetch_add(1);
    }
  }
  /// Stretches of fillers come and go.
  void change_fillers() {
    TestRandom random(20);
    while (!done_.load()) {
      const std::uint64_t from = random.uniform(kFillers);
      for (const bool fill : {true, false}) {
        for (std::uint64_t i = from; i < std::min(kFillers, from + 300) && !done_.load(); ++i) {
          if (fill) {
            ASSERT_OK(map_.put(place_key(i), std::string(20 + i % (kPageBytes / 7), 'f')));
          } else if (i % 8 != 0) {
            ASSERT_OK(map_.erase(place_key(i)));
          }
        }
      }
    }
  }
  /// All keys of a group and some that stay, in any order.
  void read(unsigned reader, std::uint64_t calls) {
    TestRandom random(30 + reader);
    std::vector<std::string> keys;
    std::vector<std::string_view> views;
    std::vector<std::optional<std::string>> values;
    for (std::uint64_t call = 0; call < calls && !::testing::Test::HasFailure(); ++call) {
      const auto group = static_cast<unsigned>(random.uniform(kKeyGroups));
      keys.clear();
      for (unsigned i = 0; i < kGroupKeys; ++i) keys.push_back(group_key(group, i));
      for (unsigned i = 0; i < 20; ++i) {
        keys.push_back(lasting_key(random.uniform(kFillers / kLastingEvery) * kLastingEvery));
      }
      random.shuffle(keys);
      views.assign(keys.begin(), keys.end());
      ASSERT_OK(map_.multi_get(views, values));
      const std::optional<std::string>* of_group = nullptr;
      for (std::size_t i = 0; i < keys.size(); ++i) {
        if (keys[i].ends_with("lasting")) {
          ASSERT_TRUE(values[i]) << keys[i] << " is missing";
          ASSERT_EQ(*values[i], keys[i].substr(0, 8));
        } else if (of_group == nullptr) {
          of_group = &values[i];
        } else {
          ASSERT_TRUE(values[i] == *of_group)
              << "keys of group " << group << " are of different states: " << values[i].value_or("none") << ", "
              << of_group->value_or("none");
        }
      }
    }
  }

  Watchdog watchdog_{"reads of many keys beside writers", std::chrono::seconds(300)};
  Database db_;
  Map map_;
  std::atomic<bool> done_{false};
  std::atomic<std::uint64_t> changes_{0};
};
INSTANTIATE_TEST_SUITE_P(Modes, MultiGetStress, ::testing::Values(Durability::kDurable, Durability::kRelaxed),
                         durability_name);

TEST_P(MultiGetStress, AllAnswersOfACallBelongToOneState) {
  constexpr unsigned kWriters = 2;
  std::vector<std::thread> writers;
  for (unsigned t = 0; t < kWriters; ++t) writers.emplace_back([this, t] { change_groups(t, kWriters); });
  writers.emplace_back([this] { change_fillers(); });
  const std::uint64_t calls = stress_operations(6000);
  std::vector<std::thread> readers;
  for (unsigned t = 0; t < 2; ++t) readers.emplace_back([this, t, calls] { read(t, calls); });
  for (std::thread& reader : readers) reader.join();
  done_.store(true);
  for (std::thread& writer : writers) writer.join();
  std::printf("%llu changes of groups\n", static_cast<unsigned long long>(changes_.load()));
  expect_sound(db_);
}

}  // namespace
}  // namespace vaultgres
