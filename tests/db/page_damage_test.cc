// Goal: whatever becomes of pages of the data file, every answer is right or an error that names file and page, and
// check() names each damaged page that held something and what it held. No silent wrong answer.
//
// Method: a database of everything (damage_support.h), closed or killed, on a simulated disk. Each case damages a cheap
// copy of that disk, opens it, reads all there is in every way, and checks. Damage: flipped bits, zeroed and garbage
// sectors, zeroed pages, swapped pages, a page written to another's place, a page of another database in the same
// place, a shorter file. Pages that are older states of themselves have good checksums: docs/RELIABILITY.md says when
// these must be noticed, and the last tests show it.
#include <gtest/gtest.h>

#include <cstring>

#include "base/function_ref.h"
#include "base/seeded_bug.h"
#include "db/damage_support.h"
#include "support/cases.h"
#include "support/scale.h"

namespace vaultgres {
namespace {

enum class Damage : std::uint8_t {
  kBit,
  kZeroSector,
  kGarbageSector,
  kZeroPage,
  kSwap,
  kMisdirected,
  kForeign,
  kShorter
};
constexpr Damage kDamages[] = {Damage::kBit,  Damage::kZeroSector,  Damage::kGarbageSector, Damage::kZeroPage,
                               Damage::kSwap, Damage::kMisdirected, Damage::kForeign,       Damage::kShorter};

/// The smallest cache, so that pages are read again and again.
Options damage_options() {
  Options options = small_options();
  options.cache_bytes = std::size_t{256} << 10;
  return options;
}

class PageDamageTest : public ::testing::Test {
 protected:
  /// One case: which pages it has damaged, and how it is called.
  struct Case {
    std::unique_ptr<SimFileSystem> disk;
    std::vector<std::uint32_t> pages;
    std::string text;
  };

  /// Builds the database on disk_, and another one by the same steps.
  void build(bool clean_close) {
    for (SimFileSystem* disk : {&disk_, &other_disk_}) {
      Result<Database> db = open_on(*disk, damage_options());
      ASSERT_OK(db);
      subject_ = build_damage_subject(*db);
      ASSERT_OK(db->checkpoint());
      change_damage_subject(*db, subject_, 1);  // killed, these are in the log, and only partly on their pages
      if (clean_close) {
        ASSERT_OK(db->close());
        continue;
      }
      killed_ = disk->killed();
      db->close().has_value();
      if (disk == &disk_) base_ = std::move(killed_);
    }
    if (clean_close) base_ = disk_.killed();
    base_->settle();
    clean_ = file_bytes(*base_, kDataPath);
    foreign_ = file_bytes(other_disk_, kDataPath);
    // What the recovered database holds: pages may be allocated by the log only.
    const auto recovered = base_->killed();
    ASSERT_TRUE(read_damaged(*recovered, subject_, damage_options()).is_right());
    in_use_ = allocated_pages(file_bytes(*recovered, kDataPath));
  }

  std::uint32_t pages() const { return static_cast<std::uint32_t>(clean_.size() / kPageBytes); }
  Bytes page(std::uint32_t id) const { return Bytes(clean_).subspan(std::size_t{id} * kPageBytes, kPageBytes); }
  /// Mostly one that holds something.
  std::uint32_t choose_page() {
    std::vector<std::uint32_t> used(in_use_.begin(), in_use_.end());
    std::erase_if(used, [&](std::uint32_t id) { return id >= pages(); });
    if (random_.one_in(16)) return static_cast<std::uint32_t>(random_.uniform(pages()));
    if (random_.one_in(24)) return static_cast<std::uint32_t>(random_.uniform(4));
    return used[random_.uniform(used.size())];
  }

