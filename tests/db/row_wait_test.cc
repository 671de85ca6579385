// Goal: who has to wait for another writer of a row holds no latch meanwhile, wherever he finds that he has to wait,
// and waits as long as he was told to.
//
// Method: transactions on the parts of an open database, so that a test can see that one waits: it holds the status of
// the one that it waits for.
#include <gtest/gtest.h>

#include <semaphore>
#include <thread>
#include <utility>

#include "support/hooked_file_system.h"
#include "support/sim_file_system.h"
#include "support/table_fixture.h"
#include "support/watchdog.h"
#include "txn/heap_ops.h"

namespace vaultgres {
namespace {

/// Until somebody besides those who had it before holds the status, or `give_up()`.
template <class GiveUp>
void wait_until_awaited(const std::shared_ptr<TxnStatus>& status, long holders, GiveUp give_up) {
  while (status.use_count() <= holders && !give_up()) std::this_thread::yield();
}

class RowWaitTest : public ::testing::Test {
 protected:
  void open(Options options) {
    core_ = *internal::Core::open({&files_, nullptr, "/db"}, std::move(options));
    db_.emplace(internal::make_database(core_));
    ASSERT_OK(db_->create_table("t", *Schema::create({{"data", ColumnType::kBytes}})));
    table_ = *core_->find_table("t");
  }
  const Engine& engine() const { return core_->engine(); }
  TxnManager& txns() const { return core_->txns(); }
  Heap heap() const { return table_->heap(engine()); }

  std::string row(std::size_t data_bytes, char fill) const {
    std::string bytes;
    EXPECT_TRUE(table_->codec.encode(Row{Value::bytes(std::string(data_bytes, fill))}, bytes));
    return bytes;
  }
  Result<Tid> insert(Txn& txn, const std::string& bytes) {
    return insert_row(engine(), txns(), txn, heap(), as_bytes(bytes));
  }
  Result<bool> update(Txn& txn, Tid tid, const std::string& bytes) {
    std::string before;
    return update_row(engine(), txns(), txn, heap(), tid, as_bytes(bytes), before);
  }
  Status commit(std::unique_ptr<Txn> txn) { return txns().commit(std::move(txn), CommitMode::kDurable); }
  /// Where the row of this home stands.
  Tid place_of(Tid home) const {
    Tid place = home;
    EXPECT_TRUE(heap().read(home.page, [&](const HeapPageView& view) {
      const HeapSlot slot = view.slot(home.slot);
      place = slot.state.kind == HeapKind::kStub ? slot.link() : home;
    }));
    return place;
  }

  SimFileSystem disk_;
  std::function<void()> on_growth_;  ///< runs once, before the data file grows
  HookedFileSystem files_{disk_, [this](FileCall call, const std::string& path) {
                            if (call != FileCall::kAllocate || !path.starts_with("/db/data.vg")) return;
                            if (const auto hook = std::exchange(on_growth_, nullptr)) hook();
                          }};
  std::shared_ptr<internal::Core> core_;
  std::optional<Database> db_;
  std::shared_ptr<internal::TableState> table_;
};

// An update that has no room in its page gives the row's latches up while it looks for a page for the new body. Then
// another transaction changes the row, and after that it needs the very page that the update has found.
TEST_F(RowWaitTest, AnUpdateWaitsWithoutTheLatchOfThePageForItsNewBody) {
  Watchdog watchdog("an update that waits", std::chrono::seconds(60));
  ASSERT_NO_FATAL_FAILURE(open(small_options()));
  const std::string large = row(kInlineRowBytesMax - 40, 'l');
  const std::string small = row(10, 's');

  auto setup = txns().begin();
  const Tid tid = *insert(*setup, row(60, 'b'));
  for (bool room = true; room;) {
    ASSERT_EQ(insert(*setup, row(60, 'f'))->page, tid.page);
    ASSERT_OK(heap().read(tid.page,
                          [&](const HeapPageView& view) { room = view.has_room_to_update(tid.slot, large.size()); }));
  }
  ASSERT_OK(commit(std::move(setup)));
  // No page is free: the next one comes with a longer file, and that is where the update is stopped.
  auto all_free = engine().space.reserve(static_cast<unsigned>(engine().space.stats().pages_free));
  ASSERT_OK(all_free);

  auto first = txns().begin();
  auto second = txns().begin();
  std::counting_semaphore<2> changed(0);
  std::atomic<bool> over = false;
  bool stopped = false;
  long holders = 0;
  on_growth_ = [&] {
    stopped = true;
    EXPECT_EQ(test_text(update(*first, tid, small)), "");
    holders = first->status().use_count();
    changed.release();
  };
  Tid neighbour{};
  std::thread other([&] {
    changed.acquire();
    wait_until_awaited(first->status(), holders, [&] { return over.load(); });
    const Result<Tid> inserted = insert(*first, large);
    ASSERT_OK(inserted);
    neighbour = *inserted;
    ASSERT_OK(commit(std::move(first)));
  });
  const Result<bool> updated = update(*second, tid, large);
  over.store(true);
  changed.release();
  other.join();
  ASSERT_TRUE(stopped) << "the file was long enough";
  ASSERT_OK(updated);
  EXPECT_TRUE(*updated);
  EXPECT_EQ(place_of(tid).page, neighbour.page) << "the other one did not need that page";
  ASSERT_OK(commit(std::move(second)));
  expect_sound(*db_);
}

// A deadline that a clock cannot hold must not lie in the past.
TEST_F(RowWaitTest, TheLongestTimeoutDoesNotEndAtOnce) {
  Watchdog watchdog("a long timeout", std::chrono::seconds(60));
  for (const auto timeout : {std::chrono::milliseconds::max(), std::chrono::milliseconds::max() / 2}) {
    Options options = small_options();
    options.lock_timeout = timeout;
    ASSERT_NO_FATAL_FAILURE(open(options));
    auto setup = txns().begin();
    const Tid tid = *insert(*setup, row(10, 'a'));
    ASSERT_OK(commit(std::move(setup)));

    auto first = txns().begin();
    ASSERT_OK(update(*first, tid, row(10, 'b')));
    const std::shared_ptr<TxnStatus> status = first->status();
    const long holders = status.use_count();
    std::atomic<bool> over = false;
    std::thread other([&] {
      auto second = txns().begin();
      const Result<bool> updated = update(*second, tid, row(10, 'c'));
      over.store(true);
      EXPECT_EQ(test_text(updated), "");
      EXPECT_EQ(test_text(commit(std::move(second))), "");
    });
    wait_until_awaited(status, holders, [&] { return over.load(); });
    ASSERT_OK(commit(std::move(first)));
    other.join();
    ASSERT_OK(db_->drop_table("t")) << "it waits, too, for those who write to it";
    db_.reset();
    core_.reset();
    table_.reset();
  }
}

}  // namespace
}  // namespace vaultgres
