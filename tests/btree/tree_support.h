// Trees on a simulated disk, with everything that they work with open on it, and a look at what they hold.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "btree/node_model.h"
#include "btree/tree.h"
#include "buffer/page_image.h"
#include "format/superblock.h"
#include "space/bitmap.h"
#include "support/sim_file_system.h"
#include "wal/log_reader.h"
#include "wal/log_space.h"
#include "wal/record.h"

namespace vaultgres {

template <class T>
T must(Result<T> result) {
  if (!result) {
    ADD_FAILURE() << result.error().message();
    std::abort();
  }
  return *std::move(result);
}
inline void must(const Status& status) {
  ASSERT_TRUE(status) << status.error().message();
}

inline Status validate_tree_page(PageId id, Bytes page) {
  switch (static_cast<PageType>(page_header(page).type.get())) {
    case PageType::kBitmap:
      return verify_bitmap(id, page);
    case PageType::kLeaf:
    case PageType::kInternal:
      return verify_node(page);
    default:
      return {};
  }
}

/// A tree as a walk finds it.
struct TreeContent {
  ModelMap entries;
  std::vector<PageId> leaves;           // from the left
  std::vector<std::size_t> used_bytes;  // of each leaf
  std::size_t pages = 0;                // inner ones, too
  unsigned root_level = 0;
};

class TreeSpace {
 public:
  static constexpr std::size_t kSegment = 64 << 10;
  static constexpr std::uint32_t kFirstFilePages = 16;

  explicit TreeSpace(std::size_t frames = 512) {
    register_image_ops(redo_);
    register_bitmap_ops(redo_);
    register_node_ops(redo_);
    must(disk.make_directory("log"));
    data_ = must(disk.open("data", OpenMode::kCreate));
    doublewrite_ = must(disk.open("doublewrite", OpenMode::kCreate));
    must(data_->allocate(0, std::uint64_t{kFirstFilePages} * kPageBytes));
    LogOptions log_options;
    log_options.segment_bytes = kSegment;
    log_options.buffer_bytes = std::size_t{4} << 20;
    const LogEpoch epoch{1, 77, Lsn{kSegment}};
    log = must(Log::open(disk, "log", database_, epoch, Lsn{kSegment}, log_options, poison));
    must(log->reserve(1024));  // for good: this log's first record is of no operation
    log->append(RecordBuilder::epoch(1, 0, kNoLsn));
    BufferOptions options;
    options.cache_bytes = frames * kPageBytes;
    pool = must(BufferPool::open(*data_, *doublewrite_, database_, *log, redo_, &validate_tree_page, options, poison));
    pool->start_cleaner();
    allocator = std::make_unique<PageAllocator>(*pool, *log, *data_, poison);
    context = std::make_unique<TreeContext>(TreeContext{*pool, *log, *allocator});
    must(allocator->format());
  }
  ~TreeSpace() {
    context.reset();
    allocator.reset();
    pool.reset();
    log.reset();
  }

  /// A new, empty tree.
  Tree create_tree(ObjectId object = ObjectId{40}) {
    for (;;) {
      LogSpace log_space(*log);
      must(log_space.reserve(log_bytes_for(kPageBytes + 1024)));
      PageReservation pages = must(allocator->reserve(1));
      FrameTicket frames = must(pool->reserve_frames(1));
      MiniTxn mini(*pool, *log, RecordKind::kSystem);
      Tree::add_new_root(mini, mini.own(pool->create(pages[0], frames)), object);
      if (!allocator->add_to(mini, pages.ids(), {})) continue;
      mini.commit();
      pages.committed(1);
      return Tree(*context, object, pages[0]);
    }
  }

  void insert(const Tree& tree, const std::string& key, const std::string& value) {
    for (;;) {
      {
        LogSpace log_space(*log);
        must(log_space.reserve(Tree::log_bytes_of_change(key.size(), value.size())));
        ExclusiveGuard leaf = must(tree.write_leaf(as_bytes(key)));
        const NodeView view(leaf.page());
        const NodeView::Position at = view.lower_bound(as_bytes(key));
        ASSERT_FALSE(at.exact);
        if (view.has_room(key.size(), value.size())) {
          MiniTxn mini(*pool, *log, RecordKind::kSystem);
          PayloadBuffer payload;
          encode_node_insert(payload, at.slot, 0, as_bytes(key), as_bytes(value));
          mini.add(leaf, PageOp::kNodeInsert, payload.bytes());
          mini.commit();
          return;
        }
      }
      must(tree.make_room(as_bytes(key), value.size()));
    }
  }

  /// Walks through the tree, which has to be sound, all of its pages allocated.
  TreeContent content(const Tree& tree) {
    TreeContent content;
    std::vector<PageId> links;
    const auto visit = [&](const NodeView& node, PageId id) {
      ++content.pages;
      content.root_level = std::max(content.root_level, node.level());
      if (node.level() > 0) return;
      content.leaves.push_back(id);
      content.used_bytes.push_back(node.used_bytes());
      links.push_back(node.right());
      node.visit_up(0, [&](unsigned, Bytes key, Bytes value, std::uint8_t flags) {
        const auto added =
            content.entries.insert({std::string(as_text(key)), {std::string(as_text(value)), flags}}).second;
        EXPECT_TRUE(added) << "a key twice";
        return true;
      });
    };
    must(tree.walk(visit,
                   [](PageId id, const std::string& what) { ADD_FAILURE() << "page " << raw(id) << ": " << what; }));
    for (std::size_t i = 0; i < links.size(); ++i) {
      EXPECT_EQ(links[i], i + 1 < links.size() ? content.leaves[i + 1] : kNoPage) << "leaf " << i;
      EXPECT_TRUE(must(allocator->is_allocated(content.leaves[i])));
    }
    return content;
  }

  std::string find(const Tree& tree, const std::string& key) {
    std::string found;
    must(tree.read_leaf(as_bytes(key), [&](const NodeView& node) {
      const NodeView::Position at = node.lower_bound(as_bytes(key));
      found = at.exact ? std::string(as_text(node.value(at.slot))) : "nothing";
    }));
    return found;
  }

  /// `visit(pages)` sees all pages that the log names, made from nothing but the log, after each of its records.
  using Pages = std::map<PageId, HeapPage>;
  void replay(FunctionRef<void(const Pages& pages)> visit) {
    must(log->flush(log->filled()));
    const EpochSpan span{1, 77, Lsn{kSegment}, kNoLsn};
    LogReader reader = must(LogReader::open(disk, "log", database_, kSegment, {span}, Lsn{kSegment}, kNoLsn));
    Pages pages;
    for (auto record = must(reader.next()); record; record = must(reader.next())) {
      const RecordView view = must(RecordView::parse(record->bytes));
      for (const RecordPage& part : view.pages()) {
        must(redo_.find(raw(part.op)).apply(pages[part.page].bytes(), part.payload));
        page_header(pages[part.page].bytes()).lsn.set(raw(record->lsn));
      }
      visit(pages);
    }
  }

  SimFileSystem disk;
  Poison poison;
  std::unique_ptr<Log> log;
  std::unique_ptr<BufferPool> pool;
  std::unique_ptr<PageAllocator> allocator;
  std::unique_ptr<TreeContext> context;

 private:
  const DatabaseId database_{};
  RedoTable redo_;
  std::unique_ptr<File> data_;
  std::unique_ptr<File> doublewrite_;
};

}  // namespace vaultgres
