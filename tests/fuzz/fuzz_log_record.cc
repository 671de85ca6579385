// Input: a record. Its length field is set right, half of the time.
#include "input_reader.h"
#include "targets.h"
#include "wal/record.h"

namespace vaultgres::fuzz {

void fuzz_log_record(Bytes input) {
  InputReader reader(input);
  const bool set_length = reader.flag();
  std::vector<std::byte> record = exact_copy(reader.rest());
  if (set_length && record.size() >= sizeof(RecordHeader)) {
    reinterpret_cast<RecordHeader*>(record.data())->length.set(static_cast<std::uint32_t>(record.size()));
  }
  const Result<RecordView> parsed = RecordView::parse(record);
  if (!parsed) {
    VG_FUZZ_CHECK(parsed.error().code() == ErrorCode::kCorruption, "damage is called something else");
    return;
  }
  static_cast<void>(parsed->prev());
  static_cast<void>(parsed->undo_next());
  std::size_t pages = 0;
  for (const RecordPage& page : parsed->pages()) {
    VG_FUZZ_CHECK(lies_within(page.payload, record), "a payload outside the record");
    ++pages;
  }
  VG_FUZZ_CHECK(pages == parsed->page_count(), "another number of parts");
  if (parsed->undo()) {
    VG_FUZZ_CHECK(lies_within(parsed->undo()->key, record), "a key outside the record");
    VG_FUZZ_CHECK(lies_within(parsed->undo()->value, record), "a value outside the record");
  }
  if (parsed->kind() == RecordKind::kEpoch) static_cast<void>(parsed->epoch().previous_end.get());
  if (parsed->kind() == RecordKind::kCheckpoint) {
    for (const CheckpointTxn& txn : parsed->open_txns()) static_cast<void>(txn.last.get());
  }
}

}  // namespace vaultgres::fuzz
