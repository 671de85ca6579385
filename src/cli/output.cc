#include "cli/output.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "io/io_error.h"

namespace vaultgres::cli {

namespace {
int first_error = 0;

void keep_error() noexcept {
  if (first_error == 0) first_error = errno != 0 ? errno : EIO;
}
}  // namespace

void print(std::string_view text) {
  if (first_error != 0 || text.empty()) return;
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) keep_error();
}

bool flush_output() {
  if (first_error == 0 && std::fflush(stdout) != 0) keep_error();
  return first_error == 0;
}

bool output_failed() noexcept {
  return first_error != 0;
}

bool output_is_terminal() noexcept {
  static const bool terminal = ::isatty(STDOUT_FILENO) == 1;
  return terminal;
}

Status output_status() {
  if (flush_output()) return {};
  return io_error("standard output", "write", first_error);
}

}  // namespace vaultgres::cli
