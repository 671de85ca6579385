// Log space reserved before the first latch, given back at the end of the scope.
#pragma once

#include "base/check.h"
#include "base/try.h"
#include "wal/log.h"

namespace vaultgres {

class LogSpace {
 public:
  explicit LogSpace(Log& log) noexcept : log_(log) {}
  LogSpace(const LogSpace&) = delete;
  LogSpace& operator=(const LogSpace&) = delete;
  ~LogSpace() {
    if (bytes_ > 0) log_.unreserve(bytes_);
    if (brief_ != nullptr) BriefSpace::subtract(*brief_, brief_bytes_);
  }

  Status reserve(std::uint64_t bytes) {
    VG_TRY(log_.reserve(bytes));
    bytes_ += bytes;
    return {};
  }
  /// The same, once, for who keeps nothing of it: cheaper where many do it at a time.
  Status reserve_briefly(std::uint64_t bytes) {
    VG_CHECK(brief_ == nullptr, "a second brief reservation would lose the first");
    brief_ = log_.try_reserve_briefly(bytes);
    if (brief_ == nullptr) return reserve(bytes);
    brief_bytes_ = bytes;
    return {};
  }
  /// These bytes stay reserved beyond the scope: somebody else gives them back.
  void keep(std::uint64_t bytes) noexcept {
    VG_CHECK(bytes <= bytes_, "more log space is kept than was reserved");
    bytes_ -= bytes;
  }

 private:
  Log& log_;
  std::uint64_t bytes_ = 0;
  BriefSpace::Counter* brief_ = nullptr;
  std::uint64_t brief_bytes_ = 0;
};

}  // namespace vaultgres
