// The tests' own disk: a crash test is worth as much as the states that this file system produces.
#include "support/sim_file_system.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "support/random.h"
#include "support/scale.h"

namespace vaultgres {
namespace {

constexpr std::size_t kSector = kSimSectorBytes;

/// The whole file, or "(none)".
std::string contents(FileSystem& disk, const std::string& path) {
  auto file = disk.open(path, OpenMode::kReadOnly);
  if (!file) return "(none)";
  std::string text((*file)->size().value(), '\0');
  EXPECT_TRUE((*file)->read(0, {reinterpret_cast<std::byte*>(text.data()), text.size()}));
  return text;
}

/// A disk with the durable file "data", "0" in sectors 0 to 7, and the trace at its start.
class SimFileSystemTest : public testing::Test {
 protected:
  SimFileSystemTest() {
    EXPECT_TRUE(file_->write(0, as_bytes(std::string(8 * kSector, '0'))));
    disk_.settle();
  }
  void write_sector(std::size_t sector, char fill) {
    ASSERT_TRUE(file_->write(sector * kSector, as_bytes(std::string(kSector, fill))));
  }
  /// One character per sector of "data"; '?' for a sector of several.
  std::string sectors(PowerCut mode, std::uint64_t seed) { return sectors(disk_.position(), mode, seed); }
  std::string sectors(std::size_t position, PowerCut mode, std::uint64_t seed) {
    const std::string text = contents(*disk_.power_cut(position, mode, seed), "data");
    std::string summary;
    for (std::size_t at = 0; at < text.size(); at += kSector) {
      const std::string sector = text.substr(at, kSector);
      const bool uniform = std::ranges::all_of(sector, [&](char c) { return c == sector[0]; });
      summary += !uniform ? '?' : sector[0] == '\0' ? '.' : sector[0];
    }
    return summary;
  }
  std::set<std::string> states(PowerCut mode, std::uint64_t seeds) {
    std::set<std::string> seen;
    for (std::uint64_t seed = 0; seed < seeds; ++seed) seen.insert(sectors(mode, seed));
    return seen;
  }

