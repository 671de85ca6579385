// Goal: a scan gives every key that is there all along exactly once, in order, in both directions, nothing outside its
// bounds, and each value with its key, whatever comes and goes between.
//
// Method: threads walk ranges of a map in which one key in three is never deleted, but changed, while others fill and
// empty stretches between, so that leaves are split, merged and evicted under the cursors: whole ranges and short ones,
// from an end or from the middle, some with turns, some with pauses. A checker knows the keys that must come.
#include <gtest/gtest.h>

#include "base/seeded_bug.h"
#include "stress/stress_support.h"
#include "support/cases.h"
#include "support/database.h"
#include "support/scan_checker.h"
#include "support/watchdog.h"

namespace vaultgres {
namespace {

// --- The checker, without a map

std::string text_of_scan(ScanChecker& checker, const std::vector<std::string>& keys, bool ends = true) {
  for (const std::string& key : keys) {
    if (std::string wrong = checker.entry(key, "of " + key); !wrong.empty()) return wrong;
  }
  return ends ? checker.end() : "";
}

class ScanCheckerTest : public ::testing::Test {
 protected:
  ScanChecker checker(KeyRange range, bool forward) const {
    return ScanChecker(indelible_, std::move(range), forward,
                       [](std::string_view key, std::string_view value) { return value == "of " + std::string(key); });
  }
  static KeyRange range(std::string from, bool from_inclusive, std::string to, bool to_inclusive) {
    return {std::move(from), from_inclusive, std::move(to), to_inclusive};
  }
  std::string all(KeyRange range, bool forward, const std::vector<std::string>& keys) const {
    ScanChecker scan = checker(std::move(range), forward);
    return text_of_scan(scan, keys);
  }

  const std::vector<std::string> indelible_{"b", "d", "f"};
};

TEST_F(ScanCheckerTest, WhatIsRight) {
  EXPECT_EQ(all({}, true, {"a", "b", "c", "d", "f"}), "");
  EXPECT_EQ(all({}, false, {"g", "f", "d", "b"}), "");
  EXPECT_EQ(all(range("b", true, "f", false), true, {"b", "d", "e"}), "");
  EXPECT_EQ(all(range("b", false, "f", true), true, {"d", "f"}), "");
  EXPECT_EQ(all(range("b", false, "f", true), false, {"f", "d", "c"}), "");
  EXPECT_EQ(all(range("bb", true, "c", true), true, {}), "");
  EXPECT_EQ(all(range("f", true, "b", true), true, {}), "") << "an empty range";
}

TEST_F(ScanCheckerTest, AKeyIsMissed) {
  EXPECT_EQ(all({}, true, {"a", "b", "e", "f"}), "d is missed: e comes after b");
  EXPECT_EQ(all({}, true, {"c"}), "b is missed: c comes first");
  EXPECT_EQ(all({}, false, {"d"}), "f is missed: d comes first");
  EXPECT_EQ(all({}, true, {"b", "d", "e"}), "f is missed: the scan ends after e");
  EXPECT_EQ(all({}, false, {"f", "d"}), "b is missed: the scan ends after d");
  EXPECT_EQ(all({}, true, {}), "b is missed: the scan ends with nothing");
  EXPECT_EQ(all(range("b", true, "c", true), true, {}), "b is missed: the scan ends after b");
  EXPECT_EQ(all(range("a", true, "b", true), false, {}), "b is missed: the scan ends after b");
}

TEST_F(ScanCheckerTest, AKeyComesTwiceOrTooLate) {
  EXPECT_EQ(all({}, true, {"b", "b"}), "b comes after b, upwards");
  EXPECT_EQ(all({}, true, {"b", "c", "bb"}), "bb comes after c, upwards");
  EXPECT_EQ(all({}, false, {"f", "f"}), "f comes after f, downwards");
  EXPECT_EQ(all({}, false, {"f", "d", "e"}), "e comes after d, downwards");
}

TEST_F(ScanCheckerTest, AKeyIsOutsideTheRange) {
  EXPECT_EQ(all(range("b", false, "f", false), true, {"b"}), "b is outside the range");
  EXPECT_EQ(all(range("b", false, "f", false), false, {"f"}), "f is outside the range");
  EXPECT_EQ(all(range("b", true, "f", false), true, {"a"}), "a is outside the range");
  EXPECT_EQ(all(range("b", true, "c", true), true, {"b", "cc"}), "cc is outside the range");
}

TEST_F(ScanCheckerTest, AValueIsAnothers) {
  ScanChecker scan = checker({}, true);
  EXPECT_EQ(scan.entry("a", "of b"), "a has a value that nobody wrote there");
}

TEST_F(ScanCheckerTest, ItBeginsInTheMiddle) {
  for (const bool outside : {false, true}) {
    ScanChecker up = checker(range("b", false, "f", true), true);
    up.seek(outside ? "a" : "d");
    EXPECT_EQ(text_of_scan(up, {"d", "f"}), "");
    ScanChecker down = checker(range("b", true, "f", false), false);
    down.seek(outside ? "z" : "d");
    EXPECT_EQ(text_of_scan(down, {"d", "b"}), "");
  }
  ScanChecker up = checker({}, true);
  up.seek("d");
  EXPECT_EQ(up.entry("e", "of e"), "d is missed: e comes after d");
  ScanChecker beyond = checker(range("b", true, "c", true), true);
  beyond.seek("d");
  EXPECT_EQ(beyond.end(), "");
}

TEST_F(ScanCheckerTest, ItTurns) {
  ScanChecker scan = checker(range("a", true, "e", true), true);
  EXPECT_EQ(text_of_scan(scan, {"b", "d"}, false), "");
  scan.turn();
  EXPECT_EQ(text_of_scan(scan, {"c", "b", "a"}), "");
  scan.turn();
  EXPECT_EQ(text_of_scan(scan, {"b"}, false), "") << "from the end, it begins anew";
  scan.turn();
  EXPECT_EQ(text_of_scan(scan, {"b"}, false), "b comes after b, downwards");
  ScanChecker missing = checker({}, true);
  EXPECT_EQ(text_of_scan(missing, {"b", "d", "e"}, false), "");
  missing.turn();
  EXPECT_EQ(text_of_scan(missing, {"c"}, false), "d is missed: c comes after e");
}

// --- Scans of a map

constexpr std::uint64_t kScanKeys = 24000;
constexpr std::uint64_t kIndelibleEvery = 3;
constexpr unsigned kScanThreads = 5;
constexpr unsigned kScanNeighbours = 3;

std::string text_of(const KeyRange& range) {
  const std::string from = range.from ? (range.from_inclusive ? "[" : "(") + *range.from : "(";
  return from + ", " + (range.to ? *range.to + (range.to_inclusive ? "]" : ")") : ")");
}

class ScanWorker {
 public:
  ScanWorker(Map map, const std::vector<std::string>& indelible, std::atomic<std::uint64_t>& focus, unsigned number)
      : map_(std::move(map)), indelible_(&indelible), focus_(&focus), random_(300 + number) {}

