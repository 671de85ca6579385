// The machine's own file system, in a temporary directory.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "base/aligned_buffer.h"
#include "io/file.h"
#include "support/descriptors.h"
#include "support/other_process.h"
#include "support/random.h"
#include "support/temp_directory.h"

namespace vaultgres {
namespace {

AlignedBuffer random_buffer(TestRandom& random, std::size_t bytes) {
  AlignedBuffer buffer = *AlignedBuffer::make(bytes);
  for (std::byte& b : buffer.span()) b = static_cast<std::byte>(random.next());
  return buffer;
}

bool equal(Bytes a, Bytes b) {
  return as_text(a) == as_text(b);
}

class PosixFileTest : public testing::Test {
 protected:
  /// Null when it cannot be opened, or not be locked.
  std::unique_ptr<File> open_locked(LockMode mode) {
    auto file = system_.open(path_, OpenMode::kReadWrite);
    return file && (*file)->lock(mode) ? *std::move(file) : nullptr;
  }

  TempDirectory directory_;
  TestRandom random_;
  FileSystem& system_ = posix_file_system();
  std::string path_ = directory_.file("data");
};

// Goal: what was written is read back, after a reopen as well.
TEST_F(PosixFileTest, WritesAndReads) {
  const AlignedBuffer written = random_buffer(random_, 5 * kIoAlignment);
  {
    auto file = *system_.open(path_, OpenMode::kCreate);
    ASSERT_TRUE(file->write(kIoAlignment, written.span()));
    ASSERT_TRUE(file->sync());
    EXPECT_EQ(file->size().value(), 6 * kIoAlignment);
    EXPECT_EQ(file->path(), path_);
  }
  auto file = *system_.open(path_, OpenMode::kReadOnly);
  AlignedBuffer back = *AlignedBuffer::make(written.size());
  ASSERT_TRUE(file->read(kIoAlignment, back.span()));
  EXPECT_TRUE(equal(back.span(), written.span()));
  EXPECT_FALSE(file->write(0, written.span())) << "opened for reading only";
}

// Goal: the end of the file, also one inside a block, is found and told by both kinds of read.
TEST_F(PosixFileTest, ReadsUpToTheEnd) {
  auto file = *system_.open(path_, OpenMode::kCreate);
  ASSERT_TRUE(file->write(0, random_buffer(random_, 2 * kIoAlignment).span()));
  AlignedBuffer back = *AlignedBuffer::make(4 * kIoAlignment);
  for (const std::size_t size : {2 * kIoAlignment, kIoAlignment + 1000, std::size_t{1}, std::size_t{0}}) {
    ASSERT_TRUE(file->truncate(size));
    EXPECT_EQ(file->read_up_to(0, back.span()).value(), size);
    const Status read = file->read(0, back.span());
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().code(), ErrorCode::kCorruption);
    EXPECT_NE(read.error().message().find("file ends at offset " + std::to_string(size)), std::string_view::npos);
  }
}

// Goal: transfers that direct I/O refuses still work: odd offsets, lengths and addresses.
TEST_F(PosixFileTest, FallsBackForUnalignedTransfers) {
  auto file = *system_.open(path_, OpenMode::kCreate);
  std::string shadow(64 * 1024, '\0');
  ASSERT_TRUE(file->allocate(0, shadow.size()));
  for (int round = 0; round < 200; ++round) {
    const std::size_t offset = random_.uniform(shadow.size());
    const std::size_t length = random_.uniform(std::min<std::size_t>(shadow.size() - offset, 9000)) + 1;
    if (random_.one_in(2)) {
      const std::string text = random_.bytes(length);
      ASSERT_TRUE(file->write(offset, as_bytes(text)));
      shadow.replace(offset, length, text);
    } else {
      std::string back(length, '\0');
      ASSERT_TRUE(file->read(offset, {reinterpret_cast<std::byte*>(back.data()), length}));
      ASSERT_EQ(back, shadow.substr(offset, length));
    }
  }
}

// Goal: a limit of the file's size inside a block cuts a write before that block, and direct I/O goes on.
TEST_F(PosixFileTest, ALimitInsideABlockLeavesDirectIo) {
  EXPECT_EQ(run_in_child([&] {
              rlimit limit{};
              if (::getrlimit(RLIMIT_FSIZE, &limit) != 0) return 1;
              limit.rlim_cur = 3 * kIoAlignment + 512;
              if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return 1;
              auto file = *system_.open(path_, OpenMode::kCreate);
              const int before = ::fcntl(descriptor_of(path_), F_GETFL);
              const Status written = file->write(0, AlignedBuffer::make(4 * kIoAlignment)->span());
              if (written || written.error().code() != ErrorCode::kNoSpace) return 2;
              if (*file->size() != 3 * kIoAlignment) return 3;
              return ::fcntl(descriptor_of(path_), F_GETFL) == before ? 0 : 4;
            }),
            0);
}

// Goal: a file system without direct I/O works as well (/dev/shm is one on older kernels).
TEST_F(PosixFileTest, WorksInMemoryFileSystems) {
  if (!std::filesystem::is_directory("/dev/shm")) GTEST_SKIP() << "no /dev/shm";
  const std::string path = "/dev/shm/vaultgres_test_" + std::to_string(::getpid());
  auto opened = system_.open(path, OpenMode::kCreate);
  if (!opened) GTEST_SKIP() << opened.error().message();
  const AlignedBuffer written = random_buffer(random_, 2 * kIoAlignment);
  AlignedBuffer back = *AlignedBuffer::make(2 * kIoAlignment);
  EXPECT_TRUE((*opened)->allocate(0, 4 * kIoAlignment));
  EXPECT_TRUE((*opened)->write(kIoAlignment, written.span()));
  EXPECT_TRUE((*opened)->sync());
  EXPECT_TRUE((*opened)->read(kIoAlignment, back.span()));
  EXPECT_TRUE(equal(back.span(), written.span()));
  EXPECT_TRUE(system_.remove(path));
}

// Goal: allocation grows with zeros, leaves what is there, and never shrinks.
TEST_F(PosixFileTest, AllocatesZerosBehindTheEnd) {
  auto file = *system_.open(path_, OpenMode::kCreate);
  const AlignedBuffer written = random_buffer(random_, kIoAlignment);
  ASSERT_TRUE(file->write(0, written.span()));
  ASSERT_TRUE(file->allocate(0, 8 * kIoAlignment));
  EXPECT_EQ(file->size().value(), 8 * kIoAlignment);
  ASSERT_TRUE(file->allocate(0, kIoAlignment));
  ASSERT_TRUE(file->allocate(0, 0));
  EXPECT_EQ(file->size().value(), 8 * kIoAlignment);
  AlignedBuffer back = *AlignedBuffer::make(8 * kIoAlignment);
  ASSERT_TRUE(file->read(0, back.span()));
  EXPECT_TRUE(equal(back.span().first(kIoAlignment), written.span()));
  EXPECT_TRUE(equal(back.span().subspan(kIoAlignment), Bytes(AlignedBuffer::make(7 * kIoAlignment)->span())));
}

// Goal: a lock is exclusive between handles of one process and goes with its handle, not with another's.
TEST_F(PosixFileTest, LocksOutASecondHandle) {
  auto holder = *system_.open(path_, OpenMode::kCreate);
  ASSERT_TRUE(holder->lock());
  EXPECT_TRUE(holder->lock()) << "the holder may ask again";
  for (int round = 0; round < 2; ++round) {
    // Opening and closing other handles must not drop the lock, as it would with fcntl() locks.
    auto other = *system_.open(path_, OpenMode::kReadWrite);
    const Status locked = other->lock();
    ASSERT_FALSE(locked);
    EXPECT_EQ(locked.error().code(), ErrorCode::kLocked);
  }
  const std::string alias = directory_.file("alias");
  std::filesystem::create_hard_link(path_, alias);
  EXPECT_FALSE((*system_.open(alias, OpenMode::kReadWrite))->lock()) << "another name of the same file";
  holder.reset();
  EXPECT_TRUE((*system_.open(path_, OpenMode::kReadWrite))->lock());
}

// Goal: readers share a file, also when they may only read it; one writer and any reader exclude each other.
TEST_F(PosixFileTest, ReadersShareALock) {
  auto writer = *system_.open(path_, OpenMode::kCreate);
  auto first = *system_.open(path_, OpenMode::kReadOnly);
  auto second = *system_.open(path_, OpenMode::kReadOnly);
  ASSERT_TRUE(first->lock(LockMode::kShared));
  ASSERT_TRUE(second->lock(LockMode::kShared));
  EXPECT_TRUE(first->lock(LockMode::kShared)) << "the holder may ask again";
  EXPECT_FALSE(first->lock(LockMode::kExclusive)) << "but not for the other kind";
  const Status alone = writer->lock();
  ASSERT_FALSE(alone);
  EXPECT_EQ(alone.error().code(), ErrorCode::kLocked);
  EXPECT_NE(alone.error().message().find("without readers"), std::string_view::npos) << alone.error().message();
  first.reset();
  EXPECT_EQ(writer->lock().error().code(), ErrorCode::kLocked) << "one reader is left";
  second.reset();
  ASSERT_TRUE(writer->lock());
  auto third = *system_.open(path_, OpenMode::kReadOnly);
  const Status shared = third->lock(LockMode::kShared);
  ASSERT_FALSE(shared);
  EXPECT_EQ(shared.error().code(), ErrorCode::kLocked);
  EXPECT_NE(shared.error().message().find("for writing"), std::string_view::npos) << shared.error().message();
  writer.reset();
  EXPECT_TRUE(third->lock(LockMode::kShared));
}

// Goal: the same between two processes.
TEST_F(PosixFileTest, ReadersOfTwoProcessesShareALock) {
  ASSERT_TRUE(system_.open(path_, OpenMode::kCreate));
  for (const LockMode other_has : {LockMode::kShared, LockMode::kExclusive}) {
    OtherProcess other([&] { return open_locked(other_has); });
    ASSERT_TRUE(other.holds());
    auto writer = *system_.open(path_, OpenMode::kReadWrite);
    auto reader = *system_.open(path_, OpenMode::kReadOnly);
    EXPECT_EQ(writer->lock().error().code(), ErrorCode::kLocked);
    EXPECT_EQ(reader->lock(LockMode::kShared).has_value(), other_has == LockMode::kShared);
    other.kill();
    EXPECT_TRUE(reader->lock(LockMode::kShared));
  }
}

// Goal: a lock is exclusive between processes, and the kernel drops it with a killed process.
TEST_F(PosixFileTest, LocksOutAnotherProcess) {
  ASSERT_TRUE(system_.open(path_, OpenMode::kCreate));
  OtherProcess other([&] { return open_locked(LockMode::kExclusive); });
  ASSERT_TRUE(other.holds());
  auto file = *system_.open(path_, OpenMode::kReadWrite);
  EXPECT_EQ(file->lock().error().code(), ErrorCode::kLocked);
  other.kill();
  EXPECT_TRUE(file->lock());
}

// Goal: never descriptors 0 to 2 (stray output would land in the database), and none survives exec.
TEST_F(PosixFileTest, KeepsOffTheStandardDescriptors) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    for (int descriptor = 0; descriptor < 3; ++descriptor) ::close(descriptor);
    auto file = system_.open(path_, OpenMode::kCreate);
    bool good = file.has_value();
    for (int descriptor = 0; descriptor < 3; ++descriptor) good = good && ::fcntl(descriptor, F_GETFD) < 0;
    ::_exit(good ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);

