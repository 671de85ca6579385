// CSV text as records, by libcsv in its strict mode.
//
// The dialect is that of RFC 4180, with any one-byte delimiter: a field that begins with a quote ends with one, and two
// quotes within it are one; such a field may hold delimiters and line ends. Elsewhere a quote is an error. Lines end
// with \n, \r\n or \r. Blanks belong to their field. A byte order mark in front is skipped. An empty line is a
// record with one empty field.
//
// The text comes in chunks; memory is bounded by the longest record.
#pragma once

#include <csv.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/function_ref.h"
#include "vaultgres/result.h"

namespace vaultgres::cli {

struct CsvField {
  std::string_view text;
  bool quoted = false;
};

/// Views live until the sink returns.
struct CsvRecord {
  std::uint64_t line = 0;  ///< where it begins, from 1
  std::span<const CsvField> fields;

  bool is_empty_line() const noexcept { return fields.size() == 1 && fields[0].text.empty() && !fields[0].quoted; }
};

class CsvReader {
 public:
  /// Takes a record; false when it wants no more.
  using Sink = FunctionRef<Result<bool>(const CsvRecord&)>;

  /// Longer records are kTooLarge: most of them miss a quote, and memory must not grow with the file.
  static constexpr std::size_t kRecordBytesMax = std::size_t{64} << 20;

  /// `name` is what errors call the text.
  CsvReader(std::string name, char delimiter);
  ~CsvReader() { csv_free(&parser_); }
  CsvReader(const CsvReader&) = delete;
  CsvReader& operator=(const CsvReader&) = delete;

  /// The first chunk must not end within a byte order mark. False when the sink wants no more. Errors begin
  /// with where the record begins, "NAME:17: ", those of the sink, too. After an error or false: no further call.
  Result<bool> feed(std::string_view chunk, Sink sink);
  /// Ends the text.
  Result<bool> finish(Sink sink);

  /// Bytes before the record in the making, a mark not counted.
  std::uint64_t bytes() const noexcept { return field_begin_; }

 private:
  static void on_field(void* text, std::size_t bytes, void* self);
  static void on_line_end(int byte, void* self);

  void add_field(std::string_view text);
  void end_line(int byte);
  void emit_record();
  bool field_is_quoted() const noexcept;
  Result<bool> result() const;
  std::string place() const;
  Error syntax_error() const;

  csv_parser parser_;
  const std::string name_;
  std::optional<Sink> sink_;
  std::optional<Error> sink_error_;
  bool stopped_ = false;

  // The record in the making. The fields' texts are laid end to end and become views when it is complete.
  std::string texts_;
  std::vector<CsvField> fields_;
  std::vector<std::size_t> ends_;
  std::uint64_t line_ = 1;
  std::uint64_t line_ends_inside_ = 0;
  bool after_carriage_return_ = false;

  // libcsv does not tell whether a field stood in quotes. Strict mode makes the length of its source known, hence
  // where the next one begins, and a field is quoted if it begins with a quote.
  std::string_view chunk_;
  std::uint64_t chunk_begin_ = 0;  ///< in the text, not counting the mark
  std::uint64_t field_begin_ = 0;
  bool open_field_quoted_ = false;  ///< of the field that began in an earlier chunk
};

}  // namespace vaultgres::cli
