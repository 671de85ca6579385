// Which files of archives continue a backup's log: the chain of epochs by their first records.
//
//   backup's epoch ──end──> epoch whose first record names it and that end ──> … ──> the one that nothing continues
//
// Epochs of other timelines, which no first record on the chain leads to, are not followed, whatever their numbers. Two
// that continue the same epoch are two timelines: who restores says which, by the files he gives.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "db/archive_files.h"
#include "io/file.h"
#include "recovery/superblock_store.h"
#include "wal/log_copy.h"
#include "wal/log_reader.h"

namespace vaultgres::internal {

class ArchiveChain {
 public:
  /// `backup`: the superblock's state in the backup, whose log ends at `backup_end`. `until`: nothing is needed above.
  /// kInvalidArgument: no file is of this database, or it is not said which timeline is meant.
  static Result<ArchiveChain> find(FileSystem& files, const std::vector<std::string>& directories,
                                   const SuperblockState& backup, Lsn backup_end, std::optional<Lsn> until);

  /// The backup's epochs and those that continue them; the last has no end.
  const std::vector<EpochSpan>& epochs() const noexcept { return epochs_; }
  struct File {
    std::string path;
    SegmentRange range;
    std::size_t epoch;  ///< index into epochs()
  };
  /// What the restored log gets of the archives, ascending. A file that the backup holds a part of replaces that.
  const std::vector<File>& files() const noexcept { return files_; }
  struct Begin {
    Lsn first;
    std::uint64_t time_us;  ///< of its first block: nothing in the epoch is older
  };
  /// Of the epochs behind those of the backup.
  const std::vector<Begin>& begins() const noexcept { return begins_; }
  /// Why the chain goes no further although something of it is there: for who needs more.
  const std::optional<Error>& gap() const noexcept { return gap_; }
  std::uint64_t highest_epoch() const noexcept { return highest_epoch_; }

 private:
  using EpochKey = std::pair<std::uint64_t, std::uint64_t>;  ///< number, salt
  struct Epoch {
    std::map<std::uint64_t, std::string> paths;  ///< by segment
    bool sound = false;                          ///< the first block of the lowest is what the name says
    bool begins = false;                         ///< … and begins the epoch: what follows is known
    EpochKey previous;                           ///< of a lower number
    std::uint64_t previous_end = 0;
    std::uint64_t time_us = 0;  ///< of that block
  };

  ArchiveChain(FileSystem& disk, const SuperblockState& backup) : disk_(disk), backup_(backup) {}
  Status read_directory(const std::string& directory);
  Status look_at(const EpochKey& key, Epoch& epoch);
  Status follow(std::uint64_t backup_end, std::uint64_t until);
  Result<const EpochKey*> next_of(const EpochKey& key, std::uint64_t at_least, std::uint64_t until) const;
  Status take_segments(const EpochKey& key, std::uint64_t from, std::uint64_t end, std::uint64_t until);
  void look_for_gap();
  Error missing(const EpochKey& key, std::uint64_t segment) const;

  FileSystem& disk_;
  const SuperblockState& backup_;
  std::string directories_;  ///< for messages
  std::map<EpochKey, Epoch> archived_;
  std::vector<EpochSpan> epochs_;
  std::vector<File> files_;
  std::vector<Begin> begins_;
  std::optional<Error> gap_;
  std::uint64_t highest_epoch_ = 0;
};

}  // namespace vaultgres::internal
