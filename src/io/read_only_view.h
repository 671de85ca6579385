// A file system through which nothing below is changed: what is written stays in memory.
//
// A database that is opened read-only runs on such a view. Whatever an opening writes, a log epoch, pages that
// recovery redoes, a checkpoint, lands in the view and is gone with it; below, files are only opened for reading,
// read and locked. So "nothing is written" does not depend on who up there remembers it, and a database that
// was not closed cleanly is recovered by the same code as ever.
//
// The files below must not change meanwhile: the shared lock of whoever uses the view sees to it.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "io/file.h"

namespace vaultgres {

/// Thread-safe. Open files do not need the view to outlive them. Locks of files are taken below, and go when the
/// open files and the view are gone.
class ReadOnlyView final : public FileSystem {
 public:
  /// `bytes_max`: what is written may take so much memory, then writes fail with ENOSPC. Blocks of zeros in files
  /// that the view has made are free. `below` outlives the view and the files opened on it.
  ReadOnlyView(FileSystem& below, std::uint64_t bytes_max);
  ~ReadOnlyView() override;

  /// A write has failed because of bytes_max.
  bool was_full() const noexcept;

  struct Memory;  ///< how much is taken
  class Content;  ///< of one file: what was written over what is below

 protected:
  int raw_open(const std::string& path, OpenMode mode, std::unique_ptr<RawFile>* file) override;
  int raw_rename(const std::string& from, const std::string& to) override;
  int raw_remove(const std::string& path) override;
  int raw_make_directory(const std::string& path) override;
  int raw_sync_directory(const std::string& path) override;
  int raw_exists(const std::string& path, bool* exists) override;
  int raw_list(const std::string& path, std::vector<std::string>* names) override;

 private:
  int find(const std::string& path, std::shared_ptr<Content>* content);
  int exists_below(const std::string& path, bool* exists);

  FileSystem& below_;
  const std::shared_ptr<Memory> memory_;
  std::mutex mutex_;                                        // the two below
  std::map<std::string, std::shared_ptr<Content>> opened_;  // files that were opened, or made, by their names here
  std::set<std::string> gone_;                              // names below that are no longer names here
};

}  // namespace vaultgres
