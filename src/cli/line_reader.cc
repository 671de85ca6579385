#include "cli/line_reader.h"

#include <cstdio>

namespace vaultgres::cli {

LineReader::Got LineReader::next(std::string& line) {
  line.clear();
  std::size_t length = 0;
  for (int c = getc_unlocked(stdin); c != '\n'; c = getc_unlocked(stdin)) {
    if (c == EOF) {
      if (std::ferror(stdin) != 0) return Got::kFailed;
      if (length == 0) return Got::kEnd;
      return length <= bytes_max_ ? Got::kCutOff : Got::kTooLong;
    }
    if (++length <= bytes_max_) line.push_back(static_cast<char>(c));
  }
  return length <= bytes_max_ ? Got::kLine : Got::kTooLong;
}

}  // namespace vaultgres::cli
