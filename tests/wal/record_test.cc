// Goal: what the builders and the format's rules make is parsed to what was put in; nothing else is parsed, and no
// input makes the parser read outside the record (run under AddressSanitizer).
#include "wal/record.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "support/random.h"

namespace vaultgres {
namespace {

std::vector<std::byte> full_update() {
  std::vector<std::byte> bytes(sizeof(RecordHeader));
  auto& header = *reinterpret_cast<RecordHeader*>(bytes.data());
  header.kind.set(static_cast<std::uint8_t>(RecordKind::kUpdate));
  header.parts.set(2);
  header.undo.set(1);
  header.txn.set(7);
  header.prev.set(4711);
  const auto add = [&](const auto& part, std::string_view tail) {
    const auto* raw_part = reinterpret_cast<const std::byte*>(&part);
    bytes.insert(bytes.end(), raw_part, raw_part + sizeof part);
    const Bytes tail_bytes = as_bytes(tail);
    bytes.insert(bytes.end(), tail_bytes.begin(), tail_bytes.end());
  };
  PagePart part{};
  part.page.set(12);
  part.bytes.set(3);
  part.op.set(static_cast<std::uint8_t>(PageOp::kNodeInsert));
  add(part, "abc");
  part.page.set(13);
  part.bytes.set(0);
  add(part, "");
  UndoPart undo{};
  undo.object.set(99);
  undo.key_bytes.set(3);
  undo.value_bytes.set(5);
  undo.op.set(static_cast<std::uint8_t>(UndoOp::kRestoreValue));
  add(undo, "keyvalue");
  reinterpret_cast<RecordHeader*>(bytes.data())->length.set(static_cast<std::uint32_t>(bytes.size()));
  return bytes;
}

/// Touches everything that an accessor returns.
std::uint64_t sum_of(const RecordView& view) {
  std::uint64_t sum = raw(view.txn()) + raw(view.prev()) + raw(view.undo_next());
  const auto add = [&](Bytes bytes) {
    for (const std::byte b : bytes) sum += std::to_integer<std::uint64_t>(b);
  };
  for (const RecordPage& page : view.pages()) {
    sum += raw(page.page);
    add(page.payload);
  }
  if (view.undo()) {
    add(view.undo()->key);
    add(view.undo()->value);
  }
  if (view.kind() == RecordKind::kEpoch) sum += view.epoch().previous_end.get();
  if (view.kind() == RecordKind::kCheckpoint) {
    for (const CheckpointTxn& txn : view.open_txns()) sum += txn.last.get();
  }
  return sum;
}

TEST(Record, UpdateIsParsedToItsParts) {
  const std::vector<std::byte> bytes = full_update();
  auto view = RecordView::parse(bytes);
  ASSERT_TRUE(view) << view.error().message();
  EXPECT_EQ(view->kind(), RecordKind::kUpdate);
  EXPECT_EQ(view->txn(), TxnId{7});
  EXPECT_EQ(view->prev(), Lsn{4711});
  std::vector<RecordPage> pages;
  for (const RecordPage& page : view->pages()) pages.push_back(page);
  ASSERT_EQ(pages.size(), 2u);
  EXPECT_EQ(pages[0].page, PageId{12});
  EXPECT_EQ(pages[0].op, PageOp::kNodeInsert);
  EXPECT_EQ(as_text(pages[0].payload), "abc");
  EXPECT_EQ(pages[1].page, PageId{13});
  EXPECT_TRUE(pages[1].payload.empty());
  ASSERT_TRUE(view->undo());
  EXPECT_EQ(view->undo()->object, ObjectId{99});
  EXPECT_EQ(as_text(view->undo()->key), "key");
  EXPECT_EQ(as_text(view->undo()->value), "value");
}

TEST(Record, BuildersRoundTrip) {
  const auto commit = RecordBuilder::commit(TxnId{3}, Lsn{1000});
  auto view = RecordView::parse(commit);
  ASSERT_TRUE(view);
  EXPECT_EQ(view->kind(), RecordKind::kCommit);
  EXPECT_EQ(view->txn(), TxnId{3});
  EXPECT_EQ(view->prev(), Lsn{1000});

  const auto end = RecordBuilder::rollback_end(TxnId{4}, Lsn{2000});
  view = RecordView::parse(end);
  ASSERT_TRUE(view);
  EXPECT_EQ(view->kind(), RecordKind::kRollbackEnd);

  const auto epoch = RecordBuilder::epoch(5, 4, Lsn{777}, 99);
  view = RecordView::parse(epoch);
  ASSERT_TRUE(view);
  EXPECT_EQ(view->epoch().number.get(), 5u);
  EXPECT_EQ(view->epoch().previous_number.get(), 4u);
  EXPECT_EQ(view->epoch().previous_end.get(), 777u);

  std::vector<CheckpointTxn> open(3);
  open[2].txn.set(8);
  open[2].first.set(11);
  open[2].last.set(12);
  const auto checkpoint = RecordBuilder::checkpoint(Lsn{50}, 9, 17, open);
  view = RecordView::parse(checkpoint);
  ASSERT_TRUE(view);
  EXPECT_EQ(view->checkpoint().redo_start.get(), 50u);
  EXPECT_EQ(view->checkpoint().next_txn.get(), 9u);
  EXPECT_EQ(view->checkpoint().next_object.get(), 17u);
  ASSERT_EQ(view->open_txns().size(), 3u);
  EXPECT_EQ(view->open_txns()[2].last.get(), 12u);
}

TEST(Record, EveryOtherLengthIsRefused) {
  for (std::vector<std::byte> whole :
       {full_update(), RecordBuilder::commit(TxnId{3}, Lsn{1}), RecordBuilder::epoch(2, 1, Lsn{9}, 3),
        RecordBuilder::checkpoint(Lsn{1}, 2, 3, {})}) {
    for (std::size_t length = 0; length <= whole.size() + 8; ++length) {
      std::vector<std::byte> changed(length);
      std::copy_n(whole.begin(), std::min(length, whole.size()), changed.begin());
      EXPECT_EQ(RecordView::parse(changed).has_value(), length == whole.size());
      if (length < sizeof(RecordHeader)) continue;
      reinterpret_cast<RecordHeader*>(changed.data())->length.set(static_cast<std::uint32_t>(length));
      EXPECT_EQ(RecordView::parse(changed).has_value(), length == whole.size()) << length;
    }
  }
}

TEST(Record, ForbiddenPartsAreRefused) {
  const auto refused = [](auto change, std::vector<std::byte> bytes = full_update()) {
    change(*reinterpret_cast<RecordHeader*>(bytes.data()), bytes);
    auto parsed = RecordView::parse(bytes);
    return !parsed && parsed.error().code() == ErrorCode::kCorruption;
  };
  using Raw = std::vector<std::byte>;
  EXPECT_TRUE(refused([](RecordHeader& h, Raw&) { h.kind.set(0); }));
  EXPECT_TRUE(refused([](RecordHeader& h, Raw&) { h.kind.set(9); }));
  EXPECT_TRUE(refused([](RecordHeader& h, Raw&) { h.kind.set(static_cast<std::uint8_t>(RecordKind::kSystem)); }));
  EXPECT_TRUE(refused([](RecordHeader& h, Raw&) { h.kind.set(static_cast<std::uint8_t>(RecordKind::kCommit)); }));
  EXPECT_TRUE(refused([](RecordHeader& h, Raw&) { h.undo.set(2); }));
  EXPECT_TRUE(refused([](RecordHeader& h, Raw&) { h.undo.set(0); }));
  EXPECT_TRUE(refused([](RecordHeader& h, Raw&) { h.parts.set(1); }));
  EXPECT_TRUE(refused([](RecordHeader& h, Raw&) { h.parts.set(3); }));
  EXPECT_TRUE(refused([](RecordHeader&, Raw& b) { b[sizeof(RecordHeader) + 7] = std::byte{1}; }));  // reserved
  EXPECT_TRUE(refused([](RecordHeader& h, Raw&) { h.txn.set(1); }, RecordBuilder::epoch(2, 1, Lsn{9}, 3)));
  EXPECT_TRUE(refused([](RecordHeader& h, Raw&) { h.txn.set(0); }));
  EXPECT_TRUE(refused([](RecordHeader& h, Raw&) { h.txn.set(0); }, RecordBuilder::commit(TxnId{3}, Lsn{1000})));
}

TEST(Record, RandomChangesNeverLeadOutside) {
  TestRandom random(11);
  std::uint64_t accepted = 0;
  std::uint64_t sum = 0;
  for (int round = 0; round < 20000; ++round) {
    std::vector<std::byte> bytes = round % 2 == 0 ? full_update() : RecordBuilder::checkpoint(Lsn{1}, 2, 3, {});
    for (std::uint64_t i = random.between(1, 4); i > 0; --i)
      bytes[random.uniform(bytes.size())] = std::byte(random.next());
    if (auto view = RecordView::parse(bytes)) {
      ++accepted;
      sum += sum_of(*view);
    }
  }
  EXPECT_GT(accepted, 0u) << sum;
}

}  // namespace
}  // namespace vaultgres
