// Input: which checksums are set right (one byte), then pages 0 and 1.
#include "database_image.h"
#include "input_reader.h"
#include "recovery/superblock_store.h"
#include "targets.h"

namespace vaultgres::fuzz {

void fuzz_superblock(Bytes input) {
  InputReader reader(input);
  const unsigned sealed = reader.byte();
  DatabaseImage image;
  for (std::uint32_t page = 0; page < 2; ++page) {
    const Bytes bytes = reader.take(kPageBytes);
    image.chunks.push_back({ChunkKind::kPage, page, exact_copy(bytes)});
  }
  if (sealed != 0) seal_superblocks(image);
  const std::unique_ptr<FileSystem> files = make_files(image);
  const Result<std::unique_ptr<File>> data =
      files->open(kImageDirectory + std::string("/data.vg"), OpenMode::kReadWrite);
  Result<SuperblockStore> store = SuperblockStore::load(**data);
  if (!store) return;
  const SuperblockState& state = store->current();
  VG_FUZZ_CHECK(!state.epochs.empty() && state.epochs.size() <= kEpochsMax, "an impossible number of epochs");
  // What recovery writes can be read again.
  VG_FUZZ_CHECK(store->rewrite(), "a superblock that cannot be written");
  SuperblockState next = state;
  next.next_txn = TxnId{raw(next.next_txn) + 1};
  VG_FUZZ_CHECK(store->write(next), "a superblock that cannot be written");
  const Result<SuperblockStore> again = SuperblockStore::load(**data);
  VG_FUZZ_CHECK(again && again->current().next_txn == next.next_txn, "a superblock that was written is not read");
}

}  // namespace vaultgres::fuzz
