// Goal: the estimate of a damaged map is an error or a number, never less than there is because a part of it could not
// be read.
#include <gtest/gtest.h>

#include "base/aligned_buffer.h"
#include "btree/node.h"
#include "buffer/mini_txn.h"
#include "buffer/page_image.h"
#include "format/page.h"
#include "support/database.h"
#include "support/sim_file_system.h"
#include "wal/log_space.h"

namespace vaultgres {
namespace {

std::string eight_digits(std::uint64_t i) {
  std::string number = std::to_string(i);
  return std::string(8 - number.size(), '0') + number;
}

Map loaded_map(Database& db, const std::string& name, std::uint64_t count) {
  MapLoad load = *db.load_map(name);
  for (std::uint64_t i = 0; i < count; ++i) EXPECT_TRUE(load.add(eight_digits(i), std::string(kPageBytes / 32, 'v')));
  return *load.finish();
}

// Leaves that no checksum vouches for, between two that are as they were.
TEST(DamagedEstimateTest, LeavesThatCannotBeReadAreAnErrorAndNotLess) {
  SimFileSystem disk;
  std::uint32_t object = 0;
  {
    const auto core = *internal::Core::open({&disk, nullptr, "/db"}, small_options());
    Database db = internal::make_database(core);
    loaded_map(db, "m", 3000);
    object = raw((*core->find_map("m"))->object);
  }
  unsigned damaged = 0;
  {
    const auto data = *disk.open("/db/data.vg", OpenMode::kReadWrite);
    AlignedBuffer buffer = *AlignedBuffer::make(kPageBytes);
    const MutableBytes page = buffer.span().first(kPageBytes);
    for (std::uint64_t at = 0; at < *data->size(); at += kPageBytes) {
      ASSERT_OK(data->read(at, page));
      const PageHeader& header = page_header(page);
      const NodeView node(page);
      if (header.object.get() != object || !node.is_node() || !node.is_leaf()) continue;
      if (node.low_fence().empty() || !node.has_high_fence()) continue;
      page[kPageBytes / 2] ^= std::byte{1};
      ASSERT_OK(data->write(at, page));
      ++damaged;
    }
  }
  ASSERT_GT(damaged, 20u);
  Database db = *open_on(disk);
  const Map map = *db.open_map("m");
  EXPECT_ERROR(kCorruption, map.size_estimate());
  const auto first = map.size_estimate({.from = {}, .to = eight_digits(2)});
  ASSERT_OK(first);
  EXPECT_EQ(first->entries, 2u);
}

// Nodes all of whose children are one and the same page: more entries than any number counts.
TEST(DamagedEstimateTest, MoreThanAnyNumberIsTheGreatest) {
  constexpr unsigned kLevels = 20;
  SimFileSystem disk;
  const auto core = *internal::Core::open({&disk, nullptr, "/db"}, small_options());
  Database db = internal::make_database(core);
  const Map map = *db.create_map("m");
  loaded_map(db, "other", 3000);
  const Engine& engine = core->engine();
  std::vector<PageId> pages;
  ASSERT_OK((*core->find_map("other"))
                ->tree(engine)
                .walk([&](const NodeView&, PageId id) { pages.push_back(id); }, [](PageId, const std::string&) {}));
  const auto state = *core->find_map("m");
  ASSERT_GT(pages.size(), kLevels + 1);
  for (unsigned level = 0; level <= kLevels; ++level) {
    std::array<std::byte, kPageBytes> image;
    build_node(image, state->object, level, level == kLevels, NodeFences{}, kNoPage);
    if (level == 0) {
      ASSERT_TRUE(append_entry(image, 0, as_bytes("k"), as_bytes("v")));
    } else {
      std::byte child[kChildBytes];
      store_little(child, raw(pages[level]));
      ASSERT_TRUE(append_entry(image, 0, {}, child));
      for (std::uint64_t i = 1; append_entry(image, 0, as_bytes(eight_digits(i)), child); ++i) {
      }
    }
    LogSpace log_space(engine.log);
    ASSERT_OK(log_space.reserve(log_bytes_for(kPageBytes + 512)));
    ExclusiveGuard guard = *engine.pool.exclusive(level < kLevels ? pages[level + 1] : state->root, Hint::kNormal);
    MiniTxn mini(engine.pool, engine.log, RecordKind::kSystem);
    PayloadBuffer payload;
    encode_page_image(payload, image);
    mini.add(guard, PageOp::kImage, payload.bytes());
    mini.commit();
    ASSERT_OK(verify_node(guard.page())) << "would be found at load";
  }
  const auto size = map.size_estimate();
  ASSERT_OK(size);
  EXPECT_EQ(size->entries, 1'000'000'000'000'000'000u);
  EXPECT_EQ(size->bytes, 1'000'000'000'000'000'000u);
}

}  // namespace
}  // namespace vaultgres
