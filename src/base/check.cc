#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace vaultgres {

void check_failed(const char* file, int line, const char* condition, const char* message) noexcept {
  std::fprintf(stderr, "%s:%d: check failed: %s (%s)\n", file, line, message, condition);
  std::abort();
}

}  // namespace vaultgres
