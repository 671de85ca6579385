// Goal: whatever one thread does with a map, every answer is that of a sorted map.
//
// Method: random operations beside a std::map, with the smallest cache that is accepted and about twice as much data:
// puts, inserts, erases, lookups of one key and of several, counts, transactions that commit or roll back, cursors that
// go both ways and stand still meanwhile, reopening. Keys and values have random lengths, those at the limits and
// beside them often; what is too long must be refused. Entries come until there are many, then go until there are few.
// After every operation its answer is compared, every 10,000 operations the whole content, and `check` finds nothing.
//
// A cursor may show what its leaf held when it was read there. So it may miss, or still give, what was changed since it
// was placed or turned round; of everything else it gives exactly what there is.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/seeded_bug.h"
#include "btree/node.h"
#include "io/memory_file_system.h"
#include "support/cases.h"
#include "support/database.h"
#include "support/random.h"
#include "support/scale.h"
#include "support/watchdog.h"

namespace vaultgres {
namespace {

constexpr std::size_t kSmallestCache = std::size_t{256} << 10;
constexpr std::uint64_t kModelKeys = 6000;
constexpr std::uint64_t kMostEntries = 4000;
constexpr std::uint64_t kRoundOperations = 200'000;  ///< with one database and one set of keys
constexpr std::uint64_t kCheckEvery = 10'000;
constexpr std::uint64_t kReopenEvery = 25'000;

/// What a control does wrong.
enum class ModelFault : std::uint8_t { kNone, kForgetsPuts };

struct ModelEntry {
  std::optional<std::string> value;  ///< none: it is not there any more
  std::uint64_t changed = 0;         ///< the operation that changed it last
};
/// Committed entries, and keys of those that are gone.
using Model = std::map<std::string, ModelEntry, std::less<>>;

/// Keys in order, sixteen at a time with a common beginning, which may be as long as a key can be. A few have the
/// greatest length or one byte less; some differ from the one before by a zero at their end only.
std::vector<std::string> make_model_keys(TestRandom& random) {
  std::vector<std::string> keys{""};
  std::string beginning;
  while (keys.size() < kModelKeys) {
    const std::uint64_t group = keys.size() / 16;
    if (keys.size() % 16 == 0 || beginning.empty()) {
      const std::size_t common[] = {0, 0, 0, 5, 20, 60, kKeyBytesMax / 2, kKeyBytesMax - 6};
      const std::uint64_t choice = random.one_in(16) ? random.between(6, 7) : random.uniform(6);
      beginning = {static_cast<char>('a' + group / 26 / 26), static_cast<char>('a' + group / 26 % 26),
                   static_cast<char>('a' + group % 26)};
      beginning.append(common[choice], 'k');
    }
    std::string key = beginning;
    key += static_cast<char>('a' + keys.size() % 16);
    const std::size_t room = kKeyBytesMax - key.size();
    const std::uint64_t tail = random.uniform(64);
    if (tail < 2) {
      key += random.word(room - tail);
    } else if (tail < 6 && keys.back().size() < kKeyBytesMax) {
      key = keys.back() + '\0';
    } else {
      key += random.word(std::min<std::size_t>(room, random.uniform(12)));
    }
    keys.push_back(std::move(key));
  }
  return keys;
}

/// Each write has bytes of its own.
void make_model_value(std::string& value, std::size_t bytes, std::uint64_t write) {
  value.resize(bytes);
  std::uint64_t state = write * 0x9E3779B97F4A7C15u;
  for (std::size_t i = 0; i < bytes; i += sizeof state, state += 0xD6E8FEB86659FD93u) {
    std::memcpy(value.data() + i, &state, std::min(sizeof state, bytes - i));
  }
}

std::string model_text(std::string_view key) {
  const std::string head(key.substr(0, 12));
  return "\"" + head + (key.size() > head.size() ? "…\"" : "\"") + " of " + std::to_string(key.size()) + " bytes";
}

/// One database and its model.
class ModelWorker {
 public:
  ModelWorker(Durability durability, std::uint64_t round, ModelFault fault)
      : durability_(durability), fault_(fault), random_(8000 + round), keys_(make_model_keys(random_)) {
    wrong_at_first_ = open();
  }

