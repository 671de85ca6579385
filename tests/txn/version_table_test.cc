#include "txn/version_table.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "support/random.h"
#include "support/scale.h"
#include "txn/snapshots.h"

namespace vaultgres {
namespace {

using Claim = VersionTable::Claim;
using Found = VersionTable::Found;
using Writer = std::shared_ptr<TxnStatus>;

constexpr ObjectId kObject{7};
constexpr std::size_t kRoomy = std::size_t{64} << 20;

Writer writer(std::uint64_t id) {
  return std::make_shared<TxnStatus>(TxnId{id});
}
KeyState value(std::string text) {
  return {true, 0, std::move(text)};
}
KeyState absent() {
  return {};
}
Lsn at(std::uint64_t lsn) {
  return Lsn{lsn};
}

/// The answer for one snapshot, as text: "page", "too old", "absent" or the older value.
std::string seen(const VersionTable& table, std::string_view key, std::uint64_t snapshot, TxnId self = kNoTxn) {
  const VersionTable::LookupResult result = table.find(kObject, as_bytes(key), at(snapshot), self);
  if (result.found == Found::kPage) return "page";
  if (result.found == Found::kTooOld) return "too old";
  return result.state.present ? result.state.value : "absent";
}

/// `id` writes `key` over `before` and commits at `lsn`.
void write(VersionTable& table, std::string_view key, std::uint64_t id, std::uint64_t lsn, const KeyState& before) {
  const Writer by = writer(id);
  ASSERT_EQ(table.claim(kObject, as_bytes(key), by, before).claim, Claim::kGranted);
  by->set_committed(at(lsn));
  by->finish();
}

// Goal: what an open writer changed is seen by nobody else, at any snapshot.
TEST(VersionTable, OpenWriteIsSeenByItsWriterOnly) {
  VersionTable table(kRoomy);
  EXPECT_EQ(seen(table, "k", 5), "page");
  const Writer one = writer(1);
  const auto claim = table.claim(kObject, as_bytes("k"), one, value("old"));
  EXPECT_EQ(claim.claim, Claim::kGranted);
  EXPECT_TRUE(claim.first);
  EXPECT_EQ(claim.newest_commit, 0u);
  EXPECT_EQ(seen(table, "k", 0), "old");
  EXPECT_EQ(seen(table, "k", 1'000'000), "old");
  EXPECT_EQ(seen(table, "k", 5, one->id()), "page");
  EXPECT_EQ(table.peek(kObject, as_bytes("k")).writer, one);
  EXPECT_FALSE(table.has_entry(ObjectId{8}, as_bytes("k")));
  EXPECT_FALSE(table.has_entry(kObject, as_bytes("kk")));
}

// Goal: a commit is visible from its LSN on, and states below it at the snapshots between; absence and slot
// flags are states like any other.
TEST(VersionTable, SnapshotsChooseTheirVersion) {
  VersionTable table(kRoomy);
  write(table, "k", 1, 10, absent());
  write(table, "k", 2, 20, {true, 1, "a"});
  const Writer three = writer(3);
  const auto claim = table.claim(kObject, as_bytes("k"), three, absent());
  EXPECT_TRUE(claim.first);
  EXPECT_EQ(claim.newest_commit, 20u);
  EXPECT_EQ(seen(table, "k", 9), "absent");
  EXPECT_EQ(seen(table, "k", 10), "a");
  EXPECT_EQ(seen(table, "k", 19), "a");
  EXPECT_EQ(table.find(kObject, as_bytes("k"), at(19), kNoTxn).state.flags, 1);
  EXPECT_EQ(seen(table, "k", 20), "absent");
  three->set_committed(at(30));
  EXPECT_EQ(seen(table, "k", 29), "absent");
  EXPECT_EQ(seen(table, "k", 30), "page");
}

// Goal: a key that another open transaction wrote is refused, with that transaction to wait for.
TEST(VersionTable, HeldKeyNamesItsHolder) {
  VersionTable table(kRoomy);
  const Writer one = writer(1);
  const Writer two = writer(2);
  ASSERT_EQ(table.claim(kObject, as_bytes("k"), one, value("a")).claim, Claim::kGranted);
  const auto refused = table.claim(kObject, as_bytes("k"), two, value("b"));
  EXPECT_EQ(refused.claim, Claim::kHeld);
  EXPECT_EQ(refused.holder, one);
  // Rolled back, its claim not withdrawn yet: still held, although there is nobody to wait for.
  one->finish();
  EXPECT_EQ(table.claim(kObject, as_bytes("k"), two, value("b")).claim, Claim::kHeld);
  table.withdraw(kObject, as_bytes("k"), one->id());
  EXPECT_EQ(table.claim(kObject, as_bytes("k"), two, value("a")).claim, Claim::kGranted);
  EXPECT_EQ(seen(table, "k", 5), "a");
}

// Goal: a transaction's second write chains nothing, and one withdrawal takes all of them back.
TEST(VersionTable, SecondWriteOfATransactionChainsNothing) {
  VersionTable table(kRoomy);
  write(table, "k", 1, 10, value("a"));
  const Writer two = writer(2);
  ASSERT_TRUE(table.claim(kObject, as_bytes("k"), two, value("b")).first);
  const std::size_t bytes = table.bytes_used();
  const auto again = table.claim(kObject, as_bytes("k"), two, value("not to be kept"));
  EXPECT_EQ(again.claim, Claim::kGranted);
  EXPECT_FALSE(again.first);
  EXPECT_EQ(table.bytes_used(), bytes);
  EXPECT_EQ(seen(table, "k", 15), "b");
  table.withdraw(kObject, as_bytes("k"), two->id());
  // The page is the state of the first writer again, with its commit number.
  EXPECT_EQ(seen(table, "k", 15), "page");
  EXPECT_EQ(seen(table, "k", 9), "a");
  ASSERT_NE(table.peek(kObject, as_bytes("k")).writer, nullptr);
  EXPECT_EQ(table.peek(kObject, as_bytes("k")).writer->commit_lsn(), 10u);
  table.withdraw(kObject, as_bytes("k"), two->id());  // not its key any more: nothing happens
  EXPECT_EQ(seen(table, "k", 9), "a");
}

// Goal: a withdrawn claim leaves no entry when nobody needs one: the state below is old, or the collector
// passed while the claim was in its way (it does not come twice).
TEST(VersionTable, WithdrawalRemovesWhatNobodyNeeds) {
  VersionTable table(kRoomy);
  const Writer one = writer(1);
  ASSERT_EQ(table.claim(kObject, as_bytes("k"), one, value("a")).claim, Claim::kGranted);
  table.withdraw(kObject, as_bytes("k"), one->id());
  EXPECT_FALSE(table.has_entry(kObject, as_bytes("k")));

  write(table, "k", 2, 20, value("a"));
  const Writer three = writer(3);
  ASSERT_EQ(table.claim(kObject, as_bytes("k"), three, value("b")).claim, Claim::kGranted);
  table.prune(kObject, as_bytes("k"), at(20));
  EXPECT_EQ(seen(table, "k", 20), "b");
  EXPECT_EQ(seen(table, "k", 19), "too old");
  table.withdraw(kObject, as_bytes("k"), three->id());
  EXPECT_FALSE(table.has_entry(kObject, as_bytes("k")));
  EXPECT_EQ(table.bytes_used(), 0u);
}

// Goal: prune keeps exactly what a snapshot at its floor needs; a chain that was cut answers "too old",
// never "absent".
TEST(VersionTable, PruneStopsAtTheFloor) {
  VersionTable table(kRoomy);
  write(table, "k", 1, 10, absent());
  write(table, "k", 2, 20, value("a"));
  write(table, "k", 3, 30, value("b"));
  table.prune(kObject, as_bytes("k"), at(9));
  EXPECT_EQ(seen(table, "k", 9), "absent");
  table.prune(kObject, as_bytes("k"), at(19));
  EXPECT_EQ(seen(table, "k", 9), "too old");
  EXPECT_EQ(seen(table, "k", 19), "a");
  table.prune(kObject, as_bytes("k"), at(29));
  EXPECT_EQ(seen(table, "k", 19), "too old");
  EXPECT_EQ(seen(table, "k", 29), "b");
  EXPECT_EQ(seen(table, "k", 30), "page");
  table.prune(kObject, as_bytes("k"), at(30));
  EXPECT_FALSE(table.has_entry(kObject, as_bytes("k")));
  EXPECT_EQ(table.bytes_used(), 0u);
  table.prune(kObject, as_bytes("k"), at(31));  // no entry: nothing happens
}

// Goal: a key that is written all the time does not pile up versions below a floor that is known.
TEST(VersionTable, ClaimsTrimHotKeys) {
  VersionTable table(kRoomy);
  table.prune(kObject, as_bytes("other"), at(1'000'000));
  write(table, "hot", 1, 1, value("a"));
  write(table, "hot", 2, 2, value("b"));
  const std::size_t bytes = table.bytes_used();
  for (std::uint64_t lsn = 3; lsn < 1000; ++lsn) write(table, "hot", lsn, lsn, value("c"));
  EXPECT_EQ(table.bytes_used(), bytes);
}

// Goal: the limit holds, is an answer and changes nothing; keys that the writer holds are always granted;
// dropping makes room again.
TEST(VersionTable, FullTableRefusesAndRecovers) {
  constexpr std::size_t kLimit = std::size_t{256} << 10;
  VersionTable table(kLimit);
  const Writer one = writer(1);
  std::vector<std::string> keys;
  for (;;) {
    std::string key = "key " + std::to_string(keys.size());
    if (table.claim(kObject, as_bytes(key), one, value("before")).claim != Claim::kGranted) break;
    keys.push_back(std::move(key));
    ASSERT_LE(table.bytes_used(), kLimit);
  }
  EXPECT_GT(keys.size(), 500u);
  EXPECT_GT(table.bytes_used(), kLimit / 4 * 3);
  EXPECT_EQ(table.entry_count(), keys.size());
  const KeyState large = value(std::string(kLimit, 'x'));
  EXPECT_EQ(table.claim(kObject, as_bytes("large"), one, large).claim, Claim::kFull);
  EXPECT_EQ(table.claim(kObject, as_bytes(keys[0]), one, large).claim, Claim::kGranted);
  one->set_committed(at(10));
  // A new version of a known key needs room, too.
  EXPECT_EQ(table.claim(kObject, as_bytes(keys[0]), writer(2), large).claim, Claim::kFull);
  EXPECT_EQ(seen(table, keys[0], 10), "page");
  for (const std::string& key : keys) table.prune(kObject, as_bytes(key), at(10));
  EXPECT_EQ(table.bytes_used(), 0u);
  EXPECT_EQ(table.entry_count(), 0u);
  EXPECT_EQ(table.claim(kObject, as_bytes("k"), writer(3), value(std::string(kLimit / 2, 'x'))).claim, Claim::kGranted);
}

// Goal: random writes, commits, rollbacks, prunes and lookups answer as a model does that forgets nothing.
TEST(VersionTable, AgreesWithAModel) {
  struct State {
    std::uint64_t commit;
    std::uint64_t txn;
    KeyState state;
  };
  struct Model {
    std::vector<State> states;  // committed ones, oldest first; [0] is old
    Writer open;
    KeyState page;
  };
  TestRandom random;
  VersionTable table(kRoomy);
  std::map<std::string, Model> model;
  for (int i = 0; i < 40; ++i) {
    // Lengths on both sides of the hash's word size, the empty key included.
    const std::string key = std::string(static_cast<std::size_t>(i % 20), 'p') + (i < 20 ? "" : "x");
    model[key] = {{{0, 0, absent()}}, nullptr, absent()};
  }
  std::vector<std::string> keys;
  for (const auto& [key, unused] : model) keys.push_back(key);
  std::uint64_t now = 1;
  std::uint64_t floor = 0;
  for (std::uint64_t step = 0; step < scaled(200'000); ++step) {
    const std::string& key = keys[random.uniform(keys.size())];
    Model& expected = model[key];
    switch (random.uniform(5)) {
      case 0: {
        const bool mine = expected.open != nullptr && random.one_in(2);
        const Writer by = mine ? expected.open : writer(++now);
        const auto claim = table.claim(kObject, as_bytes(key), by, expected.page);
        if (expected.open != nullptr && !mine) {
          ASSERT_EQ(claim.claim, Claim::kHeld);
          ASSERT_EQ(claim.holder, expected.open);
          break;
        }
        ASSERT_EQ(claim.claim, Claim::kGranted);
        ASSERT_EQ(claim.first, !mine);
        expected.open = by;
        expected.page = random.one_in(4) ? absent() : value(random.bytes(random.uniform(40)));
        break;
      }
      case 1:
        if (expected.open == nullptr) break;
        expected.open->set_committed(at(++now));
        expected.states.push_back({now, raw(expected.open->id()), expected.page});
        expected.open = nullptr;
        break;
      case 2:
        if (expected.open == nullptr || !random.one_in(2)) break;
        table.withdraw(kObject, as_bytes(key), expected.open->id());
        expected.page = expected.states.back().state;
        expected.open = nullptr;
        break;
      case 3:
        if (random.one_in(4)) floor = random.between(floor, now);
        table.prune(kObject, as_bytes(key), at(floor));
        if (expected.open == nullptr) {
          ASSERT_EQ(table.has_entry(kObject, as_bytes(key)), expected.states.back().commit > floor) << key;
        }
        break;
      default: {
        const std::uint64_t snapshot = random.between(floor, now);
        const bool own = expected.open != nullptr && random.one_in(3);
        const auto found = table.find(kObject, as_bytes(key), at(snapshot), own ? expected.open->id() : kNoTxn);
        const KeyState* visible = &expected.page;
        for (const State& state : expected.states) {
          if (!own && state.commit <= snapshot) visible = &state.state;
        }
        ASSERT_NE(found.found, Found::kTooOld);
        const KeyState& answer = found.found == Found::kPage ? expected.page : found.state;
        ASSERT_EQ(answer.present, visible->present) << key << " at " << snapshot;
        ASSERT_EQ(answer.value, visible->value) << key << " at " << snapshot;
      }
    }
  }
  for (auto& [key, expected] : model) {
    if (expected.open != nullptr) table.withdraw(kObject, as_bytes(key), expected.open->id());
    table.prune(kObject, as_bytes(key), at(now));
  }
  EXPECT_EQ(table.entry_count(), 0u);
  EXPECT_EQ(table.bytes_used(), 0u);
}

// Goal: a table that grew by many keys loses none and mixes up none.
TEST(VersionTable, HoldsManyKeys) {
  VersionTable table(std::size_t{256} << 20);
  const Writer one = writer(1);
  const std::uint64_t count = scaled(100'000);
  for (std::uint64_t i = 0; i < count; ++i) {
    ASSERT_TRUE(table.claim(kObject, std::as_bytes(std::span(&i, 1)), one, value(std::to_string(i))).first);
  }
  EXPECT_EQ(table.entry_count(), count);
  one->set_committed(at(10));
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto found = table.find(kObject, std::as_bytes(std::span(&i, 1)), at(9), kNoTxn);
    ASSERT_EQ(found.found, Found::kOlder);
    ASSERT_EQ(found.state.value, std::to_string(i));
    table.prune(kObject, std::as_bytes(std::span(&i, 1)), at(10));
  }
  EXPECT_EQ(table.bytes_used(), 0u);
}

// Goal: waiting ends at the deadline while the transaction is open, and at once when it has ended.
TEST(TxnStatus, WaitingEndsAtTheDeadlineOrAtTheEnd) {
  const Writer one = writer(1);
  EXPECT_FALSE(one->wait_finished(std::chrono::steady_clock::now()));
  EXPECT_FALSE(one->wait_finished(std::chrono::steady_clock::now() + std::chrono::milliseconds(1)));
  one->finish();
  EXPECT_TRUE(one->finished());
  EXPECT_TRUE(one->wait_finished(std::chrono::steady_clock::now() - std::chrono::hours(1)));
}

// Goal: no wake-up is lost, whenever finish() comes, with several waiters. A lost one runs into the deadline.
TEST(TxnStatus, NoWakeUpIsLost) {
  const std::uint64_t rounds = scaled(3000);
  std::vector<Writer> statuses;
  for (std::uint64_t i = 0; i < rounds; ++i) statuses.push_back(writer(i + 1));
  std::atomic<std::uint64_t> lost{0};
  std::vector<std::thread> waiters;
  std::atomic<std::uint64_t> arrived{0};
  for (int t = 0; t < 2; ++t) {
    waiters.emplace_back([&] {
      for (const Writer& status : statuses) {
        arrived.fetch_add(1);
        arrived.notify_all();
        if (!status->wait_finished(std::chrono::steady_clock::now() + std::chrono::seconds(20))) lost.fetch_add(1);
      }
    });
  }
  for (std::uint64_t i = 0; i < rounds; ++i) {
    // As soon as one of them is about to wait: the other may come before, during or after.
    for (std::uint64_t n = arrived.load(); n < i + 1; n = arrived.load()) arrived.wait(n);
    statuses[i]->finish();
  }
  for (std::thread& thread : waiters) thread.join();
  EXPECT_EQ(lost.load(), 0u);
}

// --- Several threads

/// Accounts whose total never changes, kept as the engine keeps rows: a page with the newest state, changed
/// under a latch after the claim, restored before the withdrawal.
class Bank {
 public:
  static constexpr std::size_t kAccounts = 12;
  static constexpr int kStart = 100;

  Bank() {
    for (std::size_t i = 0; i < kAccounts; ++i) {
      accounts_[i].name = "account " + std::to_string(i);
      accounts_[i].balance = kStart;
    }
  }

  /// One transfer; rolled back when it meets a held key or by choice.
  void transfer(TestRandom& random, TxnId id) {
    const auto status = std::make_shared<TxnStatus>(id);
    std::vector<std::pair<std::size_t, int>> before;  // of what it wrote
    bool good = true;
    const std::size_t from = random.uniform(kAccounts);
    const std::size_t to = random.uniform(kAccounts);
    const int amount = static_cast<int>(random.uniform(10));
    Writer holder;
    for (const auto& [account, change] : {std::pair{from, -amount}, std::pair{to, amount}}) {
      if (!good) break;
      good = add(account, change, status, before, holder);
    }
    if (good && !random.one_in(4)) {
      const std::lock_guard lock(commit_mutex_);
      const std::uint64_t lsn = visible_.load(std::memory_order_relaxed) + 1;
      status->set_committed(at(lsn));
      visible_.store(lsn, std::memory_order_seq_cst);
    } else {
      for (auto undo = before.rbegin(); undo != before.rend(); ++undo) {
        const std::lock_guard latch(accounts_[undo->first].latch);
        accounts_[undo->first].balance = undo->second;
      }
      for (const auto& undo : before) table.withdraw(kObject, key(undo.first), id);
    }
    status->finish();
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    EXPECT_TRUE(holder == nullptr || holder->wait_finished(deadline));
  }

  /// The total at a registered snapshot, one account after the other.
  int total() {
    const auto registration = snapshots.enter([this] { return at(visible_.load(std::memory_order_seq_cst)); });
    int sum = 0;
    for (std::size_t i = 0; i < kAccounts; ++i) {
      const std::lock_guard latch(accounts_[i].latch);
      const auto found = table.find(kObject, key(i), registration.snapshot(), kNoTxn);
      EXPECT_NE(found.found, Found::kTooOld);
      sum += found.found == Found::kPage ? accounts_[i].balance : std::stoi("0" + found.state.value);
    }
    return sum;
  }

  void collect(std::size_t account) {
    const Lsn floor = snapshots.raise_floor(at(visible_.load(std::memory_order_seq_cst)));
    table.prune(kObject, key(account), floor);
  }

  VersionTable table{std::size_t{4} << 20};
  SnapshotRegistry snapshots{2};

 private:
  struct Account {
    std::string name;
    std::mutex latch;
    int balance = 0;
  };
  Bytes key(std::size_t account) { return as_bytes(accounts_[account].name); }
  bool add(std::size_t account, int change, const Writer& status, std::vector<std::pair<std::size_t, int>>& before,
           Writer& holder) {
    Account& page = accounts_[account];
    const std::lock_guard latch(page.latch);
    const auto claim = table.claim(kObject, key(account), status, value(std::to_string(page.balance)));
    EXPECT_NE(claim.claim, Claim::kFull);
    holder = claim.holder;
    if (claim.claim != Claim::kGranted || page.balance + change < 0) {
      if (claim.first) before.emplace_back(account, page.balance);
      return false;
    }
    if (claim.first) before.emplace_back(account, page.balance);
    page.balance += change;
    return true;
  }

  std::array<Account, kAccounts> accounts_;
  std::mutex commit_mutex_;
  std::atomic<std::uint64_t> visible_{1};
};

// Goal: at every registered snapshot the total is what it was, whatever writers, rollbacks and the collector
// do meanwhile, and no registered reader is ever told that its version is gone.
TEST(VersionTable, SnapshotsAreConsistentUnderConcurrency) {
  Bank bank;
  std::atomic<std::uint64_t> next_txn{1};
  std::atomic<int> writers{2};
  const std::uint64_t transfers = scaled(20'000);
  std::vector<std::thread> threads;
  for (std::uint64_t t = 0; t < 2; ++t) {
    threads.emplace_back([&, t] {
      TestRandom random(t + 1);
      for (std::uint64_t i = 0; i < transfers; ++i) bank.transfer(random, TxnId{next_txn.fetch_add(1)});
      writers.fetch_sub(1);
    });
  }
  threads.emplace_back([&] {
    TestRandom random(9);
    while (writers.load() > 0) bank.collect(random.uniform(Bank::kAccounts));
  });
  std::uint64_t reads = 0;
  for (; writers.load() > 0 || reads == 0; ++reads) {
    if (bank.total() != Bank::kStart * static_cast<int>(Bank::kAccounts)) break;
  }
  EXPECT_EQ(bank.total(), Bank::kStart * static_cast<int>(Bank::kAccounts)) << "after " << reads << " reads";
  for (std::thread& thread : threads) thread.join();
  for (std::size_t i = 0; i < Bank::kAccounts; ++i) bank.collect(i);
  EXPECT_EQ(bank.table.entry_count(), 0u);
  EXPECT_EQ(bank.table.bytes_used(), 0u);
}

}  // namespace
}  // namespace vaultgres
