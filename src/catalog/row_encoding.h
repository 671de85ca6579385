// Rows as bytes and back. The format is in format/row.h.
//
// Decoders take any bytes: they never read outside and accept only what the encoder makes (a single column is
// decoded without a look at the others, and checks only what it needs).
//
// Thread safety: a RowCodec is immutable.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/types.h"
#include "vaultgres/value.h"

namespace vaultgres {

class RowCodec {
 public:
  explicit RowCodec(Schema schema);

  const Schema& schema() const noexcept { return schema_; }

  /// Into `out`, whose memory is reused. kInvalidArgument: not a row of this table. kTooLarge: above kMaxValueBytes.
  Status encode(std::span<const Value> row, std::string& out) const;

  /// All values into `row`, whose memory is reused; text and bytes are views of `bytes`.
  Status decode(Bytes bytes, Row& row) const;
  /// One value; text and bytes are a view of `bytes`. Precondition: column < schema().size().
  Result<Value> decode_column(Bytes bytes, std::size_t column) const;

 private:
  /// Where a column's value stands.
  struct Place {
    std::uint32_t nullable;  ///< its number among the nullable columns; kNotNullable
    std::uint32_t offset;    ///< fixed: from the first fixed value; else: its number among text and bytes
    bool fixed;
  };
  /// A row's sections, within its bytes.
  struct Sections {
    Bytes nulls;  ///< empty: no NULL
    Bytes fixed;
    Bytes ends;
    Bytes data;
    std::size_t end_bytes;  ///< of one end
  };
  Status check_values(std::span<const Value> row) const;
  Result<Sections> split(Bytes bytes) const;
  Status check_nulls(Bytes nulls) const;
  bool is_null(const Sections& row, const Place& place) const noexcept;
  Result<Value> value_at(const Sections& row, std::size_t column) const;
  Result<Bytes> data_at(const Sections& row, std::size_t number) const;

  Schema schema_;
  std::vector<Place> places_;
  std::size_t nullable_count_ = 0;
  std::size_t fixed_bytes_ = 0;
  std::size_t varying_count_ = 0;
};

}  // namespace vaultgres
