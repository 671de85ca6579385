#include "txn/overflow.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <new>

#include "base/payload_buffer.h"
#include "base/try.h"
#include "buffer/mini_txn.h"
#include "buffer/page_image.h"
#include "buffer/page_visits.h"
#include "txn/row_ops.h"
#include "vaultgres/options.h"
#include "wal/log_space.h"

namespace vaultgres {

namespace {

constexpr std::uint64_t kChainLogBytes = log_bytes_for(2 * kPageBytes + 1024);
constexpr std::uint64_t kAttachLogBytes = log_bytes_for(1024);
/// Pages of a chain that one record frees.
constexpr unsigned kFreedAtOnce = 64;

using PageBuffer = std::array<std::byte, kPageBytes>;

void fill_chain_page(PageBuffer& page, ObjectId owner, PageId next, Bytes part) {
  page.fill(std::byte{0});
  PageHeader& header = page_header(MutableBytes(page));
  header.object.set(raw(owner));
  header.type.set(static_cast<std::uint8_t>(PageType::kOverflow));
  auto& overflow = *reinterpret_cast<OverflowHeader*>(page.data() + kPageHeaderBytes);
  overflow.next.set(raw(next));
  overflow.bytes.set(static_cast<std::uint32_t>(part.size()));
  std::copy(part.begin(), part.end(), page.begin() + kPageHeaderBytes + sizeof(OverflowHeader));
}

RetiredRow chain_row(PageId head, ObjectId owner) {
  RetiredRow row{};
  row.page.set(raw(head));
  row.object.set(raw(owner));
  row.kind.set(static_cast<std::uint8_t>(RetiredKind::kChain));
  return row;
}

/// Adds to `mini` that the row `key` of `retired` says `row`; false when its leaf has no room.
bool add_row(MiniTxn& mini, ExclusiveGuard& leaf, Bytes key, const RetiredRow& row) {
  const NodeView view(leaf.page());
  const NodeView::Position position = view.lower_bound(key);
  PayloadBuffer payload;
  if (position.exact) {
    encode_node_replace(payload, position.slot, 0, bytes_of(row), OldRoom::kGivenUp);
    mini.add(leaf, PageOp::kNodeReplace, payload.bytes());
    return true;
  }
  if (!view.has_room(key.size(), sizeof row)) return false;
  encode_node_insert(payload, position.slot, 0, key, bytes_of(row));
  mini.add(leaf, PageOp::kNodeInsert, payload.bytes());
  return true;
}

/// One page of a chain, read under a shared latch: the bytes of its part and its successor.
Result<PageId> read_chain_page(const Engine& engine, ObjectId owner, PageId id, std::string* value) {
  VG_ASSIGN(SharedGuard page, engine.pool.shared(id, Hint::kScan));
  const PageHeader& header = page_header(page.page());
  const auto& overflow = *reinterpret_cast<const OverflowHeader*>(page.page().data() + kPageHeaderBytes);
  const std::uint32_t bytes = overflow.bytes.get();
  if (header.type.get() != static_cast<std::uint8_t>(PageType::kOverflow) || header.object.get() != raw(owner) ||
      bytes == 0 || bytes > kOverflowPageBytes) {
    return Error(ErrorCode::kCorruption, "page " + std::to_string(raw(id)) +
                                             " is reached as part of a large value of object " +
                                             std::to_string(raw(owner)) + ", but it is none");
  }
  if (value != nullptr) {
    value->append(as_text(page.page().subspan(kPageHeaderBytes + sizeof(OverflowHeader), bytes)));
  }
  return PageId{overflow.next.get()};
}

}  // namespace

std::string retired_key(TxnId txn, std::uint32_t number) {
  std::string key(12, '\0');
  store_big(key.data(), raw(txn));
  store_big(key.data() + 8, number);
  return key;
}

namespace {

/// `head`: the first page of what was built.
Status extend_chain(const Engine& engine, const Txn& txn, ObjectId owner, Bytes row_key, Bytes value, PageId& head) {
  const Tree retired = engine.retired();
  std::size_t left = value.size();
  while (left > 0) {
    VG_TRY(engine.poison.check());
    LogSpace log_space(engine.log);
    VG_TRY(log_space.reserve(kChainLogBytes));
    VG_ASSIGN(PageReservation pages, engine.space.reserve(1, head));
    VG_ASSIGN(FrameTicket frames, engine.pool.reserve_frames(1));
    VG_ASSIGN(ExclusiveGuard leaf, retired.write_leaf(row_key));
    // The transaction's number keeps a later one from taking the row's key, should this be its only record.
    MiniTxn mini(engine.pool, engine.log, RecordKind::kSystem, txn.id());
    if (!add_row(mini, leaf, row_key, chain_row(pages[0], owner))) {
      leaf.release();
      pages.release();
      frames.release();
      VG_TRY(retired.make_room(row_key, sizeof(RetiredRow)));
      continue;
    }
    const std::size_t part = (left - 1) % kOverflowPageBytes + 1;  // the last page holds the odd rest
    PageBuffer image;
    fill_chain_page(image, owner, head, value.subspan(left - part, part));
    ExclusiveGuard& page = mini.own(engine.pool.create(pages[0], frames));
    PayloadBuffer payload;
    encode_page_image(payload, image);
    mini.add(page, PageOp::kImage, payload.bytes());
    if (!engine.space.add_to(mini, pages.ids(), {})) continue;
    mini.commit();
    pages.committed(1);
    head = pages[0];
    left -= part;
  }
  return {};
}

}  // namespace

Status free_chain(const Engine& engine, Bytes row_key) {
  for (bool gone = false; !gone;) {
    VG_TRY(engine.poison.check());
    // Its pages go step by step, and the row says from where on.
    RetiredRow row{};
    bool there = false;
    VG_TRY(engine.retired().read_leaf(row_key, [&](const NodeView& leaf) {
      const NodeView::Position position = leaf.lower_bound(row_key);
      there = position.exact && leaf.value(position.slot).size() == sizeof row;
      if (there) std::memcpy(&row, leaf.value(position.slot).data(), sizeof row);
    }));
    if (!there) return {};
    VG_ASSIGN(gone, free_chain_some(engine, row_key, row, kFreedAtOnce));
  }
  return {};
}

Result<BuiltChain> build_chain(const Engine& engine, Txn& txn, ObjectId owner, Bytes value, std::string* unfreed_row) {
  BuiltChain chain{{}, retired_key(txn.id(), txn.next_retired())};
  const Bytes row_key = as_bytes(chain.retired_row);
  PageId head = kNoPage;
  if (Status built = extend_chain(engine, txn, owner, row_key, value, head); !built) {
    if (head != kNoPage && !free_chain(engine, row_key) && unfreed_row != nullptr) *unfreed_row = chain.retired_row;
    return built.error();
  }
  chain.ref.bytes.set(value.size());
  chain.ref.head.set(raw(head));
  return chain;
}

Result<bool> attach_chain(const Engine& engine, const Txn& txn, const BuiltChain& chain, PageId page,
                          FunctionRef<std::optional<PageOp>(Bytes page, Bytes ref, PayloadBuffer& payload)> put) {
  VG_TRY(engine.poison.check());
  const Bytes row_key = as_bytes(chain.retired_row);
  const Tree retired = engine.retired();
  bool last_of_leaf = false;
  {
    LogSpace log_space(engine.log);
    VG_TRY(log_space.reserve(kAttachLogBytes));
    // Pages of one object at a time may be waited for; the other one is only tried, nobody else wants it.
    VG_ASSIGN(ExclusiveGuard leaf, retired.write_leaf(row_key));
    const NodeView::Position position = NodeView(leaf.page()).lower_bound(row_key);
    if (!position.exact) return Error(ErrorCode::kCorruption, "the system tree of retired pages lost a row");
    auto target = engine.pool.try_exclusive(page);
    if (!target) return false;
    PayloadBuffer payload;
    const std::optional<PageOp> op = put(target->page(), std::as_bytes(std::span(&chain.ref, 1)), payload);
    if (!op) return false;
    MiniTxn mini(engine.pool, engine.log, RecordKind::kSystem, txn.id());
    mini.add(*target, *op, payload.bytes());
    payload.clear();
    encode_node_remove(payload, position.slot);
    mini.add(leaf, PageOp::kNodeRemove, payload.bytes());
    mini.commit();
    last_of_leaf = NodeView(leaf.page()).count() == 0;
  }
  if (!last_of_leaf) return true;
  try {
    static_cast<void>(retired.merge_at(row_key).has_value());
  } catch (const std::bad_alloc&) {
    // Done and logged whatever becomes of the merge: one that lacks something leaves an empty leaf behind.
  }
  return true;
}

/// What a reference to a large value claims is not believed at once.
constexpr std::uint64_t kReserveAtOnce = std::uint64_t{16} << 20;

Status read_chain(const Engine& engine, ObjectId owner, Bytes ref_bytes, std::string& value) {
  value.clear();
  if (ref_bytes.size() != sizeof(OverflowRef)) {
    return Error(ErrorCode::kCorruption,
                 "a large value of object " + std::to_string(raw(owner)) + " has a reference of the wrong size");
  }
  OverflowRef ref;
  std::copy(ref_bytes.begin(), ref_bytes.end(), reinterpret_cast<std::byte*>(&ref));
  const std::uint64_t bytes = ref.bytes.get();
  PageId page{ref.head.get()};
  if (bytes > kMaxValueBytes || bytes / kOverflowPageBytes > engine.pool.page_count()) {
    return Error(ErrorCode::kCorruption, "a large value of object " + std::to_string(raw(owner)) +
                                             " claims to be longer than it can be: " + std::to_string(bytes) +
                                             " bytes");
  }
  value.reserve(std::min(bytes, kReserveAtOnce));
  while (value.size() < bytes) {
    if (value.size() >= kReserveAtOnce) value.reserve(bytes);  // so much was there
    VG_ASSIGN(page, read_chain_page(engine, owner, page, &value));
    engine.pool.count_visits(page_visits.overflow, 1);
  }
  if (value.size() != bytes || page != kNoPage) {
    return Error(ErrorCode::kCorruption, "a large value of object " + std::to_string(raw(owner)) +
                                             " that begins on page " + std::to_string(ref.head.get()) +
                                             " does not end where it should");
  }
  return {};
}

Status retire_chain(const Engine& engine, TxnManager& manager, Txn& txn, ObjectId owner, Bytes ref_bytes) {
  if (ref_bytes.size() != sizeof(OverflowRef)) {
    return Error(ErrorCode::kCorruption, "a large value has a reference of the wrong size");
  }
  OverflowRef ref;
  std::copy(ref_bytes.begin(), ref_bytes.end(), reinterpret_cast<std::byte*>(&ref));
  const RetiredRow row = chain_row(PageId{ref.head.get()}, owner);
  const std::string key = retired_key(txn.id(), txn.next_retired());
  return put_entry(engine, manager, txn, engine.retired(), as_bytes(key), bytes_of(row));
}

Result<bool> free_chain_some(const Engine& engine, Bytes row_key, const RetiredRow& row, unsigned pages_max) {
  const ObjectId owner{row.object.get()};
  std::vector<PageId> freed;
  PageId next{row.page.get()};
  while (next != kNoPage && freed.size() < pages_max) {
    if (std::find(freed.begin(), freed.end(), next) != freed.end()) {
      return Error(ErrorCode::kCorruption,
                   "a large value's chain runs in a circle at page " + std::to_string(raw(next)));
    }
    freed.push_back(next);
    VG_ASSIGN(next, read_chain_page(engine, owner, next, nullptr));
  }
  const Tree retired = engine.retired();
  bool changed = false;
  while (!changed) {
    LogSpace log_space(engine.log);
    VG_TRY(log_space.reserve(kChainLogBytes));
    VG_ASSIGN(auto pins, engine.space.load_bitmaps(freed));
    VG_ASSIGN(ExclusiveGuard leaf, retired.write_leaf(row_key));
    const NodeView::Position position = NodeView(leaf.page()).lower_bound(row_key);
    if (!position.exact) return Error(ErrorCode::kCorruption, "the system tree of retired pages lost a row");
    MiniTxn mini(engine.pool, engine.log, RecordKind::kSystem);
    PayloadBuffer payload;
    if (next == kNoPage) {
      encode_node_remove(payload, position.slot);
      mini.add(leaf, PageOp::kNodeRemove, payload.bytes());
    } else {
      encode_node_replace(payload, position.slot, 0, bytes_of(chain_row(next, owner)), OldRoom::kGivenUp);
      mini.add(leaf, PageOp::kNodeReplace, payload.bytes());
    }
    if (!engine.space.add_to(mini, {}, freed)) continue;
    mini.commit();
    changed = true;
  }
  engine.space.freed(freed);
  if (next == kNoPage) VG_TRY(retired.merge_at(row_key));
  return next == kNoPage;
}

}  // namespace vaultgres
