// Goal: what comes out of a Sorter is what std::sort makes of what went in, whether it fits in memory, needs one run,
// several, or merges of merges; it keeps to its memory; every disk error, and every damaged byte of its file, is an
// error that says where; its file has no name while it is used and takes no space afterwards.
//
// Method: an oracle of strings; file systems that fail (SimFileSystem) and that hold the bytes for us to damage.
#include "db/sorter.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/crc32c.h"
#include "base/little.h"
#include "db/allocation_support.h"
#include "support/database.h"
#include "support/random.h"
#include "support/scale.h"
#include "support/sim_file_system.h"
#include "support/temp_directory.h"

namespace vaultgres {
namespace {

using Entries = std::vector<std::pair<std::string, std::string>>;

constexpr std::size_t kTiny = 64 * 1024;
constexpr char kPath[] = "sort.tmp";

/// A file system that holds one file in reach of the test.
class OpenHeartFileSystem final : public FileSystem {
 public:
  std::vector<std::byte> bytes;
  bool named = false;

 protected:
  class Raw final : public RawFile {
   public:
    explicit Raw(std::vector<std::byte>& bytes) : bytes_(bytes) {}
    IoAttempt read(std::uint64_t offset, MutableBytes into) override {
      const std::size_t at = std::min<std::size_t>(offset, bytes_.size());
      const std::size_t count = std::min(into.size(), bytes_.size() - at);
      std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(at), count, into.begin());
      return {.bytes = count};
    }
    IoAttempt write(std::uint64_t offset, Bytes from) override {
      if (bytes_.size() < offset + from.size()) bytes_.resize(offset + from.size());
      std::copy(from.begin(), from.end(), bytes_.begin() + static_cast<std::ptrdiff_t>(offset));
      return {.bytes = from.size()};
    }
    int sync() override { return 0; }
    int truncate(std::uint64_t size) override { return bytes_.resize(size), 0; }
    int allocate(std::uint64_t, std::uint64_t) override { return 0; }
    int size(std::uint64_t* size) override { return *size = bytes_.size(), 0; }
    int lock(LockMode) override { return 0; }

   private:
    std::vector<std::byte>& bytes_;
  };

