// The files of a damaged database, as well as they can be had: torn pages healed, the log applied as far as it goes, on
// a view through which nothing is written (io/read_only_view.h).
//
// Three ways, the first that works:
//   1. recovery as at every opening: the log redone, open transactions rolled back. If only the doublewrite file says
//      that there was more log, it is redone as far as it goes
//   2. the log redone only: where the catalog, a bitmap or a page that a rollback needs cannot be read
//   3. the data file as it stands: where the log or both superblocks cannot be read, or pages are newer than what is
//      left of the log
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/aligned_buffer.h"
#include "base/function_ref.h"
#include "db/core.h"
#include "format/page.h"
#include "io/read_only_view.h"
#include "vaultgres/salvage.h"

namespace vaultgres::internal {

enum class PageReading : std::uint8_t {
  kGood,    ///< checksum and structure are right
  kAbsent,  ///< all zeros: never written, or lost
  kDamaged,
};

/// Not thread-safe.
class DamagedFiles {
 public:
  /// Into `report`: what became of the log, healed pages, notes.
  static Result<std::unique_ptr<DamagedFiles>> open(FileSystem& files, const std::string& directory,
                                                    const SalvageOptions& options, SalvageReport& report);

  std::uint32_t page_count() const noexcept { return page_count_; }
  /// Into `page`, kPageBytes of an aligned buffer. `why`, if any, is what is wrong with a damaged one.
  PageReading read(PageId id, MutableBytes page, std::string* why = nullptr) const;
  /// All pages behind the superblocks, in their order.
  Status read_all(FunctionRef<Status(PageId id, PageReading reading, Bytes page, const std::string& why)> visit) const;
  /// Whether this copy of the superblock is whole.
  bool superblock_is_good(unsigned copy) const noexcept { return superblock_good_[copy]; }

 private:
  DamagedFiles(FileSystem& files, std::string directory, const SalvageOptions& options, SalvageReport& report)
      : files_(files), directory_(std::move(directory)), options_(options), report_(report) {}

  Status start();
  Status open_view();
  Status mend_superblocks();
  Status find_seed();
  Status read_superblock(unsigned copy);
  Status vote_for_seed();
  Status heal(std::vector<std::uint32_t>* healed);
  Result<bool> heal_page(PageId id, Bytes copy);
  Result<RecoveredPages> recover(bool undo);
  void report_recovery(const RecoveredPages& recovered, const Error* not_undone);
  Status start_again(const Error& why);
  PageReading judge(PageId id, Bytes page, std::string* why) const;

  FileSystem& files_;
  const std::string directory_;
  const SalvageOptions options_;
  SalvageReport& report_;
  std::unique_ptr<ReadOnlyView> view_;
  std::unique_ptr<File> data_;  ///< on the view, its lock shared
  std::uint32_t page_count_ = 0;
  std::uint32_t seed_ = 0;  ///< page_checksum_seed() of the database
  bool superblock_good_[2] = {false, false};
  bool log_counts_ = false;  ///< recovery comes, or has been
};

}  // namespace vaultgres::internal
