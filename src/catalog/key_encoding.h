// Keys of indexes: column values as bytes whose memcmp order is the order of the values.
//
//   key    = column … column [TID]
//   column = [marker] value        each byte of it inverted when the column is descending
//
// marker      only of nullable columns: 0 NULL, 1 a value. Behind 0, zeros in the width of the type stand in for a
//             value of fixed width, so that NULLs do not cost an index over numbers its fixed stride; nothing for
//             text and bytes.
// integers    big-endian with flipped sign bit: 2, 4 or 8 bytes; date 4, timestamp 8; bool one byte, 0 or 1.
// double      8 bytes, big-endian: sign bit flipped if it was clear, all bits if it was set. -0 is stored as 0 and
//             every NaN as the positive quiet one, which comes after infinity.
// text, bytes each 00 as 00 FF, then 00 00. The end sorts below every continuation, also one with a zero byte, and
//             no value is a prefix of another, so what follows in a composite key cannot change the order.
// TID         6 bytes (heap/tid.h): in keys of indexes that are not unique, and in unique keys that hold a NULL,
//             since NULLs are no duplicates of each other.
//
// A key, TID included, has at most kKeyBytesMax bytes; bounds of scans never have more.
//
// Decoders take any bytes: they never read outside and accept only what the encoder makes.
//
// Thread safety: a KeyCodec is immutable.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/types.h"
#include "heap/tid.h"
#include "vaultgres/value.h"

namespace vaultgres {

inline constexpr std::size_t kIndexColumnsMax = 32;

/// A column of an index.
struct IndexColumn {
  std::uint16_t column = 0;  ///< its place in the table's schema
  bool descending = false;
  friend bool operator==(const IndexColumn&, const IndexColumn&) = default;
};

/// Byte strings [low, high); without high to the end of the tree.
struct KeyBounds {
  std::string low;
  std::optional<std::string> high;
  bool contains(std::string_view key) const noexcept { return key >= low && (!high || key < *high); }
  friend bool operator==(const KeyBounds&, const KeyBounds&) = default;
};

/// The least byte string above every one that begins with `prefix`; none when there is no such string (only FF
/// bytes, or nothing at all).
std::optional<std::string> prefix_successor(std::string_view prefix);

class KeyCodec {
 public:
  /// 1 to kIndexColumnsMax different columns of the schema.
  static Result<KeyCodec> create(const Schema& schema, std::span<const IndexColumn> columns);

  std::size_t size() const noexcept { return parts_.size(); }

  /// The key of a whole row of the table, with its TID if the key needs one.
  Status encode_row(std::span<const Value> row, bool unique, Tid tid, std::string& out) const;
  /// The same of the index columns' values alone.
  Status encode(std::span<const Value> values, bool unique, Tid tid, std::string& out) const;

  struct Entry {
    Row values;  ///< one per index column, owned
    std::optional<Tid> tid;
  };
  Result<Entry> decode(Bytes key, bool unique) const;

  // --- Bounds of scans. `values` are those of the first index columns, checked like values of rows. Values too long
  // for any key are welcome: the bounds then hold what the comparison says. Bounds that hold nothing are ["", "").

  /// Entries whose first columns equal `values` (all entries: no values). NULL equals NULL here.
  Result<KeyBounds> equal(std::span<const Value> values) const;
  /// Entries whose first columns equal `values` and whose next one lies between two values, in the order of
  /// values whichever way the column is stored. With one bound only, the other end leaves out NULLs, as a
  /// comparison does; a bound that is NULL itself takes them in or out by name.
  Result<KeyBounds> range(std::span<const Value> values, const std::optional<ValueBound>& from,
                          const std::optional<ValueBound>& to) const;
  /// Entries whose first columns equal `values` and whose next one, text or bytes, begins with `prefix`.
  Result<KeyBounds> starting_with(std::span<const Value> values, std::string_view prefix) const;

 private:
  struct Part {
    Column column;
    std::uint16_t place;  ///< in the schema
    bool descending;
  };
  explicit KeyCodec(std::vector<Part> parts) noexcept : parts_(std::move(parts)) {}
  static Status append(const Part& part, const Value& value, std::string& out);
  Status append_first(std::span<const Value> values, std::string& out) const;
  Status check_next(std::span<const Value> values) const;

  std::vector<Part> parts_;
};

}  // namespace vaultgres
