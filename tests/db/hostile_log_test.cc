// Goal: what a log record makes of a page is looked at before anybody believes it. Nonsense under checksums that are
// good is damage that opening reports, not a page of the database: a page that a record carries whole, with the record;
// one that changes have led to, with the page; and pages that the log cannot name.
//
// Method: a process is killed before its pages are written. Page images and changes in its log become nonsense in turn,
// and the log blocks are sealed again.
#include <gtest/gtest.h>

#include "db/hostile_log_support.h"

namespace vaultgres {
namespace {

/// A page image in the log.
struct ImageChange : Change {
  explicit ImageChange(Change change)
      : Change(std::move(change)), head(load_little<std::uint16_t>(record.data() + at)) {
    at += 2;  // the page's bytes from its object id on
  }
  std::size_t head;  ///< so many of them come before the hole

  static constexpr std::size_t kFirstByte = offsetof(PageHeader, object);
  std::byte& byte(std::size_t offset) { return record[at + offset - kFirstByte]; }
  bool has(std::size_t offset) const { return offset - kFirstByte < head; }
};

class HostileLogTest : public KilledLogTest {
 protected:
  void expect_damage(const ImageChange& image, const char* what) {
    expect_refused_of(image, what,
                      "redo of the log record at position " + std::to_string(raw(image.address)) + " on page " +
                          std::to_string(raw(image.page)));
  }
  void expect_refused_of(const Change& change, const char* what, const std::string& why) {
    expect_refused(change, std::string(what) + " of page " + std::to_string(raw(change.page)), why);
  }
};

TEST_F(HostileLogTest, APageThatIsNonsenseIsNotBelieved) {
  const std::vector<Change> found = changes(PageOp::kImage);
  std::map<std::uint8_t, unsigned> types;
  for (const Change& change : found) {
    const ImageChange image(change);
    ImageChange other = image;
    const auto type = std::to_integer<std::uint8_t>(other.byte(offsetof(PageHeader, type)));
    if (++types[type] > 4) continue;  // of each kind a few
    other.byte(offsetof(PageHeader, type)) = std::byte{99};
    ASSERT_NO_FATAL_FAILURE(expect_damage(other, "an unknown type"));
    if (!image.has(kPageHeaderBytes)) continue;  // the rest is zeros
    other = image;
    for (std::size_t at = kPageHeaderBytes; at < kPageHeaderBytes + 8 && other.has(at); ++at) {
      other.byte(at) ^= std::byte{0xFF};
    }
    ASSERT_NO_FATAL_FAILURE(expect_damage(other, "another header"));
  }
  for (const PageType type : {PageType::kLeaf, PageType::kInternal, PageType::kHeap, PageType::kFreeSpaceMap}) {
    EXPECT_GT(types[static_cast<std::uint8_t>(type)], 0u) << "no page of type " << static_cast<unsigned>(type);
  }
  // The log as it was is good.
  const auto disk = killed_->killed();
  ASSERT_NO_FATAL_FAILURE(put_back(*disk, found.front()));
  Database db = *open_on(*disk);
  EXPECT_EQ(*db.open_map("m")->count(), 300u);
  expect_sound(db);
}

// Each operation stays within its page, and yet: an entry in the wrong place.
TEST_F(HostileLogTest, ChangesThatLeadToNonsenseAreNotBelieved) {
  unsigned tried = 0;
  for (Change change : changes(PageOp::kNodeInsert, true)) {
    const auto slot = load_little<std::uint16_t>(change.record.data() + change.at);
    if (slot == 0 || tried == 5 || !RecordView::parse(change.record)->undo()) continue;  // separators are not tried
    ++tried;
    store_little(change.record.data() + change.at, static_cast<std::uint16_t>(0));
    ASSERT_NO_FATAL_FAILURE(expect_refused_of(change, "an entry in the wrong place", "after the redo of the log"));
  }
  EXPECT_EQ(tried, 5u);
}

TEST_F(HostileLogTest, PagesThatCannotBeAreRefused) {
  Change change = changes(PageOp::kNodeInsert).front();
  change.part().page.set(raw(kSuperblockPages[1]));
  ASSERT_NO_FATAL_FAILURE(expect_refused_of(change, "a change", "it changes page 1, a superblock"));
  change.part().page.set(50'000'000);
  ASSERT_NO_FATAL_FAILURE(expect_refused_of(change, "a change", "it names page 50000000 of a data file that had "));
}

TEST_F(HostileLogTest, AnOperationThatDoesNotExistIsRefused) {
  Change change = changes(PageOp::kNodeInsert).front();
  change.part().op.set(200);
  ASSERT_NO_FATAL_FAILURE(expect_refused_of(change, "a change", "page operation 200 does not exist"));
}

// A slot that the leaf does not have: the operation itself is refused.
TEST_F(HostileLogTest, AnOperationThatDoesNotFitItsPageIsRefused) {
  Change change = changes(PageOp::kNodeInsert).back();
  store_little(change.record.data() + change.at, std::uint16_t{60'000});
  ASSERT_NO_FATAL_FAILURE(expect_refused_of(
      change, "a change", "redo of the log record at position " + std::to_string(raw(change.address)) + " on page"));
}

// Others are removed beside it. A number that is too large for any log is no reason to lose one's way.
TEST_F(HostileLogTest, AFileThatIsNoSegmentStays) {
  const std::string notes = "/db/log/notes.txt";
  const std::vector<std::byte> bytes(100, std::byte{'x'});
  for (const std::string& name : {notes, "/db/log/" + segment_name(UINT64_MAX)}) {  // no log gets so far
    const auto file = *killed_->open(name, OpenMode::kCreate);
    ASSERT_OK(file->write(0, bytes));
  }
  for (int round = 0; round < 2; ++round) expect_all_there(*killed_);
  EXPECT_EQ(file_bytes(*killed_, notes), bytes);
}

// The superblock names a record that is sound, but no checkpoint.
TEST_F(HostileLogTest, AnotherRecordInThePlaceOfTheCheckpointIsRefused) {
  const Lsn address = changes(PageOp::kNodeInsert).front().address;
  {
    const auto data = *killed_->open("/db/data.vg", OpenMode::kReadWrite);
    SuperblockStore superblocks = *SuperblockStore::load(*data);
    for (int copy = 0; copy < 2; ++copy) {
      SuperblockState next = superblocks.current();
      next.checkpoint = address;
      ASSERT_TRUE(superblocks.write(next));
    }
  }
  for (const bool read_only : {false, true}) {
    expect_refused(*killed_->killed(), read_only, "the superblock", "says that a checkpoint stands here");
  }
}

}  // namespace
}  // namespace vaultgres
