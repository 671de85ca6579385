#include "buffer/page_image.h"

#include <cstring>

#include "format/page.h"

namespace vaultgres {

namespace {

constexpr std::size_t kBodyAt = offsetof(PageHeader, object);  // LSN and checksum are not part of the image

struct Hole {
  std::size_t begin = kPageBytes;
  std::size_t end = kPageBytes;
};

/// The longest run of zeros behind LSN and checksum.
Hole longest_hole(Bytes page) {
  Hole best;
  for (std::size_t at = kBodyAt; at < page.size();) {
    if (page[at] != std::byte{0}) {
      ++at;
      continue;
    }
    std::size_t end = at;
    while (end < page.size() && page[end] == std::byte{0}) ++end;
    if (end - at > best.end - best.begin) best = {at, end};
    at = end;
  }
  return best;
}

Error bad(const char* what) {
  return Error(ErrorCode::kCorruption, std::string("a page image in the log ") + what);
}

/// Content from `kBodyAt` on; the LSN stays.
Status apply_image(MutableBytes page, Bytes payload) {
  if (payload.size() < 2) return bad("is too short");
  const std::size_t head = load_little<std::uint16_t>(payload.data());
  const Bytes bytes = payload.subspan(2);
  if (head > bytes.size() || bytes.size() > kPageBytes - kBodyAt) return bad("is longer than a page");
  const std::size_t tail = bytes.size() - head;
  std::memset(page.data() + kBodyAt, 0, kPageBytes - kBodyAt);
  std::memcpy(page.data() + kBodyAt, bytes.data(), head);
  if (tail > 0) std::memcpy(page.data() + kPageBytes - tail, bytes.data() + head, tail);
  return {};
}

Status apply_free(MutableBytes page, Bytes payload) {
  if (!payload.empty()) return bad("of a free page has content");
  std::memset(page.data() + kBodyAt, 0, kPageBytes - kBodyAt);
  page_header(page).type.set(static_cast<std::uint8_t>(PageType::kFree));
  return {};
}

}  // namespace

void encode_page_image(PayloadBuffer& out, Bytes page) {
  const Hole hole = longest_hole(page);
  out.append_int(static_cast<std::uint16_t>(hole.begin - kBodyAt));
  out.append(page.subspan(kBodyAt, hole.begin - kBodyAt));
  out.append(page.subspan(hole.end));
}

void register_image_ops(RedoTable& table) {
  table.set(PageOp::kImage, &apply_image, true);
  table.set(PageOp::kFree, &apply_free, true);
}

}  // namespace vaultgres