  std::string one() {
    if (random_.one_in(30)) focus_->store(random_.uniform(kScanKeys));
    return random_.one_in(8) ? change() : scan();
  }
  std::uint64_t scans() const { return scans_; }
  std::uint64_t entries() const { return entries_; }

 private:
  /// Some of the keys that stay get values of other lengths.
  std::string change() {
    for (std::uint64_t i = random_.between(1, 8); i > 0; --i) {
      const std::string& key = (*indelible_)[random_.uniform(indelible_->size())];
      const Status put = map_.put(key, stamped_value(key, random_.next()));
      if (!put) return "put: " + std::string(put.error().message());
    }
    return "";
  }

  /// A key that may be there, one that is not, or the beginning of many.
  std::string key_at(std::uint64_t number) {
    std::string key = number_key(number);
    if (random_.one_in(4)) key += "x";
    if (random_.one_in(4)) key.resize(random_.between(1, key.size()));
    return key;
  }

  KeyRange some_range() {
    KeyRange range;
    if (random_.one_in(50)) return range;
    std::uint64_t from = random_.uniform(kScanKeys);
    if (random_.one_in(2)) {
      from = focus_->load();
      from -= std::min(from, random_.uniform(200));
    }
    const std::uint64_t length = random_.uniform(random_.one_in(8) ? 4000 : 300);
    if (!random_.one_in(16) || from > kScanKeys / 2) range.from = key_at(from);
    if (!random_.one_in(16) || from <= kScanKeys / 2) range.to = key_at(from + length);
    range.from_inclusive = random_.one_in(2);
    range.to_inclusive = random_.one_in(2);
    begin_ = key_at(from + random_.uniform(length + 1));
    return range;
  }

