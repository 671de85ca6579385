// A file system as a read-only mount shows it, and a count of what was tried on it all the same.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "io/file.h"

namespace vaultgres {

/// Refuses everything but opening for reading, reading and locking, and counts what it refused.
class ReadOnlyMount final : public FileSystem {
 public:
  explicit ReadOnlyMount(FileSystem& below) : below_(below) {}
  /// Attempts to change something.
  unsigned attempts() const noexcept { return attempts_.load(); }
  unsigned files_open() const noexcept { return files_open_.load(); }

 protected:
  int raw_open(const std::string& path, OpenMode mode, std::unique_ptr<RawFile>* file) override;
  int raw_rename(const std::string&, const std::string&) override { return refuse(); }
  int raw_remove(const std::string&) override { return refuse(); }
  int raw_make_directory(const std::string&) override { return refuse(); }
  int raw_sync_directory(const std::string&) override { return refuse(); }
  int raw_exists(const std::string& path, bool* exists) override;
  int raw_list(const std::string& path, std::vector<std::string>* names) override;

 private:
  class MountFile;
  int refuse();

  FileSystem& below_;
  std::atomic<unsigned> attempts_{0};
  std::atomic<unsigned> files_open_{0};
};

}  // namespace vaultgres
