// Salvage: copies what can be read of a damaged database into a new one, and says what is lost.
//
//   auto report = vaultgres::salvage("shop.vg", "rescued.vg");
//   if (!report) return tell(report.error());            // nothing could be done, or the new one could not be written
//   if (!report->complete()) …                           // report->objects and report->lost say what is missing
//
// The damaged database is only read, never written; it must not be open for writing. Entries and rows stand in pages
// with checksums, and each page says whose it is: so what a page holds is found without the pages above it, and only
// what stands on damaged pages is lost. Nothing is made up: each entry and row is one that was put into the database.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vaultgres/map.h"
#include "vaultgres/result.h"

namespace vaultgres {

struct SalvageOptions {
  /// Cache of the new database; and so much memory may be taken by what the log changes in pages of the damaged one.
  std::size_t cache_bytes = std::size_t{256} << 20;
};

/// What became of the log: of commits whose pages were not yet in the data file, and of open transactions.
enum class SalvageLog : std::uint8_t {
  kApplied,        ///< all that was committed counts, nothing that was not
  kEndLost,        ///< all that was committed before a place counts; of later changes any may be missing or undone
  kNotRolledBack,  ///< all that was committed counts, but also changes of transactions that were open
  kNotApplied,     ///< the pages count as they lie in the data file: of the last changes any may be missing or undone
};

/// One thing that is not in the new database.
struct SalvageLoss {
  std::string what;
  std::optional<KeyRange> keys{};  ///< of a map: whatever had keys in this range
};

/// Things that are lost, all counted and the first thousand listed.
struct SalvageLosses {
  static constexpr std::size_t kListedMax = 1000;
  std::uint64_t count = 0;
  std::vector<SalvageLoss> listed;
};

/// Something that the damaged database had.
struct SalvagedObject {
  enum class Kind : std::uint8_t { kMap, kTable, kIndex };
  Kind kind = Kind::kMap;
  std::string name;             ///< in the new database; "object 17" where the catalog does not say
  std::uint32_t object_id = 0;  ///< in the damaged one
  bool copied = false;          ///< it is in the new database
  std::uint64_t entries = 0;    ///< of a map or rows of a table that are in the new database
  SalvageLosses lost;
};

struct SalvagePage {
  std::uint32_t page = 0;
  std::string object;  ///< whose it was, as far as other pages say; empty if none does
  std::string what;    ///< what is wrong with it
};

struct SalvageReport {
  SalvageLog log = SalvageLog::kApplied;
  std::string log_problem;  ///< unless kApplied: why

  std::uint64_t pages = 0;  ///< of the data file
  std::uint64_t pages_damaged = 0;
  std::vector<SalvagePage> damaged;   ///< the first thousand
  std::vector<std::uint32_t> healed;  ///< damaged, but whole in the doublewrite file: taken from there

  std::vector<SalvagedObject> objects;
  SalvageLosses lost;              ///< what belongs to no object: names, and pages of which nothing is known
  std::vector<std::string> notes;  ///< what else is worth knowing

  /// All that was in the database is in the new one.
  bool complete() const noexcept;
};

/// `damaged`: directory of the database. `fresh`: directory of the new one, which is made; kAlreadyExists when it is a
/// database already. Errors: the damaged database is not there, is open for writing (kLocked), is of a newer version,
/// or has no page that can be read; the new one cannot be written, whatever is in it then is incomplete. Takes memory
/// for the options' cache twice, 64 MiB for sorting, 5 bytes for each page of the damaged file, and one value.
Result<SalvageReport> salvage(const std::string& damaged, const std::string& fresh, const SalvageOptions& options = {});

}  // namespace vaultgres
