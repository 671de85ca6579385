#include "db/dump_reader.h"

#include <algorithm>
#include <cstring>

#include "base/seeded_bug.h"
#include "base/try.h"
#include "db/dump_writer.h"
#include "vaultgres/options.h"

namespace vaultgres::internal {

namespace {

/// A buffer for a record keeps so much memory for the next one.
constexpr std::size_t kKeptBytesMax = std::size_t{1} << 20;

template <class T>
bool take(Bytes& rest, T& structure) {
  if (rest.size() < sizeof structure) return false;
  std::memcpy(&structure, rest.data(), sizeof structure);
  rest = rest.subspan(sizeof structure);
  return true;
}

bool all_zero(const LittleU8 (&bytes)[3]) {
  return std::all_of(std::begin(bytes), std::end(bytes), [](const LittleU8& byte) { return byte.get() == 0; });
}

bool is_kind(std::uint8_t kind) {
  return kind >= raw(ObjectKind::kMap) && kind <= raw(ObjectKind::kIndex);
}

}  // namespace

Error DumpReader::damaged(const std::string& what) const {
  return Error(ErrorCode::kCorruption,
               "the dump is damaged: the part at byte " + std::to_string(chunk_offset_) + " " + what);
}

// --- Chunks

Status DumpReader::fill(MutableBytes into, const char* what) {
  while (!into.empty()) {
    VG_ASSIGN(const std::size_t got, source_(into));
    if (got == 0) {
      return Error(ErrorCode::kCorruption, "the dump ends at byte " + std::to_string(summary_.bytes) + ", " + what +
                                               ": it was cut off, or is still being written");
    }
    const std::size_t taken = std::min(got, into.size());
    summary_.bytes += taken;
    into = into.subspan(taken);
  }
  return {};
}

Status DumpReader::read_header() {
  DumpHeader header;
  VG_TRY(fill(std::as_writable_bytes(std::span(&header, 1)), "within its header"));
  if (header.magic.get() != kDumpMagic) {
    return Error(ErrorCode::kCorruption, "this is no dump of a Vaultgres database: it does not begin as one");
  }
  if (header.version.get() > kDumpVersion) {
    return Error(ErrorCode::kUnsupported, "the dump has format version " + std::to_string(header.version.get()) +
                                              "; this program reads versions up to " + std::to_string(kDumpVersion));
  }
  if (header.version.get() == 0 || header.reserved.get() != 0) return damaged("is no header of a dump");
  return {};
}

/// The next chunk, whole and with the right checksum, at a place where one of its kind may stand.
Status DumpReader::read_chunk() {
  chunk_offset_ = summary_.bytes;
  used_ = 0;
  DumpChunk header;
  VG_TRY(fill(std::as_writable_bytes(std::span(&header, 1)), "without its end record"));
  const std::size_t bytes = header.bytes.get();
  if (bytes > kDumpChunkBytesMax) return damaged("claims a length of " + std::to_string(bytes) + " bytes");
  chunk_.resize(bytes);
  VG_TRY(fill(chunk_, "in the middle of a part"));
  const std::uint32_t checksum = header.checksum.get();
  if (checksum != dump_checksum(chunk_offset_, header, chunk_)) return damaged("has a wrong checksum");
  kind_ = static_cast<DumpChunkKind>(header.kind.get());
  if (!all_zero(header.reserved)) return damaged("has reserved bytes that are not zero");
  chain_before_ = chain_;
  chain_ = extend_dump_chain(chain_, checksum);
  return check_order(kind_);
}

Status DumpReader::check_order(DumpChunkKind kind) const {
  bool fits = false;
  switch (kind) {
    case DumpChunkKind::kContents:
      fits = state_ == State::kContents && summary_.maps + summary_.tables == 0;
      break;
    case DumpChunkKind::kData:
    case DumpChunkKind::kObjectEnd:
      fits = state_ == State::kData;
      break;
    case DumpChunkKind::kIndex:
      fits = state_ == State::kIndexes && object_kind_ == ObjectKind::kTable;
      break;
    case DumpChunkKind::kObject:
    case DumpChunkKind::kEnd:
      fits = state_ == State::kContents || state_ == State::kIndexes;
      break;
  }
  if (fits) return {};
  return damaged("is of kind " + std::to_string(raw(kind)) + ", which has no place there");
}

Status DumpReader::next(DumpItem& item) {
  item.kind = DumpItem::Kind::kNone;
  if (state_ == State::kEnded) return Error(ErrorCode::kInvalidArgument, "the dump has ended");
  if (state_ == State::kStart) {
    VG_TRY(read_header());
    state_ = State::kContents;
    VG_TRY(read_chunk());
  }
  for (bool done = false; !done;) {
    VG_TRY(use_chunk(item, done));
    if (!done) VG_TRY(read_chunk());
  }
  return {};
}

/// What the chunk at hand has next; `done`: it went into the item.
Status DumpReader::use_chunk(DumpItem& item, bool& done) {
  if (kind_ == DumpChunkKind::kContents) {
    done = used_ < chunk_.size();
    return done ? next_name(item) : Status();
  }
  if (kind_ == DumpChunkKind::kData) {
    VG_ASSIGN(done, next_record(item));
    return {};
  }
  if (used_ > 0) return {};  // the others have one item each
  done = true;
  used_ = 1;
  switch (kind_) {
    case DumpChunkKind::kObject:
      return begin_object(item);
    case DumpChunkKind::kObjectEnd:
      item.kind = DumpItem::Kind::kObjectEnd;
      state_ = State::kIndexes;
      return object_end();
    case DumpChunkKind::kIndex:
      return index(item);
    default:
      item.kind = DumpItem::Kind::kEnd;
      state_ = State::kEnded;
      return end();
  }
}

// --- Names and descriptions

Status DumpReader::next_name(DumpItem& item) {
  Bytes rest = Bytes(chunk_).subspan(used_);
  DumpContentsItem stored;
  if (!take(rest, stored) || rest.size() < stored.name_bytes.get() || !is_kind(stored.kind.get())) {
    return damaged("lists an object that is none");
  }
  const Bytes name = rest.first(stored.name_bytes.get());
  if (Status sound = check_name(as_text(name)); !sound)
    return damaged("has a bad name: " + std::string(sound.error().message()));
  used_ = chunk_.size() - (rest.size() - name.size());
  item.kind = DumpItem::Kind::kName;
  item.name = as_text(name);
  item.entry.kind = static_cast<ObjectKind>(stored.kind.get());
  ++names_;
  return {};
}

/// Name and catalog row of an object or index.
Status DumpReader::described(DumpItem& item) {
  Bytes rest(chunk_);
  DumpNamed named;
  if (!take(rest, named) || named.reserved.get() != 0 || rest.size() < named.name_bytes.get()) {
    return damaged("describes no object");
  }
  item.name = as_text(rest.first(named.name_bytes.get()));
  if (Status sound = check_name(item.name); !sound)
    return damaged("has a bad name: " + std::string(sound.error().message()));
  auto entry = decode_catalog_entry(rest.subspan(named.name_bytes.get()));
  if (!entry && entry.error().code() == ErrorCode::kUnsupported) return entry.error().with_context("the dump");
  if (!entry) return damaged("describes no object: " + std::string(entry.error().message()));
  item.entry = *std::move(entry);
  if (item.entry != without_places(item.entry)) return damaged("has places of another database");
  return {};
}

Status DumpReader::begin_object(DumpItem& item) {
  VG_TRY(described(item));
  if (item.entry.kind == ObjectKind::kIndex) return damaged("is an index without its table");
  item.kind = DumpItem::Kind::kObject;
  state_ = State::kData;
  object_kind_ = item.entry.kind;
  codec_.reset();
  if (item.entry.schema) codec_.emplace(*item.entry.schema);
  record_.clear();
  record_used_ = false;
  last_key_.clear();
  count_ = 0;
  ++(object_kind_ == ObjectKind::kMap ? summary_.maps : summary_.tables);
  return {};
}

Status DumpReader::index(DumpItem& item) {
  VG_TRY(described(item));
  if (item.entry.kind != ObjectKind::kIndex) return damaged("is no index");
  if (auto fits = KeyCodec::create(codec_->schema(), item.entry.index->columns); !fits) {
    return damaged("is an index that does not fit its table: " + std::string(fits.error().message()));
  }
  item.kind = DumpItem::Kind::kIndex;
  ++summary_.indexes;
  return {};
}

// --- Entries and rows

/// Whether the record at hand is there up to its first `bytes` bytes; if not, all that the chunk has of it is in
/// record_. A record that lies in one chunk is not copied: then record_ stays empty.
bool DumpReader::gather(std::size_t bytes) {
  if (record_.empty() && chunk_.size() - used_ >= bytes) return true;
  if (record_.size() >= bytes) return true;
  const std::size_t part = std::min(bytes - record_.size(), chunk_.size() - used_);
  record_.append(as_text(Bytes(chunk_).subspan(used_, part)));
  used_ += part;
  return record_.size() == bytes;
}

/// What gather() has gathered; at least so many bytes.
Bytes DumpReader::record() const noexcept {
  return record_.empty() ? Bytes(chunk_).subspan(used_) : as_bytes(record_);
}

/// The record of so many bytes goes into the item; the next step goes on behind it.
void DumpReader::used_record(std::size_t bytes) noexcept {
  if (record_.empty()) used_ += bytes;
  record_used_ = !record_.empty();
}

/// False: the chunk has no more whole ones.
Result<bool> DumpReader::next_record(DumpItem& item) {
  if (record_used_) {
    record_used_ = false;
    record_.clear();
    if (record_.capacity() > kKeptBytesMax) record_.shrink_to_fit();
  }
  if (used_ == chunk_.size()) return false;
  VG_ASSIGN(const bool there, object_kind_ == ObjectKind::kMap ? entry(item) : row(item));
  if (there) ++count_;
  return there;
}

Result<bool> DumpReader::entry(DumpItem& item) {
  if (!gather(sizeof(DumpEntry))) return false;
  DumpEntry header;
  std::memcpy(&header, record().data(), sizeof header);
  const std::size_t key_bytes = header.key_bytes.get();
  const std::size_t value_bytes = header.value_bytes.get();
  if (key_bytes > kMaxKeyBytes || value_bytes > kMaxValueBytes) return damaged("has a key or value that is too long");
  const std::size_t bytes = sizeof header + key_bytes + value_bytes;
  if (!gather(bytes)) return false;
  const std::string_view whole = as_text(record().first(bytes));
  item.kind = DumpItem::Kind::kEntry;
  item.key = whole.substr(sizeof header, key_bytes);
  item.value = whole.substr(sizeof header + key_bytes);
  if (count_ > 0 && item.key <= last_key_) return damaged("has keys out of order");
  last_key_ = item.key;
  used_record(bytes);
  ++summary_.entries;
  return true;
}

Result<bool> DumpReader::row(DumpItem& item) {
  if (!gather(sizeof(DumpRow))) return false;
  DumpRow header;
  std::memcpy(&header, record().data(), sizeof header);
  if (header.bytes.get() > kMaxValueBytes) return damaged("has a row that is too long");
  const std::size_t bytes = sizeof header + header.bytes.get();
  if (!gather(bytes)) return false;
  const Bytes whole = record().first(bytes);
  item.kind = DumpItem::Kind::kRow;
  if (Status sound = codec_->decode(whole.subspan(sizeof header), item.row); !sound) {
    return damaged("has a row that is none of its table: " + std::string(sound.error().message()));
  }
  used_record(bytes);
  ++summary_.rows;
  return true;
}

// --- Ends

Status DumpReader::object_end() const {
  DumpObjectEnd stored;
  Bytes rest(chunk_);
  if (!take(rest, stored) || !rest.empty()) return damaged("is no end of an object");
  if (!record_.empty() && !record_used_) return damaged("ends an object within an entry or row");
  if (stored.count.get() == count_ || VG_SEEDED_BUG(kDumpCountUnchecked)) return {};
  return damaged("ends an object of " + std::to_string(stored.count.get()) + " entries or rows, of which " +
                 std::to_string(count_) + " came");
}

Status DumpReader::end() {
  DumpEnd stored;
  Bytes rest(chunk_);
  if (!take(rest, stored) || !rest.empty() || stored.reserved.get() != 0) return damaged("is no end of a dump");
  const DumpSummary& s = summary_;
  if (stored.chain.get() != chain_before_ || stored.maps.get() != s.maps || stored.tables.get() != s.tables ||
      stored.indexes.get() != s.indexes || stored.entries.get() != s.entries || stored.rows.get() != s.rows ||
      names_ != s.maps + s.tables + s.indexes) {
    return damaged("ends another dump: something is missing, or was put in between");
  }
  std::byte behind;
  VG_ASSIGN(const std::size_t more, source_({&behind, 1}));
  if (more == 0) return {};
  return Error(ErrorCode::kCorruption,
               "the dump goes on behind its end at byte " + std::to_string(summary_.bytes) + ", with something else");
}

}  // namespace vaultgres::internal
