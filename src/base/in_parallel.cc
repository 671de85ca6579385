#include "base/in_parallel.h"

#include <algorithm>
#include <array>
#include <exception>
#include <thread>

#include "base/check.h"

namespace vaultgres {

void in_parallel(unsigned parts, FunctionRef<void(unsigned part)> part) {
  VG_CHECK(parts <= kPartsMax, "too many parts");
  std::array<std::exception_ptr, kPartsMax> thrown;
  const auto run = [&](unsigned number) noexcept {
    try {
      part(number);
    } catch (...) {
      thrown[number] = std::current_exception();
    }
  };
  std::array<std::thread, kPartsMax> threads;
  unsigned started = 1;
  try {
    for (; started < parts; ++started) threads[started] = std::thread(run, started);
  } catch (const std::exception&) {
    // No thread, no memory: the caller does what is left.
  }
  if (parts > 0) run(0);
  for (unsigned number = started; number < parts; ++number) run(number);
  for (std::thread& thread : threads) {
    if (thread.joinable()) thread.join();
  }
  const auto first = std::find_if(thrown.begin(), thrown.end(), [](const auto& each) { return each != nullptr; });
  if (first != thrown.end()) std::rethrow_exception(*first);
}

}  // namespace vaultgres