  int raw_open(const std::string&, OpenMode, std::unique_ptr<RawFile>* file) override {
    *file = std::make_unique<Raw>(bytes);
    named = true;
    return 0;
  }
  int raw_remove(const std::string&) override { return named = false, 0; }
  int raw_rename(const std::string&, const std::string&) override { return ENOSYS; }
  int raw_make_directory(const std::string&) override { return ENOSYS; }
  int raw_sync_directory(const std::string&) override { return ENOSYS; }
  int raw_exists(const std::string&, bool* exists) override { return *exists = named, 0; }
  int raw_list(const std::string&, std::vector<std::string>*) override { return ENOSYS; }
};

Status add_all(Sorter& sorter, const Entries& entries) {
  for (const auto& [key, value] : entries) {
    if (Status added = sorter.add(as_bytes(key), as_bytes(value)); !added) return added;
  }
  return {};
}

Result<Entries> drain(Sorter& sorter) {
  Entries entries;
  while (true) {
    Bytes key, value;
    const Result<bool> found = sorter.next(key, value);
    if (!found) return found.error();
    if (!*found) return entries;
    entries.emplace_back(as_text(key), as_text(value));
  }
}

Result<Entries> sort(Sorter& sorter, const Entries& entries) {
  if (Status added = add_all(sorter, entries); !added) return added.error();
  if (Status finished = sorter.finish(); !finished) return finished.error();
  return drain(sorter);
}

void expect_equal(const Entries& found, Entries expected, const std::string& when) {
  std::sort(expected.begin(), expected.end());
  ASSERT_EQ(found.size(), expected.size()) << when;
  const auto differs = std::mismatch(found.begin(), found.end(), expected.begin());
  EXPECT_TRUE(differs.first == found.end()) << when << ": entry " << differs.first - found.begin() << " is wrong";
}

/// 12-byte keys and 6-byte values, as an index of a number has them.
Entries number_entries(std::size_t count, TestRandom& random) {
  Entries entries;
  for (std::size_t i = 0; i < count; ++i) {
    std::string key(12, '\x01');
    store_big<std::uint64_t>(key.data() + 1, random.uniform(count));
    entries.emplace_back(std::move(key), random.bytes(6));
  }
  return entries;
}

// --- Order

struct Shape {
  const char* name;
  std::string (*key)(TestRandom&);
  std::string (*value)(TestRandom&);
};

std::string tid(TestRandom& random) {
  return random.bytes(6);
}

const Shape kShapes[] = {
    {"ShortKeys", [](TestRandom& random) { return random.bytes(random.uniform(12)); }, tid},
    {"LongKeys", [](TestRandom& random) { return random.bytes(random.uniform(1025)); },
     [](TestRandom& random) { return random.bytes(random.one_in(8) ? random.uniform(4097) : 6); }},
    {"FewKeys", [](TestRandom& random) { return std::string(random.uniform(4), 'k'); },
     [](TestRandom& random) { return random.bytes(random.uniform(3)); }},
    {"EqualHeads",
     [](TestRandom& random) { return (random.one_in(2) ? "a common beginning" : "a common beg") + random.word(2); },
     tid},
    {"ZerosAtTheEnd", [](TestRandom& random) { return random.word(1) + std::string(random.uniform(12), '\0'); }, tid},
    {"OnePrefix", [](TestRandom& random) { return std::string(100, 'p') + random.bytes(random.uniform(3)); }, tid},
    {"Columns",
     [](TestRandom& random) {
       std::string key;
       while (key.size() < 20 && !random.one_in(40)) key += "columns " + std::string(1, random.one_in(3) ? 'a' : 'b');
       return key + random.bytes(random.uniform(3));
     },
     tid},
    {"AllEqual", [](TestRandom&) { return std::string("the same"); }, [](TestRandom&) { return std::string("v"); }},
    {"AllEmpty", [](TestRandom&) { return std::string(); }, [](TestRandom&) { return std::string(); }},
    {"HighBytes", [](TestRandom& random) { return std::string(random.uniform(20), '\xff'); }, tid},
};

class SorterShapeTest : public ::testing::TestWithParam<Shape> {};
INSTANTIATE_TEST_SUITE_P(Shapes, SorterShapeTest, ::testing::ValuesIn(kShapes),
                         [](const auto& one) { return one.param.name; });

TEST_P(SorterShapeTest, ComesOutAsStdSortSays) {
  TestRandom random;
  bool in_memory = false;
  bool one_merge = false;
  bool many_merges = false;
  for (const std::size_t bytes : {0u, 10u, 1000u, 50000u, 200000u, 300000u, 1500000u}) {
    Entries entries;
    for (std::size_t sum = 0; sum < bytes;) {
      entries.emplace_back(GetParam().key(random), GetParam().value(random));
      sum += entries.back().first.size() + entries.back().second.size() + 20;
    }
    SimFileSystem disk;
    disk.require_alignment(kIoAlignment);
    Sorter sorter(disk, kPath, kTiny + random.uniform(kTiny / 8));
    const Result<Entries> found = sort(sorter, entries);
    ASSERT_OK(found);
    EXPECT_EQ(sorter.entries(), entries.size());
    expect_equal(*found, entries, std::to_string(bytes) + " bytes");
    EXPECT_EQ(disk.calls(IoCall::kOpen) == 0, sorter.runs() == 0);
    in_memory |= !entries.empty() && sorter.runs() == 0;
    one_merge |= sorter.runs() > 1 && sorter.merges() == 0;
    many_merges |= sorter.merges() > 1;
  }
  EXPECT_TRUE(in_memory && one_merge && many_merges) << in_memory << one_merge << many_merges;
}

TEST(Sorter, KeysWhoseCommonBeginningShrinksAfterRunsWereWritten) {
  TestRandom random;
  Entries entries;
  for (std::size_t i = 0; i < 12000; ++i) {
    // 60 bytes in common at first, fewer and fewer later: the heads in the first runs are of other bytes.
    std::string key = std::string(60 - i / 200, 'p') + random.word(6);
    entries.emplace_back(std::move(key), random.bytes(6));
  }
  entries.emplace_back("", "");
  SimFileSystem disk;
  Sorter sorter(disk, kPath, kTiny);
  const Result<Entries> found = sort(sorter, entries);
  ASSERT_OK(found);
  EXPECT_GT(sorter.merges(), 0u);
  expect_equal(*found, entries, "shrinking");
}

TEST(Sorter, EveryNumberOfRunsAroundTheFanIn) {
  TestRandom random;
  std::uint64_t runs_before = 0;
  std::vector<std::uint64_t> runs_seen;
  for (std::size_t count = 200; runs_before < 40; count += 1500) {
    const Entries entries = number_entries(count, random);
    SimFileSystem disk;
    Sorter sorter(disk, kPath, kTiny);
    const Result<Entries> found = sort(sorter, entries);
    ASSERT_OK(found);
    if (sorter.runs() == runs_before) continue;
    runs_before = sorter.runs();
    runs_seen.push_back(runs_before);
    expect_equal(*found, entries, std::to_string(runs_before) + " runs");
    // Seven runs can be read at once; each merge makes six fewer.
    EXPECT_EQ(sorter.merges(), runs_before <= 7 ? 0 : (runs_before - 7 + 5) / 6) << runs_before << " runs";
  }
  EXPECT_GT(runs_seen.size(), 30u);
}

TEST(Sorter, AFullMemoryWithoutAnEntryMoreMakesNoFile) {
  SimFileSystem disk;
  for (const std::size_t one_more : {0u, 1u}) {
    Sorter sorter(disk, kPath, kTiny);
    // Each takes 4 + 12 + 16 bytes; the first block is the writer's.
    for (std::size_t i = 0; i < (kTiny - 8192) / 32 + one_more; ++i) {
      ASSERT_OK(sorter.add(as_bytes("123456"), as_bytes("abcdef")));
    }
    ASSERT_OK(sorter.finish());
    EXPECT_EQ(sorter.runs(), 2 * one_more);
    EXPECT_EQ(disk.calls(IoCall::kOpen), one_more);
  }
}

TEST(Sorter, ReadOnlyUpToTheMiddle) {
  TestRandom random;
  SimFileSystem disk;
  Sorter sorter(disk, kPath, kTiny);
  ASSERT_OK(add_all(sorter, number_entries(20000, random)));
  ASSERT_OK(sorter.finish());
  Bytes key, value;
  for (int i = 0; i < 5000; ++i) ASSERT_TRUE(*sorter.next(key, value));
}

TEST(Sorter, TheEndStaysTheEnd) {
  TestRandom random;
  for (const std::size_t count : {0u, 10u, 20000u}) {
    SimFileSystem disk;
    Sorter sorter(disk, kPath, kTiny);
    ASSERT_OK(sort(sorter, number_entries(count, random)));
    Bytes key, value;
    for (int i = 0; i < 3; ++i) EXPECT_FALSE(*sorter.next(key, value));
  }
}

TEST(Sorter, TheLargestEntryFitsAndALargerOneIsRefused) {
  SimFileSystem disk;
  Sorter sorter(disk, kPath, 1);
  Entries entries;
  for (char c = 'z'; c >= 'a'; --c) {
    entries.emplace_back(std::string(4000, c), std::string(Sorter::kEntryBytesMax - 4000, c));
    entries.emplace_back(std::string(Sorter::kEntryBytesMax, c), "");
    entries.emplace_back("", std::string(Sorter::kEntryBytesMax, c));
  }
  const Result<Entries> found = sort(sorter, entries);
  ASSERT_OK(found);
  EXPECT_GT(sorter.merges(), 0u);
  expect_equal(*found, entries, "largest");
  Sorter another(disk, kPath, kTiny);
  EXPECT_ERROR(kTooLarge, another.add(as_bytes(std::string(Sorter::kEntryBytesMax, 'k')), as_bytes("v")));
}

// --- Memory

TEST(Sorter, TakesNoMoreMemoryThanItWasGiven) {
  TestRandom random;
  const TempDirectory directory;
  for (const std::size_t memory_bytes : {kTiny, 4 * kTiny, 64 * kTiny}) {
    const std::size_t count = scaled(memory_bytes / 4);
    const std::size_t before = allocated_bytes();
    reset_allocated_bytes_peak();
    Sorter sorter(posix_file_system(), directory.file("sort"), memory_bytes);
    for (std::size_t i = 0; i < count; ++i) {
      char key[12] = {};
      store_big<std::uint64_t>(key, random.next());
      ASSERT_OK(sorter.add(as_bytes({key, sizeof key}), as_bytes("abcdef")));
    }
    ASSERT_OK(sorter.finish());
    Bytes key, value;
    std::uint64_t found = 0;
    while (*sorter.next(key, value)) ++found;
    EXPECT_EQ(found, count);
    EXPECT_LE(allocated_bytes_peak() - before, memory_bytes + 12 * 1024) << sorter.runs() << " runs";
    EXPECT_GE(allocated_bytes_peak() - before, memory_bytes) << "nothing was counted";
  }
}

TEST(Sorter, AnAllocationThatFailsIsBadAlloc) {
  TestRandom random;
  const Entries entries = number_entries(10000, random);
  std::uint64_t at = 1;
  for (bool hit = true; hit; ++at) {
    ASSERT_LT(at, 1000u);
    SimFileSystem disk;
    std::uint64_t used = 0;
    {
      Sorter sorter(disk, kPath, kTiny);
      AllocationFault fault(at);
      try {
        const bool sorted = add_all(sorter, entries) && sorter.finish();
        fault.stop();
        EXPECT_TRUE(sorted) << "allocation " << at;
        if (sorted) expect_equal(*drain(sorter), entries, "allocation " + std::to_string(at));
      } catch (const std::bad_alloc&) {
        fault.stop();
      }
      hit = fault.hit();
      used = disk.used_bytes();
    }
    EXPECT_EQ(disk.used_bytes(), 0u) << "of " << used;
  }
  EXPECT_GT(at, 10u);
}

// --- The temporary file

TEST(Sorter, TheFileHasNoNameAndItsSpaceGoesWithTheSorter) {
  TestRandom random;
  SimFileSystem disk;
  {
    Sorter sorter(disk, kPath, kTiny);
    ASSERT_OK(add_all(sorter, number_entries(20000, random)));
    ASSERT_GT(sorter.runs(), 1u);
    EXPECT_FALSE(*disk.exists(kPath));
    EXPECT_GT(disk.used_bytes(), 0u);
    ASSERT_OK(sorter.finish());
    EXPECT_FALSE(*disk.exists(kPath));
  }
  EXPECT_EQ(disk.used_bytes(), 0u);
  EXPECT_EQ(disk.calls(IoCall::kSync), 0u);
}

TEST(Sorter, AFileThatCouldNotBeRemovedIsReplacedByTheNext) {
  TestRandom random;
  const Entries entries = number_entries(10000, random);
  SimFileSystem disk;
  disk.inject({.call = IoCall::kRemove, .os_error = EIO});
  {
    Sorter sorter(disk, kPath, kTiny);
    EXPECT_ERROR(kIo, sort(sorter, entries));
  }
  EXPECT_TRUE(*disk.exists(kPath));
  Sorter sorter(disk, kPath, kTiny);
  const Result<Entries> found = sort(sorter, entries);
  ASSERT_OK(found);
  expect_equal(*found, entries, "the second time");
  EXPECT_FALSE(*disk.exists(kPath));
}

TEST(Sorter, AFullDiskIsToldWithTheFilesSizeAndLeavesNothing) {
  TestRandom random;
  const Entries entries = number_entries(20000, random);
  std::uint64_t needed = 0;
  {
    SimFileSystem disk;
    Sorter sorter(disk, kPath, kTiny);
    ASSERT_OK(sort(sorter, entries));
    ASSERT_GT(sorter.merges(), 1u);
    needed = disk.used_bytes();
  }
  for (std::uint64_t limit = 0; limit <= needed; limit += kIoAlignment) {
    SimFileSystem disk;
    disk.limit_space(limit);
    {
      Sorter sorter(disk, kPath, kTiny);
      const Result<Entries> found = sort(sorter, entries);
      if (limit == needed) {
        ASSERT_OK(found);
        expect_equal(*found, entries, "just enough");
      } else {
        ASSERT_FALSE(found);
        EXPECT_ERROR(kNoSpace, found);
        const std::string message(found.error().message());
        EXPECT_NE(message.find("temporary file of the index build, "), std::string::npos) << message;
        EXPECT_NE(message.find(" bytes long"), std::string::npos) << message;
        EXPECT_NE(message.find(kPath), std::string::npos) << message;
      }
    }
    EXPECT_EQ(disk.used_bytes(), 0u) << "limit " << limit;
  }
}

TEST(Sorter, TheSizeInAnErrorIsThatOfTheFile) {
  TestRandom random;
  SimFileSystem disk;
  disk.inject({.call = IoCall::kWrite, .at = 3, .os_error = ENOSPC});
  Sorter sorter(disk, kPath, kTiny);
  const Result<Entries> found = sort(sorter, number_entries(20000, random));
  ASSERT_FALSE(found);
  EXPECT_ERROR(kNoSpace, found);
  EXPECT_NE(found.error().message().find("16384 bytes long"), std::string::npos) << found.error().message();
}

TEST(Sorter, TheKthCallFails) {
  TestRandom random;
  const Entries entries = number_entries(8000, random);
  struct Case {
    IoCall call;
    int os_error;
    std::size_t transfer_at_most = IoFault::kNoLimit;
    bool harmless = false;
  };
  for (const Case& one :
       {Case{IoCall::kOpen, EIO}, Case{IoCall::kRemove, EIO}, Case{IoCall::kRead, EIO}, Case{IoCall::kWrite, EIO},
        Case{IoCall::kWrite, 0, 0}, Case{IoCall::kRead, EINTR, 0, true}, Case{IoCall::kWrite, EINTR, 0, true},
        Case{IoCall::kRead, 0, 512, true}, Case{IoCall::kWrite, 0, 512, true}}) {
    bool hit = true;
    std::uint64_t at = 1;
    for (; hit; ++at) {
      ASSERT_LT(at, 1000u);
      const std::string when = std::string(io_call_name(one.call)) + " " + std::to_string(at);
      SimFileSystem disk;
      disk.inject({.call = one.call, .at = at, .os_error = one.os_error, .transfer_at_most = one.transfer_at_most});
      {
        Sorter sorter(disk, kPath, kTiny);
        const Result<Entries> found = sort(sorter, entries);
        hit = disk.faults_hit() > 0;
        if (hit && !one.harmless) {
          ASSERT_FALSE(found);
          EXPECT_ERROR(kIo, found) << when;
          EXPECT_NE(found.error().message().find("temporary file of the index build"), std::string::npos) << when;
        } else {
          ASSERT_OK(found) << when;
          expect_equal(*found, entries, when);
        }
      }
      if (one.call != IoCall::kRemove || !hit) {
        EXPECT_EQ(disk.used_bytes(), 0u) << when;
      }
    }
    EXPECT_GT(at, one.call == IoCall::kOpen || one.call == IoCall::kRemove ? 1u : 20u) << io_call_name(one.call);
  }
}

// --- Damage

class DamagedSorterFileTest : public ::testing::Test {
 protected:
  DamagedSorterFileTest() : entries_(number_entries(2500, random_)), sorter_(disk_, kPath, kTiny) {
    const Status added = add_all(sorter_, entries_);
    EXPECT_TRUE(added.has_value());
    EXPECT_EQ(sorter_.runs(), 1u);
    size_ = disk_.bytes.size();
  }

