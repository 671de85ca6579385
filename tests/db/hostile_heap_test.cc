// Goal: heap pages whose checksums are good and that are sound by themselves, but say of rows on other pages what is
// not so, are damage to whatever meets them: kCorruption, never an abort, an endless loop or a look out of bounds.
//
// Method: pages of an open database get another image, as if they had been read from a damaged file, or pages on disk
// get other bytes and a checksum for these.
#include <gtest/gtest.h>

#include <set>

#include "buffer/mini_txn.h"
#include "buffer/page_image.h"
#include "format/overflow.h"
#include "heap/map_page.h"
#include "recovery/superblock_store.h"
#include "support/scale.h"
#include "support/sim_file_system.h"
#include "support/table_fixture.h"
#include "support/watchdog.h"
#include "txn/heap_ghosts.h"
#include "txn/heap_ops.h"
#include "wal/log_space.h"

namespace vaultgres {
namespace {

using Image = std::array<std::byte, kPageBytes>;

/// What any call may answer about a damaged table. Poison is what becomes of a rollback that cannot be done; another
/// transaction may hold a row.
template <class T>
void expect_damage_at_most(const char* what, const Result<T>& result) {
  if (result) return;
  const ErrorCode code = result.error().code();
  EXPECT_TRUE(code == ErrorCode::kCorruption || code == ErrorCode::kPoisoned || code == ErrorCode::kNotFound ||
              code == ErrorCode::kConflict)
      << what << ": " << error_code_name(code) << ": " << result.error().message();
}

/// Applies an operation to an image; false when it is refused.
bool apply(Image& image, PageOp op, const PayloadBuffer& payload) {
  static const RedoTable ops = [] {
    RedoTable table;
    register_heap_page_ops(table);
    return table;
  }();
  return ops.find(raw(op)).apply(image, payload.bytes()).has_value();
}
bool set_slot(Image& image, unsigned slot, HeapSlotState state, Bytes content) {
  PayloadBuffer payload;
  encode_heap_update(payload, slot, state, content);
  return apply(image, PageOp::kHeapUpdate, payload);
}
bool set_stub(Image& image, unsigned slot, bool ghost, Tid to) {
  return set_slot(image, slot, {HeapKind::kStub, ghost, false}, encode_tid(to));
}

class HostileHeapTest : public ::testing::Test {
 protected:
  void open(FileSystem& files) {
    close();
    Options options = small_options();
    options.lock_timeout = std::chrono::milliseconds(1);
    core_ = *internal::Core::open({&files, nullptr, "/db"}, std::move(options));
    db_.emplace(internal::make_database(core_));
    table_.emplace(db_->open_table("t") ? *db_->open_table("t")
                                        : *db_->create_table("t", *Schema::create({{"data", ColumnType::kBytes}})));
    state_ = *core_->find_table("t");
  }
  void close() {
    table_.reset();
    if (db_) static_cast<void>(db_->close().has_value());  // a poisoned one says so
    db_.reset();
    state_.reset();
    core_.reset();
  }
  const Engine& engine() const { return core_->engine(); }
  Heap heap() const { return state_->heap(engine()); }
  static Row row(std::size_t bytes, char fill = 'r') { return {Value::bytes(std::string(bytes, fill))}; }
  static Tid tid_of(RowId id) { return {PageId{id.page}, id.slot}; }

  std::vector<PageId> pages() const {
    std::vector<PageId> found;
    EXPECT_TRUE(heap().pages(0, [&](std::uint32_t, PageId page) {
      found.push_back(page);
      return true;
    }));
    return found;
  }
  Image image_of(PageId page) const {
    Image image;
    const SharedGuard guard = *engine().pool.shared(page, Hint::kNormal);
    std::copy(guard.page().begin(), guard.page().end(), image.begin());
    return image;
  }
  /// The page is this from now on: what a read of a damaged file could have given.
  void replace(PageId page, const Image& image) {
    ASSERT_OK(verify_heap_page(image)) << "would be found at load";
    LogSpace log_space(engine().log);
    ASSERT_OK(log_space.reserve(log_bytes_for(kPageBytes + 512)));
    ExclusiveGuard guard = *engine().pool.exclusive(page, Hint::kNormal);
    MiniTxn mini(engine().pool, engine().log, RecordKind::kSystem);
    PayloadBuffer payload;
    encode_page_image(payload, image);
    mini.add(guard, PageOp::kImage, payload.bytes());
    mini.commit();
  }
  /// Changes the page by `change(image)`, which must succeed.
  template <class Change>
  void damage(PageId page, Change&& change) {
    Image image = image_of(page);
    ASSERT_TRUE(change(image));
    ASSERT_NO_FATAL_FAILURE(replace(page, image));
  }
  Tid body_of(Tid home) const {
    Tid body;
    EXPECT_TRUE(heap().read(home.page, [&](const HeapPageView& view) { body = view.slot(home.slot).link(); }));
    return body;
  }
  /// A row on a page that has no room for it to grow to kLong.
  Tid cramped_row() {
    const RowId id = *table_->insert(row(30));
    for (bool room = true; room;) {
      EXPECT_EQ(table_->insert(row(30))->page, id.page);
      EXPECT_TRUE(heap().read(PageId{id.page},
                              [&](const HeapPageView& view) { room = view.has_room_to_update(id.slot, kLong); }));
    }
    return tid_of(id);
  }
  Status update(Tid tid, std::size_t bytes) { return table_->update({raw(tid.page), tid.slot}, row(bytes)); }

