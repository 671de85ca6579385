// What changes of rows leave behind in heap pages, until no transaction and no snapshot needs it: ghosts, bodies that
// no stub leads to any more, room that a row no longer uses.
#pragma once

#include "txn/engine.h"

namespace vaultgres {

/// Log space that purge_heap_page() needs, and note_free() after it, reserved by its caller before the latch.
inline constexpr std::uint64_t kHeapPurgeLogBytes = log_bytes_for(kPageBytes / 2 + 128) + kMapNoteLogBytes;

/// Gives back what a latched page holds for nobody, as one system record; to how many slots that mattered. Ghosts whose
/// row was moved stay: they go with their bodies, by purge_row().
unsigned purge_heap_page(const Engine& engine, const Heap& heap, ExclusiveGuard& page);

/// As a slot: no one in particular, but the page.
inline constexpr std::uint16_t kWholePage = 0xFFFF;

/// Gives back what is left around the slot `tid`, and what else its page holds for nobody; the free-space map learns
/// of it. True: a transaction that is under way still needs something here; come again. [no latch held]
Result<bool> purge_row(const Engine& engine, const Heap& heap, Tid tid);

}  // namespace vaultgres
