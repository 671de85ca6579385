#include "heap/heap.h"

#include <map>
#include <thread>

#include "heap/table_support.h"
#include "support/watchdog.h"

namespace vaultgres {
namespace {

constexpr ObjectId kTable{100};

std::string row_text(unsigned thread, std::uint64_t i, std::size_t bytes) {
  std::string row = std::to_string(thread) + "." + std::to_string(i) + ".";
  row.resize(std::max(bytes, row.size()), static_cast<char>('a' + i % 26));
  return row;
}

constexpr auto no_spill = [](PageId) -> Status {
  return Error(ErrorCode::kInvalidArgument, "there is nothing to spill");
};

void free_all(const Heap& heap) {
  for (int step = 0;; ++step) {
    ASSERT_LT(step, 100000);
    if (must(heap.free_some(5, no_spill))) return;
  }
}

// Goal: an empty table has no page, no row, and one page of map.
TEST(Heap, Empty) {
  TableSpace space;
  const Heap heap = space.create_table(kTable);
  EXPECT_EQ(must(heap.page_count()), 0u);
  must(heap.pages(0, [](std::uint32_t, PageId) { return ADD_FAILURE(), true; }));
  EXPECT_EQ(space.check(heap), 1u);
  EXPECT_TRUE(must(heap.free_some(1, no_spill)));
}

// Goal: rows of all sizes are found where they were put, on about as few pages as they need, in the order of
// enumeration; after opening again too, and with new rows beside them.
TEST(Heap, InsertReadReopen) {
  TableSpace space(64);
  Heap heap = space.create_table(kTable);
  TestRandom random;
  std::map<Tid, std::string> rows;
  std::size_t bytes = 0;
  for (int half = 0; half < 2; ++half) {
    for (std::uint64_t i = 0; i < scaled(1500); ++i) {
      const std::string row = random.bytes(random.one_in(20) ? kInlineRowBytesMax : random.uniform(60));
      bytes += std::max(row.size(), kHeapCapacityMin) + sizeof(HeapSlotWord) + sizeof(HeapCellHeader);
      ASSERT_TRUE(rows.emplace(space.insert(heap, row), row).second) << "a slot was given twice";
    }
    const PageId root = heap.root();
    space.reopen(64);
    heap = space.table(kTable, root);
  }
  for (const auto& [tid, row] : rows) ASSERT_EQ(space.row_of(heap, tid), row);
  const std::uint32_t pages = must(heap.page_count());
  EXPECT_LE(pages, bytes / (kHeapCellsBytesMax * 3 / 4) + 3);
  space.check(heap);
  std::map<Tid, std::string> found;
  std::uint32_t next = 0;
  must(heap.pages(0, [&](std::uint32_t number, PageId page) {
    EXPECT_EQ(number, next++);
    must(heap.read(page, [&](const HeapPageView& view) {
      for (unsigned i = 0; i < view.slots(); ++i) {
        const HeapSlot slot = view.slot(i);
        if (slot.live()) found[{page, static_cast<std::uint16_t>(i)}] = as_text(slot.row());
      }
    }));
    return true;
  }));
  EXPECT_EQ(next, pages);
  EXPECT_EQ(found, rows);
}

// Goal: an enumeration can stop and go on at any number.
TEST(Heap, EnumerationGoesOn) {
  TableSpace space;
  const Heap heap = space.create_table(kTable);
  for (int i = 0; i < 40; ++i) space.insert(heap, std::string(kInlineRowBytesMax, 'x'));
  std::vector<PageId> all;
  must(heap.pages(0, [&](std::uint32_t, PageId page) { return all.push_back(page), true; }));
  EXPECT_EQ(all.size(), must(heap.page_count()));
  EXPECT_EQ(all.size(), 10u);
  for (std::uint32_t from = 0; from <= all.size() + 1; ++from) {
    std::vector<PageId> rest;
    must(heap.pages(from, [&](std::uint32_t number, PageId page) {
      EXPECT_EQ(page, all[number]);
      rest.push_back(page);
      return rest.size() < 3;
    }));
    EXPECT_EQ(rest.size(), std::min<std::size_t>(3, from < all.size() ? all.size() - from : 0));
  }
}

// Goal: room that becomes free is used again, on any page, so that a table that does not grow keeps its pages; also
// when the hints are lost.
TEST(Heap, FreedRoomIsUsedAgain) {
  TableSpace space;
  Heap heap = space.create_table(kTable);
  TestRandom random;
  std::vector<Tid> rows;
  for (std::uint64_t i = 0; i < 600; ++i) rows.push_back(space.insert(heap, std::string(kPageBytes / 16, 'r')));
  const std::uint32_t pages = must(heap.page_count());
  for (int round = 0; round < 4; ++round) {
    random.shuffle(rows);
    for (int i = 0; i < 200; ++i) {
      space.remove(heap, rows.back());
      rows.pop_back();
    }
    if (round == 2) {
      const PageId root = heap.root();
      space.reopen();
      heap = space.table(kTable, root);
    }
    for (int i = 0; i < 200; ++i) rows.push_back(space.insert(heap, std::string(kPageBytes / 16, 'r')));
    EXPECT_LE(must(heap.page_count()), pages + pages / 8 + 1);
  }
  EXPECT_EQ(std::set<Tid>(rows.begin(), rows.end()).size(), rows.size());
  space.check(heap);
}

// Goal: the map remembers room that was noted while its page was clean, when it has been evicted since.
TEST(Heap, RoomThatWasNotedIsRemembered) {
  TableSpace space;
  Heap heap = space.create_table(kTable);
  std::vector<Tid> rows;
  for (int i = 0; i < 400; ++i) rows.push_back(space.insert(heap, std::string(kInlineRowBytesMax, 'x')));
  const std::uint32_t pages = must(heap.page_count());
  must(space.pool->flush_all());
  for (const Tid tid : rows) space.remove(heap, tid);
  space.expect_redo_gives_the_same();
  const PageId root = heap.root();
  space.reopen();
  heap = space.table(kTable, root);
  for (int i = 0; i < 400; ++i) space.insert(heap, std::string(kInlineRowBytesMax, 'y'));
  EXPECT_EQ(must(heap.page_count()), pages);
  space.check(heap);
}

// Goal: a page of the map that is sound by itself and says something else than the rest of the map is an error of the
// enumeration that meets it, and no end of it. Method: each page of a map of two levels gets another image.
TEST(Heap, AMapThatContradictsItselfIsDamage) {
  TableSpace space(1024);
  const Heap heap = space.create_table(kTable);
  const std::uint32_t wanted = kMapEntriesMax + 5;
  for (std::uint32_t i = 0; i < wanted; ++i) {
    must(heap.append_page([](MutableBytes image, std::uint32_t number) { build_heap_page(image, kTable, number); }));
  }
  std::array<PageId, 2> leaves;
  {
    const SharedGuard root = must(space.pool->shared(heap.root(), Hint::kNormal));
    ASSERT_EQ(MapPageView(root.page()).count(), 2u);
    for (unsigned i = 0; i < 2; ++i) leaves[i] = MapPageView(root.page()).id(i);
  }
  const auto enumerate = [&](std::uint32_t from) -> std::string {
    std::uint32_t count = 0;
    const Status done = heap.pages(from, [&](std::uint32_t, PageId) { return ++count <= wanted; });
    if (done) return std::to_string(count) + " pages";
    return done.error().code() == ErrorCode::kCorruption ? "damage" : std::string(done.error().message());
  };
  /// `from`: from where on an enumeration meets the page.
  const auto expect_damage = [&](const char* what, PageId id, std::uint32_t from, auto change) {
    const TestPage before = space.image_of(id);
    TestPage image = before;
    change(image.bytes());
    ASSERT_EQ(text_of(verify_map_page(image.bytes())), "ok") << what << ": would be found at load";
    space.replace(id, image.bytes());
    EXPECT_EQ(enumerate(from), "damage") << what;
    space.replace(id, before.bytes());
    ASSERT_EQ(enumerate(0), std::to_string(wanted) + " pages");
  };
  const auto header = [](MutableBytes page) -> MapHeader& {
    return *reinterpret_cast<MapHeader*>(page.data() + kPageHeaderBytes);
  };
  const auto truncate = [](MutableBytes page, unsigned keep) {
    PayloadBuffer payload;
    encode_map_truncate(payload, keep);
    RedoTable ops;
    register_map_page_ops(ops);
    must(ops.find(raw(PageOp::kMapTruncate)).apply(page, payload.bytes()));
  };
  for (const unsigned keep : {0u, 1u, kMapEntriesMax - 1}) {
    expect_damage("a first part as it once was", leaves[0], 0, [&](MutableBytes page) { truncate(page, keep); });
    expect_damage("met behind what it lists", leaves[0], keep, [&](MutableBytes page) { truncate(page, keep); });
  }
  for (const std::uint32_t first : {1u, kMapEntriesMax, UINT32_MAX}) {
    expect_damage("a first part of something else", leaves[0], 0,
                  [&](MutableBytes page) { header(page).first.set(first); });
  }
  for (const std::uint32_t first : {0u, kMapEntriesMax - 1, kMapEntriesMax + 1, 2 * kMapEntriesMax}) {
    expect_damage("a last part of something else", leaves[1], 0,
                  [&](MutableBytes page) { header(page).first.set(first); });
  }
  for (const PageId leaf : leaves) {
    expect_damage("another level", leaf, 0, [&](MutableBytes page) { header(page).level.set(1); });
  }
  expect_damage("a root whose parts are exchanged", heap.root(), 0, [&](MutableBytes page) {
    for (unsigned i = 0; i < 2; ++i) store_little(page.data() + kMapIdsOffset + 4 * i, raw(leaves[1 - i]));
  });
  expect_damage("a root in a circle", heap.root(), 0,
                [&](MutableBytes page) { store_little(page.data() + kMapIdsOffset, raw(heap.root())); });
  expect_damage("a root that is too high", heap.root(), 0, [&](MutableBytes page) { header(page).level.set(2); });
}

// Goal: the map grows by levels, numbers and pages stay where they are, room is found below upper levels, and all
// of it can be freed. (With pages of 8 KiB the second level begins at 13 MiB, with 1 KiB the third at 38 MiB.)
TEST(Heap, MapOfSeveralLevels) {
  TableSpace space(1024);
  const Heap heap = space.create_table(kTable);
  const bool three_levels = kPageBytes == 1024 && test_scale() >= 1;
  const std::uint32_t wanted = kMapEntriesMax * (three_levels ? kMapEntriesMax : 1) + 5;
  std::vector<Tid> first_rows;
  for (std::uint32_t i = 0; i < wanted; ++i) {
    for (int k = 0; k < 4; ++k) {
      const Tid tid = space.insert(heap, std::string(kInlineRowBytesMax, 'x'));
      if (k == 0) first_rows.push_back(tid);
    }
  }
  EXPECT_EQ(must(heap.page_count()), wanted);
  std::uint32_t next = 0;
  must(heap.pages(0, [&](std::uint32_t number, PageId page) {
    EXPECT_EQ(number, next);
    EXPECT_EQ(page, first_rows[next++].page);
    return true;
  }));
  EXPECT_EQ(next, wanted);
  next = kMapEntriesMax - 1;
  must(heap.pages(next, [&](std::uint32_t number, PageId) { return number == next++; }));
  EXPECT_EQ(next, wanted);
  const std::size_t map_pages = three_levels ? 1 + 2 + kMapEntriesMax + 1 : 1 + 2;
  EXPECT_EQ(space.check(heap), wanted + map_pages);
  space.expect_redo_gives_the_same();
  // Room on pages of the first and of the last part of the map.
  for (const std::uint32_t number : {3u, wanted / 2, wanted - 2}) {
    space.remove(heap, first_rows[number]);
    EXPECT_EQ(space.insert(heap, std::string(kInlineRowBytesMax, 'y')), first_rows[number]);
  }
  EXPECT_EQ(must(heap.page_count()), wanted);
  const std::uint64_t free_before = space.allocator->stats().pages_free;
  ASSERT_NO_FATAL_FAILURE(free_all(heap));
  EXPECT_EQ(space.allocator->stats().pages_free, free_before + wanted + map_pages - 1);
  EXPECT_EQ(space.check(heap), 1u);
}

// Goal: a moved row is read through its home, moves again, and check notices a stub or body left alone.
TEST(Heap, StubsAndBodies) {
  TableSpace space;
  const Heap heap = space.create_table(kTable);
  std::vector<Tid> homes;
  for (int i = 0; i < 40; ++i) homes.push_back(space.insert(heap, "row " + std::to_string(i)));
  // The home page is left full, so that bodies go elsewhere.
  for (int i = 0; i < 40; ++i) space.insert(heap, std::string(kInlineRowBytesMax / 2, 'f'));
  std::vector<Tid> bodies(homes.size());
  for (int round = 0; round < 3; ++round) {
    for (std::size_t i = 0; i < homes.size(); ++i) {
      const std::string row = "moved " + std::to_string(round) + "." + std::to_string(i) + std::string(30, 'm');
      bodies[i] = space.move(heap, homes[i], row);
      EXPECT_NE(bodies[i].page, homes[i].page);
      ASSERT_EQ(space.row_of(heap, homes[i]), row);
    }
    space.check(heap);
  }
  // One of each pair goes without the other.
  space.remove(heap, bodies[0]);
  space.remove(heap, homes[1]);
  const std::vector<std::string> problems = space.problems(heap);
  ASSERT_EQ(problems.size(), 2u);
  EXPECT_NE((problems[0] + problems[1]).find("is not its body"), std::string::npos);
  EXPECT_NE((problems[0] + problems[1]).find("does not lead to it"), std::string::npos);
  EXPECT_NE(space.row_of(heap, homes[0]).find("error: page"), std::string::npos);
}

// Goal: a reader of a moved row starts afresh when either page changes under it. Method: it is the visit that changes
// the body, then the home, when it is called first.
TEST(Heap, ReaderNoticesChangesOfBodyAndHome) {
  TableSpace space;
  const Heap heap = space.create_table(kTable);
  const Tid home = space.insert(heap, "row");
  space.move(heap, home, "first body");
  std::vector<std::string> seen;
  const auto read_while = [&](auto change) {
    seen.clear();
    must(heap.read_row(home, [&](const HeapSlot& slot, const HeapSlot& body) {
      seen.push_back(std::string(slot.state.ghost ? "ghost " : "") + std::string(as_text(body.row())));
      if (seen.size() == 1) change();
    }));
  };
  read_while([] {});
  EXPECT_EQ(seen, (std::vector<std::string>{"first body"}));
  read_while([&] { space.move(heap, home, "second body"); });
  EXPECT_EQ(seen, (std::vector<std::string>{"first body", "second body"}));
  read_while([&] { space.set_ghost(heap, home, true); });
  // What stands behind a ghost is nobody's row.
  EXPECT_EQ(seen, (std::vector<std::string>{"second body", "ghost "}));
  space.set_ghost(heap, home, false);
  // One that loses every race takes latches in the end.
  seen.clear();
  must(heap.read_row(home, [&](const HeapSlot&, const HeapSlot& body) {
    seen.push_back(std::string(as_text(body.row())));
    if (seen.size() <= 8) space.move(heap, home, std::to_string(seen.size()));
  }));
  EXPECT_EQ(seen.size(), 9u);
  EXPECT_EQ(seen.back(), "8");
}

// Goal: pages of another table, of the map, or beyond the file are refused as heap pages, with the page's number.
TEST(Heap, ForeignPages) {
  TableSpace space;
  const Heap heap = space.create_table(kTable);
  const Heap other = space.create_table(ObjectId{101});
  const Tid mine = space.insert(heap, "mine");
  const Tid theirs = space.insert(other, "theirs");
  EXPECT_EQ(space.row_of(heap, mine), "mine");
  for (const PageId page : {theirs.page, heap.root(), PageId{1u << 20}}) {
    const Status read = heap.read(page, [](const HeapPageView&) {});
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().code(), ErrorCode::kCorruption);
    EXPECT_NE(read.error().message().find(std::to_string(raw(page))), std::string_view::npos);
    EXPECT_FALSE(heap.latch(page));
    EXPECT_FALSE(heap.read_row({page, 0}, [](const HeapSlot&, const HeapSlot&) {}));
  }
  // After an error nothing is left latched.
  EXPECT_EQ(space.row_of(other, theirs), "theirs");
  space.check(heap);
}

// Goal: freeing hands pages with overflow rows to the caller first, and ends with nothing but the root.
TEST(Heap, FreeSpillsOverflowFirst) {
  TableSpace space;
  const Heap heap = space.create_table(kTable);
  for (int i = 0; i < 30; ++i) space.insert(heap, std::string(kInlineRowBytesMax, 'x'));
  std::set<PageId> with_overflow;
  must(heap.pages(0, [&](std::uint32_t number, PageId id) {
    if (number % 3 != 0) return true;
    with_overflow.insert(id);
    space.set_overflow(heap, {id, 1}, std::string(16, 'o'));
    return true;
  }));
  const auto spill = [&](PageId id) -> Status {
    EXPECT_EQ(with_overflow.erase(id), 1u);
    space.remove(heap, {id, 1});
    return {};
  };
  while (!must(heap.free_some(3, spill))) continue;
  EXPECT_TRUE(with_overflow.empty());
  EXPECT_EQ(must(heap.page_count()), 0u);
  EXPECT_EQ(space.check(heap), 1u);
}

// Goal: a full disk is an error of that call, nothing changes, and inserting goes on when there is room again.
TEST(Heap, FullDisk) {
  TableSpace space;
  const Heap heap = space.create_table(kTable);
  must(space.log->prepare_spare());
  space.disk.limit_space(space.disk.used_bytes() + (std::uint64_t{40} << 10));
  std::vector<Tid> rows;
  Result<HeapSlotGuard> place = HeapSlotGuard{};
  for (int i = 0; i < 100000; ++i) {
    LogSpace log_space(*space.log);
    if (Status reserved = log_space.reserve(Heap::log_bytes_of_change(kInlineRowBytesMax)); !reserved) {
      place = reserved.error();
    } else {
      place = heap.latch_for_insert(kInlineRowBytesMax);
    }
    if (!place) break;
    PayloadBuffer payload;
    encode_heap_insert(payload, place->slot, {HeapKind::kRow, false, false},
                       as_bytes(std::string(kInlineRowBytesMax, 'x')));
    space.commit({{&place->page, PageOp::kHeapInsert, &payload}});
    rows.push_back({place->page.id(), static_cast<std::uint16_t>(place->slot)});
    place = HeapSlotGuard{};
  }
  ASSERT_FALSE(place);
  EXPECT_EQ(place.error().code(), ErrorCode::kNoSpace);
  must(space.poison.check());
  space.check(heap);
  space.disk.limit_space(std::nullopt);
  for (int i = 0; i < 20; ++i) rows.push_back(space.insert(heap, std::string(kInlineRowBytesMax, 'x')));
  EXPECT_EQ(std::set<Tid>(rows.begin(), rows.end()).size(), rows.size());
  space.check(heap);
}

// Goal: threads that insert at once never share a slot, all rows are found, and the table has about the pages that
// it needs. A cache that is smaller than the table keeps pages going in and out.
TEST(Heap, ThreadsInsert) {
  Watchdog watchdog("eight threads inserting", std::chrono::seconds(200));
  constexpr unsigned kThreads = 8;
  TableSpace space(kFramesMin + 8 * (kThreads + 1));
  const Heap heap = space.create_table(kTable);
  const std::uint64_t count = scaled(1500);
  std::vector<std::map<Tid, std::string>> rows(kThreads);
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      TestRandom random(t);
      for (std::uint64_t i = 0; i < count; ++i) {
        const std::string row = row_text(t, i, random.uniform(kPageBytes / 20));
        const Tid tid = space.insert(heap, row);
        EXPECT_TRUE(rows[t].emplace(tid, row).second);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::map<Tid, std::string> all;
  std::size_t bytes = 0;
  for (const auto& mine : rows) {
    for (const auto& [tid, row] : mine) {
      ASSERT_TRUE(all.emplace(tid, row).second) << "two rows share a slot";
      bytes += row.size() + sizeof(HeapSlotWord) + sizeof(HeapCellHeader);
    }
  }
  for (const auto& [tid, row] : all) ASSERT_EQ(space.row_of(heap, tid), row);
  EXPECT_LE(must(heap.page_count()), bytes / (kHeapCellsBytesMax * 3 / 4) + 2 * kThreads + 16);
  space.check(heap);
  ASSERT_NO_FATAL_FAILURE(free_all(heap));
  space.expect_redo_gives_the_same();
}

// Goal: readers see each row whole, wherever it is just then, while rows come, go and move; check finds the table
// sound all the time.
TEST(Heap, ThreadsReadMoveAndRemove) {
  Watchdog watchdog("threads reading and moving rows", std::chrono::seconds(200));
  constexpr unsigned kWriters = 3;
  TableSpace space(kFramesMin + 8 * (kWriters + 4));
  const Heap heap = space.create_table(kTable);
  constexpr std::size_t kRows = 20;
  std::vector<std::vector<Tid>> homes(kWriters);
  for (unsigned t = 0; t < kWriters; ++t) {
    for (std::size_t i = 0; i < kRows; ++i) homes[t].push_back(space.insert(heap, row_text(t, i, 40)));
  }
  std::atomic<unsigned> writing{kWriters};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < kWriters; ++t) {
    threads.emplace_back([&, t] {
      TestRandom random(t);
      std::vector<Tid> extra;
      for (std::uint64_t i = 0; i < scaled(2000); ++i) {
        const std::size_t row = random.uniform(kRows);
        if (random.one_in(2)) {
          space.move(heap, homes[t][row], row_text(t, row, random.between(20, kInlineRowBytesMax)));
        } else if (extra.size() < 40 && random.one_in(2)) {
          extra.push_back(space.insert(heap, std::string(random.uniform(kInlineRowBytesMax), 'e')));
        } else if (!extra.empty()) {
          random.shuffle(extra);
          space.remove(heap, extra.back());
          extra.pop_back();
        }
      }
      writing.fetch_sub(1);
    });
  }
  for (unsigned reader = 0; reader < 2; ++reader) {
    threads.emplace_back([&, reader] {
      TestRandom random(100 + reader);
      while (writing.load() > 0) {
        const auto t = static_cast<unsigned>(random.uniform(kWriters));
        const std::size_t i = random.uniform(kRows);
        const std::string row = space.row_of(heap, homes[t][i]);
        EXPECT_EQ(row, row_text(t, i, row.size()));
        EXPECT_GE(row.size(), 20u);
      }
    });
  }
  threads.emplace_back([&] {
    while (writing.load() > 0) {
      must(heap.walk([](PageId, Bytes) {},
                     [&](PageId id, const std::string& what) { ADD_FAILURE() << raw(id) << ": " << what; }));
    }
  });
  for (std::thread& thread : threads) thread.join();
  space.check(heap);
  space.expect_redo_gives_the_same();
}

}  // namespace
}  // namespace vaultgres
