// A user's file, or standard input, in large chunks.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vaultgres/result.h"

namespace vaultgres::cli {

class InputFile {
 public:
  /// "-": standard input.
  static Result<InputFile> open(const std::string& path);

  const std::string& name() const noexcept { return name_; }
  /// What is to be read, of a regular file; none for a pipe or terminal.
  std::optional<std::uint64_t> bytes() const noexcept { return bytes_; }

  /// Empty at the end, elsewhere full but for the last. Lives until the next call.
  Result<std::string_view> next_chunk();
  /// To where it was when it was opened. Precondition: bytes() has a value.
  Status rewind();

 private:
  struct Closer {
    void operator()(std::FILE* stream) const noexcept {
      if (stream != stdin) std::fclose(stream);
    }
  };
  InputFile(std::FILE* stream, std::string name) : stream_(stream), name_(std::move(name)) {}
  Status look();

  std::unique_ptr<std::FILE, Closer> stream_;
  std::string name_;
  std::optional<std::uint64_t> bytes_;
  std::int64_t start_ = 0;
  std::vector<char> chunk_;
};

}  // namespace vaultgres::cli