  Case damage(Damage kind) {
    Case made{base_->killed(), {choose_page()}, ""};
    const std::uint32_t id = made.pages[0];
    const std::uint64_t at = std::uint64_t{id} * kPageBytes;
    const std::uint64_t sector = random_.uniform(kPageBytes / kSimSectorBytes) * kSimSectorBytes;
    const auto write = [&](std::uint64_t offset, Bytes bytes) { overwrite(*made.disk, kDataPath, offset, bytes); };
    const std::string name = "page " + std::to_string(id);
    switch (kind) {
      case Damage::kBit: {
        const std::uint64_t bit = random_.uniform(8 * kPageBytes);
        const std::byte flipped = page(id)[bit / 8] ^ std::byte{1} << static_cast<int>(bit % 8);
        write(at + bit / 8, Bytes(&flipped, 1));
        made.text = "bit " + std::to_string(bit) + " of " + name + " flipped";
        break;
      }
      case Damage::kZeroSector:
        write(at + sector, std::vector<std::byte>(kSimSectorBytes));
        made.text = "zeros at " + std::to_string(sector) + " of " + name;
        break;
      case Damage::kGarbageSector:
        write(at + sector, as_bytes(random_.bytes(kSimSectorBytes)));
        made.text = "garbage at " + std::to_string(sector) + " of " + name;
        break;
      case Damage::kZeroPage:
        write(at, std::vector<std::byte>(kPageBytes));
        made.text = name + " zeroed";
        break;
      case Damage::kSwap:
      case Damage::kMisdirected: {
        const std::uint32_t other = choose_page();
        write(at, page(other));
        made.text = "page " + std::to_string(other) + " in the place of " + name;
        if (kind == Damage::kMisdirected) break;
        write(std::uint64_t{other} * kPageBytes, page(id));
        made.pages.push_back(other);
        made.text += ", and the reverse";
        break;
      }
      case Damage::kForeign:
        if (std::size_t{id} * kPageBytes >= foreign_.size()) break;
        write(at, Bytes(foreign_).subspan(at, kPageBytes));
        made.text = name + " of another database";
        break;
      case Damage::kShorter: {
        const std::uint64_t size = at + random_.uniform(3) * (kPageBytes / 2);
        if (size >= clean_.size()) break;
        const auto file = *made.disk->open(kDataPath, OpenMode::kReadWrite);
        EXPECT_TRUE(file->truncate(size));
        for (std::uint32_t gone = id; gone < pages(); ++gone) made.pages.push_back(gone);
        made.text = "the file cut off at " + std::to_string(size);
        break;
      }
    }
    // What is the same as before is no damage.
    const std::vector<std::byte> now = file_bytes(*made.disk, kDataPath);
    std::erase_if(made.pages, [&](std::uint32_t p) {
      const std::size_t from = std::size_t{p} * kPageBytes;
      return from + kPageBytes <= now.size() && std::memcmp(now.data() + from, page(p).data(), kPageBytes) == 0;
    });
    return made;
  }

  /// The reading is right, or says what is wrong and where. A page that held something is named, unless redo has made
  /// it whole again.
  void judge(const Case& made, const DamageReading& reading) {
    ASSERT_EQ(reading.wrong, "") << made.text;
    if (reading.errors.empty()) {
      if (must_be_named_) {
        for (const std::uint32_t id : made.pages) EXPECT_FALSE(in_use_.contains(id)) << made.text << ": nobody noticed";
      }
      ++healed_;
      return;
    }
    ++reported_;
    // A file that is too short for any database is told as a whole.
    bool named = made.pages.empty() || reading.errors.front().find("the file ends after") != std::string::npos;
    for (const std::uint32_t id : made.pages) named |= id < 2 || reading.names_page(id);
    EXPECT_TRUE(named) << made.text << ": nobody names it; the first error is " << reading.errors.front();
  }

  void run_cases(std::uint64_t count) {
    for (std::uint64_t i = 0; i < count && !HasFailure(); ++i) {
      const Case made = damage(kDamages[i % std::size(kDamages)]);
      Options options = damage_options();
      options.read_only = random_.one_in(3);
      if (options.read_only) options.cache_bytes *= 16;  // it recovers in memory
      judge(made, read_damaged(*made.disk, subject_, options));
    }
    std::printf("%llu cases: %llu reported, %llu of pages without content or healed\n",
                static_cast<unsigned long long>(count), static_cast<unsigned long long>(reported_),
                static_cast<unsigned long long>(healed_));
    EXPECT_GT(reported_, 0u);
    record_cases("R7", count);
  }

