// A file system that stops at every call: a test's hook runs before the call is made, in the thread that makes it.
#pragma once

#include <functional>
#include <string>
#include <utility>

#include "support/forwarding_file_system.h"

namespace vaultgres {

/// Calls of `below`, but for kClose. The hook may do anything but destroy what makes the call; no lock of `below` is
/// held.
class HookedFileSystem final : public ForwardingFileSystem {
 public:
  using Hook = std::function<void(FileCall call, const std::string& path)>;
  HookedFileSystem(FileSystem& below, Hook hook) : ForwardingFileSystem(below), hook_(std::move(hook)) {}

 private:
  int around(FileCall call, const std::string& path, FunctionRef<int()> forward) override {
    if (call != FileCall::kClose) hook_(call, path);
    return forward();
  }

  const Hook hook_;
};

}  // namespace vaultgres
