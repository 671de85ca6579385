#include "base/seeded_bug.h"

#ifdef VG_TEST_HOOKS

#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace vaultgres {

SeededBug seeded_bug_of_environment() {
  const char* wanted = std::getenv("VG_SEEDED_BUG");
  if (wanted == nullptr || *wanted == '\0') return SeededBug::kNone;
#define VG_SEEDED_BUG_CASE(name)                 \
  if (std::string_view(wanted) == #name) {       \
    std::printf("seeded bug " #name " is on\n"); \
    std::fflush(stdout);                         \
    return SeededBug::name;                      \
  }
  VG_SEEDED_BUGS(VG_SEEDED_BUG_CASE)
#undef VG_SEEDED_BUG_CASE
  std::fprintf(stderr, "VG_SEEDED_BUG=%s: there is no such seeded bug\n", wanted);
  std::exit(2);
}

}  // namespace vaultgres

#endif