  std::string one() {
    if (!wrong_at_first_.empty()) return wrong_at_first_;
    ++operation_;
    if (operation_ % kReopenEvery == 0) return reopen();
    if (operation_ % kCheckEvery == 0) return check();
    const std::uint64_t choice = random_.uniform(1024);
    if (choice < 440) return change();
    if (choice < 700) return get();
    if (choice < 920) return step();
    if (choice < 985) return place();
    if (choice < 999) return begin_or_end();
    if (choice < 1008) return get_many();
    if (choice < 1016) return count();
    return ask_for_too_much();
  }
  /// As its last operation.
  std::string check() {
    if (std::string wrong = end(random_.one_in(2)); !wrong.empty()) return wrong;
    const Result<CheckReport> report = db_->check();
    if (!report) return failed("check", report);
    if (!report->problems.empty()) {
      const CheckProblem& problem = report->problems.front();
      return "check: page " + std::to_string(problem.page) + " of " + problem.object + ": " + problem.what;
    }
    return compare_content();
  }
  Result<DatabaseStats> stats() { return db_->stats(); }

 private:
  /// Where it stands: `at`, or before the first entry, or behind the last one.
  struct Standing {
    Cursor cursor;
    bool on = false;
    bool behind = false;
    bool forward = true;
    std::string at{};
    std::uint64_t since = 0;  ///< the operation that placed it or turned it round
  };

  template <class T>
  static std::string failed(const char* what, const Result<T>& result) {
    return std::string(what) + " failed: " + std::string(result.error().message());
  }

  // --- The database

  std::string open() {
    Options options;
    options.cache_bytes = kSmallestCache;
    options.durability = durability_;
    Result<Database> db = open_on(*files_, options);
    if (!db) return failed("open", db);
    db_.emplace(*std::move(db));
    const Result<Map> map = db_->open_or_create_map("m");
    if (!map) return failed("open_or_create_map", map);
    map_.emplace(*map);
    for (int i = 0; i < 4; ++i) standing_.push_back({map_->cursor()});
    return "";
  }

  /// A transaction that is open is rolled back by it.
  std::string reopen() {
    standing_.clear();
    map_.reset();
    const Status closed = db_->close();
    txn_.reset();
    own_.clear();
    own_changes_ = 0;
    db_.reset();
    if (!closed) return failed("close", closed);
    std::erase_if(model_, [](const auto& entry) { return !entry.second.value; });
    if (std::string wrong = open(); !wrong.empty()) return wrong;
    return compare_content();
  }

  std::string compare_content() {
    Cursor cursor = map_->cursor();
    Result<bool> more = cursor.next();
    for (const auto& [key, entry] : model_) {
      if (!entry.value) continue;
      if (!more) return failed("a scan", more);
      if (!*more || cursor.key() != key) return "the scan of all does not give " + model_text(key);
      if (cursor.value() != *entry.value) return "the scan of all gives another value of " + model_text(key);
      more = cursor.next();
    }
    if (!more) return failed("a scan", more);
    return *more ? "the scan of all gives " + model_text(cursor.key()) + ", which is not there" : "";
  }

  // --- Choices

  /// Mostly in one stretch of the keys, for a while.
  const std::string& some_key() {
    if (stretch_left_ == 0) {
      stretch_ = random_.uniform(kModelKeys);
      stretch_left_ = random_.between(100, 4000);
    }
    --stretch_left_;
    const std::uint64_t number = random_.one_in(16) ? random_.next() : stretch_ + random_.uniform(128);
    return keys_[number % kModelKeys];
  }
  /// Also one that no entry has.
  std::string key_nearby() {
    std::string key = some_key();
    const std::uint64_t choice = random_.uniform(8);
    if (choice == 0 && key.size() < kKeyBytesMax) key += '\0';
    if (choice == 1) key.resize(random_.uniform(key.size() + 1));
    return key;
  }

  std::size_t value_bytes(std::size_t key_bytes) {
    const std::size_t longest_inline = inline_value_max(key_bytes);
    const std::uint64_t choice = random_.uniform(256);
    if (choice < 3) return longest_inline + choice - 1;
    if (choice == 3) return random_.between(1, 3) * kPageBytes - 34 + random_.uniform(5);
    if (choice < 30) return random_.uniform(longest_inline + 1);
    return random_.uniform(choice < 150 ? 16 : 60);
  }

