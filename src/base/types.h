// The engine's small types: distinct ids, byte views.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>

namespace vaultgres {

/// Fixed in the product; the tests are also built with 1-KiB pages for deep trees and odd sizes.
#ifndef VG_PAGE_BYTES
#define VG_PAGE_BYTES 8192
#endif
inline constexpr std::size_t kPageBytes = VG_PAGE_BYTES;
static_assert(kPageBytes == 8192 || kPageBytes == 1024, "8 KiB in the product, 1 KiB in tests");

using Bytes = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;

/// A page's number in the data file: byte offset / kPageBytes. 32 bits on disk: 32 TiB.
enum class PageId : std::uint32_t {};
inline constexpr PageId kNoPage{0xFFFFFFFFu};

/// A byte position in the log: the position just after a record. Page LSNs, commit LSNs.
enum class Lsn : std::uint64_t {};
inline constexpr Lsn kNoLsn{0};

/// A tree's, table's or chain's number. Never reused.
enum class ObjectId : std::uint32_t {};

/// A transaction's number. Never reused. 0: a system record, redo only.
enum class TxnId : std::uint64_t {};
inline constexpr TxnId kNoTxn{0};

template <class E>
constexpr auto raw(E e) noexcept {
  return static_cast<std::underlying_type_t<E>>(e);
}

inline Bytes as_bytes(std::string_view text) noexcept {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}
inline std::string_view as_text(Bytes bytes) noexcept {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace vaultgres
