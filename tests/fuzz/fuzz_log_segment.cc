// Input: an image (database_image.h), of which the superblock and the log count. Its log is read as recovery reads it.
#include "database_image.h"
#include "input_reader.h"
#include "recovery/superblock_store.h"
#include "targets.h"
#include "wal/log_reader.h"
#include "wal/record.h"

namespace vaultgres::fuzz {
namespace {

/// Reads on to the end; the addresses of some records.
std::vector<Lsn> read_all(LogReader& reader) {
  std::vector<Lsn> addresses;
  Lsn end{0};
  for (;;) {
    const Result<std::optional<LogRecord>> record = reader.next();
    if (!record || !*record) return addresses;
    VG_FUZZ_CHECK((*record)->address >= end, "the log goes backwards");
    end = (*record)->lsn;
    VG_FUZZ_CHECK(RecordView::parse((*record)->bytes), "a record that cannot be parsed");
    if (addresses.size() < 16) addresses.push_back((*record)->address);
  }
}

}  // namespace

void fuzz_log_segment(Bytes input) {
  DatabaseImage image = decode_image(input);
  seal(image);
  const std::unique_ptr<FileSystem> files = make_files(image);
  const std::unique_ptr<File> data = *files->open(kImageDirectory + std::string("/data.vg"), OpenMode::kReadWrite);
  const Result<SuperblockStore> store = SuperblockStore::load(*data);
  if (!store) return;
  const SuperblockState& state = store->current();
  std::vector<EpochSpan> epochs;
  for (const auto& epoch : state.epochs) epochs.push_back({epoch.number, epoch.salt, epoch.first, epoch.end});
  InputReader script(image.script());
  for (const Lsn start : {state.redo_start, Lsn{script.integer<std::uint64_t>()}}) {
    Result<LogReader> reader = LogReader::open(*files, kImageDirectory + std::string("/log"), state.database,
                                               state.segment_bytes, epochs, start, state.durable);
    if (!reader) continue;
    std::vector<Lsn> addresses = read_all(*reader);
    addresses.push_back(state.checkpoint);
    addresses.push_back(Lsn{script.integer<std::uint64_t>()});
    for (const Lsn address : addresses) {
      std::vector<std::byte> record;
      const Status read = reader->read_at(address, record);
      VG_FUZZ_CHECK(!read || RecordView::parse(record), "a record that cannot be parsed");
    }
    const Result<std::optional<LogRecord>> more = reader->next();
    if (more && !*more) static_cast<void>(reader->rewrite_tail(reader->durable_seen()).has_value());
    static_cast<void>(reader->next_epoch_first());
  }
}

}  // namespace vaultgres::fuzz
