// Which function applies which page operation: the layers above register theirs, do and redo call it.
#pragma once

#include <array>

#include "base/types.h"
#include "format/page_op.h"
#include "vaultgres/result.h"

namespace vaultgres {

/// Applies one operation to a page. Everything in `page` and `payload` may come from a damaged file: bounds
/// are checked and violations returned as kCorruption, with the page unchanged as far as possible.
using ApplyPageOp = Status (*)(MutableBytes page, Bytes payload);

class RedoTable {
 public:
  struct Entry {
    ApplyPageOp apply = nullptr;
    bool initialises = false;  ///< gives an absent page its whole content
  };
  void set(PageOp op, ApplyPageOp apply, bool initialises = false) noexcept {
    entries_[raw(op)] = Entry{apply, initialises};
  }
  /// apply is null for an operation that does not exist.
  const Entry& find(std::uint8_t op) const noexcept { return entries_[op]; }

 private:
  std::array<Entry, 256> entries_{};
};

}  // namespace vaultgres
