// Names and contents of archived log segments.
//
//   EPOCH-SALT-SEGMENT.log     three numbers of 16 hexadecimal digits
//
// A file holds the valid blocks of one segment from its beginning on, as the log had them: all of it, unless it is the
// last of its epoch. Its name is made once the file is synced, so it is whole. Epoch and salt say whose it is: two
// timelines that part have epochs of equal numbers perhaps, but not of equal salts.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "format/log.h"
#include "wal/block.h"

namespace vaultgres::internal {

struct ArchivedSegment {
  std::uint64_t epoch = 0;
  std::uint64_t salt = 0;
  std::uint64_t segment = 0;
  friend auto operator<=>(const ArchivedSegment&, const ArchivedSegment&) = default;
};

std::string archive_name(const ArchivedSegment& segment);
/// Nothing: it is no such name.
std::optional<ArchivedSegment> parse_archive_name(std::string_view name);

/// What the record says that begins an epoch, when a checked block begins with one. Its predecessor is the chain's
/// link.
const EpochBody* epoch_begun_by(Bytes block) noexcept;

}  // namespace vaultgres::internal
