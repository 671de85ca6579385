#include "recovery/checkpoint.h"

#include <algorithm>
#include <vector>

#include "base/try.h"
#include "wal/record.h"

namespace vaultgres {

static_assert(kChangingTxnsMax <= RecordBuilder::kCheckpointTxnsMax);
static_assert(log_bytes_for(kRecordBytesMax) + kLogBlockBytes <=
                  kCheckpointLogSpace + RecordBuilder::kCheckpointTxnsMax * kListedLogBytes,
              "a checkpoint fits what is reserved for it and for those that it lists");

Status write_checkpoint(const Engine& engine, const TxnManager& manager, SuperblockStore& superblocks,
                        ObjectId next_object, Lsn held) {
  VG_TRY(engine.poison.check());
  const Lsn filled = engine.log.filled();
  SuperblockState next = superblocks.current();
  next.redo_start = engine.pool.redo_start(filled);
  const std::vector<OpenTxn> open = manager.open();
  next.next_txn = manager.next_unused();
  next.next_object = next_object;
  Lsn keep = std::min(next.redo_start, held);
  std::vector<CheckpointTxn> listed(open.size());
  for (std::size_t i = 0; i < open.size(); ++i) {
    keep = std::min(keep, open[i].first);
    listed[i].txn.set(raw(open[i].id));
    listed[i].first.set(raw(open[i].first));
    listed[i].last.set(raw(open[i].last));
  }
  const std::vector<std::byte> record =
      RecordBuilder::checkpoint(next.redo_start, raw(next.next_txn), raw(next_object), listed);
  const Log::Appended appended = engine.log.append(record);
  VG_TRY(engine.log.flush(appended.lsn));
  next.checkpoint = appended.address;
  next.durable = engine.log.durable();
  // An epoch before this one is needed by redo, or by the undo of who has records in it.
  std::erase_if(next.epochs, [&](const SuperblockState::Epoch& epoch) {
    return raw(epoch.end) != 0 && epoch.end <= next.redo_start &&
           std::none_of(open.begin(), open.end(),
                        [&](const OpenTxn& txn) { return txn.first < epoch.end && txn.last >= epoch.first; });
  });
  if (Status written = superblocks.write(std::move(next)); !written) {
    engine.poison.set(written.error());
    return written;
  }
  return engine.log.recycle(keep);
}

}  // namespace vaultgres
