#include "db/salvage_chain.h"

#include <cstring>

#include "base/try.h"
#include "format/overflow.h"
#include "vaultgres/options.h"

namespace vaultgres::internal {

namespace {

Error lost_at(PageId page, const std::string& why) {
  return Error(ErrorCode::kCorruption, "page " + std::to_string(raw(page)) + " of it " + why);
}

}  // namespace

Result<ChainReader> ChainReader::make(const DamagedFiles& files, FoundPages& found) {
  VG_ASSIGN(AlignedBuffer page, AlignedBuffer::make(kPageBytes));
  return ChainReader(files, found, std::move(page));
}

Status ChainReader::read(ObjectId owner, Bytes reference, Lsn holder, std::string& value) {
  value.clear();
  OverflowRef ref;
  if (reference.size() != sizeof ref) return Error(ErrorCode::kCorruption, "its reference is of the wrong size");
  std::memcpy(&ref, reference.data(), sizeof ref);
  const std::uint64_t bytes = ref.bytes.get();
  if (bytes > kMaxValueBytes) return Error(ErrorCode::kCorruption, "its reference claims an impossible length");
  PageId page{ref.head.get()};
  while (value.size() < bytes) {  // each page has some: a circle ends, too
    VG_ASSIGN(page, read_page(owner, page, holder, value));
  }
  if (value.size() == bytes && page == kNoPage) return {};
  return lost_at(PageId{ref.head.get()}, "begins a chain that is not as long as its reference says");
}

void ChainReader::explain(ObjectId owner, PageId head) {
  constexpr Lsn kAny{UINT64_MAX};
  for (std::uint32_t pages = 0; head != kNoPage && pages < found_.count(); ++pages) {
    std::string part;
    const Result<PageId> next = read_page(owner, head, kAny, part);
    if (!next) return;
    head = *next;
  }
}

/// The page's successor.
Result<PageId> ChainReader::read_page(ObjectId owner, PageId id, Lsn holder, std::string& value) {
  const MutableBytes page = page_.span().first(kPageBytes);
  std::string why;
  if (files_.read(id, page, &why) != PageReading::kGood) {
    found_.explain(id, PageUse::kLostOverflow, owner);
    return lost_at(id, why);
  }
  const PageHeader& header = page_header(Bytes(page));
  const auto& overflow = *reinterpret_cast<const OverflowHeader*>(page.data() + kPageHeaderBytes);
  const std::uint32_t bytes = overflow.bytes.get();
  if (header.type.get() != static_cast<std::uint8_t>(PageType::kOverflow) || header.object.get() != raw(owner) ||
      bytes == 0 || bytes > kOverflowPageBytes || Lsn{header.lsn.get()} > holder) {
    return lost_at(id, "belongs to something else by now");
  }
  value.append(as_text(page.subspan(kPageHeaderBytes + sizeof(OverflowHeader), bytes)));
  return PageId{overflow.next.get()};
}

}  // namespace vaultgres::internal
