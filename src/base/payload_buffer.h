// A small byte buffer for building log payloads on the stack.
#pragma once

#include <array>

#include "base/check.h"
#include "base/little.h"
#include "base/types.h"

namespace vaultgres {

/// Grows by append; the capacity suffices for any payload of one page operation.
class PayloadBuffer {
 public:
  static constexpr std::size_t kCapacity = kPageBytes + 1024;

  void clear() noexcept { bytes_used_ = 0; }
  Bytes bytes() const noexcept { return {bytes_.data(), bytes_used_}; }

  void append(Bytes more) noexcept {
    VG_CHECK(more.size() <= kCapacity - bytes_used_, "payload of a page operation too long");
    if (!more.empty()) std::memcpy(bytes_.data() + bytes_used_, more.data(), more.size());
    bytes_used_ += more.size();
  }
  template <std::unsigned_integral T>
  void append_int(T value) noexcept {
    VG_CHECK(sizeof value <= kCapacity - bytes_used_, "payload of a page operation too long");
    store_little(bytes_.data() + bytes_used_, value);
    bytes_used_ += sizeof value;
  }

 private:
  std::size_t bytes_used_ = 0;
  std::array<std::byte, kCapacity> bytes_;  // NOLINT: deliberately not initialised
};

}  // namespace vaultgres
