// Undo: one piece of code for rollback and for what a crash left open.
#pragma once

#include "txn/engine.h"
#include "txn/txn.h"

namespace vaultgres {

/// Undoes one record of `txn`, logging a compensation; the address that undo goes on with, kNoLsn at the
/// end. A compensation undoes nothing: it only says where undo goes on, so that a crash in the middle of a
/// rollback does not undo twice.
Result<Lsn> undo_record(const Engine& engine, Txn& txn, Bytes record);

}  // namespace vaultgres
