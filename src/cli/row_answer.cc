#include "cli/row_answer.h"

#include <fmt/format.h>

#include <numeric>

#include "base/try.h"
#include "cli/explain.h"
#include "cli/output.h"
#include "cli/row_filter.h"
#include "cli/row_printer.h"

namespace vaultgres::cli {

namespace {

Result<std::vector<std::size_t>> shown_columns(const Schema& schema, const RowOptions& options) {
  std::vector<std::size_t> columns(schema.size());
  std::iota(columns.begin(), columns.end(), std::size_t{0});
  if (options.select) {
    VG_ASSIGN(columns, parse_columns(schema, *options.select));
  }
  for (const std::size_t column : columns) {
    if (options.place && schema[column].name == kPlaceField) {
      return Error(ErrorCode::kInvalidArgument,
                   "--place: the table has a column of this name; leave it out with --select");
    }
  }
  return columns;
}

/// Walks to the end, or to the limit.
Status walk(const RowOptions& options, const RowFilter& filter, const NextRow& next, RowPrinter& printer,
            Explain& costs) {
  while ((options.limit == 0 || costs.rows_returned < options.limit) && !output_failed()) {
    VG_ASSIGN(const FoundRow found, next());
    if (found.row == nullptr) break;
    ++costs.rows_looked_at;
    if (!filter.matches(*found.row)) continue;
    ++costs.rows_returned;
    if (!options.count) printer.row(found.id, *found.row);
  }
  return {};
}

}  // namespace

void print_count(std::uint64_t count, Format format) {
  if (format == Format::kText) return print(fmt::format("{}\n", count));
  print_answer(Json{{"count", count}}, format);
}

Result<std::uint64_t> answer_rows(const Schema& schema, const RowOptions& options, const NextRow& next,
                                  const std::optional<Error>& if_none) {
  VG_ASSIGN(const Format format, format_of(options.json, options.csv));
  VG_ASSIGN(const RowFilter filter, RowFilter::parse(schema, options.where, {.escaped = options.escaped}));
  VG_ASSIGN(std::vector<std::size_t> columns, shown_columns(schema, options));
  RowPrinter printer(schema, std::move(columns), options.place, format);
  Explain costs;
  const Status walked = walk(options, filter, next, printer, costs);
  printer.print_held();
  if (!walked) return walked.error();
  const bool missing = if_none && costs.rows_returned == 0;
  if (options.count) print_count(costs.rows_returned, format);
  if (!options.count && !missing) printer.finish();
  if (options.explain) costs.print(options.json);
  if (missing) return *if_none;
  return costs.rows_returned;
}

}  // namespace vaultgres::cli
