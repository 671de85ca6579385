// Goal: with many threads, few frames and constant eviction nobody ever believes a torn page, no change is
// lost, and nobody hangs.
#include <atomic>
#include <thread>

#include "buffer/buffer_support.h"
#include "support/random.h"
#include "support/scale.h"

namespace vaultgres {
namespace {

// Each page holds one number in every word; writers add one under the exclusive latch. Readers read
// optimistically, validate, and only then look.
TEST(BufferStress, NobodyBelievesATornPageAndNoChangeIsLost) {
  SimFileSystem disk;
  constexpr unsigned kThreads = 8;
  constexpr std::uint32_t kPages = 150;
  PoolWorld world(disk, kFramesMin + 8 * kThreads);
  world.pool().start_cleaner();
  for (std::uint32_t i = 0; i < kPages; ++i) ASSERT_TRUE(world.create(PageId{i}, 0));
  std::atomic<std::uint64_t> changes{0};
  std::atomic<std::uint64_t> validated{0};
  std::atomic<unsigned> torn{0};
  std::atomic<unsigned> failed{0};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      TestRandom random(t + 1);
      ReadAhead read_ahead;
      for (std::uint64_t i = 0; i < scaled(6000); ++i) {
        const PageId id{static_cast<std::uint32_t>(random.zipf(kPages))};
        switch (random.uniform(7)) {
          case 0: {  // by latch
            auto guard = world.pool().exclusive(id, Hint::kNormal);
            if (!guard) {
              failed.fetch_add(1);
              break;
            }
            if (!is_whole(guard->page())) torn.fetch_add(1);
            world.fill(*guard, number_on(guard->page()) + 1);
            changes.fetch_add(1);
            break;
          }
          case 1: {  // by upgrade
            auto guard = world.pool().optimistic(id, Hint::kNormal);
            if (!guard) {
              failed.fetch_add(1);
              break;
            }
            auto latched = world.pool().try_upgrade(*std::move(guard));
            if (!latched) break;
            world.fill(*latched, number_on(latched->page()) + 1);
            changes.fetch_add(1);
            break;
          }
          case 2: {
            auto guard = world.pool().shared(id, Hint::kScan);
            if (!guard) {
              failed.fetch_add(1);
            } else if (!is_whole(guard->page())) {
              torn.fetch_add(1);
            }
            break;
          }
          case 3: {  // as a scan does
            const std::vector<PageId> run = {id, PageId{raw(id) + 1}, PageId{raw(id) + 2}, PageId{raw(id) + 3}};
            world.pool().read_ahead(run, read_ahead);
            break;
          }
          default: {
            auto guard = world.pool().optimistic(id, random.one_in(2) ? Hint::kNormal : Hint::kScan);
            if (!guard) {
              failed.fetch_add(1);
              break;
            }
            const bool whole = is_whole(guard->page());
            if (guard->validate()) {
              validated.fetch_add(1);
              if (!whole) torn.fetch_add(1);
            }
          }
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::uint64_t sum = 0;
  for (std::uint32_t i = 0; i < kPages; ++i) sum += *world.read(PageId{i});
  EXPECT_EQ(sum, changes.load());
  EXPECT_EQ(torn.load(), 0u);
  EXPECT_EQ(failed.load(), 0u);
  EXPECT_GT(validated.load(), 0u);
  EXPECT_GT(world.pool().stats().evictions, 0u);
}

// Ids are freed and given to other pages under the eyes of readers: a page is known by its number modulo
// the number of ids, so a reader that validates must see a number of its id.
TEST(BufferStress, AReaderNeverTakesAReusedPageForTheOneItWanted) {
  SimFileSystem disk;
  constexpr std::uint32_t kPages = 20;
  PoolWorld world(disk, kFramesMin + 8 * 4);
  world.pool().start_cleaner();
  for (std::uint32_t i = 0; i < kPages; ++i) ASSERT_TRUE(world.create(PageId{i}, i));
  std::atomic<bool> stop{false};
  std::atomic<unsigned> wrong{0};
  std::vector<std::thread> readers;
  for (unsigned t = 0; t < 3; ++t) {
    readers.emplace_back([&, t] {
      TestRandom random(t + 1);
      while (!stop.load()) {
        const PageId id{static_cast<std::uint32_t>(random.uniform(kPages))};
        auto guard = world.pool().optimistic(id, Hint::kNormal);
        if (!guard) continue;
        const std::uint64_t number = number_on(guard->page());
        if (guard->validate() && number % kPages != raw(id)) wrong.fetch_add(1);
      }
    });
  }
  TestRandom random;
  for (std::uint64_t i = 0; i < scaled(20000); ++i) {
    const auto id = static_cast<std::uint32_t>(random.uniform(kPages));
    ASSERT_TRUE(world.create(PageId{id}, id + kPages * random.uniform(1000)));
  }
  stop.store(true);
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(wrong.load(), 0u);
}

}  // namespace
}  // namespace vaultgres
