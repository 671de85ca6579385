// Goal: whatever page of a database is damaged, what does not stand on it is in the new database, what stood on it is
// reported, and nothing is there that was never put. So for every kind of page, for both superblocks, for the log; and
// the damaged database is not written to.
//
// Method: a database with maps, tables, indexes, large values and moved rows lies on a simulated disk. What stands on
// each page is worked out from the sound file by the page's type. Then pages are damaged, one by one or several at
// once, and what salvage makes is compared with what must be there.
#include <atomic>
#include <cerrno>
#include <thread>

#include "db/salvage_support.h"
#include "support/hooked_file_system.h"
#include "support/table_fixture.h"

namespace vaultgres {
namespace {

TEST_F(SalvageTest, OfASoundDatabaseEverythingIsThere) {
  const Salvaged salvaged = salvage();
  expect_all(salvaged);
  EXPECT_TRUE(salvaged.report.complete());
  EXPECT_EQ(salvaged.report.pages, pages());
  EXPECT_EQ(salvaged.report.pages_damaged, 0u);
  EXPECT_EQ(salvaged.report.log, SalvageLog::kApplied);
}

// Every kind of page at least, and most pages of small files.
TEST_F(SalvageTest, OfEachPageOnlyWhatStandsOnItIsLost) {
  ASSERT_NO_FATAL_FAILURE(remove_doublewrite());  // it heals: another test
  std::map<std::pair<PageType, std::string>, unsigned> tried;
  std::uint64_t rounds = 0;
  std::vector<std::uint32_t> ids;
  for (std::uint32_t id = 2; id < pages(); ++id) ids.push_back(id);
  random_.shuffle(ids);
  for (const std::uint32_t id : ids) {
    const std::string image = page(id);
    if (tried[{type_of(image), owner_of(image)}]++ >= scaled(3)) continue;
    ++rounds;
    put_page(id, damaged(id));
    const Salvaged salvaged = salvage();
    SCOPED_TRACE("page " + std::to_string(id) + " of type " + std::to_string(raw(type_of(image))) + ", of " +
                 std::to_string(object_of(image)) + " \"" + owner_of(image) + "\"");
    expect_nothing_invented(salvaged);
    if (object_of(image) == raw(kCatalogObject) && type_of(image) == PageType::kLeaf) {
      expect_names_lost(salvaged, image);
    } else {
      ASSERT_NO_FATAL_FAILURE(expect_just_lost(salvaged, image, id));
    }
    EXPECT_EQ(salvaged.report.log, SalvageLog::kApplied) << salvaged.report.log_problem;
    put_page(id, image);
    if (HasFailure()) return;
  }
  std::printf("%llu of %u pages damaged, of %zu kinds and owners\n", static_cast<unsigned long long>(rounds), pages(),
              tried.size());
}

TEST_F(SalvageTest, OneOfTheSuperblocksIsEnough) {
  for (const std::uint32_t id : {0u, 1u}) {
    put_page(id, damaged(id));
    const Salvaged salvaged = salvage();
    expect_all(salvaged);
    EXPECT_TRUE(salvaged.report.complete()) << salvaged.report.log_problem;
    EXPECT_EQ(salvaged.report.pages_damaged, 1u);
    put_page(id, page(id));
  }
}

TEST_F(SalvageTest, WithoutSuperblocksPagesStillKnowEachOther) {
  for (const bool zeros : {true, false}) {
    for (const std::uint32_t id : {0u, 1u})
      put_page(id, zeros ? std::string(kPageBytes, '\0') : random_.bytes(kPageBytes));
    const Salvaged salvaged = salvage();
    expect_all_and_dropped(salvaged);  // it was closed: nothing stood in the log only
    EXPECT_EQ(salvaged.report.log, SalvageLog::kNotApplied);
    EXPECT_FALSE(salvaged.report.complete());
  }
}

TEST_F(SalvageTest, ManyDamagedPagesAtOnce) {
  ASSERT_NO_FATAL_FAILURE(remove_doublewrite());
  for (std::uint64_t round = 0; round < scaled(6); ++round) {
    std::set<std::uint32_t> ids;
    for (std::uint64_t i = random_.between(2, 2 + pages() / 4); i > 0; --i) {
      ids.insert(static_cast<std::uint32_t>(random_.between(2, pages() - 1)));
    }
    std::map<std::string, std::set<std::string>> keys_lost;
    bool catalog = false;
    for (const std::uint32_t id : ids) {
      const std::string image = page(id);
      put_page(id, damaged(id));
      catalog |= object_of(image) == raw(kCatalogObject);
      if (type_of(image) == PageType::kLeaf) keys_lost[owner_of(image)].merge(keys_on(image));
      if (chains_.contains(id)) keys_lost[owner_of(image)].insert(chains_.at(id));
    }
    const Salvaged salvaged = salvage();
    expect_nothing_invented(salvaged);
    for (const auto& [name, content] : before_.maps) {
      if (catalog) break;
      Content left = content;
      const auto& lost = keys_lost[name];
      std::erase_if(left, [&](const auto& entry) { return lost.contains(entry.first); });
      EXPECT_TRUE(salvaged.all.maps.at(name) == left) << name;
    }
    for (const std::uint32_t id : ids) put_page(id, page(id));
  }
}

TEST_F(SalvageTest, AFileThatWasCutOff) {
  const std::uint32_t left = pages() / 2;
  ASSERT_OK((*disk_.open(kDataPath, OpenMode::kReadWrite))->truncate(std::uint64_t{left} * kPageBytes));
  const Salvaged salvaged = salvage();
  expect_nothing_invented(salvaged);
  EXPECT_FALSE(salvaged.report.complete());
  std::size_t entries = 0;
  std::uint32_t many = 0;
  for (std::uint32_t id = 5; id < left; ++id) {
    if (type_of(page(id)) != PageType::kLeaf || owner_of(page(id)) != "many") continue;
    entries += keys_on(page(id)).size();
    many = object_of(page(id));
  }
  ASSERT_GT(entries, 0u);
  ASSERT_NE(salvaged.map("many", many), nullptr);
  EXPECT_EQ(salvaged.map("many", many)->size(), entries);
}

TEST_F(SalvageTest, PagesAreHealedFromTheDoublewriteFile) {
  const std::string area = file_text(disk_, "/db/doublewrite.vg");
  const auto& header = *reinterpret_cast<const DoublewriteHeader*>(area.data());
  std::vector<std::uint32_t> ids;
  for (std::uint32_t i = 0; i < header.count.get(); ++i) ids.push_back(header.pages[i].get());
  ASSERT_FALSE(ids.empty());
  for (const std::uint32_t id : ids) put_page(id, std::string(kPageBytes, 'x'));
  const Salvaged salvaged = salvage();
  expect_all(salvaged);
  EXPECT_TRUE(salvaged.report.complete());
  EXPECT_EQ(salvaged.report.healed, ids);
}

TEST_F(SalvageTest, TheDamagedDatabaseIsOnlyRead) {
  put_page(3, random_.bytes(kPageBytes));
  put_page(pages() / 2, random_.bytes(kPageBytes));
  const std::string data = file_text(disk_, kDataPath);
  ReadOnlyMount mount(disk_);
  salvage(mount);
  EXPECT_EQ(mount.attempts(), 0u);
  EXPECT_EQ(mount.files_open(), 0u);
  EXPECT_EQ(file_text(disk_, kDataPath), data);
}

TEST_F(SalvageTest, WhatCannotBegin) {
  SimFileSystem target;
  EXPECT_ERROR(kNotFound, internal::salvage(disk_, "/nothing", target, "/new", {}));
  EXPECT_FALSE(*target.exists("/new"));
  EXPECT_ERROR(kAlreadyExists, internal::salvage(disk_, "/db", disk_, "/db", {}));
  {
    Database open = *open_on(disk_);
    EXPECT_ERROR(kLocked, internal::salvage(disk_, "/db", target, "/new", {}));
  }
  for (std::uint32_t id = 0; id < pages(); ++id) put_page(id, random_.bytes(kPageBytes));
  ASSERT_NO_FATAL_FAILURE(remove_doublewrite());
  EXPECT_ERROR(kCorruption, internal::salvage(disk_, "/db", target, "/new", {}));
}

TEST_F(SalvageTest, AFullDiskEndsIt) {
  const SalvageOptions options{.cache_bytes = std::size_t{4} << 20};
  SimFileSystem wide;
  ASSERT_OK(internal::salvage(disk_, "/db", wide, "/new", options));
  SimFileSystem narrow;
  narrow.limit_space(wide.used_bytes() * 3 / 4);
  EXPECT_ERROR(kNoSpace, internal::salvage(disk_, "/db", narrow, "/new", options));
}

// --- Pages that claim the same

/// An old page of a leaf, whole, where a page is free: as a page that was freed and not yet written so.
TEST_F(SalvageTest, OldPagesOnlyFillWhatIsLost) {
  ASSERT_NO_FATAL_FAILURE(remove_doublewrite());
  std::uint32_t leaf = 5;
  while (type_of(page(leaf)) != PageType::kLeaf || owner_of(page(leaf)) != "many") ++leaf;
  std::uint32_t free = 5;
  while (free < pages() && type_of(page(free)) != PageType::kFree && type_of(page(free)) != PageType::kAbsent) ++free;
  ASSERT_LT(free, pages());
  const std::string old = page(leaf);
  const std::set<std::string> keys = keys_on(old);
  {
    Database db = *open_on(disk_);
    for (const std::string& key : keys) ASSERT_OK(db.open_map("many")->put(key, std::string(40, 'n')));
    before_ = all_of(db);
    ASSERT_OK(db.close());
  }
  sound_ = file_text(disk_, kDataPath);
  ASSERT_NO_FATAL_FAILURE(remove_doublewrite());
  put_page(free, sealed(free, old));
  Salvaged salvaged = salvage();
  expect_all(salvaged);
  EXPECT_TRUE(salvaged.report.complete());

  put_page(leaf, random_.bytes(kPageBytes));
  salvaged = salvage();
  Content& many = before_.maps["many"];
  NodeView(as_bytes(old)).visit_up(0, [&](unsigned, Bytes key, Bytes value, std::uint8_t flags) {
    if ((flags & kSlotGhost) == 0) many[std::string(as_text(key))] = as_text(value);
    return true;
  });
  EXPECT_TRUE(salvaged.all.maps.at("many") == many);
}

/// Rows that are there twice: as after a page was copied to where it does not belong, with a checksum that fits.
TEST_F(SalvageTest, AUniqueIndexThatNoLongerHoldsIsLeftOut) {
  std::uint32_t heap = 0;  // the first one: it has rows, not bodies
  std::uint32_t most = 0;
  for (std::uint32_t id = 5; id < pages(); ++id) {
    if (type_of(page(id)) != PageType::kHeap) continue;
    if (heap == 0) heap = id;
    most = std::max(most, HeapPageView(as_bytes(page(id))).number());
  }
  std::string copy = page(heap);
  reinterpret_cast<HeapHeader*>(copy.data() + kPageHeaderBytes)->number.set(most + 1);
  std::uint32_t free = 5;
  while (type_of(page(free)) != PageType::kFree && type_of(page(free)) != PageType::kAbsent) ++free;
  put_page(free, sealed(free, copy));
  const Salvaged salvaged = salvage();
  EXPECT_GT(salvaged.all.tables.at("rows").size(), before_.tables.at("rows").size());
  EXPECT_EQ(salvaged.all.indexes, std::set<std::string>{"by_id_down"});
  ASSERT_NE(salvaged.object("by_id"), nullptr);
  EXPECT_FALSE(salvaged.object("by_id")->copied);
  EXPECT_EQ(salvaged.object("by_id")->lost.count, 1u);
  EXPECT_FALSE(salvaged.report.complete());
}

// --- What stood in the log

class SalvageLogTest : public SalvageTest {
 protected:
  /// Changes that are committed, changes that are not; then the process dies. Pages of all this are in the log only, or
  /// here and there in the data file.
  void change_and_die() {
    std::unique_ptr<SimFileSystem> after;
    {
      Database db = *open_on(disk_);
      Map many = *db.open_map("many");
      Table rows = *db.open_table("rows");
      for (int i = 0; i < 1500; i += 3) ASSERT_OK(many.put("key " + std::to_string(i), "changed " + random_.word(20)));
      for (int i = 0; i < 200; ++i) ASSERT_OK(rows.insert({10000 + i, "later"}));
      ASSERT_OK(db.create_map("made later")->put("k", random_.word(2 * kPageBytes)));
      before_ = all_of(db);
      Transaction open = *db.begin();
      for (int i = 0; i < 1500; i += 5) ASSERT_OK(many.put(open, "key " + std::to_string(i), "uncommitted"));
      for (int i = 0; i < 50; ++i) ASSERT_OK(rows.insert(open, {20000 + i, "uncommitted"}));
      ASSERT_OK(db.sync());
      after = disk_.killed();
    }
    dead_ = std::move(after);
  }
  /// No page is written before its time.
  static Options wide_options() {
    Options options = small_options();
    options.cache_bytes = std::size_t{16} << 20;
    return options;
  }
  /// Pages ascend with the log; no checkpoint is due by its volume.
  void change_many_pages_and_die() {
    Options options = wide_options();
    options.durability = Durability::kRelaxed;
    Database db = *open_on(disk_, options);
    Map many = *db.open_map("many");
    const auto put = [&](int i, char c) {
      const std::string value(200, c);
      ASSERT_OK(many.put("later " + std::to_string(100000 + i), value));
    };
    for (int i = 0; i < 8000; ++i) put(i, 'a');
    ASSERT_OK(db.checkpoint());
    const std::uint64_t from = db.stats()->log_end;
    for (int i = 0; i < 8000 && db.stats()->log_end < from + (std::uint64_t{3} << 19); ++i) put(i, 'b');
    ASSERT_OK(db.sync());
    before_ = all_of(db);
    dead_ = disk_.killed();
  }
  /// Commits behind `lost_from_`, a segment's begin, and one across it, perhaps; then the process dies while it writes
  /// pages. What is committed before stands in before_.
  void change_and_lose_log_end(bool pages_written) {
    const auto core = internal::Core::open({&disk_, nullptr, "/db"}, wide_options());
    ASSERT_OK(core);
    Database db = internal::make_database(*core);
    ASSERT_OK(db.checkpoint());
    Map many = *db.open_map("many");
    Transaction open = *db.begin();
    for (int i = 0; i < 1500; i += 5) ASSERT_OK(many.put(open, "key " + std::to_string(i), "uncommitted"));
    ASSERT_OK(db.sync());
    const std::uint64_t segment_bytes = (*core)->engine().log.segment_bytes();
    const std::uint64_t cleaned = (*core)->engine().pool.stats().pages_cleaned;
    lost_from_ = (db.stats()->log_end / segment_bytes + 1) * segment_bytes;
    for (int i = 0; db.stats()->log_end < lost_from_ + segment_bytes / 4; ++i) {
      const bool is_before = db.stats()->log_end < lost_from_;
      const std::string key = "later " + std::to_string(i);
      const std::string value = random_.word(500);
      ASSERT_OK(many.put(key, value));
      if (!is_before) continue;
      if (db.stats()->log_end <= lost_from_) {
        before_.maps["many"][key] = value;
      } else {
        across_.emplace(key, value);
      }
    }
    if (!pages_written) {
      ASSERT_EQ((*core)->engine().pool.stats().pages_cleaned, cleaned);
      disk_.inject({.call = IoCall::kWrite, .os_error = EIO, .sticky = true, .path_contains = "/data.vg"});
    }
    EXPECT_EQ((*core)->engine().pool.flush_all().has_value(), pages_written);
    dead_ = disk_.killed();
    const std::vector<std::string> segments = *dead_->list("/db/log");
    for (const std::string& name : segments) {
      std::uint64_t number = 0;
      if (parse_segment_name(name, &number) && number >= lost_from_ / segment_bytes) {
        ASSERT_OK(dead_->remove("/db/log/" + name));
      }
    }
  }
  void rot_newest_superblock() {
    const std::string data = file_text(*dead_, kDataPath).substr(0, 2 * kPageBytes);
    const auto sequence = [&](unsigned copy) {
      return reinterpret_cast<const Superblock*>(data.data() + copy * kPageBytes)->sequence.get();
    };
    write_bytes(*dead_, kDataPath, sequence(0) > sequence(1) ? 0 : kPageBytes, random_.bytes(kPageBytes));
  }
  void damage_log() {
    const std::vector<std::string> segments = *dead_->list("/db/log");
    for (const std::string& name : segments) {
      const std::string path = "/db/log/" + name;
      const std::string bytes = file_text(*dead_, path);
      std::size_t used = bytes.find_last_not_of('\0');
      if (used == std::string::npos) continue;
      for (std::size_t at = 0; at < used; at += 3 * 4096) write_bytes(*dead_, path, at, random_.bytes(4096));
    }
  }