  SimFileSystem disk_;
  SimFileSystem other_disk_;
  std::unique_ptr<SimFileSystem> killed_;
  std::unique_ptr<SimFileSystem> base_;
  DamageSubject subject_;
  std::vector<std::byte> clean_;
  std::vector<std::byte> foreign_;
  std::set<std::uint32_t> in_use_;
  TestRandom random_;
  bool must_be_named_ = true;
  std::uint64_t reported_ = 0;
  std::uint64_t healed_ = 0;
};

TEST_F(PageDamageTest, AfterACleanCloseADamagedPageGivesAWrongAnswer) {
  ASSERT_NO_FATAL_FAILURE(build(true));
  run_cases(scaled(1000));
}

// Pages that the log carries whole are made whole again.
TEST_F(PageDamageTest, AfterAKillADamagedPageGivesAWrongAnswer) {
  ASSERT_NO_FATAL_FAILURE(build(false));
  must_be_named_ = false;
  run_cases(scaled(700));
}

TEST_F(PageDamageTest, DamageUnderAnOpenDatabaseGivesAWrongAnswer) {
  ASSERT_NO_FATAL_FAILURE(build(true));
  must_be_named_ = false;  // what is in the cache is right
  const std::uint64_t count = scaled(300);
  for (std::uint64_t i = 0; i < count && !HasFailure(); ++i) {
    Case made = damage(kDamages[i % (std::size(kDamages) - 1)]);
    const std::vector<std::byte> damaged = file_bytes(*made.disk, kDataPath);
    made.disk = base_->killed();
    Result<Database> db = open_on(*made.disk, damage_options());
    ASSERT_OK(db);
    DamageReading reading;
    if (random_.one_in(2)) read_everything(*db, subject_, reading);
    ASSERT_TRUE(reading.is_right());
    for (const std::uint32_t id : made.pages) {
      overwrite(*made.disk, kDataPath, std::uint64_t{id} * kPageBytes,
                Bytes(damaged).subspan(std::size_t{id} * kPageBytes, kPageBytes));
    }
    read_everything(*db, subject_, reading);
    read_check(*db, reading);
    judge(made, reading);
  }
  record_cases("R7", count);
}

// --- Older states of pages

/// Pages that differ between two states of the file.
std::vector<std::uint32_t> changed_pages(Bytes before, Bytes after) {
  std::vector<std::uint32_t> pages;
  const std::size_t bytes = std::min(before.size(), after.size());
  for (std::uint32_t id = raw(kFirstBitmapPage); (std::size_t{id} + 1) * kPageBytes <= bytes; ++id) {
    const std::size_t at = std::size_t{id} * kPageBytes;
    if (std::memcmp(before.data() + at, after.data() + at, kPageBytes) != 0) pages.push_back(id);
  }
  return pages;
}

class StalePageTest : public PageDamageTest {
 protected:
  /// A database with the subject, all of which is older in old_; then `then`.
  void with_older_pages(FunctionRef<void(Database& db)> then) {
    const auto core = internal::Core::open({&disk_, nullptr, "/db"}, damage_options());
    ASSERT_OK(core);
    Database db = internal::make_database(*core);
    subject_ = build_damage_subject(db);
    ASSERT_OK(db.checkpoint());
    ASSERT_NO_FATAL_FAILURE(grow_old(**core, db));
    then(db);
  }
  /// Keeps the file as it is now, changes everything, writes all pages.
  void grow_old(internal::Core& core, Database& db) {
    old_ = file_bytes(disk_, kDataPath);
    change_damage_subject(db, subject_, 2);
    // What the collector does is written as well, so that the pages stay as they are then.
    ASSERT_TRUE(comes_true([&] { return core.engine().versions.entry_count() == 0; }));
    ASSERT_NO_FATAL_FAILURE(expect_sound(db));  // waits for the round in which they went
    ASSERT_OK(core.engine().log.flush(core.engine().log.end()));
    ASSERT_OK(core.engine().pool.flush_all());
  }
  void put_old(SimFileSystem& disk, std::uint32_t id) {
    overwrite(disk, kDataPath, std::uint64_t{id} * kPageBytes,
              Bytes(old_).subspan(std::size_t{id} * kPageBytes, kPageBytes));
  }
  std::vector<std::byte> old_;
};

// The disk has lost a write, and the process still lives: it knows the checksum of what it has written.
TEST_F(StalePageTest, ALostWriteIsNotNoticedWhileTheProcessLives) {
  Options options = damage_options();
  const std::uint64_t count = scaled(60);
  for (std::uint64_t i = 0; i < count && !HasFailure(); ++i) {
    disk_.settle();
    const auto core = internal::Core::open({&disk_, nullptr, "/db"}, options);
    ASSERT_OK(core);
    Database db = internal::make_database(*core);
    if (i == 0) subject_ = build_damage_subject(db);
    ASSERT_OK(db.checkpoint());
    ASSERT_NO_FATAL_FAILURE(grow_old(**core, db));
    const std::vector<std::byte> now = file_bytes(disk_, kDataPath);
    const std::vector<std::uint32_t> changed = changed_pages(old_, now);
    ASSERT_GT(changed.size(), 4u);
    const std::uint32_t id = changed[random_.uniform(changed.size())];
    put_old(disk_, id);
    DamageReading reading;
    read_everything(db, subject_, reading);
    read_everything(db, subject_, reading);
    EXPECT_EQ(reading.wrong, "") << "page " << id << " is an older one";
    reported_ += reading.errors.empty() ? 0 : 1;
    db.close().has_value();
    // Unless it was written again: then it is newer than what was lost.
    const std::size_t at = std::size_t{id} * kPageBytes;
    const std::vector<std::byte> closed = file_bytes(disk_, kDataPath);
    if (std::memcmp(closed.data() + at, old_.data() + at, kPageBytes) == 0) {
      overwrite(disk_, kDataPath, at, Bytes(now).subspan(at, kPageBytes));
    }
  }
  std::printf("%llu of %llu noticed, the others were in the cache\n", static_cast<unsigned long long>(reported_),
              static_cast<unsigned long long>(count));
  record_cases("R7", count);
}

// Since redo start, the log has every change: whichever of its states a page is in, redo brings it up to date.
TEST_F(StalePageTest, ALostWriteWithinTheRedoWindowIsAWrongAnswer) {
  std::unique_ptr<SimFileSystem> killed;
  ASSERT_NO_FATAL_FAILURE(with_older_pages([&](Database&) { killed = disk_.killed(); }));
  killed->settle();
  const std::vector<std::uint32_t> changed = changed_pages(old_, file_bytes(*killed, kDataPath));
  ASSERT_GT(changed.size(), 4u);
  const std::uint64_t count = scaled(100);
  for (std::uint64_t i = 0; i < count && !HasFailure(); ++i) {
    const auto disk = killed->killed();
    const std::uint64_t lost = 1 + random_.uniform(4);
    for (std::uint64_t k = 0; k < lost; ++k) put_old(*disk, changed[random_.uniform(changed.size())]);
    const DamageReading reading = read_damaged(*disk, subject_, damage_options());
    EXPECT_EQ(reading.wrong, "");
    EXPECT_TRUE(reading.errors.empty()) << reading.errors.front();
  }
  record_cases("R7", count);
}

// Behind a closed database's back an older page is found where it contradicts others, and else not: no promise, but
// neither a crash nor a hang, and damage is called so.
TEST_F(StalePageTest, AnOlderPageOfAClosedDatabaseIsACrashOrAHang) {
  ASSERT_NO_FATAL_FAILURE(with_older_pages([](Database& db) { ASSERT_OK(db.close()); }));
  disk_.settle();
  const std::vector<std::uint32_t> changed = changed_pages(old_, file_bytes(disk_, kDataPath));
  const std::uint64_t count = 60 + scaled(90);
  std::uint64_t noticed = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto disk = disk_.killed();
    put_old(*disk, changed[random_.uniform(changed.size())]);
    noticed += read_damaged(*disk, subject_, damage_options()).errors.empty() ? 0 : 1;
  }
  std::printf("%llu of %llu older pages contradicted others\n", static_cast<unsigned long long>(noticed),
              static_cast<unsigned long long>(count));
  EXPECT_GT(noticed, 0u);
  record_cases("R7", count);
}

// --- Negative controls: without the guard, the same cases give wrong answers.

class PageDamageControlTest : public PageDamageTest {
 protected:
  void expect_wrong_answers(SeededBug bug, std::initializer_list<Damage> kinds) {
    ASSERT_NO_FATAL_FAILURE(build(true));
    const SeededBugScope scope(bug);
    for (unsigned i = 0; i < 400; ++i) {
      const Case made = damage(kinds.begin()[i % kinds.size()]);
      const DamageReading reading = read_damaged(*made.disk, subject_, damage_options());
      if (reading.wrong.empty()) continue;
      std::printf("case %u: %s: %s\n", i, made.text.c_str(), reading.wrong.c_str());
      return;
    }
    ADD_FAILURE() << "no wrong answer in 400 cases";
  }
};

TEST_F(PageDamageControlTest, WithoutALookAtChecksumsThereAreWrongAnswers) {
  expect_wrong_answers(SeededBug::kChecksumUnchecked, {Damage::kBit});
}

}  // namespace
}  // namespace vaultgres