  void expect_corruption(std::uint64_t offset) {
    Status finished = sorter_.finish();
    const Result<Entries> found = finished ? drain(sorter_) : Result<Entries>(finished.error());
    ASSERT_FALSE(found);
    EXPECT_ERROR(kCorruption, found) << "at " << offset;
    const std::string message(found.error().message());
    EXPECT_NE(message.find(kPath), std::string::npos) << message;
    EXPECT_NE(message.find("offset " + std::to_string(offset)), std::string::npos) << message;
  }

  /// A block's bytes with a checksum that is right.
  void forge(std::size_t offset, std::size_t bytes) {
    const Bytes block = Bytes(disk_.bytes).subspan(offset, bytes);
    store_little(disk_.bytes.data() + offset, crc32c(0, block.subspan(4)));
  }

  TestRandom random_;
  OpenHeartFileSystem disk_;
  const Entries entries_;
  Sorter sorter_;
  std::size_t size_ = 0;
};

constexpr std::size_t kBlock = 8192;

TEST_F(DamagedSorterFileTest, NoDamageNoError) {
  ASSERT_OK(sorter_.finish());
  expect_equal(*drain(sorter_), entries_, "undamaged");
  EXPECT_FALSE(disk_.named);
}

TEST(DamagedSorterFile, AnyBitThatFlipsIsFound) {
  TestRandom random;
  const Entries entries = number_entries(2500, random);
  for (std::uint64_t i = 0; i < scaled(300); ++i) {
    OpenHeartFileSystem disk;
    Sorter sorter(disk, kPath, kTiny);
    ASSERT_OK(add_all(sorter, entries));
    const std::size_t at = random.one_in(4) ? random.uniform(20) : random.uniform(disk.bytes.size());
    disk.bytes[at] ^= std::byte{1} << random.uniform(8);
    const Status finished = sorter.finish();
    const Result<Entries> found = finished ? drain(sorter) : Result<Entries>(finished.error());
    ASSERT_FALSE(found);
    EXPECT_ERROR(kCorruption, found) << "byte " << at << " of " << disk.bytes.size();
    const std::string where = "damaged at offset " + std::to_string(at / kBlock * kBlock) + ":";
    EXPECT_NE(found.error().message().find(where), std::string::npos) << found.error().message();
  }
}

TEST_F(DamagedSorterFileTest, ABlockAtAnothersPlace) {
  ASSERT_GT(size_, 3 * kBlock);
  std::copy_n(disk_.bytes.begin(), kBlock, disk_.bytes.begin() + kBlock);
  expect_corruption(kBlock);
}

TEST_F(DamagedSorterFileTest, AFileThatBecameShorter) {
  // The last run is written behind it by finish(): the hole reads as zeros.
  disk_.bytes.resize(2 * kBlock);
  expect_corruption(2 * kBlock);
}

TEST_F(DamagedSorterFileTest, AFileThatEndsEarly) {
  ASSERT_OK(sorter_.finish());
  disk_.bytes.resize(kBlock);
  const Result<Entries> found = drain(sorter_);
  ASSERT_FALSE(found);
  EXPECT_ERROR(kCorruption, found);
  EXPECT_NE(found.error().message().find("file ends at offset 8192"), std::string::npos) << found.error().message();
}

TEST_F(DamagedSorterFileTest, LengthsThatALiarSummed) {
  store_little(disk_.bytes.data() + 4, std::uint32_t{kBlock + 1});
  forge(0, kBlock);
  expect_corruption(0);
}

TEST_F(DamagedSorterFileTest, AnEmptyBlock) {
  store_little(disk_.bytes.data() + 4, std::uint32_t{16});
  forge(0, kBlock);
  expect_corruption(0);
}

TEST_F(DamagedSorterFileTest, ARecordThatIsCutOff) {
  store_little(disk_.bytes.data() + 4, std::uint32_t{16 + 3});
  forge(0, kBlock);
  expect_corruption(kBlock);  // "the block that ends here"
}

TEST_F(DamagedSorterFileTest, AKeyThatIsLongerThanTheBlock) {
  store_little(disk_.bytes.data() + 16, std::uint16_t{0xFFFF});
  forge(0, kBlock);
  expect_corruption(kBlock);
}

TEST_F(DamagedSorterFileTest, AKeyWithoutTheCommonBeginning) {
  store_little(disk_.bytes.data() + 16, std::uint16_t{0});
  forge(0, kBlock);
  expect_corruption(kBlock);
}

}  // namespace
}  // namespace vaultgres
