#include "cli/csv_import.h"

#include <fmt/format.h>

#include <utility>
#include <vector>

#include "base/try.h"
#include "cli/csv_rows.h"
#include "cli/progress.h"

namespace vaultgres::cli {

namespace {

constexpr std::uint64_t kSampleRows = 10'000;

/// An empty line is a row only where it can be one: with one column, its field being empty.
bool is_skipped(const CsvRecord& record, std::size_t columns) noexcept {
  return columns != 1 && record.is_empty_line();
}

Error no_header(const InputFile& file) {
  return Error(ErrorCode::kInvalidArgument, file.name() + " is empty: a header line is missing");
}

}  // namespace

Status CsvImport::read(CsvReader::Sink sink) {
  reader_.emplace(file_.name(), options_.delimiter);
  for (;;) {
    const Result<std::string_view> chunk = file_.next_chunk();
    if (interrupted()) return {};
    if (!chunk) return chunk.error();
    const Result<bool> more = chunk->empty() ? reader_->finish(sink) : reader_->feed(*chunk, sink);
    if (!more) return more.error();
    if (!*more || chunk->empty()) return {};
  }
}

Result<Schema> CsvImport::guess_schema() {
  if (!file_.bytes()) {
    return Error(ErrorCode::kInvalidArgument,
                 file_.name() + " is no regular file, and only of one types are guessed; give --columns");
  }
  VG_TRY(read([this](const CsvRecord& record) { return take_sample(record); }));
  if (!guess_) return no_header(file_);
  if (sampled_ == 0) {
    return Error(ErrorCode::kInvalidArgument,
                 file_.name() + " has a header but no row to guess types from; give --columns");
  }
  VG_TRY(file_.rewind());
  return guess_->schema();
}

Result<bool> CsvImport::take_sample(const CsvRecord& record) {
  if (guess_) {
    if (is_skipped(record, guess_->columns())) return true;
    VG_TRY(check_field_count(record, guess_->columns()));
    add_to_guess(record);
    return ++sampled_ < kSampleRows;
  }
  if (record.is_empty_line()) return true;
  std::vector<std::string> names;
  for (const CsvField& field : record.fields) names.emplace_back(field.text);
  guess_.emplace(std::move(names));
  if (const Result<Schema> named = guess_->schema(); !named) return named.error().with_context("the header line");
  return true;
}

/// Precondition: as many fields as columns.
void CsvImport::add_to_guess(const CsvRecord& record) {
  std::vector<std::optional<std::string_view>> fields;
  for (const CsvField& field : record.fields) {
    fields.push_back(is_null(field, options_.null_text) ? std::nullopt : std::optional(field.text));
  }
  guess_->add(fields);
}

Status CsvImport::run(const Schema& schema, FunctionRef<Status(const Row&)> add) {
  CsvRows rows(schema, options_.null_text);
  bool header_is_due = options_.header;
  Row row;
  Progress progress(options_.progress, file_.bytes());
  const auto take = [&](const CsvRecord& record) -> Result<bool> {
    if (interrupted()) return false;
    if (is_skipped(record, header_is_due ? 0 : schema.size())) return true;
    if (std::exchange(header_is_due, false)) {
      VG_TRY(rows.set_header(record));
      return true;
    }
    if (const Status parsed = rows.parse(record, row); !parsed) return explain(parsed.error(), schema, record);
    VG_TRY(add(row));
    progress.update(++rows_, reader_->bytes());
    return true;
  };
  VG_TRY(read(take));
  if (header_is_due && !interrupted()) return no_header(file_);
  return {};
}

/// A guess that this record contradicts: the error says what the columns must be instead.
Error CsvImport::explain(const Error& error, const Schema& schema, const CsvRecord& record) {
  if (!guess_ || record.fields.size() != schema.size()) return error;
  add_to_guess(record);
  const Result<Schema> better = guess_->schema();
  if (!better || *better == schema) return error;
  return Error(error.code(), fmt::format("{}; types were guessed from the first {} rows, give --columns '{}'",
                                         error.message(), sampled_, schema_text(*better)));
}

}  // namespace vaultgres::cli