  ASSERT_TRUE(system_.open(path_, OpenMode::kReadWrite)) << "the first one of a process takes a descriptor for good";
  std::vector<bool> before(256);
  for (int i = 0; i < 256; ++i) before[static_cast<std::size_t>(i)] = ::fcntl(i, F_GETFD) >= 0;
  auto file = *system_.open(path_, OpenMode::kReadWrite);
  int added = 0;
  for (int i = 0; i < 256; ++i) {
    const int flags = ::fcntl(i, F_GETFD);
    if (flags < 0 || before[static_cast<std::size_t>(i)]) continue;
    ++added;
    EXPECT_TRUE(flags & FD_CLOEXEC);
  }
  EXPECT_EQ(added, 1);
}

// Goal: a process that has closed all its descriptors opens files anew, which a child cannot reach either.
TEST_F(PosixFileTest, AChildOfAProcessThatHasClosedAllDescriptorsReachesNoFile) {
  EXPECT_EQ(run_in_child([&] {
              if (!system_.open(path_, OpenMode::kCreate)) return 1;
              const int useless = descriptor_of("/");
              for (int descriptor = 3; descriptor < 256; ++descriptor) ::close(descriptor);
              std::vector<std::unique_ptr<File>> files;
              while (files.size() < 2 || ::fcntl(useless, F_GETFD) < 0) {
                files.push_back(*system_.open(path_, OpenMode::kReadWrite));
              }
              if (useless < 0 || descriptor_of(path_) < 0) return 2;
              return run_in_child([&] { return descriptor_of(path_) < 0 ? 0 : 3; });
            }),
            0);
}

