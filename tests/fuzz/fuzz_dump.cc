// Input: a byte, then chunks: kind, length (2), payload. Header and checksums are made to fit (dump_stream.h). With an
// odd first byte: a stream as it is.
#include <memory>

#include "db/dump_reader.h"
#include "dump_stream.h"
#include "input_reader.h"
#include "targets.h"

namespace vaultgres::fuzz {
namespace {

using internal::DumpItem;
using internal::DumpReader;
using internal::DumpWriter;

std::string take_stream(InputReader& input) {
  if (input.flag()) return std::string(as_text(input.rest()));
  std::vector<DumpPart> parts;
  while (!input.at_end()) {
    const auto kind = static_cast<DumpChunkKind>(input.byte());
    const auto bytes = input.integer<std::uint16_t>();
    parts.push_back({kind, std::string(as_text(input.take(bytes)))});
  }
  return sealed_stream(std::move(parts));
}

/// Writes what a reader gives.
class Rewriter {
 public:
  Rewriter() { done(writer_.begin()); }

  void take(const DumpItem& item) {
    switch (item.kind) {
      case DumpItem::Kind::kName:
        return done(writer_.add_name(item.entry.kind, item.name));
      case DumpItem::Kind::kObject:
        codec_ = item.entry.schema ? std::make_unique<RowCodec>(*item.entry.schema) : nullptr;
        return done(writer_.begin_object(item.name, item.entry));
      case DumpItem::Kind::kEntry:
        return done(writer_.add_entry(item.key, item.value));
      case DumpItem::Kind::kRow:
        VG_FUZZ_CHECK(codec_ != nullptr && codec_->encode(item.row, row_), "a row of the dump is none of its table");
        return done(writer_.add_row(row_));
      case DumpItem::Kind::kObjectEnd:
        return done(writer_.end_object());
      case DumpItem::Kind::kIndex:
        return done(writer_.add_index(item.name, item.entry));
      default:
        return done(writer_.finish());
    }
  }
  const std::string& stream() const noexcept { return stream_; }

 private:
  static void done(const Status& status) { VG_FUZZ_CHECK(status, "a sink that takes everything fails"); }
  Status append(Bytes bytes) {
    stream_.append(as_text(bytes));
    return {};
  }

  std::string stream_;
  std::string row_;
  std::unique_ptr<RowCodec> codec_;
  const std::function<Status(Bytes)> sink_ = [this](Bytes bytes) { return append(bytes); };
  DumpWriter writer_{sink_};
};

/// The same wherever the writer has cut: contents and data in one piece, without the chain, which follows from the
/// cuts.
std::vector<DumpPart> uncut(std::string_view stream) {
  std::vector<DumpPart> whole;
  for (DumpPart& part : parts_of(stream)) {
    const bool cut_anywhere = part.kind == DumpChunkKind::kContents || part.kind == DumpChunkKind::kData;
    if (cut_anywhere && part.payload.empty()) continue;
    if (cut_anywhere && !whole.empty() && whole.back().kind == part.kind) {
      whole.back().payload += part.payload;
      continue;
    }
    if (part.kind == DumpChunkKind::kEnd) part.payload.replace(offsetof(DumpEnd, chain), sizeof(LittleU32), 4, '\0');
    whole.push_back(std::move(part));
  }
  return whole;
}

}  // namespace

void fuzz_dump(Bytes input) {
  InputReader reader(input);
  const std::string stream = take_stream(reader);
  std::string_view rest = stream;
  const auto source = [&](MutableBytes into) -> Result<std::size_t> {
    const std::size_t part = std::min(into.size(), rest.size());
    std::memcpy(into.data(), rest.data(), part);
    rest.remove_prefix(part);
    return part;
  };
  DumpReader dump(source);
  Rewriter again;
  for (DumpItem item; item.kind != DumpItem::Kind::kEnd;) {
    if (const Status read = dump.next(item); !read) {
      const ErrorCode code = read.error().code();
      VG_FUZZ_CHECK(code == ErrorCode::kCorruption || code == ErrorCode::kUnsupported,
                    "damage is called something else");
      return;
    }
    again.take(item);
  }
  VG_FUZZ_CHECK(rest.empty() && dump.summary().bytes == stream.size(), "a dump ends before its last byte");
  VG_FUZZ_CHECK(uncut(stream) == uncut(again.stream()), "a dump was believed that no writer makes");
}

}  // namespace vaultgres::fuzz