  // --- What is there, for the transaction or for others

  const std::string* committed(std::string_view key) const {
    const auto found = model_.find(key);
    return found != model_.end() && found->second.value ? &*found->second.value : nullptr;
  }
  const std::string* visible(std::string_view key, bool within) const {
    if (within) {
      const auto own = own_.find(key);
      if (own != own_.end()) return own->second ? &*own->second : nullptr;
    }
    return committed(key);
  }

  // --- Changes

  std::string change() {
    if (entries_ >= kMostEntries) rising_ = false;
    if (entries_ <= kMostEntries / 16) rising_ = true;
    const bool adds = random_.uniform(8) < (rising_ ? 6u : 2u);
    return adds ? put(some_key()) : erase(some_key());
  }

  std::string put(const std::string& key) {
    make_model_value(value_, value_bytes(key.size()), operation_);
    const bool inserts = random_.one_in(8);
    const bool there = visible(key, txn_.has_value()) != nullptr;
    if (fault_ == ModelFault::kForgetsPuts && random_.one_in(1000)) return changed(key, value_);
    const Status done = txn_ ? (inserts ? map_->insert(*txn_, key, value_) : map_->put(*txn_, key, value_))
                             : (inserts ? map_->insert(key, value_) : map_->put(key, value_));
    if (!done && is_refused(done)) return end(random_.one_in(2));
    if (inserts && there) {
      if (done) return "insert(" + model_text(key) + ") does not find the entry that is there";
      return done.error().code() == ErrorCode::kDuplicateKey ? "" : failed("insert", done);
    }
    if (!done) return failed(inserts ? "insert" : "put", done);
    return changed(key, value_);
  }

  /// The key, or the first one behind it.
  std::string erase(const std::string& from) {
    auto found = model_.lower_bound(from);
    for (int i = 0; i < 30 && found != model_.end() && !found->second.value; ++i) ++found;
    const std::string& key = found == model_.end() || random_.one_in(8) ? from : found->first;
    const bool there = visible(key, txn_.has_value()) != nullptr;
    const Result<bool> done = txn_ ? map_->erase(*txn_, key) : map_->erase(key);
    if (!done) return is_refused(done) ? end(random_.one_in(2)) : failed("erase", done);
    if (*done != there) return "erase(" + model_text(key) + ") says " + (*done ? "true" : "false");
    return there ? changed(key, std::nullopt) : "";
  }

  /// The versions that a transaction of some changes needs may be more than this small a cache may have. It is told
  /// after a while, and had better end.
  template <class T>
  bool is_refused(const Result<T>& done) const {
    return done.error().code() == ErrorCode::kTooLarge && own_changes_ > 0;
  }

  std::string changed(const std::string& key, const std::optional<std::string>& value) {
    if (txn_) {
      own_[key] = value;
      ++own_changes_;
    } else {
      commit(key, value);
    }
    return "";
  }
  void commit(const std::string& key, const std::optional<std::string>& value) {
    ModelEntry& entry = model_[key];
    entries_ += value.has_value();
    entries_ -= entry.value.has_value();
    entry = {value, operation_};
  }

  // --- Transactions

  std::string begin_or_end() {
    if (txn_) return end(random_.one_in(2));
    Result<Transaction> begun = db_->begin();
    if (!begun) return failed("begin", begun);
    txn_.emplace(*std::move(begun));
    return "";
  }

  std::string end(bool commits) {
    if (!txn_) return "";
    const Status done = commits ? txn_->commit() : txn_->rollback();
    txn_.reset();
    if (!done) return failed(commits ? "commit" : "rollback", done);
    if (commits) {
      for (const auto& [key, value] : own_) commit(key, value);
    }
    own_.clear();
    own_changes_ = 0;
    return "";
  }

  // --- Lookups

