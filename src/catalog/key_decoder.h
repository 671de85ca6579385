// Takes the columns of an index key apart. Safe on any bytes.
#pragma once

#include "base/types.h"
#include "vaultgres/value.h"

namespace vaultgres {

class KeyDecoder {
 public:
  explicit KeyDecoder(Bytes key) noexcept : rest_(key) {}

  /// The next column's value, owned. kCorruption: the encoder makes no such bytes.
  Result<Value> take(ColumnType type, bool nullable, bool descending);

  Bytes rest() const noexcept { return rest_; }

 private:
  Result<Value> take_fixed(ColumnType type, bool null, std::byte mask);
  Result<Value> take_text(ColumnType type, std::byte mask);

  Bytes rest_;
};

}  // namespace vaultgres
