#include "txn/retired.h"

#include <algorithm>
#include <array>
#include <vector>

#include "base/payload_buffer.h"
#include "base/try.h"
#include "buffer/mini_txn.h"
#include "txn/ghosts.h"
#include "txn/overflow.h"
#include "txn/row_ops.h"
#include "wal/log_space.h"

namespace vaultgres {

namespace {

/// Pages freed between two looks at the rest of the world.
constexpr unsigned kPagesPerStep = 64;
constexpr std::uint64_t kRootLogBytes = log_bytes_for(kPageBytes + 1024);

RetiredRow make_row(RetiredKind kind, PageId page, ObjectId object) {
  RetiredRow row{};
  row.page.set(raw(page));
  row.object.set(raw(object));
  row.kind.set(static_cast<std::uint8_t>(kind));
  return row;
}

bool is_chain(const RetiredRow& row) {
  return row.kind.get() == static_cast<std::uint8_t>(RetiredKind::kChain);
}

struct Found {
  std::string key;
  RetiredRow row;
  bool ghost;
};

/// A slot of a dropped object's page that leads to a chain.
struct SpillSlot {
  unsigned slot = 0;
  bool ghost = false;
  Bytes ref{};
};

/// All rows of one leaf, ghosts included, and where to go on.
Status read_rows(const Engine& engine, Bytes from, std::vector<Found>& rows, std::string& bound, bool& at_end) {
  return engine.retired().read_leaf(from, [&](const NodeView& leaf) {
    rows.clear();
    std::array<std::byte, kKeyBytesMax> key;
    for (unsigned slot = leaf.lower_bound(from).slot; slot < leaf.count(); ++slot) {
      const Bytes value = leaf.value(slot);
      if (value.size() != sizeof(RetiredRow)) continue;
      Found found{
          std::string(as_text(Bytes(key).first(leaf.copy_key(slot, key)))), {}, (leaf.flags(slot) & kSlotGhost) != 0};
      std::copy(value.begin(), value.end(), reinterpret_cast<std::byte*>(&found.row));
      rows.push_back(std::move(found));
    }
    bound.assign(as_text(leaf.high_fence()));
    at_end = !leaf.has_high_fence();
  });
}

/// How the references to chains on one page of a dropped object are found and removed.
struct Spiller {
  ObjectId object;
  PageOp remove_op;
  FunctionRef<Result<ExclusiveGuard>()> latch;
  /// The first slot with a reference; false when there is none.
  FunctionRef<bool(Bytes page, SpillSlot& slot)> find;
  FunctionRef<void(PayloadBuffer& out, unsigned slot)> encode_remove;
};

/// Moves the chains of one page of a dropped object into rows of their own, one system record each.
Status spill_page(const Engine& engine, TxnManager& manager, const Spiller& spiller) {
  const Tree retired = engine.retired();
  const TxnId id = manager.next_id();
  const std::string owner = retired_key(id, 0);
  std::uint32_t number = 0;
  for (;;) {
    std::string row_key = owner;
    store_big(row_key.data() + 8, number);
    LogSpace log_space(engine.log);
    VG_TRY(log_space.reserve(kRootLogBytes));
    // Nobody else changes the dropped object, so what is read here still holds when the page is latched again.
    VG_ASSIGN(ExclusiveGuard page, spiller.latch());
    SpillSlot found;
    if (!spiller.find(page.page(), found)) return {};
    if (found.ghost) {
      // Whoever made it a ghost has given its chain a row of `retired`, which may be freed by now.
      MiniTxn mini(engine.pool, engine.log, RecordKind::kSystem);
      PayloadBuffer payload;
      spiller.encode_remove(payload, found.slot);
      mini.add(page, spiller.remove_op, payload.bytes());
      mini.commit();
      continue;
    }
    if (found.ref.size() != sizeof(OverflowRef)) {
      return Error(ErrorCode::kCorruption, "a large value of a dropped object has a reference of the wrong size");
    }
    OverflowRef ref;
    std::copy(found.ref.begin(), found.ref.end(), reinterpret_cast<std::byte*>(&ref));
    const PageId page_id = page.id();
    page.release();

    VG_ASSIGN(ExclusiveGuard row_leaf, retired.write_leaf(as_bytes(row_key)));
    const NodeView row_view(row_leaf.page());
    if (!row_view.has_room(row_key.size(), sizeof(RetiredRow))) {
      row_leaf.release();
      VG_TRY(retired.make_room(as_bytes(row_key), sizeof(RetiredRow)));
      continue;
    }
    auto page_again = engine.pool.try_exclusive(page_id);
    if (!page_again) continue;
    // The number keeps a later transaction from taking the row's key.
    MiniTxn mini(engine.pool, engine.log, RecordKind::kSystem, id);
    PayloadBuffer payload;
    spiller.encode_remove(payload, found.slot);
    mini.add(*page_again, spiller.remove_op, payload.bytes());
    payload.clear();
    encode_node_insert(payload, row_view.lower_bound(as_bytes(row_key)).slot, 0, as_bytes(row_key),
                       bytes_of(make_row(RetiredKind::kChain, PageId{ref.head.get()}, spiller.object)));
    mini.add(row_leaf, PageOp::kNodeInsert, payload.bytes());
    mini.commit();
    ++number;
  }
}

Status spill_leaf(const Engine& engine, TxnManager& manager, const Tree& tree, Bytes key) {
  const auto latch = [&] { return tree.write_leaf(key); };
  const auto find = [](Bytes page, SpillSlot& found) {
    const NodeView view(page);
    for (unsigned slot = 0; slot < view.count(); ++slot) {
      const std::uint8_t flags = view.flags(slot);
      if ((flags & kSlotOverflow) == 0) continue;
      found = {slot, (flags & kSlotGhost) != 0, view.value(slot)};
      return true;
    }
    return false;
  };
  const auto remove = [](PayloadBuffer& out, unsigned slot) { encode_node_remove(out, slot); };
  return spill_page(engine, manager, {tree.object(), PageOp::kNodeRemove, latch, find, remove});
}

/// Only home slots lead to chains.
Status spill_heap_page(const Engine& engine, TxnManager& manager, const Heap& heap, PageId page) {
  const auto latch = [&] { return heap.latch(page); };
  const auto find = [](Bytes bytes, SpillSlot& found) {
    const HeapPageView view(bytes);
    for (unsigned slot = 0; slot < view.slots(); ++slot) {
      const HeapSlot content = view.slot(slot);
      if (!content.state.overflow) continue;
      found = {slot, content.state.ghost, content.content};
      return true;
    }
    return false;
  };
  const auto remove = [](PayloadBuffer& out, unsigned slot) {
    const auto number = static_cast<std::uint16_t>(slot);
    encode_heap_remove(out, std::span(&number, 1));
  };
  return spill_page(engine, manager, {heap.object(), PageOp::kHeapRemove, latch, find, remove});
}

/// Frees the root page and removes the row, as one record.
Status free_root(const Engine& engine, Bytes row_key, PageId root) {
  const Tree retired = engine.retired();
  for (bool done = false; !done;) {
    LogSpace log_space(engine.log);
    VG_TRY(log_space.reserve(kRootLogBytes));
    VG_ASSIGN(auto pins, engine.space.load_bitmaps(std::span(&root, 1)));
    VG_ASSIGN(ExclusiveGuard leaf, retired.write_leaf(row_key));
    const NodeView::Position position = NodeView(leaf.page()).lower_bound(row_key);
    if (!position.exact) return Error(ErrorCode::kCorruption, "the system tree of retired pages lost a row");
    MiniTxn mini(engine.pool, engine.log, RecordKind::kSystem);
    PayloadBuffer payload;
    encode_node_remove(payload, position.slot);
    mini.add(leaf, PageOp::kNodeRemove, payload.bytes());
    done = engine.space.add_to(mini, {}, std::span(&root, 1));
    if (done) mini.commit();
  }
  engine.space.freed(std::span(&root, 1));
  return retired.merge_at(row_key);
}

/// Is the row still what was copied? The copy may be older than the look at its transaction and its entry; from
/// here on only the collector changes it.
Result<bool> still_there(const Engine& engine, const Found& found) {
  bool same = false;
  VG_TRY(engine.retired().read_leaf(as_bytes(found.key), [&](const NodeView& leaf) {
    const NodeView::Position position = leaf.lower_bound(as_bytes(found.key));
    same = position.exact && (leaf.flags(position.slot) & kSlotGhost) == 0 &&
           as_text(leaf.value(position.slot)) == as_text(bytes_of(found.row));
  }));
  return same;
}

Status free_step(const Engine& engine, TxnManager& manager, const Found& found) {
  const Bytes key = as_bytes(found.key);
  const PageId page{found.row.page.get()};
  switch (static_cast<RetiredKind>(found.row.kind.get())) {
    case RetiredKind::kChain: {
      VG_TRY(free_chain_some(engine, key, found.row, kPagesPerStep));
      return {};
    }
    case RetiredKind::kTree: {
      const Tree tree(engine.trees, ObjectId{found.row.object.get()}, page, Hint::kScan);
      VG_ASSIGN(const bool only_root, tree.free_some(kPagesPerStep, [&](Bytes leaf_key) {
        return spill_leaf(engine, manager, tree, leaf_key);
      }));
      return only_root ? free_root(engine, key, page) : Status{};
    }
    case RetiredKind::kTable: {
      const Heap heap(engine.heaps, ObjectId{found.row.object.get()}, page, Hint::kScan);
      VG_ASSIGN(const bool only_root, heap.free_some(kPagesPerStep, [&](PageId heap_page) {
        return spill_heap_page(engine, manager, heap, heap_page);
      }));
      return only_root ? free_root(engine, key, page) : Status{};
    }
  }
  return Error(ErrorCode::kCorruption,
               "a row of the system tree of retired pages is of unknown kind " + std::to_string(found.row.kind.get()));
}

/// False: it cannot go yet, or has gone.
Result<bool> free_some(const Engine& engine, TxnManager& manager, const Found& found) {
  if (found.key.size() != 12 || manager.is_open(TxnId{load_big<std::uint64_t>(found.key.data())})) return false;
  if (engine.versions.has_entry(kRetiredObject, as_bytes(found.key))) return false;
  if (found.ghost) {
    VG_TRY(purge_at(engine, engine.retired(), as_bytes(found.key)));
    return false;
  }
  VG_ASSIGN(const bool same, still_there(engine, found));
  if (same) VG_TRY(free_step(engine, manager, found));
  return same;
}

}  // namespace

Result<bool> RetiredPass::step() {
  Status no_space;
  std::vector<Found> rows;
  for (bool at_end = false; !at_end;) {
    std::string bound;
    VG_TRY(read_rows(engine_, as_bytes(from_), rows, bound, at_end));
    for (const Found& found : rows) {
      const Result<bool> freed = free_some(engine_, manager_, found);
      if (freed && !*freed) continue;
      if (freed) {
        // Back to an object that lacked a page, before others take it.
        from_ = no_space ? found.key : std::string();
        return true;
      }
      // An object may need pages for the rows of its chains: what stands behind it, these rows too, gives some back.
      if (freed.error().code() != ErrorCode::kNoSpace || is_chain(found.row)) return freed.error();
      if (no_space) no_space = freed.error();
      bound = found.key + '\0';
      at_end = false;
      break;
    }
    from_ = std::move(bound);
  }
  if (!no_space) return no_space.error();
  return false;
}

Result<NewObject> create_object(const Engine& engine, Txn& txn, RetiredKind kind, ObjectId object) {
  const Tree retired = engine.retired();
  NewObject made{kNoPage, retired_key(txn.id(), txn.next_retired())};
  const Bytes row_key = as_bytes(made.retired_row);
  for (;;) {
    LogSpace log_space(engine.log);
    VG_TRY(log_space.reserve(kRootLogBytes));
    VG_ASSIGN(PageReservation pages, engine.space.reserve(1));
    VG_ASSIGN(FrameTicket frames, engine.pool.reserve_frames(1));
    VG_ASSIGN(ExclusiveGuard leaf, retired.write_leaf(row_key));
    const NodeView view(leaf.page());
    if (!view.has_room(row_key.size(), sizeof(RetiredRow))) {
      leaf.release();
      pages.release();
      frames.release();
      VG_TRY(retired.make_room(row_key, sizeof(RetiredRow)));
      continue;
    }
    MiniTxn mini(engine.pool, engine.log, RecordKind::kSystem, txn.id());
    ExclusiveGuard& root = mini.own(engine.pool.create(pages[0], frames));
    if (kind == RetiredKind::kTree) {
      Tree::add_new_root(mini, root, object);
    } else {
      Heap::add_new_root(mini, root, object);
    }
    PayloadBuffer payload;
    encode_node_insert(payload, view.lower_bound(row_key).slot, 0, row_key, bytes_of(make_row(kind, pages[0], object)));
    mini.add(leaf, PageOp::kNodeInsert, payload.bytes());
    if (!engine.space.add_to(mini, pages.ids(), {})) continue;
    mini.commit();
    pages.committed(1);
    made.root = pages[0];
    return made;
  }
}

Status publish_object(const Engine& engine, TxnManager& manager, Txn& txn, const NewObject& made) {
  VG_ASSIGN(const bool erased, erase_entry(engine, manager, txn, engine.retired(), as_bytes(made.retired_row)));
  if (erased) return {};
  return Error(ErrorCode::kCorruption, "the system tree of retired pages lost a row");
}

Status retire_object(const Engine& engine, TxnManager& manager, Txn& txn, RetiredKind kind, ObjectId object,
                     PageId root) {
  const std::string key = retired_key(txn.id(), txn.next_retired());
  const RetiredRow row = make_row(kind, root, object);
  return put_entry(engine, manager, txn, engine.retired(), as_bytes(key), bytes_of(row));
}

}  // namespace vaultgres