// Goal: nor do a child's descriptors lead to what got the number of one that the process has closed.
TEST_F(PosixFileTest, AChildsDescriptorsDoNotBecomeThoseOfAnotherFile) {
  const std::string others_path = directory_.file("another's");
  EXPECT_EQ(run_in_child([&] {
              const auto file = *system_.open(path_, OpenMode::kCreate);
              const int descriptor = descriptor_of(path_);
              const int useless = descriptor_of("/");
              if (descriptor < 0 || useless < 0) return 1;
              ::close(useless);
              const int others = ::open(others_path.c_str(), O_CREAT | O_RDWR, 0644);
              if (::dup2(others, useless) != useless) return 2;
              if (run_in_child([&] { return ::fcntl(descriptor, F_GETFD) < 0 ? 0 : 3; }) != 0) return 3;
              if (!system_.open(path_, OpenMode::kReadWrite)) return 4;
              return ::write(useless, "x", 1) == 1 ? 0 : 5;
            }),
            0);
}

// Goal: directories: make, list sorted, rename over, remove, sync, exists.
TEST_F(PosixFileTest, ManagesNames) {
  const std::string inner = directory_.file("inner");
  ASSERT_TRUE(system_.make_directory(inner));
  EXPECT_EQ(system_.make_directory(inner).error().code(), ErrorCode::kAlreadyExists);
  for (const char* name : {"b", "a", "c"}) ASSERT_TRUE(system_.open(inner + "/" + name, OpenMode::kCreate));
  EXPECT_EQ(system_.list(inner).value(), (std::vector<std::string>{"a", "b", "c"}));
  ASSERT_TRUE(system_.rename(inner + "/a", inner + "/c"));
  ASSERT_TRUE(system_.remove(inner + "/b"));
  ASSERT_TRUE(system_.sync_directory(inner));
  EXPECT_EQ(system_.list(inner).value(), std::vector<std::string>{"c"});
  EXPECT_FALSE(system_.exists(inner + "/a").value());
  EXPECT_TRUE(system_.exists(inner + "/c").value());
  EXPECT_FALSE(system_.exists(inner + "/c/below").value());
}