  std::string get() {
    const std::string key = key_nearby();
    const bool within = txn_ && !random_.one_in(4);
    const std::string* expected = visible(key, within);
    if (random_.one_in(8)) {
      const Result<bool> there = within ? map_->contains(*txn_, key) : map_->contains(key);
      if (!there) return failed("contains", there);
      return *there == (expected != nullptr) ? "" : "contains(" + model_text(key) + ") is wrong";
    }
    const Result<bool> there = within ? map_->get(*txn_, key, value_) : map_->get(key, value_);
    if (!there) return failed("get", there);
    if (*there != (expected != nullptr)) return "get(" + model_text(key) + ") finds " + (*there ? "one" : "none");
    return !*there || value_ == *expected ? "" : "get(" + model_text(key) + ") gives another value";
  }

  std::string get_many() {
    std::array<std::string, 5> keys;
    std::array<std::string_view, 5> views;
    for (std::size_t i = 0; i < keys.size(); ++i) views[i] = keys[i] = key_nearby();
    const bool within = txn_ && random_.one_in(2);
    const Status done = within ? map_->multi_get(*txn_, views, values_) : map_->multi_get(views, values_);
    if (!done) return failed("multi_get", done);
    for (std::size_t i = 0; i < keys.size(); ++i) {
      const std::string* expected = visible(keys[i], within);
      const bool same = expected != nullptr ? values_[i] == *expected : !values_[i].has_value();
      if (!same) return "multi_get gives another value of " + model_text(keys[i]);
    }
    return "";
  }

  /// Of a range, which may be empty, by a scan.
  std::string count() {
    KeyRange range;
    range.from = key_nearby();
    range.to = key_nearby();
    range.from_inclusive = random_.one_in(2);
    range.to_inclusive = random_.one_in(2);
    std::uint64_t expected = 0;
    for (auto i = model_.lower_bound(*range.from); i != model_.end() && i->first <= *range.to; ++i) {
      const bool inside =
          (i->first > *range.from || range.from_inclusive) && (i->first < *range.to || range.to_inclusive);
      expected += inside && i->second.value;
    }
    const Result<std::uint64_t> counted = map_->count(range);
    if (!counted) return failed("count", counted);
    if (*counted == expected) return "";
    return "count(" + model_text(*range.from) + ", " + model_text(*range.to) + ") is " + std::to_string(*counted) +
           ", not " + std::to_string(expected);
  }

  std::string ask_for_too_much() {
    std::string key = some_key();
    ErrorCode got = ErrorCode::kTooLarge;
    const auto note = [&](const auto& result) { got = result ? ErrorCode::kNotFound : result.error().code(); };
    if (random_.one_in(5)) {  // refused by its length: nobody looks at its bytes
      note(map_->put(key, std::string_view(key.data(), kMaxValueBytes + 1)));
    } else {
      key.resize(kKeyBytesMax + 1, 'x');
      switch (random_.uniform(4)) {
        case 0:
          note(map_->put(key, "value"));
          break;
        case 1:
          note(map_->insert(key, "value"));
          break;
        case 2:
          note(map_->erase(key));
          break;
        default:
          note(map_->get(key));
      }
    }
    return got == ErrorCode::kTooLarge ? "" : "what is too long is not refused, or with another error";
  }

  // --- Cursors

  Standing& some_cursor() { return standing_[random_.uniform(standing_.size())]; }

  /// By an operation that looks anew: it stands exactly where the model says.
  std::string place() {
    if (txn_ && random_.one_in(4)) return place_within();
    Standing& one = some_cursor();
    one.since = operation_;
    const std::string key = key_nearby();
    switch (random_.uniform(16)) {
      case 0:
        one.forward = true;
        return arrived(one, one.cursor.first(), first_from(model_.begin()));
      case 1:
        one.forward = false;
        return arrived(one, one.cursor.last(), last_before(model_.end()));
      default:
        one.forward = random_.one_in(2);
        return one.forward ? arrived(one, one.cursor.seek(key), first_from(model_.lower_bound(key)))
                           : arrived(one, one.cursor.floor(key), last_before(model_.upper_bound(key)));
    }
  }

  /// The first entry at or behind `i`; the last one before it. end(): there is none.
  Model::const_iterator first_from(Model::const_iterator i) const {
    while (i != model_.end() && !i->second.value) ++i;
    return i;
  }
  Model::const_iterator last_before(Model::const_iterator i) const {
    while (i != model_.begin()) {
      if ((--i)->second.value) return i;
    }
    return model_.end();
  }

