// The data file read as it lies on disk, without the engine: for looking at a database that does not open,
// or that another process has open.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/aligned_buffer.h"
#include "format/page.h"
#include "io/file.h"

namespace vaultgres::cli {

class DataFile {
 public:
  /// Takes no lock and writes nothing. kNotFound when there is no data file.
  static Result<DataFile> open(const std::string& directory);

  const std::string& path() const noexcept { return file_->path(); }
  /// Whole pages of the file, as it was opened.
  std::uint32_t page_count() const noexcept { return page_count_; }
  /// Of the newer sound superblock; none when neither is sound, and no checksum can be computed.
  const std::optional<DatabaseId>& database() const noexcept { return database_; }
  /// Number of the superblock that counts.
  std::optional<PageId> current_superblock() const noexcept { return current_; }

  /// The page's bytes, until the next call. A page whose checksum is wrong is read again: another process may
  /// just be writing it. Precondition: id below page_count().
  Result<Bytes> read(PageId id);

 private:
  DataFile(std::unique_ptr<File> file, AlignedBuffer buffer) : file_(std::move(file)), buffer_(std::move(buffer)) {}
  Status find_superblock();

  std::unique_ptr<File> file_;
  AlignedBuffer buffer_;
  std::uint32_t page_count_ = 0;
  std::optional<DatabaseId> database_;
  std::optional<PageId> current_;
};

}  // namespace vaultgres::cli