  std::unique_ptr<SimFileSystem> dead_;
  std::uint64_t lost_from_ = 0;
  std::optional<std::pair<std::string, std::string>> across_;
};

TEST_F(SalvageLogTest, WhatWasCommittedIsThereAndNothingElse) {
  ASSERT_NO_FATAL_FAILURE(change_and_die());
  const Salvaged salvaged = salvage(*dead_);
  expect_all(salvaged);
  EXPECT_TRUE(salvaged.report.complete()) << salvaged.report.log_problem;
}

TEST_F(SalvageLogTest, WithoutTheCatalogTheLogStillCounts) {
  ASSERT_NO_FATAL_FAILURE(change_and_die());
  ASSERT_OK(dead_->remove("/db/doublewrite.vg"));
  // Redo does not make it anew: it changes only what is there.
  write_bytes(*dead_, kDataPath, 3 * kPageBytes, random_.bytes(kPageBytes));
  const Salvaged salvaged = salvage(*dead_);
  EXPECT_EQ(salvaged.report.log, SalvageLog::kNotRolledBack);
  EXPECT_FALSE(salvaged.report.complete());
  for (const auto& [object, name] : names_) {
    if (!before_.maps.contains(name)) continue;
    const Content* const found = salvaged.map(name, object);
    ASSERT_NE(found, nullptr) << name;
    EXPECT_TRUE(name == "many" || *found == before_.maps.at(name)) << name;  // erased keys may be back in that one
    for (const auto& [key, value] : before_.maps.at(name)) {
      EXPECT_TRUE(found->at(key) == value || found->at(key) == "uncommitted") << key;
    }
  }
}

TEST_F(SalvageLogTest, WithoutTheLogPagesCountAsTheyLie) {
  const Everything first = before_;
  ASSERT_NO_FATAL_FAILURE(change_and_die());
  damage_log();
  const Salvaged salvaged = salvage(*dead_);
  EXPECT_EQ(salvaged.report.log, SalvageLog::kNotApplied);
  EXPECT_FALSE(salvaged.report.log_problem.empty());
  EXPECT_FALSE(salvaged.report.complete());
  // Each value is one that was put at some time.
  for (const auto& [name, content] : first.maps) {
    const auto found = salvaged.all.maps.find(name);
    ASSERT_NE(found, salvaged.all.maps.end()) << name;
    for (const auto& [key, value] : found->second) {
      const auto was = first.maps.at(name).find(key);
      const auto is = before_.maps.at(name).find(key);
      EXPECT_TRUE(value == "uncommitted" || (was != first.maps.at(name).end() && was->second == value) ||
                  (is != before_.maps.at(name).end() && is->second == value))
          << key << ": " << value;
    }
  }
  EXPECT_GE(salvaged.all.tables.at("rows").size(), first.tables.at("rows").size());
}

TEST_F(SalvageLogTest, ALogWhoseEndIsLostCountsAsFarAsItGoes) {
  ASSERT_NO_FATAL_FAILURE(change_and_lose_log_end(false));
  EXPECT_ERROR(kCorruption, open_on(*dead_));
  const Salvaged salvaged = salvage(*dead_);
  if (across_ && salvaged.all.maps.at("many").contains(across_->first)) before_.maps["many"].insert(*across_);
  expect_all_and_dropped(salvaged);
  EXPECT_EQ(salvaged.report.log, SalvageLog::kEndLost);
  EXPECT_NE(salvaged.report.log_problem.find("log is lost from position"), std::string::npos)
      << salvaged.report.log_problem;
  EXPECT_FALSE(salvaged.report.complete());
}

// Redo would make a mixture of it that never was.
TEST_F(SalvageLogTest, ALogThatEndsBeforeAPageThatItChangesIsNotApplied) {
  ASSERT_NO_FATAL_FAILURE(change_and_lose_log_end(true));
  const Salvaged salvaged = salvage(*dead_);
  EXPECT_EQ(salvaged.report.log, SalvageLog::kNotApplied);
  EXPECT_NE(salvaged.report.log_problem.find("log that was durable is lost"), std::string::npos)
      << salvaged.report.log_problem;
}

// The older one knows nothing of the log that the recovery began, and the doublewrite file does.
TEST_F(SalvageLogTest, WithoutTheSuperblockOfARecoveryThatWasCutOffAllIsThere) {
  ASSERT_NO_FATAL_FAILURE(change_and_die());
  {
    HookedFileSystem recovering(*dead_, [&](FileCall call, const std::string& path) {
      if (call != FileCall::kSync || path.find("/doublewrite.vg") == std::string::npos) return;
      dead_->inject({.call = IoCall::kWrite, .os_error = EIO, .sticky = true, .path_contains = "/data.vg"});
    });
    // Whoever writes first is told the cause; the open may be somebody who comes later.
    const Result<Database> opened = open_on(recovering);
    ASSERT_FALSE(opened);
    EXPECT_TRUE(opened.error().code() == ErrorCode::kIo || opened.error().code() == ErrorCode::kPoisoned);
  }
  dead_ = dead_->killed();
  rot_newest_superblock();
  const Salvaged salvaged = salvage(*dead_);
  expect_all_and_dropped(salvaged);
  EXPECT_EQ(salvaged.report.log, SalvageLog::kEndLost) << salvaged.report.log_problem;
}

// The log that the older one begins with is gone, and the newest checkpoint, in the log of this opening, needs some of
// the opening before.
TEST_F(SalvageLogTest, ASuperblockIsMadeAgainThatNeedsTheLogOfTheOpeningBefore) {
  ASSERT_NO_FATAL_FAILURE(change_many_pages_and_die());
  const auto first = std::move(dead_);
  {
    // The cleaner writes as many batches as it may.
    std::atomic<unsigned> allowed{0};
    unsigned begun = 0;
    const std::thread::id opener = std::this_thread::get_id();
    HookedFileSystem slow(*first, [&](FileCall call, const std::string& path) {
      const bool batch = call == FileCall::kWrite && path.find("/doublewrite.vg") != std::string::npos;
      if (!batch || std::this_thread::get_id() == opener) return;
      ++begun;
      comes_true([&] { return allowed.load() >= begun; });
    });
    const auto core = internal::Core::open({&slow, nullptr, "/db"}, wide_options());
    ASSERT_OK(core);
    const Engine& engine = (*core)->engine();
    const auto redo_start = [&] { return raw(engine.pool.redo_start(engine.log.filled())); };
    const std::uint64_t segment = redo_start() / engine.log.segment_bytes();
    while (redo_start() / engine.log.segment_bytes() == segment) {
      const std::uint64_t written = engine.pool.stats().batches;
      allowed.fetch_add(1);
      ASSERT_TRUE(comes_true([&] { return engine.pool.stats().batches > written; }));
    }
    ASSERT_LT(redo_start(), raw(engine.log.epoch().first));
    ASSERT_OK((*core)->checkpoint());
    dead_ = first->killed();
    allowed.store(UINT32_MAX);
  }
  rot_newest_superblock();
  const Salvaged salvaged = salvage(*dead_);
  expect_all(salvaged);
  EXPECT_EQ(salvaged.report.log, SalvageLog::kApplied) << salvaged.report.log_problem;
}

}  // namespace
}  // namespace vaultgres
