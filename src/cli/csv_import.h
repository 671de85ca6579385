// A CSV file read from its beginning to its end: the header, types guessed from the first rows, every record a row.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/function_ref.h"
#include "cli/column_types.h"
#include "cli/csv_reader.h"
#include "cli/input_file.h"
#include "cli/interrupt.h"
#include "vaultgres/value.h"

namespace vaultgres::cli {

struct CsvOptions {
  char delimiter = ',';
  bool header = true;
  std::optional<std::string> null_text;  ///< none: an empty field is NULL
  bool progress = true;
};

class CsvImport {
 public:
  CsvImport(InputFile file, CsvOptions options, const InterruptGuard& interrupt)
      : file_(std::move(file)), options_(std::move(options)), interrupt_(interrupt) {}

  /// Names from the header, types from the first rows; then the file is at its beginning again. Needs a regular file.
  Result<Schema> guess_schema();

  /// Every row goes to `add`, until its first error. Errors say file, line and column. Ends early when the user
  /// interrupts.
  Status run(const Schema& schema, FunctionRef<Status(const Row&)> add);

  std::uint64_t rows() const noexcept { return rows_; }
  bool interrupted() const noexcept { return interrupt_.requested(); }

 private:
  Status read(CsvReader::Sink sink);
  Result<bool> take_sample(const CsvRecord& record);
  void add_to_guess(const CsvRecord& record);
  Error explain(const Error& error, const Schema& schema, const CsvRecord& record);

  InputFile file_;
  CsvOptions options_;
  const InterruptGuard& interrupt_;
  std::optional<CsvReader> reader_;
  std::optional<TypeGuess> guess_;
  std::uint64_t sampled_ = 0;
  std::uint64_t rows_ = 0;
};

}  // namespace vaultgres::cli
