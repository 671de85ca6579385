// A file that the program makes for the user: a new one, durable once it is finished, gone if it is not.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/aligned_buffer.h"
#include "io/file.h"

namespace vaultgres::cli {

class OutputFile {
 public:
  /// kAlreadyExists: nothing is overwritten.
  static Result<OutputFile> create(const std::string& path);
  OutputFile(OutputFile&&) noexcept = default;
  OutputFile& operator=(OutputFile&&) = delete;
  /// Removes the file unless finish() has succeeded.
  ~OutputFile();

  Status write(std::string_view bytes);
  Status finish();

 private:
  OutputFile(std::unique_ptr<File> file, AlignedBuffer buffer) : file_(std::move(file)), buffer_(std::move(buffer)) {}
  Status write_buffer();

  std::unique_ptr<File> file_;  ///< null once it is finished, or moved from
  AlignedBuffer buffer_;        ///< whole blocks only are written: direct I/O wants it so
  std::size_t used_ = 0;
  std::uint64_t written_ = 0;
};

}  // namespace vaultgres::cli