  std::string arrived(Standing& one, const Result<bool>& there, Model::const_iterator expected) {
    if (!there) return failed("a cursor", there);
    one.on = *there;
    one.behind = !*there && one.forward;
    one.at = one.cursor.key();
    if (*there != (expected != model_.end())) return *there ? "a cursor finds one" : "a cursor finds nothing";
    if (!*there) return "";
    if (one.at != expected->first)
      return "a cursor finds " + model_text(one.at) + ", not " + model_text(expected->first);
    return one.cursor.value() == *expected->second.value ? "" : "a cursor gives another value of " + model_text(one.at);
  }

  std::string step() {
    Standing& one = some_cursor();
    const bool forward = random_.one_in(4) ? !one.forward : one.forward;
    const bool anew = forward != one.forward || !one.on;
    if (anew) one.since = operation_;
    one.forward = forward;
    const Result<bool> more = forward ? one.cursor.next() : one.cursor.prev();
    if (!more) return failed("a cursor", more);
    std::string wrong = compare_step(one, *more);
    one.behind = *more ? false : forward;
    one.on = *more;
    one.at = one.cursor.key();
    return wrong;
  }

  /// A step from where `one` stood.
  std::string compare_step(const Standing& one, bool more) const {
    const std::string_view to = one.cursor.key();
    if (!one.on && one.behind == one.forward) return more ? "a cursor goes on behind the end" : "";
    if (more && one.on && (one.forward ? to <= one.at : to >= one.at))
      return "a cursor turns back at " + model_text(to);
    // What it has passed.
    auto i = one.on ? (one.forward ? model_.upper_bound(one.at) : model_.lower_bound(one.at))
                    : (one.forward ? model_.begin() : model_.end());
    if (one.forward) {
      for (; i != model_.end() && (!more || i->first < to); ++i) {
        if (is_missed(one, i->second)) return "a cursor misses " + model_text(i->first);
      }
    } else {
      while (i != model_.begin() && (!more || std::prev(i)->first > to)) {
        --i;
        if (is_missed(one, i->second)) return "a cursor, backwards, misses " + model_text(i->first);
      }
    }
    if (!more) return "";
    const auto found = model_.find(to);
    if (found == model_.end()) return "a cursor gives " + model_text(to) + ", which was never there";
    if (found->second.changed > one.since) return "";
    if (!found->second.value) return "a cursor gives " + model_text(to) + ", which is gone";
    return one.cursor.value() == *found->second.value ? "" : "a cursor gives another value of " + model_text(to);
  }
  static bool is_missed(const Standing& one, const ModelEntry& entry) {
    return entry.value && entry.changed <= one.since;
  }

  /// A cursor of the transaction, a few entries far: it sees the transaction's changes among the others.
  std::string place_within() {
    const std::string from = key_nearby();
    const bool forward = random_.one_in(2);
    Cursor cursor = map_->cursor(*txn_);
    Result<bool> more = forward ? cursor.seek(from) : cursor.floor(from);
    std::string at = from;
    for (unsigned i = 0; i < 6; ++i) {
      if (!more) return failed("a cursor of a transaction", more);
      const std::optional<std::string> expected = next_within(at, forward, i == 0);
      if (*more != expected.has_value() || (*more && cursor.key() != *expected)) {
        return "a cursor of a transaction is not at " + (expected ? model_text(*expected) : "the end");
      }
      if (!*more) return "";
      if (cursor.value() != *visible(*expected, true)) return "a cursor of a transaction gives another value";
      at = *expected;
      more = forward ? cursor.next() : cursor.prev();
    }
    return "";
  }
  /// The next key of what the transaction sees; perhaps `at` itself.
  std::optional<std::string> next_within(const std::string& at, bool forward, bool inclusive) const {
    std::optional<std::string> next;
    const auto consider = [&](const std::string& key) {
      if (!next || (forward ? key < *next : key > *next)) next = key;
    };
    const auto is_gone = [&](const std::string& key) { return visible(key, true) == nullptr; };
    if (forward) {
      auto i = inclusive ? model_.lower_bound(at) : model_.upper_bound(at);
      while (i != model_.end() && is_gone(i->first)) ++i;
      if (i != model_.end()) consider(i->first);
    } else {
      auto i = inclusive ? model_.upper_bound(at) : model_.lower_bound(at);
      while (i != model_.begin() && is_gone(std::prev(i)->first)) --i;
      if (i != model_.begin()) consider(std::prev(i)->first);
    }
    for (const auto& [key, value] : own_) {
      const bool ahead = forward ? key > at : key < at;
      if (value && (ahead || (inclusive && key == at))) consider(key);
    }
    return next;
  }

