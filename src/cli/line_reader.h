// Lines of standard input, bounded in length.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace vaultgres::cli {

class LineReader {
 public:
  enum class Got : std::uint8_t {
    kLine,
    kCutOff,   ///< the input ends within this line: whoever wrote it may have had more to say
    kTooLong,  ///< the line had more bytes than are allowed; it is read to its end and dropped
    kEnd,
    kFailed,  ///< errno says why
  };

  explicit LineReader(std::size_t bytes_max) : bytes_max_(bytes_max) {}

  /// The next line without its newline. Waits only while no whole line has arrived.
  Got next(std::string& line);

 private:
  const std::size_t bytes_max_;
};

}  // namespace vaultgres::cli