// Goal: errors name the path and have the code that callers act on.
TEST_F(PosixFileTest, ReportsErrors) {
  const std::string missing = directory_.file("missing");
  const auto opened = system_.open(missing, OpenMode::kReadWrite);
  EXPECT_EQ(opened.error().code(), ErrorCode::kNotFound);
  EXPECT_EQ(opened.error().message(), missing + ": open failed: No such file or directory");
  EXPECT_EQ(opened.error().os_error(), ENOENT);
  EXPECT_EQ(system_.remove(missing).error().code(), ErrorCode::kNotFound);
  EXPECT_EQ(system_.rename(missing, path_).error().code(), ErrorCode::kNotFound);
  EXPECT_EQ(system_.list(missing).error().code(), ErrorCode::kNotFound);
  EXPECT_FALSE(system_.sync_directory(missing));
  ASSERT_TRUE(system_.open(path_, OpenMode::kCreate));
  EXPECT_EQ(system_.open(path_, OpenMode::kCreate).error().code(), ErrorCode::kAlreadyExists);
  auto file = *system_.open(path_, OpenMode::kReadWrite);
  EXPECT_FALSE(file->truncate(std::uint64_t{1} << 63));
}

// Goal: one File serves several threads at once.
TEST_F(PosixFileTest, ServesSeveralThreads) {
  auto file = *system_.open(path_, OpenMode::kCreate);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < 4; ++t) {
    threads.emplace_back([&file, t] {
      TestRandom random(t + 1);
      const AlignedBuffer mine = random_buffer(random, kIoAlignment);
      AlignedBuffer back = *AlignedBuffer::make(kIoAlignment);
      for (std::uint64_t round = 0; round < 20; ++round) {
        const std::uint64_t offset = (round * 4 + t) * kIoAlignment;
        EXPECT_TRUE(file->write(offset, mine.span()));
        EXPECT_TRUE(file->read(offset, back.span()));
        EXPECT_TRUE(equal(back.span(), mine.span()));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace vaultgres
