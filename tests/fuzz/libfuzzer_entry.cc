// What libFuzzer calls. Compiled once for each target, whose function VG_FUZZ_TARGET names.
#include "targets.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  vaultgres::fuzz::VG_FUZZ_TARGET({reinterpret_cast<const std::byte*>(data), size});
  return 0;
}
