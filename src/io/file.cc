#include "io/file.h"

#include <cerrno>

#include "base/check.h"
#include "base/seeded_bug.h"
#include "base/try.h"
#include "io/interrupted.h"
#include "io/io_error.h"

namespace vaultgres {
namespace {

std::string transfer_text(const char* what, std::size_t bytes, std::uint64_t offset) {
  return std::string(what) + " of " + std::to_string(bytes) + " bytes at offset " + std::to_string(offset);
}

}  // namespace

Result<std::size_t> File::read_up_to(std::uint64_t offset, MutableBytes into) {
  std::size_t done = 0;
  while (done < into.size()) {
    const IoAttempt attempt = uninterrupted([&] { return raw_->read(offset + done, into.subspan(done)); });
    if (attempt.os_error != 0) {
      return io_error(
          path_, [&] { return transfer_text("read", into.size(), offset); }, attempt.os_error);
    }
    VG_CHECK(attempt.bytes <= into.size() - done, "a read transferred more than asked");
    if (attempt.bytes == 0) break;
    done += attempt.bytes;
  }
  return done;
}

Status File::read(std::uint64_t offset, MutableBytes into) {
  VG_ASSIGN(const std::size_t done, read_up_to(offset, into));
  if (done == into.size()) return {};
  return Error(ErrorCode::kCorruption, path_ + ": file ends at offset " + std::to_string(offset + done) +
                                           ", inside a " + transfer_text("read", into.size(), offset));
}

Status File::write(std::uint64_t offset, Bytes from) {
  std::size_t done = 0;
  while (done < from.size()) {
    const IoAttempt attempt = uninterrupted([&] { return raw_->write(offset + done, from.subspan(done)); });
    if (attempt.os_error != 0) {
      return io_error(
          path_, [&] { return transfer_text("write", from.size(), offset); }, attempt.os_error);
    }
    VG_CHECK(attempt.bytes <= from.size() - done, "a write transferred more than asked");
    if (attempt.bytes == 0) {
      return io_error(
          path_, [&] { return transfer_text("write", from.size(), offset) + ", of which nothing was written,"; }, EIO);
    }
    done += attempt.bytes;
  }
  return {};
}

Status File::sync() {
  if (const int os_error = uninterrupted([&] { return raw_->sync(); })) return io_error(path_, "sync", os_error);
  return {};
}

Status File::truncate(std::uint64_t size) {
  if (const int os_error = uninterrupted([&] { return raw_->truncate(size); })) {
    return io_error(
        path_, [&] { return "truncate to " + std::to_string(size) + " bytes"; }, os_error);
  }
  return {};
}

Status File::allocate(std::uint64_t offset, std::uint64_t length) {
  if (length == 0) return {};
  if (const int os_error = uninterrupted([&] { return raw_->allocate(offset, length); })) {
    return io_error(
        path_, [&] { return transfer_text("allocation", length, offset); }, os_error);
  }
  return {};
}

Result<std::uint64_t> File::size() {
  std::uint64_t bytes = 0;
  if (const int os_error = uninterrupted([&] { return raw_->size(&bytes); })) {
    return io_error(path_, "asking for the size", os_error);
  }
  return bytes;
}

Status File::lock(LockMode mode) {
  if (VG_SEEDED_BUG(kLockDropped)) return {};
  const int os_error = uninterrupted([&] { return raw_->lock(mode); });
  if (os_error == 0) return {};
  if (os_error == EWOULDBLOCK) {
    const char* who = mode == LockMode::kShared
                          ? ": locked by another process, or by another handle of this process, that has it open for "
                            "writing, which excludes readers"
                          : ": locked by another process, or by another handle of this process; whoever opens it for "
                            "writing must be alone, without readers too";
    return Error(ErrorCode::kLocked, path_ + who, os_error);
  }
  return io_error(path_, "lock", os_error);
}

}  // namespace vaultgres
