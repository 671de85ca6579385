#include "db/archive_files.h"

#include <charconv>

namespace vaultgres::internal {

namespace {

constexpr std::size_t kDigits = 16;
constexpr std::string_view kSuffix = ".log";

void append_hex(std::string& to, std::uint64_t number) {
  char digits[kDigits];
  const auto [end, error] = std::to_chars(std::begin(digits), std::end(digits), number, 16);
  const auto count = static_cast<std::size_t>(end - digits);
  to.append(kDigits - count, '0').append(digits, count);
}

bool parse_hex(std::string_view text, std::uint64_t* number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *number, 16);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

std::string archive_name(const ArchivedSegment& segment) {
  std::string name;
  append_hex(name, segment.epoch);
  append_hex(name += '-', segment.salt);
  append_hex(name += '-', segment.segment);
  return name.append(kSuffix);
}

std::optional<ArchivedSegment> parse_archive_name(std::string_view name) {
  if (name.size() != 3 * kDigits + 2 + kSuffix.size() || !name.ends_with(kSuffix)) return std::nullopt;
  if (name[kDigits] != '-' || name[2 * kDigits + 1] != '-') return std::nullopt;
  ArchivedSegment segment;
  const bool parsed = parse_hex(name.substr(0, kDigits), &segment.epoch) &&
                      parse_hex(name.substr(kDigits + 1, kDigits), &segment.salt) &&
                      parse_hex(name.substr(2 * (kDigits + 1), kDigits), &segment.segment);
  if (!parsed || archive_name(segment) != name) return std::nullopt;  // upper-case digits, say
  return segment;
}

const EpochBody* epoch_begun_by(Bytes block) noexcept {
  constexpr std::size_t kBytes = sizeof(RecordHeader) + sizeof(EpochBody);
  const LogBlockHeader& header = log_block_header(block);
  if (header.first_record.get() != 1 || header.used.get() < kBytes) return nullptr;
  const auto& record = *reinterpret_cast<const RecordHeader*>(block.data() + sizeof(LogBlockHeader));
  if (record.length.get() != kBytes || record.kind.get() != static_cast<std::uint8_t>(RecordKind::kEpoch)) {
    return nullptr;
  }
  return reinterpret_cast<const EpochBody*>(&record + 1);
}

}  // namespace vaultgres::internal