  std::string scan() {
    const KeyRange range = some_range();
    bool forward = random_.one_in(2);
    ScanChecker checker(*indelible_, range, forward,
                        [](std::string_view key, std::string_view value) { return stamp_of(key, value).has_value(); });
    Cursor cursor = map_.cursor(range);
    const bool in_the_middle = !begin_.empty() && random_.one_in(4);
    if (in_the_middle) checker.seek(begin_);
    const std::string what =
        (forward ? "upwards " : "downwards ") + text_of(range) + (in_the_middle ? " from " + begin_ : "") + ": ";
    Result<bool> more = in_the_middle ? (forward ? cursor.seek(begin_) : cursor.floor(begin_))
                                      : (forward ? cursor.first() : cursor.last());
    std::uint64_t turns = random_.one_in(4) ? random_.between(1, 3) : 0;
    for (;; more = forward ? cursor.next() : cursor.prev()) {
      if (!more) return what + std::string(more.error().message());
      const std::string wrong = *more ? checker.entry(cursor.key(), cursor.value()) : checker.end();
      if (!wrong.empty()) return what + wrong;
      if (turns > 0 && (!*more || random_.one_in(100))) {
        --turns;
        forward = !forward;
        checker.turn();
      } else if (!*more) {
        break;
      }
      entries_ += *more;
      if (random_.one_in(300)) std::this_thread::yield();
      if (random_.one_in(5000)) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    ++scans_;
    return "";
  }

  Map map_;
  const std::vector<std::string>* indelible_;
  std::atomic<std::uint64_t>* focus_;
  TestRandom random_;
  std::string begin_;  ///< where the next scan may begin
  std::uint64_t scans_ = 0;
  std::uint64_t entries_ = 0;
};

/// For so long, or until something is wrong, which is given back.
std::string run_scans(Durability durability, std::chrono::seconds time) {
  const Watchdog watchdog("scans beside splits and merges", std::chrono::seconds(300) + 10 * time);
  Result<Database> db = Database::open_in_memory(tiny_cache(durability));
  if (!db) return std::string(db.error().message());
  std::atomic<std::uint64_t> focus{0};
  const Neighbours neighbours{kScanNeighbours, kScanKeys, kIndelibleEvery, &focus};
  const Result<Map> map = load_kept_keys(*db, neighbours);
  if (!map) return std::string(map.error().message());
  std::vector<std::string> indelible;
  for (std::uint64_t i = 0; i < kScanKeys; i += kIndelibleEvery) indelible.push_back(number_key(i));
  std::vector<ScanWorker> workers;
  for (unsigned t = 0; t < kScanThreads; ++t) workers.emplace_back(*map, indelible, focus, t);
  const auto end = std::chrono::steady_clock::now() + time;
  std::string wrong;
  while_neighbours_change(*map, neighbours, [&] {
    wrong = first_wrong_answer(
        workers, [&](std::uint64_t times) { return times == 0 || std::chrono::steady_clock::now() < end; });
  });
  if (!wrong.empty()) return wrong;
  expect_sound(*db);
  std::uint64_t scans = 0;
  std::uint64_t entries = 0;
  for (const ScanWorker& worker : workers) {
    scans += worker.scans();
    entries += worker.entries();
  }
  const DatabaseStats stats = *db->stats();
  std::printf("%llu scans, %llu entries; %llu pages, %llu evictions, %llu loads\n",
              static_cast<unsigned long long>(scans), static_cast<unsigned long long>(entries),
              static_cast<unsigned long long>(stats.pages), static_cast<unsigned long long>(stats.page_evictions),
              static_cast<unsigned long long>(stats.page_loads));
  EXPECT_GT(stats.page_evictions, 0u);
  return "";
}

class ScanTest : public ::testing::TestWithParam<Durability> {};
INSTANTIATE_TEST_SUITE_P(Modes, ScanTest, ::testing::Values(Durability::kDurable, Durability::kRelaxed),
                         durability_name);

TEST_P(ScanTest, MissesRepeatsOrInventsNothingBesideSplitsMergesAndEvictions) {
  const std::chrono::seconds time(scaled(4));
  const std::string wrong = run_scans(GetParam(), time);
  EXPECT_TRUE(wrong.empty()) << wrong;
  record_cases("R12", static_cast<std::uint64_t>(time.count()), HasFailure() ? 1 : 0);
}

// The test of the test.
TEST(ScanControlTest, ACursorThatSkipsAnEntryIsNoticed) {
  const SeededBugScope bug(SeededBug::kCursorSkips);
  const std::string wrong = run_scans(Durability::kRelaxed, std::chrono::seconds(60));
  EXPECT_NE(wrong, "") << "entries were skipped, and nobody noticed";
  std::printf("noticed: %s\n", wrong.c_str());
}

}  // namespace
}  // namespace vaultgres
