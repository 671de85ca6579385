#include "cli/hexdump.h"

#include <fmt/format.h>

#include <algorithm>

namespace vaultgres::cli {

namespace {

constexpr std::size_t kLineBytes = 16;

std::string hex_line(std::size_t offset, Bytes line) {
  std::string numbers;
  std::string characters;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const auto byte = std::to_integer<unsigned>(line[i]);
    numbers += fmt::format("{}{:02x}", i == kLineBytes / 2 ? "  " : " ", byte);
    characters += byte >= 0x20 && byte < 0x7F ? static_cast<char>(byte) : '.';
  }
  return fmt::format("{:06x} {:<49}  {}\n", offset, numbers, characters);
}

}  // namespace

std::string hexdump(Bytes bytes) {
  std::string text;
  Bytes before;
  bool repeating = false;
  for (std::size_t offset = 0; offset < bytes.size(); offset += kLineBytes) {
    const Bytes line = bytes.subspan(offset, std::min(kLineBytes, bytes.size() - offset));
    const bool last = offset + kLineBytes >= bytes.size();
    const bool same = !last && std::equal(line.begin(), line.end(), before.begin(), before.end());
    if (!same) text += hex_line(offset, line);
    if (same && !repeating) text += "*\n";
    repeating = same;
    before = line;
  }
  return text;
}

}  // namespace vaultgres::cli
