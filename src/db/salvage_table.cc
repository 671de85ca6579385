#include "db/salvage_table.h"

#include "base/try.h"

namespace vaultgres::internal {

struct TableReader::Source {
  ObjectId table;
  const RowCodec& codec;
  TakeRow take;
  Lost lost;
};

namespace {

std::string row_at(Tid tid) {
  return "the row at " + std::to_string(raw(tid.page)) + ":" + std::to_string(tid.slot) + ": ";
}

std::string numbers_text(std::uint32_t first, std::uint32_t last) {
  if (first == last) return "the rows of the table's page number " + std::to_string(first);
  return "the rows of the table's pages number " + std::to_string(first) + " to " + std::to_string(last);
}

}  // namespace

Result<TableReader> TableReader::make(const DamagedFiles& files, FoundPages& found, ChainReader& chains) {
  VG_ASSIGN(AlignedBuffer page, AlignedBuffer::make(kPageBytes));
  VG_ASSIGN(AlignedBuffer body, AlignedBuffer::make(kPageBytes));
  return TableReader(files, found, chains, std::move(page), std::move(body));
}

Status TableReader::read(ObjectId table, const RowCodec& codec, TakeRow take, Lost lost) {
  const Source source{table, codec, take, lost};
  homeless_ = 0;
  body_id_ = kNoPage;
  std::uint64_t expected = 0;  // number of the next page
  FoundHeapPage page;
  for (;;) {
    VG_ASSIGN(const bool more, found_.next_heap_page(page));
    if (!more) return {};
    if (page.number < expected) continue;  // an older one of that number
    if (page.number > expected) {
      lost(numbers_text(static_cast<std::uint32_t>(expected), page.number - 1) + ": not found in the data file");
    }
    expected = std::uint64_t{page.number} + 1;
    if (page.lost) {
      std::string why;
      files_.read(page.page, page_.span().first(kPageBytes), &why);
      lost(numbers_text(page.number, page.number) + ": page " + std::to_string(raw(page.page)) + " " + why);
    } else {
      VG_TRY(read_page(source, page.page));
    }
  }
}

Status TableReader::read_page(const Source& source, PageId id) {
  const MutableBytes page = page_.span().first(kPageBytes);
  std::string why;
  if (files_.read(id, page, &why) != PageReading::kGood) {  // it could, a moment ago
    source.lost("the rows of page " + std::to_string(raw(id)) + ", which " + why);
    return {};
  }
  const HeapPageView view(page);
  const Lsn lsn{page_header(view.page()).lsn.get()};
  const unsigned slots = view.slots();
  for (unsigned i = 0; i < slots; ++i) {
    const HeapSlot slot = view.slot(i);
    if (!slot.used() || slot.state.ghost) continue;
    VG_TRY(read_row(source, {id, static_cast<std::uint16_t>(i)}, slot, lsn));
  }
  return {};
}

Status TableReader::read_row(const Source& source, Tid tid, const HeapSlot& slot, Lsn lsn) {
  if (slot.state.kind == HeapKind::kStub) {
    const Result<Bytes> body = body_of(source, tid, slot.link());
    if (body) return take_bytes(source, tid, *body);
    source.lost(row_at(tid) + std::string(body.error().message()));
    return {};
  }
  if (slot.state.kind == HeapKind::kBody) {
    if (!home_is_lost(source, slot.link())) return {};  // it is read from there
    ++homeless_;
  }
  if (!slot.state.overflow) return take_bytes(source, tid, slot.row());
  const Status read = chains_.read(source.table, slot.row(), lsn, value_);
  if (read) return take_bytes(source, tid, as_bytes(value_));
  if (read.error().code() != ErrorCode::kCorruption) return read;
  source.lost(row_at(tid) + std::string(read.error().message()));
  return {};
}

Status TableReader::take_bytes(const Source& source, Tid tid, Bytes bytes) {
  if (const Status decoded = source.codec.decode(bytes, row_); !decoded) {
    source.lost(row_at(tid) + std::string(decoded.error().message()));
    return {};
  }
  return source.take(row_);
}

/// The row that was moved from `home` to `body`; the bytes live until the next call.
Result<Bytes> TableReader::body_of(const Source& source, Tid home, Tid body) {
  const MutableBytes page = body_page_.span().first(kPageBytes);
  if (body_id_ != body.page) {
    std::string why;
    body_id_ = kNoPage;
    if (files_.read(body.page, page, &why) != PageReading::kGood) {
      return Error(ErrorCode::kCorruption, "it was moved to page " + std::to_string(raw(body.page)) + ", which " + why);
    }
    body_id_ = body.page;
  }
  const HeapPageView view(page);
  const HeapSlot slot = view.plausible() && view.object() == source.table ? view.slot(body.slot) : HeapSlot{};
  if (slot.state.kind == HeapKind::kBody && !slot.state.ghost && slot.link() == home) return slot.row();
  return Error(ErrorCode::kCorruption,
               "it was moved to page " + std::to_string(raw(body.page)) + ", where it is no longer");
}

bool TableReader::home_is_lost(const Source& source, Tid home) const {
  return found_.use(home.page) != PageUse::kHeap || found_.object(home.page) != source.table;
}

}  // namespace vaultgres::internal
