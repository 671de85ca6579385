// Goal: a value of a hundred megabytes, some fifty times the smallest cache, goes through every call of a map, and its
// space comes back.
#include <gtest/gtest.h>

#include "io/memory_file_system.h"
#include "support/random.h"
#include "support/scale.h"
#include "support/table_fixture.h"

namespace vaultgres {
namespace {

class HugeValueTest : public ::testing::TestWithParam<std::size_t> {
 protected:
  HugeValueTest() { reopen(); }
  void reopen() {
    db_.reset();
    Options options;
    options.cache_bytes = GetParam();
    db_.emplace(*open_on(*files_, options));
    map_.emplace(*db_->open_or_create_map("m"));
  }
  /// No page of it equals another.
  static std::string make_value(std::size_t bytes, char fill) {
    std::string value(bytes, fill);
    for (std::size_t at = 0; at + 8 <= bytes; at += kPageBytes / 2) store_little(&value[at], std::uint64_t{at});
    return value;
  }
  void expect_entry(const std::string& key, const std::string& value) {
    std::string found;
    const Result<bool> there = map_->get(key, found);
    ASSERT_OK(there);
    ASSERT_TRUE(*there);
    ASSERT_TRUE(found == value) << found.size() << " bytes";  // no diff of so many bytes
  }
  void expect_given_back(std::uint64_t pages) {
    EXPECT_TRUE(comes_true([&] { return pages_in_use(*db_) <= pages; })) << pages_in_use(*db_) << " of " << pages;
  }

  std::unique_ptr<FileSystem> files_ = make_memory_file_system();
  std::optional<Database> db_;
  std::optional<Map> map_;
};

INSTANTIATE_TEST_SUITE_P(Caches, HugeValueTest, ::testing::Values(Options().cache_bytes, std::size_t{2} << 20),
                         [](const auto& one) { return one.param == (std::size_t{2} << 20) ? "Smallest" : "Default"; });

TEST_P(HugeValueTest, EveryCall) {
  const std::size_t bytes = scaled(100'000'000) + 3 * kPageBytes;
  const std::uint64_t before = pages_in_use(*db_);
  const std::string first = make_value(bytes, 'f');
  ASSERT_OK(map_->put("huge", first));
  ASSERT_OK(map_->put("small", "value"));
  EXPECT_GE(pages_in_use(*db_), before + bytes / kPageBytes);
  expect_entry("huge", first);
  EXPECT_EQ(map_->size_estimate()->bytes, 4 + bytes + 10);

  Cursor cursor = map_->cursor();
  ASSERT_TRUE(*cursor.next());
  EXPECT_EQ(cursor.key(), "huge");
  EXPECT_TRUE(cursor.value() == first);
  ASSERT_TRUE(*cursor.next());
  EXPECT_EQ(cursor.value(), "value");

  reopen();
  expect_entry("huge", first);
  {
    const std::string second = make_value(bytes / 2, 's');
    Transaction txn = *db_->begin();
    ASSERT_OK(map_->put(txn, "huge", "for a moment"));
    ASSERT_OK(txn.rollback());
    expect_entry("huge", first);
    ASSERT_OK(map_->put("huge", second));
    expect_entry("huge", second);
    expect_given_back(before + bytes / 2 / kPageBytes * 11 / 10 + 50);
  }
  ASSERT_TRUE(*map_->erase("huge"));
  EXPECT_EQ(*map_->get("huge"), std::nullopt);
  expect_given_back(before + 20);
  expect_sound(*db_);
  reopen();
  EXPECT_EQ(*map_->get("huge"), std::nullopt);
  EXPECT_EQ(**map_->get("small"), "value");
}

}  // namespace
}  // namespace vaultgres
