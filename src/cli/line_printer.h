// Lines of fields, printed as they come: an answer that may be longer than memory.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/answer.h"

namespace vaultgres::cli {

/// In JSON an array of objects, in CSV a header and a line for each, in a pipe fields separated by tabs, on a
/// terminal columns that line up. print_held() always comes last but for finish(), which is for the way that ends
/// well: a JSON array that is not closed tells its reader that something is missing.
class LinePrinter {
 public:
  struct Field {
    std::string name;
    bool right = false;  ///< on a terminal
  };
  enum class Header : std::uint8_t { kOnTerminal, kNone };

  /// `header` is for text; CSV always has one.
  LinePrinter(std::vector<Field> fields, Format format, Header header);

  /// One text per field, written as the format wants it.
  void line(std::vector<std::string> texts);
  void print_held();
  void finish();

 private:
  void begin();
  void hold(std::vector<std::string> texts);
  std::string aligned(const std::vector<std::string>& texts) const;

  const std::vector<Field> fields_;
  const Format format_;
  const bool columns_;  // text for a terminal
  const Header header_;
  std::uint64_t count_ = 0;
  std::vector<std::size_t> widths_;
  std::vector<std::vector<std::string>> held_;
};

}  // namespace vaultgres::cli
