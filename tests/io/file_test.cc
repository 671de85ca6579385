// File and the non-virtual calls of FileSystem: what they continue, and what they report.
#include "io/file.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <string>

#include "support/random.h"
#include "support/sim_file_system.h"

namespace vaultgres {
namespace {

MutableBytes writable(std::string& text) {
  return {reinterpret_cast<std::byte*>(text.data()), text.size()};
}

class FileTest : public testing::Test {
 protected:
  SimFileSystem disk_;
  std::unique_ptr<File> file_ = *disk_.open("data", OpenMode::kCreate);
  TestRandom random_;
};

// Goal: a transfer that the system cuts short or interrupts, again and again, still moves every byte to
// its place.
TEST_F(FileTest, ContinuesShortAndInterruptedTransfers) {
  for (const std::size_t at_most : {1u, 7u, 512u, 4096u}) {
    disk_.clear_faults();
    for (const IoCall call : {IoCall::kRead, IoCall::kWrite}) {
      disk_.inject({.call = call, .at = 2, .os_error = EINTR});
      disk_.inject({.call = call, .sticky = true, .transfer_at_most = at_most});
    }
    const std::string text = random_.bytes(10000);
    ASSERT_TRUE(file_->write(123, as_bytes(text)));
    std::string back(text.size(), '\0');
    ASSERT_TRUE(file_->read(123, writable(back)));
    EXPECT_EQ(back, text);
  }
  EXPECT_GT(disk_.calls(IoCall::kWrite), 10000u);
}

// Goal: a write that moves nothing is an error, not an endless loop.
TEST_F(FileTest, AWriteOfNothingFails) {
  disk_.inject({.call = IoCall::kWrite, .sticky = true, .transfer_at_most = 0});
  const Status written = file_->write(0, as_bytes("text"));
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code(), ErrorCode::kIo);
}

// Goal: reading behind the end is damage to who expects bytes there, and a short count to who asks for one.
TEST_F(FileTest, ReadsUpToTheEnd) {
  ASSERT_TRUE(file_->write(0, as_bytes("0123456789")));
  std::string back(8, '\0');
  EXPECT_EQ(file_->read_up_to(6, writable(back)).value(), 4u);
  EXPECT_EQ(back.substr(0, 4), "6789");
  EXPECT_EQ(file_->read_up_to(99, writable(back)).value(), 0u);
  const Status read = file_->read(6, writable(back));
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code(), ErrorCode::kCorruption);
  EXPECT_NE(read.error().message().find("data: file ends at offset 10"), std::string_view::npos)
      << read.error().message();
}

// Goal: errors name file, call, bytes and offset, and carry the errno; a full disk has its own code.
TEST_F(FileTest, ErrorsSayWhatAndWhere) {
  disk_.inject({.call = IoCall::kWrite, .os_error = EIO});
  const Status written = file_->write(4096, as_bytes("text"));
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().message(), "data: write of 4 bytes at offset 4096 failed: Input/output error");
  EXPECT_EQ(written.error().code(), ErrorCode::kIo);
  EXPECT_EQ(written.error().os_error(), EIO);
  for (const int full : {ENOSPC, EDQUOT, EFBIG}) {
    disk_.inject({.call = IoCall::kWrite, .os_error = full});
    disk_.inject({.call = IoCall::kAllocate, .os_error = full});
    EXPECT_EQ(file_->write(0, as_bytes("text")).error().code(), ErrorCode::kNoSpace);
    EXPECT_EQ(file_->allocate(0, 4096).error().code(), ErrorCode::kNoSpace);
  }
  EXPECT_TRUE(file_->write(0, as_bytes("text"))) << "writes go on when there is room";
}

// Goal: every call continues after EINTR and reports any other errno, exactly once per call.
TEST_F(FileTest, EveryCallContinuesInterruptionsAndReportsErrors) {
  ASSERT_TRUE(disk_.make_directory("d"));
  const std::pair<IoCall, std::function<bool()>> calls[] = {
      {IoCall::kSync, [&] { return file_->sync().has_value(); }},
      {IoCall::kTruncate, [&] { return file_->truncate(10).has_value(); }},
      {IoCall::kAllocate, [&] { return file_->allocate(0, 4096).has_value(); }},
      {IoCall::kOpen, [&] { return disk_.open("data", OpenMode::kReadWrite).has_value(); }},
      {IoCall::kDirectorySync, [&] { return disk_.sync_directory("d").has_value(); }},
      {IoCall::kRename, [&] { return disk_.rename("data", "data").has_value(); }},
      {IoCall::kMakeDirectory, [&] { return disk_.make_directory("m").has_value() && disk_.remove("m").has_value(); }},
  };
  for (const auto& [call, make] : calls) {
    SCOPED_TRACE(io_call_name(call));
    disk_.inject({.call = call, .os_error = EINTR});
    EXPECT_TRUE(make());
    disk_.inject({.call = call, .os_error = EIO});
    EXPECT_FALSE(make());
    EXPECT_TRUE(make());
  }
}

// Goal: what a signal interrupts again and again fails in the end, and does not hang.
TEST_F(FileTest, ACallThatIsInterruptedForEverFails) {
  for (const IoCall call : {IoCall::kRead, IoCall::kWrite, IoCall::kSync, IoCall::kList}) {
    disk_.inject({.call = call, .os_error = EINTR, .sticky = true});
  }
  std::byte byte{};
  EXPECT_EQ(file_->read_up_to(0, {&byte, 1}).error().code(), ErrorCode::kIo);
  EXPECT_EQ(file_->write(0, as_bytes("text")).error().code(), ErrorCode::kIo);
  EXPECT_EQ(file_->sync().error().os_error(), EINTR);
  EXPECT_EQ(disk_.list("/").error().code(), ErrorCode::kIo);
}

// Goal: the codes a caller acts on: missing, taken, locked.
TEST_F(FileTest, CodesForMissingTakenAndLocked) {
  EXPECT_EQ(disk_.open("missing", OpenMode::kReadWrite).error().code(), ErrorCode::kNotFound);
  EXPECT_EQ(disk_.open("data", OpenMode::kCreate).error().code(), ErrorCode::kAlreadyExists);
  ASSERT_TRUE(file_->lock());
  EXPECT_TRUE(file_->lock()) << "the holder may ask again";
  auto second = *disk_.open("data", OpenMode::kReadWrite);
  EXPECT_EQ(second->lock().error().code(), ErrorCode::kLocked);
  file_.reset();
  EXPECT_TRUE(second->lock());
}

}  // namespace
}  // namespace vaultgres