  static constexpr std::size_t kLong = kInlineRowBytesMax - 40;
  SimFileSystem disk_;
  std::unique_ptr<SimFileSystem> round_disk_;
  std::shared_ptr<internal::Core> core_;
  std::optional<Database> db_;
  std::optional<Table> table_;
  std::shared_ptr<internal::TableState> state_;
};

TEST_F(HostileHeapTest, AGhostStubThatLeadsToItsOwnPageIsNotPurged) {
  open(disk_);
  const RowId id = *table_->insert(row(30));
  const RowId other = *table_->insert(row(30));
  ASSERT_EQ(id.page, other.page);
  ASSERT_OK(db_->sync());
  damage(PageId{id.page}, [&](Image& image) { return set_stub(image, id.slot, true, tid_of(other)); });
  const Result<bool> purged = purge_row(engine(), heap(), tid_of(id));
  ASSERT_FALSE(purged);
  EXPECT_EQ(purged.error().code(), ErrorCode::kCorruption) << purged.error().message();
}

TEST_F(HostileHeapTest, AGhostStubThatLeadsToSomethingElseIsNotPurged) {
  open(disk_);
  const Tid home = cramped_row();
  ASSERT_OK(update(home, kLong));
  const Tid body = body_of(home);
  ASSERT_NE(body, Tid{});
  ASSERT_TRUE(comes_true([&] { return core_->txns().collect() && engine().versions.entry_count() == 0; }));
  for (const Tid to :
       {Tid{body.page, 77}, Tid{PageId{kFirstUserPage}, 0}, Tid{PageId{999999}, 0}, Tid{heap().root(), 0}}) {
    damage(home.page, [&](Image& image) { return set_stub(image, home.slot, true, to); });
    const Result<bool> purged = purge_row(engine(), heap(), home);
    ASSERT_FALSE(purged) << text_of(RowId{raw(to.page), to.slot});
    EXPECT_EQ(purged.error().code(), ErrorCode::kCorruption) << purged.error().message();
  }
}

/// What has become of a body that undo looks for.
enum class Body { kRemoved, kAnotherRow, kGhost, kAnothersBody, kStub };

class HostileUndoTest : public HostileHeapTest, public ::testing::WithParamInterface<Body> {
 protected:
  void damage_body(Tid body) {
    damage(body.page, [&](Image& image) {
      const HeapSlot slot = HeapPageView(image).slot(body.slot);
      const std::string content(as_text(slot.content));
      PayloadBuffer payload;
      switch (GetParam()) {
        case Body::kRemoved:
          encode_heap_remove(payload, std::span(&body.slot, 1));
          return apply(image, PageOp::kHeapRemove, payload);
        case Body::kAnotherRow:
          return set_slot(image, body.slot, {HeapKind::kRow, false, false}, as_bytes("another"));
        case Body::kGhost:
          encode_heap_set_ghost(payload, body.slot, !slot.state.ghost);
          return apply(image, PageOp::kHeapSetGhost, payload);
        case Body::kAnothersBody:
          return set_slot(image, body.slot, slot.state,
                          as_bytes(std::string(as_text(encode_tid({PageId{9}, 9}))) + content.substr(kTidBytes)));
        case Body::kStub:
          return set_stub(image, body.slot, false, body);
      }
      return false;
    });
  }
  static void expect_no_bodies(const Status& undone) {
    ASSERT_FALSE(undone);
    EXPECT_NE(undone.error().message().find("its bodies are not there"), std::string_view::npos)
        << undone.error().message();
  }
};

// The transaction has moved the row; where it put it, there is something else.
TEST_P(HostileUndoTest, ARollbackThatDoesNotFindTheNewBodySaysSo) {
  open(disk_);
  const Tid home = cramped_row();
  Transaction txn = *db_->begin();
  ASSERT_OK(table_->update(txn, {raw(home.page), home.slot}, row(kLong)));
  ASSERT_NE(body_of(home), Tid{});
  ASSERT_NO_FATAL_FAILURE(damage_body(body_of(home)));
  expect_no_bodies(txn.rollback());
}

// The transaction has taken the row home; where it was before, there is something else.
TEST_P(HostileUndoTest, ARollbackThatDoesNotFindTheOldBodySaysSo) {
  if (GetParam() == Body::kGhost) GTEST_SKIP() << "a former body is a ghost";
  open(disk_);
  const Tid home = cramped_row();
  ASSERT_OK(update(home, kLong));
  const Tid body = body_of(home);
  ASSERT_NE(body, Tid{});
  Transaction txn = *db_->begin();
  ASSERT_OK(table_->update(txn, {raw(home.page), home.slot}, row(2 * kPageBytes)));
  ASSERT_EQ(body_of(home), Tid{}) << "a row that is too long for a page stands, as a reference, in its home";
  ASSERT_NO_FATAL_FAILURE(damage_body(body));
  expect_no_bodies(txn.rollback());
}

INSTANTIATE_TEST_SUITE_P(All, HostileUndoTest,
                         ::testing::Values(Body::kRemoved, Body::kAnotherRow, Body::kGhost, Body::kAnothersBody,
                                           Body::kStub));

// --- Everything, on pages that say anything

class HostileCallsTest : public HostileHeapTest {
 protected:
  void fill(TestRandom& random) {
    for (int i = 0; i < 60; ++i) {
      const std::size_t bytes = random.one_in(12) ? 2 * kPageBytes : random.uniform(kLong);
      ids_.push_back(*table_->insert(row(bytes)));
    }
    for (int i = 0; i < 30; ++i) static_cast<void>(change(random, nullptr));
  }
  RowId any_row(TestRandom& random) {
    if (random.one_in(10)) return {static_cast<std::uint32_t>(random.uniform(90)), 3};
    return ids_[random.uniform(ids_.size())];
  }
  Status change(TestRandom& random, Transaction* txn) {
    const RowId id = any_row(random);
    const Row after = row(random.one_in(12) ? kPageBytes + 100 : random.uniform(kLong), 'c');
    switch (random.uniform(4)) {
      case 0: {
        const Result<RowId> inserted = txn != nullptr ? table_->insert(*txn, after) : table_->insert(after);
        if (inserted) ids_.push_back(*inserted);
        return inserted ? Status() : Status(inserted.error());
      }
      case 1: {
        const Result<bool> erased = txn != nullptr ? table_->erase(*txn, id) : table_->erase(id);
        return erased ? Status() : Status(erased.error());
      }
      default:
        return txn != nullptr ? table_->update(*txn, id, after) : table_->update(id, after);
    }
  }
  Tid any_place(TestRandom& random, std::span<const PageId> pages) {
    const auto slot = static_cast<std::uint16_t>(random.one_in(8) ? random.uniform(70000) : random.uniform(20));
    if (random.one_in(6)) return {PageId{static_cast<std::uint32_t>(random.next())}, slot};
    if (random.one_in(6)) return {PageId{static_cast<std::uint32_t>(random.uniform(90))}, slot};
    return {pages[random.uniform(pages.size())], slot};
  }
  /// Another image that is sound by itself.
  Image any_image(TestRandom& random, const Image& before, std::span<const PageId> pages) {
    for (;;) {
      Image image = before;
      for (std::uint64_t i = random.between(1, 4); i > 0; --i) {
        const HeapPageView view(image);
        const auto slot = static_cast<unsigned>(random.uniform(view.slots() + 1));
        const HeapSlotState state{static_cast<HeapKind>(random.between(1, 3)), random.one_in(3), random.one_in(3)};
        const std::string place(as_text(encode_tid(any_place(random, pages))));
        std::string content = state.kind == HeapKind::kRow ? "" : place;
        if (state.kind == HeapKind::kBody) content += std::string(random.uniform(40), 'b');
        if (state.kind == HeapKind::kRow && state.overflow) {
          OverflowRef ref{};
          ref.bytes.set(random.one_in(2) ? random.next() : 2 * kPageBytes);
          ref.head.set(raw(any_place(random, pages).page));
          content = as_text(std::as_bytes(std::span(&ref, 1)));
        }
        switch (random.uniform(4)) {
          case 0:
            image[random.between(kPageHeaderBytes, kPageBytes - 1)] = static_cast<std::byte>(random.next());
            break;
          case 1: {
            PayloadBuffer payload;
            encode_heap_set_ghost(payload, slot, random.one_in(2));
            apply(image, PageOp::kHeapSetGhost, payload);
            break;
          }
          default:
            set_slot(image, slot, state, as_bytes(content));
        }
      }
      if (verify_heap_page(image)) return image;
    }
  }
  /// Everything that reads or changes the table.
  void call_everything(TestRandom& random) {
    for (int i = 0; i < 20; ++i) expect_damage_at_most("get", table_->get(any_row(random)));
    expect_damage_at_most("scan", read_rows(table_->scan()));
    expect_damage_at_most("table_stats", db_->table_stats("t"));
    for (int i = 0; i < 12; ++i) expect_damage_at_most("a change", change(random, nullptr));
    {
      Transaction txn = *db_->begin();
      for (int i = 0; i < 8; ++i) expect_damage_at_most("a change in a transaction", change(random, &txn));
      expect_damage_at_most("rollback", txn.rollback());
    }
    for (int i = 0; i < 3; ++i) expect_damage_at_most("collect", core_->txns().collect());
    for (const PageId page : pages_) {
      expect_damage_at_most("purge_row", purge_row(engine(), heap(), {page, 0}));
      expect_damage_at_most("note_free", heap().note_free(page));
    }
    expect_damage_at_most("check", db_->check());
    if (random.one_in(2)) {
      expect_damage_at_most("drop", db_->drop_table("t"));
      core_->make_room(core_->rooms(), 3);  // frees all that it can, in turn with the collector
    }
  }