  SimFileSystem disk_;
  std::unique_ptr<File> file_ = *disk_.open("data", OpenMode::kCreate);
};

using States = std::set<std::string>;

// Goal: reads see a write at once, a power cut may lose it until the sync, and not afterwards.
TEST_F(SimFileSystemTest, WritesAreDurableAtTheSync) {
  write_sector(0, 'a');
  EXPECT_EQ(contents(disk_, "data").substr(0, 2), "aa");
  EXPECT_EQ(sectors(PowerCut::kNone, 0), "00000000");
  EXPECT_EQ(sectors(PowerCut::kAll, 0), "a0000000");
  EXPECT_EQ(disk_.unsynced(disk_.position()), 1u);
  ASSERT_TRUE(file_->sync());
  EXPECT_EQ(disk_.unsynced(disk_.position()), 0u);
  for (const PowerCut mode : kPowerCuts) EXPECT_EQ(sectors(mode, 1), "a0000000");
  EXPECT_EQ(sectors(1, PowerCut::kNone, 0), "00000000") << "before the sync, seen again";
}

// Goal: each mode produces exactly the states that it promises.
TEST_F(SimFileSystemTest, ModesChooseAmongUnsyncedWrites) {
  write_sector(0, 'a');
  write_sector(1, 'b');
  write_sector(2, 'c');
  EXPECT_EQ(states(PowerCut::kNone, 5), States{"00000000"});
  EXPECT_EQ(states(PowerCut::kAll, 5), States{"abc00000"});
  EXPECT_EQ(states(PowerCut::kPrefix, 4), (States{"00000000", "a0000000", "ab000000", "abc00000"}));
  EXPECT_EQ(states(PowerCut::kAllButOne, 3), (States{"0bc00000", "a0c00000", "ab000000"}));
  EXPECT_EQ(states(PowerCut::kOnlyOne, 3), (States{"a0000000", "0b000000", "00c00000"}));
  EXPECT_EQ(states(PowerCut::kRandom, 200).size(), 8u) << "every subset";
}

// Goal: a torn write leaves any subset of its sectors, and only whole sectors.
TEST_F(SimFileSystemTest, TornWritesBreakBetweenSectors) {
  ASSERT_TRUE(file_->write(kSector, as_bytes(std::string(3 * kSector, 'x'))));
  const States torn = states(PowerCut::kTorn, 200);
  EXPECT_EQ(torn.size(), 8u);
  for (const std::string& state : torn) {
    EXPECT_EQ(state.size(), 8u);
    EXPECT_EQ(state.find_first_not_of("0x"), std::string::npos) << state;
    EXPECT_EQ(state[0], '0');
  }
}

// Goal: a torn write behind the end may leave the new size without the bytes.
TEST_F(SimFileSystemTest, TornWritesMayLeaveTheSizeOnly) {
  ASSERT_TRUE(file_->write(8 * kSector, as_bytes(std::string(kSector, 'x'))));
  EXPECT_EQ(states(PowerCut::kTorn, 100), (States{"00000000", "00000000.", "00000000x"}));
}

// Goal: after a failed sync reads still see the bytes, but no later sync makes them durable.
TEST_F(SimFileSystemTest, AFailedSyncDropsWhatWasUnsynced) {
  write_sector(0, 'a');
  disk_.inject({.call = IoCall::kSync, .os_error = EIO});
  EXPECT_FALSE(file_->sync());
  write_sector(1, 'b');
  EXPECT_TRUE(file_->sync());
  EXPECT_EQ(contents(disk_, "data")[0], 'a');
  for (const PowerCut mode : kPowerCuts) EXPECT_EQ(sectors(mode, 1), "0b000000");
}

// Goal: an interrupted sync, which File repeats, loses nothing.
TEST_F(SimFileSystemTest, AnInterruptedSyncDropsNothing) {
  write_sector(0, 'a');
  disk_.inject({.call = IoCall::kSync, .os_error = EINTR});
  EXPECT_TRUE(file_->sync());
  EXPECT_EQ(sectors(PowerCut::kNone, 0), "a0000000");
}

// Goal: a sync is for its own file only, and an ignored one for none.
TEST_F(SimFileSystemTest, SyncsOfOthersAndIgnoredSyncsDoNothing) {
  auto other = *disk_.open("log", OpenMode::kCreate);
  write_sector(0, 'a');
  ASSERT_TRUE(other->sync());
  EXPECT_EQ(sectors(PowerCut::kNone, 0), "00000000");
  disk_.ignore_syncs(IoCall::kSync, "data");
  EXPECT_TRUE(file_->sync());
  EXPECT_EQ(sectors(PowerCut::kNone, 0), "00000000");
  EXPECT_EQ(disk_.unsynced(disk_.position()), 2u) << "the write, and the creation of the log";
}

// Goal: size changes are as unsynced as writes, and what was cut off reads as zeros when it comes back.
TEST_F(SimFileSystemTest, TruncateAndAllocateArePending) {
  ASSERT_TRUE(file_->truncate(kSector));
  ASSERT_TRUE(file_->allocate(0, 3 * kSector));
  EXPECT_EQ(states(PowerCut::kPrefix, 3), (States{"00000000", "0", "0.."}));
  ASSERT_TRUE(file_->sync());
  EXPECT_EQ(sectors(PowerCut::kNone, 0), "0..");
}

// Goal: names are durable with their directory only: a synced file may be gone without it.
TEST_F(SimFileSystemTest, NamesAreDurableWithTheirDirectory) {
  auto created = *disk_.open("new", OpenMode::kCreate);
  ASSERT_TRUE(created->write(0, as_bytes("text")));
  ASSERT_TRUE(created->sync());
  const auto now = [&](PowerCut mode) { return disk_.power_cut(disk_.position(), mode, 0); };
  EXPECT_EQ(contents(*now(PowerCut::kNone), "new"), "(none)");
  EXPECT_EQ(contents(*now(PowerCut::kAll), "new"), "text");
  ASSERT_TRUE(disk_.sync_directory("."));
  EXPECT_EQ(contents(*now(PowerCut::kNone), "new"), "text");
  ASSERT_TRUE(disk_.rename("new", "data"));
  EXPECT_EQ(contents(*now(PowerCut::kNone), "new"), "text");
  EXPECT_EQ(contents(*now(PowerCut::kNone), "data").size(), 8 * kSector) << "the replaced file is still there";
  EXPECT_EQ(contents(*now(PowerCut::kAll), "data"), "text");
  EXPECT_EQ(contents(*now(PowerCut::kAll), "new"), "(none)");
  ASSERT_TRUE(disk_.sync_directory(""));
  EXPECT_EQ(contents(*now(PowerCut::kNone), "data"), "text");
  ASSERT_TRUE(disk_.remove("data"));
  EXPECT_EQ(contents(*now(PowerCut::kNone), "data"), "text");
  EXPECT_EQ(contents(*now(PowerCut::kAll), "data"), "(none)");
}

// Goal: operations on one directory reach the disk in order, those on two independently; and a directory
// that is not durable takes its files along.
TEST_F(SimFileSystemTest, DirectoriesKeepTheirOwnOrder) {
  ASSERT_TRUE(disk_.make_directory("d"));
  ASSERT_TRUE(disk_.sync_directory("."));
  ASSERT_TRUE(disk_.open("d/1", OpenMode::kCreate));
  ASSERT_TRUE(disk_.open("x", OpenMode::kCreate));
  ASSERT_TRUE(disk_.open("d/2", OpenMode::kCreate));
  ASSERT_TRUE(disk_.make_directory("e"));
  ASSERT_TRUE(disk_.open("e/3", OpenMode::kCreate));
  ASSERT_TRUE(disk_.sync_directory("e"));
  std::set<std::string> seen;
  for (const PowerCut mode : kPowerCuts) {
    for (std::uint64_t seed = 0; seed < 100; ++seed) {
      auto after = disk_.power_cut(disk_.position(), mode, seed);
      std::string names;
      for (const char* name : {"d/1", "d/2", "x", "e/3"}) names += *after->exists(name) ? name : "";
      seen.insert(names);
    }
  }
  for (const std::string& names : seen) {
    EXPECT_TRUE(names.find("d/1") != std::string::npos || names.find("d/2") == std::string::npos) << names;
    EXPECT_TRUE(names.find("x") != std::string::npos || names.find("e/3") == std::string::npos) << names;
  }
  EXPECT_EQ(seen.size(), 9u) << "three prefixes of each directory";
}

// Goal: a move between directories is durable with the directory that it leads to; until then the file is
// in its old place, never in none.
TEST_F(SimFileSystemTest, MovesAreDurableWithTheTargetDirectory) {
  ASSERT_TRUE(disk_.make_directory("d"));
  disk_.settle();
  ASSERT_TRUE(disk_.rename("data", "d/moved"));
  ASSERT_TRUE(disk_.sync_directory("."));
  for (const PowerCut mode : kPowerCuts) {
    for (std::uint64_t seed = 0; seed < 4; ++seed) {
      auto after = disk_.power_cut(disk_.position(), mode, seed);
      EXPECT_NE(*after->exists("data"), *after->exists("d/moved"));
    }
  }
  EXPECT_TRUE(*disk_.power_cut(disk_.position(), PowerCut::kNone, 0)->exists("data"));
  ASSERT_TRUE(disk_.sync_directory("d"));
  auto after = disk_.power_cut(disk_.position(), PowerCut::kNone, 0);
  EXPECT_FALSE(*after->exists("data"));
  EXPECT_EQ(contents(*after, "d/moved").size(), 8 * kSector);
}

// Goal: a killed process leaves everything to reads and nothing more to the disk, and no lock.
TEST_F(SimFileSystemTest, AKillKeepsWhatReadsSeeAndNothingMore) {
  ASSERT_TRUE(file_->lock());
  write_sector(0, 'a');
  const std::size_t killed_at = disk_.position();
  write_sector(1, 'b');
  auto after = disk_.killed(killed_at);
  EXPECT_EQ(contents(*after, "data").substr(kSector - 1, 2), "a0");
  auto file = *after->open("data", OpenMode::kReadWrite);
  EXPECT_TRUE(file->lock());
  EXPECT_EQ(contents(*after->power_cut(after->position(), PowerCut::kNone, 0), "data")[0], '0');
  ASSERT_TRUE(file->sync());
  EXPECT_EQ(contents(*after->power_cut(after->position(), PowerCut::kNone, 0), "data")[0], 'a');
  EXPECT_EQ(contents(*disk_.killed(), "data")[kSector], 'b');
}

// Goal: a state after a power cut is a disk of its own: what happens on it stays on it.
TEST_F(SimFileSystemTest, StatesAreIndependent) {
  write_sector(0, 'a');
  auto first = disk_.power_cut(disk_.position(), PowerCut::kAll, 0);
  ASSERT_TRUE((*first->open("data", OpenMode::kReadWrite))->write(0, as_bytes("zz")));
  EXPECT_EQ(contents(*first, "data").substr(0, 3), "zza");
  EXPECT_EQ(sectors(PowerCut::kAll, 0), "a0000000");
  EXPECT_EQ(contents(disk_, "data")[0], 'a');
  EXPECT_EQ(first->position(), 1u) << "its trace starts anew";
}

// Goal: marks stand in the trace where they were made.
TEST_F(SimFileSystemTest, MarksStandBetweenOperations) {
  write_sector(0, 'a');
  EXPECT_EQ(disk_.mark("first"), 2u);
  write_sector(1, 'b');
  disk_.mark("second");
  EXPECT_EQ(disk_.marks(1), std::vector<std::string>{});
  EXPECT_EQ(disk_.marks(3), std::vector<std::string>{"first"});
  EXPECT_EQ(disk_.marks(99), (std::vector<std::string>{"first", "second"}));
  EXPECT_EQ(describe(*disk_.trace()[0]), "write data 512 bytes at 0");
}

// Goal: faults hit the chosen call, once or from then on, on the chosen path, and change nothing.
TEST_F(SimFileSystemTest, FaultsHitTheChosenCall) {
  disk_.inject({.call = IoCall::kWrite, .at = 2, .os_error = EIO, .path_contains = "data"});
  auto other = *disk_.open("other", OpenMode::kCreate);
  write_sector(0, 'a');
  EXPECT_TRUE(other->write(0, as_bytes("x")));
  EXPECT_EQ(file_->write(kSector, as_bytes("b")).error().os_error(), EIO);
  EXPECT_EQ(contents(disk_, "data")[kSector], '0') << "the failed write did nothing";
  write_sector(1, 'b');
  EXPECT_EQ(disk_.faults_hit(), 1u);
  disk_.inject({.call = IoCall::kSync, .at = 2, .os_error = EIO, .sticky = true});
  EXPECT_TRUE(file_->sync());
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(file_->sync());
  disk_.clear_faults();
  EXPECT_TRUE(file_->sync());
  EXPECT_EQ(disk_.calls(IoCall::kSync), 5u);
}

// Goal: a full disk refuses growth only, changes nothing, and is full no more when files go.
TEST_F(SimFileSystemTest, SpaceIsLimited) {
  auto other = *disk_.open("other", OpenMode::kCreate);
  ASSERT_TRUE(other->allocate(0, 2 * kSimPageBytes));
  EXPECT_EQ(disk_.used_bytes(), 3 * kSimPageBytes);
  disk_.limit_space(3 * kSimPageBytes);
  write_sector(0, 'a');
  EXPECT_EQ(file_->allocate(0, 2 * kSimPageBytes).error().code(), ErrorCode::kNoSpace);
  EXPECT_EQ(file_->write(8 * kSector, as_bytes("x")).error().code(), ErrorCode::kNoSpace);
  EXPECT_EQ(file_->size().value(), 8 * kSector);
  ASSERT_TRUE(disk_.remove("other"));
  EXPECT_FALSE(file_->allocate(0, 2 * kSimPageBytes)) << "removed, but still open";
  other.reset();
  EXPECT_TRUE(file_->allocate(0, 2 * kSimPageBytes));
}

// Goal: the observer hears of what takes effect, in order, before it does; not of failures.
TEST_F(SimFileSystemTest, TheObserverHearsWhatTakesEffect) {
  struct Recorder final : SimObserver {
    std::string heard;
    void on_write(const std::string& path, std::uint64_t offset, Bytes bytes) override {
      heard += "write " + path + " " + std::to_string(offset) + " " + std::string(as_text(bytes)) + "\n";
    }
    void on_sync(const std::string& path) override { heard += "sync " + path + "\n"; }
    void on_rename(const std::string& from, const std::string& to) override { heard += from + " to " + to + "\n"; }
    void on_sync_directory(const std::string& path) override { heard += "directory " + path + "\n"; }
  } recorder;
  disk_.set_observer(&recorder);
  ASSERT_TRUE(file_->write(3, as_bytes("x")));
  ASSERT_TRUE(file_->sync());
  disk_.inject({.call = IoCall::kSync, .os_error = EIO});
  EXPECT_FALSE(file_->sync());
  ASSERT_TRUE(disk_.make_directory("/d"));
  ASSERT_TRUE(disk_.rename("./data", "/d//moved"));
  ASSERT_TRUE(disk_.sync_directory("/d/"));
  ASSERT_TRUE(file_->write(0, as_bytes("y")));
  EXPECT_EQ(recorder.heard, "write data 3 x\nsync data\ndata to /d/moved\ndirectory /d\nwrite /d/moved 0 y\n");
}

// Goal: transfers that direct I/O would refuse can be found.
TEST_F(SimFileSystemTest, RefusesUnalignedTransfersOnRequest) {
  disk_.require_alignment(512);
  alignas(512) std::byte buffer[1024] = {};
  EXPECT_TRUE(file_->write(512, {buffer, 512}));
  EXPECT_FALSE(file_->write(100, {buffer, 512}));
  EXPECT_FALSE(file_->write(0, {buffer, 100}));
  EXPECT_FALSE(file_->write(0, {buffer + 1, 512}));
}

// Goal: names that are not there, are taken or are in use give the errors that the system gives.
TEST_F(SimFileSystemTest, ChecksNames) {
  EXPECT_EQ(disk_.open("no/file", OpenMode::kCreate).error().os_error(), ENOENT);
  EXPECT_EQ(disk_.open("data/file", OpenMode::kCreate).error().os_error(), ENOTDIR);
  ASSERT_TRUE(disk_.make_directory("d"));
  ASSERT_TRUE(disk_.open("d/a", OpenMode::kCreate));
  EXPECT_EQ(disk_.remove("d").error().os_error(), ENOTEMPTY);
  EXPECT_EQ(disk_.rename("data", "d").error().os_error(), EISDIR);
  EXPECT_EQ(disk_.open("d", OpenMode::kReadWrite).error().os_error(), EISDIR);
  EXPECT_EQ(disk_.list(".").value(), (std::vector<std::string>{"d", "data"}));
  EXPECT_FALSE((*disk_.open("data", OpenMode::kReadOnly))->write(0, as_bytes("x")));
}

// Goal: a random history, replayed from the trace, gives what reads saw; and when everything was synced
// every power cut gives it, too. A plain string is the model.
TEST_F(SimFileSystemTest, ReplayEqualsTheModel) {
  TestRandom random;
  std::string model(8 * kSector, '0');
  const std::uint64_t rounds = scaled(300);
  for (std::uint64_t round = 0; round < rounds; ++round) {
    if (random.one_in(10)) {
      const std::size_t size = random.uniform(20000);
      ASSERT_TRUE(file_->truncate(size));
      model.resize(size, '\0');
    } else {
      const std::size_t offset = random.uniform(20000);
      const std::string text = random.bytes(random.between(1, 9000));
      ASSERT_TRUE(file_->write(offset, as_bytes(text)));
      if (model.size() < offset + text.size()) model.resize(offset + text.size(), '\0');
      model.replace(offset, text.size(), text);
    }
    if (random.one_in(5)) {
      ASSERT_TRUE(file_->sync());
      for (const PowerCut mode : kPowerCuts) {
        ASSERT_EQ(contents(*disk_.power_cut(disk_.position(), mode, random.next()), "data"), model);
      }
    }
    ASSERT_EQ(contents(disk_, "data"), model);
    ASSERT_EQ(contents(*disk_.power_cut(disk_.position(), PowerCut::kAll, 0), "data"), model);
  }
  EXPECT_EQ(contents(*disk_.killed(), "data"), model);
}

// Goal: a write is atomic with regard to reads and crash states, from any number of threads.
TEST_F(SimFileSystemTest, WritesAreAtomicForReaders) {
  std::thread writer([&] {
    for (int round = 0; round < 500; ++round) {
      EXPECT_TRUE(file_->write(0, as_bytes(std::string(8 * kSector, static_cast<char>('a' + round % 26)))));
      if (round % 10 == 0) {
        EXPECT_TRUE(file_->sync());
      }
    }
  });
  for (int round = 0; round < 200; ++round) {
    const std::string live = contents(disk_, "data");
    EXPECT_EQ(std::set<char>(live.begin(), live.end()).size(), 1u);
    const std::string after = contents(*disk_.power_cut(disk_.position(), PowerCut::kRandom, 7), "data");
    EXPECT_EQ(std::set<char>(after.begin(), after.end()).size(), 1u);
  }
  writer.join();
}

}  // namespace
}  // namespace vaultgres
