#include <algorithm>

#include "base/seeded_bug.h"
#include "io/file.h"
#include "io/interrupted.h"
#include "io/io_error.h"

namespace vaultgres {
namespace {

/// Makes the call, again where a signal interrupts it; an errno becomes "PATH: WHAT failed: …".
template <class Call>
Status attempt(const std::string& path, std::string_view what, Call call) {
  const int os_error = uninterrupted(call);
  if (os_error != 0) return io_error(path, what, os_error);
  return {};
}

}  // namespace

Result<std::unique_ptr<File>> FileSystem::open(const std::string& path, OpenMode mode) {
  std::unique_ptr<RawFile> raw;
  const char* what = mode == OpenMode::kCreate ? "create" : "open";
  if (Status opened = attempt(path, what, [&] { return raw_open(path, mode, &raw); }); !opened) return opened.error();
  return std::make_unique<File>(path, std::move(raw));
}

Status FileSystem::rename(const std::string& from, const std::string& to) {
  return attempt(from, "rename to " + to, [&] { return raw_rename(from, to); });
}

Status FileSystem::remove(const std::string& path) {
  return attempt(path, "remove", [&] { return raw_remove(path); });
}

Status FileSystem::make_directory(const std::string& path) {
  return attempt(path, "make directory", [&] { return raw_make_directory(path); });
}

Status FileSystem::sync_directory(const std::string& path) {
  if (VG_SEEDED_BUG(kSkipDirectorySync)) return {};
  return attempt(path, "sync of the directory", [&] { return raw_sync_directory(path); });
}

Result<bool> FileSystem::exists(const std::string& path) {
  bool exists = false;
  if (Status asked = attempt(path, "looking for it", [&] { return raw_exists(path, &exists); }); !asked) {
    return asked.error();
  }
  return exists;
}

Result<std::vector<std::string>> FileSystem::list(const std::string& path) {
  std::vector<std::string> names;
  Status listed = attempt(path, "listing the directory", [&] {
    names.clear();
    return raw_list(path, &names);
  });
  if (!listed) return listed.error();
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace vaultgres
