// A view through which nothing is written: what its users see, and that the files below stay what they were.
#include "io/read_only_view.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <thread>
#include <vector>

#include "support/random.h"
#include "support/sim_file_system.h"

namespace vaultgres {
namespace {

constexpr std::uint64_t kPlenty = std::uint64_t{64} << 20;

std::string read_all(File& file) {
  std::string text(*file.size(), '?');
  EXPECT_TRUE(file.read(0, {reinterpret_cast<std::byte*>(text.data()), text.size()}));
  return text;
}

class ReadOnlyViewTest : public testing::Test {
 protected:
  void SetUp() override {
    make("data", random_.bytes(5 * kIoAlignment + 1000));
    make("old", "old content");
    disk_.settle();
  }
  void make(const std::string& name, const std::string& text) {
    auto file = *disk_.open(name, OpenMode::kCreate);
    ASSERT_TRUE(file->write(0, as_bytes(text)));
  }
  /// Nothing happened below that leaves a trace.
  void expect_untouched() { EXPECT_EQ(disk_.position(), 0u); }

  TestRandom random_;
  SimFileSystem disk_;
  ReadOnlyView view_{disk_, kPlenty};
};

// Goal: a file on the view behaves as a file: random writes, truncations and growth, against a string.
TEST_F(ReadOnlyViewTest, AFileIsWhatWasDoneToIt) {
  for (const bool made_here : {false, true}) {
    const char* name = made_here ? "fresh" : "data";
    std::string shadow = made_here ? std::string() : read_all(**disk_.open("data", OpenMode::kReadOnly));
    auto file = *view_.open(name, made_here ? OpenMode::kCreate : OpenMode::kReadWrite);
    for (int round = 0; round < 600; ++round) {
      const std::size_t offset = random_.uniform(12 * kIoAlignment);
      const std::size_t length = random_.uniform(3 * kIoAlignment) + 1;
      switch (random_.uniform(5)) {
        case 0:
        case 1: {
          const std::string text = random_.one_in(3) ? std::string(length, '\0') : random_.bytes(length);
          ASSERT_TRUE(file->write(offset, as_bytes(text)));
          shadow.resize(std::max(shadow.size(), offset + length));
          shadow.replace(offset, length, text);
          break;
        }
        case 2:
          ASSERT_TRUE(file->allocate(offset, length));
          shadow.resize(std::max(shadow.size(), offset + length));
          break;
        case 3:
          if (!random_.one_in(4)) break;
          ASSERT_TRUE(file->truncate(offset));
          shadow.resize(offset);
          break;
        default: {
          std::string back(length, '?');
          const std::size_t expected = shadow.size() - std::min(offset, shadow.size());
          const auto read = file->read_up_to(offset, {reinterpret_cast<std::byte*>(back.data()), length});
          ASSERT_EQ(*read, std::min(length, expected));
          ASSERT_EQ(back.substr(0, *read), shadow.substr(std::min(offset, shadow.size()), *read));
        }
      }
      ASSERT_EQ(*file->size(), shadow.size());
    }
    ASSERT_TRUE(file->sync());
    EXPECT_EQ(read_all(*file), shadow);
    EXPECT_EQ(read_all(**view_.open(name, OpenMode::kReadOnly)), shadow) << "another handle sees it as well";
  }
  expect_untouched();
}

// Goal: names that are made, moved and removed, in any order, are names of the view only.
TEST_F(ReadOnlyViewTest, NamesAreItsOwn) {
  ASSERT_TRUE(disk_.make_directory("d"));
  { ASSERT_TRUE(disk_.open("d/a", OpenMode::kCreate)); }
  { ASSERT_TRUE(disk_.open("d/b", OpenMode::kCreate)); }
  disk_.settle();
  using Names = std::vector<std::string>;
  EXPECT_EQ(view_.list("d").value(), (Names{"a", "b"}));
  EXPECT_EQ(view_.open("d/a", OpenMode::kCreate).error().code(), ErrorCode::kAlreadyExists);
  ASSERT_TRUE(view_.open("d/c", OpenMode::kCreate));
  EXPECT_EQ(view_.open("d/c", OpenMode::kCreate).error().code(), ErrorCode::kAlreadyExists);
  ASSERT_TRUE(view_.remove("d/a"));
  EXPECT_EQ(view_.remove("d/a").error().code(), ErrorCode::kNotFound);
  EXPECT_EQ(view_.open("d/a", OpenMode::kReadWrite).error().code(), ErrorCode::kNotFound);
  EXPECT_FALSE(view_.exists("d/a").value());
  ASSERT_TRUE(view_.rename("d/b", "d/e"));
  EXPECT_EQ(view_.rename("d/b", "d/f").error().code(), ErrorCode::kNotFound);
  ASSERT_TRUE(view_.sync_directory("d"));
  EXPECT_EQ(view_.list("d").value(), (Names{"c", "e"}));
  ASSERT_TRUE(view_.open("d/a", OpenMode::kCreate)) << "a name that went may come back";
  EXPECT_EQ(view_.list("d").value(), (Names{"a", "c", "e"}));
  ASSERT_TRUE(view_.rename("old", "data"));
  EXPECT_EQ(read_all(**view_.open("data", OpenMode::kReadOnly)), "old content");
  EXPECT_EQ(view_.make_directory("e").error().os_error(), EROFS);
  EXPECT_EQ(view_.list("missing").error().code(), ErrorCode::kNotFound);
  EXPECT_EQ(disk_.list("d").value(), (Names{"a", "b"}));
  expect_untouched();
}

// Goal: memory is bounded, zeros of new files are free, and what a file took comes back with it.
TEST_F(ReadOnlyViewTest, MemoryIsBounded) {
  ReadOnlyView view(disk_, 4 * kIoAlignment);
  const std::string block(kIoAlignment, 'x');
  {
    auto file = *view.open("segment", OpenMode::kCreate);
    const std::string zeros(1 << 20, '\0');
    for (std::uint64_t at = 0; at < 16; ++at) ASSERT_TRUE(file->write(at << 20, as_bytes(zeros)));
    EXPECT_EQ(*file->size(), std::uint64_t{16} << 20);
    for (std::uint64_t at = 0; at < 4; ++at) ASSERT_TRUE(file->write(at * kIoAlignment, as_bytes(block)));
    EXPECT_TRUE(file->write(kIoAlignment, as_bytes(block))) << "the same block takes nothing more";
    EXPECT_FALSE(view.was_full());
    EXPECT_EQ(file->write(5 * kIoAlignment, as_bytes(block)).error().code(), ErrorCode::kNoSpace);
    EXPECT_TRUE(view.was_full());
    ASSERT_TRUE(file->truncate(kIoAlignment));
    EXPECT_TRUE(file->write(5 * kIoAlignment, as_bytes(block)));
    ASSERT_TRUE(view.remove("segment"));
  }
  auto data = *view.open("data", OpenMode::kReadWrite);
  for (std::uint64_t at = 0; at < 4; ++at) ASSERT_TRUE(data->write(at * kIoAlignment, as_bytes(block)));
  EXPECT_FALSE(data->write(4 * kIoAlignment, as_bytes(block)));
  expect_untouched();
}

// Goal: errors of the files below are told with their cause.
TEST_F(ReadOnlyViewTest, PassesErrorsOn) {
  auto file = *view_.open("data", OpenMode::kReadWrite);
  disk_.inject({.call = IoCall::kRead, .os_error = EIO});
  std::string text(100, '?');
  EXPECT_EQ(file->read(0, {reinterpret_cast<std::byte*>(text.data()), text.size()}).error().os_error(), EIO);
  disk_.inject({.call = IoCall::kRead, .os_error = EIO});
  EXPECT_EQ(file->write(10, as_bytes("part of a block")).error().os_error(), EIO);
  disk_.inject({.call = IoCall::kOpen, .os_error = EACCES});
  EXPECT_EQ(view_.open("old", OpenMode::kReadWrite).error().os_error(), EACCES);
}

// Goal: views on one file share it, keep writers out, and give it back when the last is gone.
TEST_F(ReadOnlyViewTest, LocksBelow) {
  ReadOnlyView other(disk_, kPlenty);
  auto writer = *disk_.open("data", OpenMode::kReadWrite);
  {
    auto one = *view_.open("data", OpenMode::kReadWrite);
    ASSERT_TRUE(one->lock(LockMode::kShared));
    auto two = *other.open("data", OpenMode::kReadWrite);
    ASSERT_TRUE(two->lock(LockMode::kShared));
    EXPECT_EQ(writer->lock().error().code(), ErrorCode::kLocked);
    ASSERT_TRUE(view_.remove("data"));
  }
  EXPECT_EQ(writer->lock().error().code(), ErrorCode::kLocked) << "a view keeps the lock of a closed file";
  ASSERT_TRUE(other.remove("data"));
  ASSERT_TRUE(writer->lock());
  auto late = *ReadOnlyView(disk_, kPlenty).open("data", OpenMode::kReadWrite);
  EXPECT_EQ(late->lock(LockMode::kShared).error().code(), ErrorCode::kLocked);
}

// Goal: what happened to a file between opening and locking it is seen.
TEST_F(ReadOnlyViewTest, AFileIsWhatItIsWhenItIsLocked) {
  auto file = *view_.open("data", OpenMode::kReadWrite);
  const std::uint64_t size = *file->size();
  {
    auto writer = *disk_.open("data", OpenMode::kReadWrite);
    ASSERT_TRUE(writer->lock());
    EXPECT_EQ(file->lock(LockMode::kShared).error().code(), ErrorCode::kLocked);
    ASSERT_TRUE(writer->write(size, as_bytes("grown")));
  }
  ASSERT_TRUE(file->lock(LockMode::kShared));
  EXPECT_EQ(*file->size(), size + 5);
  EXPECT_EQ(read_all(*file).substr(size), "grown");
}

// Goal: several threads at once; each block is what one of its writers wrote.
TEST_F(ReadOnlyViewTest, ServesSeveralThreads) {
  auto file = *view_.open("data", OpenMode::kReadWrite);
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      const std::string mine(kIoAlignment, static_cast<char>('a' + t));
      std::string back(kIoAlignment, '?');
      for (std::uint64_t round = 0; round < 100; ++round) {
        const std::uint64_t offset = round % 8 * kIoAlignment;
        EXPECT_TRUE(file->write(offset, as_bytes(mine)));
        EXPECT_TRUE(file->read(offset, {reinterpret_cast<std::byte*>(back.data()), back.size()}));
        EXPECT_EQ(back, std::string(kIoAlignment, back[0]));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace vaultgres