  const Durability durability_;
  const ModelFault fault_;
  TestRandom random_;
  const std::vector<std::string> keys_;
  std::unique_ptr<FileSystem> files_ = make_memory_file_system();
  std::optional<Database> db_;
  std::optional<Map> map_;
  std::vector<Standing> standing_;
  std::optional<Transaction> txn_;
  Model model_;
  std::map<std::string, std::optional<std::string>, std::less<>> own_;  ///< the transaction's changes
  std::uint64_t own_changes_ = 0;
  std::uint64_t entries_ = 0;
  bool rising_ = true;
  std::uint64_t stretch_ = 0;
  std::uint64_t stretch_left_ = 0;
  std::uint64_t operation_ = 0;
  std::string value_;
  std::vector<std::optional<std::string>> values_;
  std::string wrong_at_first_;
};

/// So many operations, or until something is wrong, which is given back.
std::string run_beside_model(Durability durability, std::uint64_t operations, CaseCount& cases, ModelFault fault) {
  Watchdog watchdog("a map beside its model", std::chrono::seconds(600));
  std::uint64_t loads = 0;
  std::uint64_t evictions = 0;
  for (std::uint64_t round = 0; cases.cases() < operations; ++round) {
    watchdog.feed("a map beside its model, round " + std::to_string(round));
    ModelWorker worker(durability, round, fault);
    std::uint64_t left = std::min(operations - cases.cases(), kRoundOperations);
    for (; left > 0; --left, ++cases) {
      const std::string wrong = left > 1 ? worker.one() : worker.check();
      if (!wrong.empty()) return "round " + std::to_string(round) + ": " + wrong;
    }
    const Result<DatabaseStats> stats = worker.stats();
    if (!stats) return std::string(stats.error().message());
    loads += stats->page_loads;
    evictions += stats->page_evictions;
  }
  std::printf("%llu pages loaded, %llu evicted, since each was opened last\n", static_cast<unsigned long long>(loads),
              static_cast<unsigned long long>(evictions));
  return "";
}

class ModelTest : public ::testing::TestWithParam<Durability> {};
INSTANTIATE_TEST_SUITE_P(Modes, ModelTest, ::testing::Values(Durability::kDurable, Durability::kRelaxed),
                         durability_name);

TEST_P(ModelTest, EveryAnswerIsThatOfASortedMap) {
  CaseCount cases("R10");
  const std::uint64_t operations = scaled(GetParam() == Durability::kDurable ? 100'000 : 400'000);
  const std::string wrong = run_beside_model(GetParam(), operations, cases, ModelFault::kNone);
  EXPECT_EQ(wrong, "") << "operation " << cases.cases();
}

// The test of the test.
TEST(ModelControlTest, ACursorThatSkipsAnEntryIsNoticed) {
  const SeededBugScope bug(SeededBug::kCursorSkips);
  CaseCount cases(nullptr);
  const std::string wrong = run_beside_model(Durability::kRelaxed, 1'000'000, cases, ModelFault::kNone);
  EXPECT_NE(wrong, "") << "entries were skipped, and nobody noticed";
  std::printf("noticed by operation %llu: %s\n", static_cast<unsigned long long>(cases.cases()), wrong.c_str());
}

TEST(ModelControlTest, APutThatIsForgottenIsNoticed) {
  CaseCount cases(nullptr);
  const std::string wrong = run_beside_model(Durability::kRelaxed, 1'000'000, cases, ModelFault::kForgetsPuts);
  EXPECT_NE(wrong, "") << "puts were forgotten, and nobody noticed";
  std::printf("noticed by operation %llu: %s\n", static_cast<unsigned long long>(cases.cases()), wrong.c_str());
}

}  // namespace
}  // namespace vaultgres
