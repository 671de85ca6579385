// The operations that a log record may apply to a page. Do and redo are the same function (RedoTable in
// buffer/), so that a page after redo is the page as it was. Payload layouts stand beside the layer's
// apply function and in docs/FILE_FORMAT.md.
#pragma once

#include <array>
#include <cstdint>

#include "format/heap_page.h"

namespace vaultgres {

enum class PageOp : std::uint8_t {
  kImage = 1,  ///< the whole page: initialises an absent one
  kFree = 2,   ///< the page becomes a free page: initialises an absent one

  kBitmapInit = 16,   ///< an empty allocation bitmap: initialises
  kBitmapSet = 17,    ///< pages become allocated
  kBitmapClear = 18,  ///< pages become free

  kNodeInsert = 32,
  kNodeRemove = 33,
  kNodeReplace = 34,  ///< a slot gets another value and flags
  kNodeSetGhost = 35,
  kNodeTruncate = 36,  ///< a split's left half: fewer slots, new high fence and right sibling
  kNodePurge = 37,     ///< several slots go, or give up the room that they keep

  kHeapInsert = 64,
  kHeapUpdate = 65,
  kHeapRemove = 66,
  kHeapSetGhost = 67,
  kHeapRelease = 68,  ///< rows give up the room that they do not use
  kMapAppend = 72,    ///< a table's map lists one more page
  kMapTruncate = 73,  ///< and now fewer

  kOverflowLink = 96,  ///< an overflow page gets its successor
};

/// What undo does to the object and key that the undo part names.
enum class UndoOp : std::uint8_t {
  kEraseInserted = 1,  ///< the key was not there (or a ghost): make it a ghost
  kRestoreValue = 2,   ///< the key had this value (and flags, first byte): set it, revive or re-insert

  // Rows of tables; the key is a TID.
  kEraseInsertedRow = 3,  ///< the slot was unused: make it a ghost
  kReviveRow = 4,         ///< the row was none: it is no ghost
  kRestoreRow = 5,        ///< home and body as they were; the value is a RowUndo and the row
};

/// Begins the value of kRestoreRow; the row, or its OverflowRef, follows.
struct RowUndo {
  LittleU8 flags;                         ///< RowUndoFlags
  std::array<std::byte, kTidBytes> body;  ///< of a moved row; else zero
};
static_assert(sizeof(RowUndo) == 7 && alignof(RowUndo) == 1);
enum RowUndoFlags : std::uint8_t {
  kRowUndoMoved = 1,     ///< home was a stub for `body`
  kRowUndoOverflow = 2,  ///< the row is an OverflowRef
};

}  // namespace vaultgres