  std::vector<RowId> ids_;
  std::vector<PageId> pages_;
};

TEST_F(HostileCallsTest, PagesThatAreSoundByThemselvesAndLieAboutOthers) {
  for (std::uint64_t round = 0; round < scaled(40); ++round) {
    TestRandom random(round);
    Watchdog watchdog("round " + std::to_string(round), std::chrono::seconds(60));
    close();
    round_disk_ = std::make_unique<SimFileSystem>();
    open(*round_disk_);
    ids_.clear();
    fill(random);
    pages_ = pages();
    std::optional<Transaction> open_txn;
    if (random.one_in(2)) {  // it meets the damage when it is rolled back
      open_txn.emplace(*db_->begin());
      for (int i = 0; i < 10; ++i) static_cast<void>(change(random, &*open_txn));
    }
    for (std::uint64_t i = random.between(1, 3); i > 0; --i) {
      const PageId page = pages_[random.uniform(pages_.size())];
      ASSERT_NO_FATAL_FAILURE(replace(page, any_image(random, image_of(page), pages_)));
    }
    call_everything(random);
    if (open_txn) expect_damage_at_most("rollback", open_txn->rollback());
    open_txn.reset();
    close();
    if (HasFailure()) return;
  }
}

// The same of pages as they come from disk, with a checksum that is good: all bytes may be others.
TEST_F(HostileCallsTest, PagesOfAnyBytesUnderAGoodChecksum) {
  TestRandom random;
  open(disk_);
  fill(random);
  pages_ = pages();
  close();
  for (std::uint64_t round = 0; round < scaled(40); ++round) {
    Watchdog watchdog("round " + std::to_string(round), std::chrono::seconds(60));
    close();
    round_disk_ = disk_.killed();
    {
      const std::unique_ptr<File> data = *round_disk_->open("/db/data.vg", OpenMode::kReadWrite);
      const DatabaseId database = SuperblockStore::load(*data)->current().database;
      for (std::uint64_t i = random.between(1, 3); i > 0; --i) {
        const PageId page = pages_[random.uniform(pages_.size())];
        Image image;
        ASSERT_OK(data->read(std::uint64_t{raw(page)} * kPageBytes, image));
        const bool noise = random.one_in(8);
        for (std::size_t at = noise ? kPageHeaderBytes : kPageBytes; at < kPageBytes; ++at) {
          image[at] = static_cast<std::byte>(random.next());
        }
        for (std::uint64_t k = random.between(1, 3); k > 0; --k) {
          const std::size_t end = random.one_in(2) ? kHeapSlotsOffset + 80 : kPageBytes;
          image[random.between(offsetof(PageHeader, object), end - 1)] ^=
              static_cast<std::byte>(1 + random.uniform(255));
        }
        page_header(MutableBytes(image)).checksum.set(page_checksum(database, page, image));
        ASSERT_OK(data->write(std::uint64_t{raw(page)} * kPageBytes, image));
      }
    }
    open(*round_disk_);
    const std::vector<RowId> ids = ids_;
    call_everything(random);
    ids_ = ids;
    close();
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace vaultgres
