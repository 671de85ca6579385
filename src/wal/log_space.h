// Log space reserved before the first latch, given back at the end of the scope.
#pragma once

#include "base/try.h"
#include "wal/log.h"

namespace vaultgres {

class LogSpace {
 public:
  explicit LogSpace(Log& log) noexcept : log_(log) {}
  LogSpace(const LogSpace&) = delete;
  LogSpace& operator=(const LogSpace&) = delete;
  ~LogSpace() { log_.unreserve(bytes_); }

  Status reserve(std::uint64_t bytes) {
    VG_TRY(log_.reserve(bytes));
    bytes_ += bytes;
    return {};
  }
  /// These bytes stay reserved beyond the scope: somebody else gives them back.
  void keep(std::uint64_t bytes) noexcept { bytes_ -= bytes; }

 private:
  Log& log_;
  std::uint64_t bytes_ = 0;
};

}  // namespace vaultgres
