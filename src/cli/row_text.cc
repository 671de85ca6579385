#include "cli/row_text.h"

#include <fmt/format.h>

#include <charconv>

#include "base/check.h"
#include "base/try.h"
#include "catalog/text_format.h"
#include "cli/escape.h"

namespace vaultgres::cli {

namespace {

template <class T>
bool parse_whole(std::string_view text, T& number) {
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  return problem == std::errc() && end == text.data() + text.size();
}

std::string names_of(const Index& index) {
  std::string names;
  for (const IndexSpec::Part& part : index.spec().columns) names += (names.empty() ? "" : ", ") + escape(part.column);
  return names;
}

Result<Value> parse_text(const Column& column, const std::string& text, const ValueSyntax& syntax) {
  if (text == syntax.null) return Value();
  if (!syntax.escaped) return parse_value(column.type, text);
  VG_ASSIGN(const std::string plain, unescape(text));
  return parse_value(column.type, plain);
}

}  // namespace

Result<Value> value_of_text(const Column& column, const std::string& text, const ValueSyntax& syntax) {
  Result<Value> value = parse_text(column, text, syntax);
  if (!value) return value.error().with_context(fmt::format("column \"{}\"", escape(column.name)));
  VG_TRY(check_value(column, *value));
  return value;
}

Result<Row> row_of_texts(const Table& table, std::span<const std::string> texts, const ValueSyntax& syntax) {
  const Schema& schema = table.schema();
  if (texts.size() != schema.size()) {
    return Error(ErrorCode::kInvalidArgument,
                 fmt::format("the table \"{}\" has {} column{}, but {} value{} given: {}", escape(table.name()),
                             schema.size(), schema.size() == 1 ? "" : "s", texts.size(),
                             texts.size() == 1 ? " is" : "s are", names_of(schema)));
  }
  Row row;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    VG_ASSIGN(Value value, value_of_text(schema[i], texts[i], syntax));
    row.push_back(std::move(value));
  }
  return row;
}

std::string names_of(const Schema& schema) {
  std::string names;
  for (const Column& column : schema.columns()) names += (names.empty() ? "" : ", ") + escape(column.name);
  return names;
}

const Column& index_column(const Index& index, std::size_t place) {
  const std::optional<std::size_t> column = index.schema().find(index.spec().columns[place].column);
  VG_CHECK(column, "an index is over columns of its table");
  return index.schema()[*column];
}

Result<Row> index_values(const Index& index, std::span<const std::string> texts, const ValueSyntax& syntax) {
  const std::size_t columns = index.spec().columns.size();
  if (texts.size() > columns) {
    return Error(ErrorCode::kInvalidArgument,
                 fmt::format("the index \"{}\" has {} column{}, but {} values are given: {}", escape(index.name()),
                             columns, columns == 1 ? "" : "s", texts.size(), names_of(index)));
  }
  Row row;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    VG_ASSIGN(Value value, value_of_text(index_column(index, i), texts[i], syntax));
    row.push_back(std::move(value));
  }
  return row;
}

Result<RowId> parse_place(const std::string& text) {
  RowId id;
  const std::size_t colon = text.find(':');
  if (colon == std::string::npos || !parse_whole(std::string_view(text).substr(0, colon), id.page) ||
      !parse_whole(std::string_view(text).substr(colon + 1), id.slot)) {
    return Error(ErrorCode::kInvalidArgument,
                 fmt::format("\"{}\" is not the place of a row, PAGE:SLOT; to find rows by values, name an index of "
                             "the table, or use `vaultgres range` with --where",
                             escape(text)));
  }
  return id;
}

std::string text_of_place(RowId id) {
  return fmt::format("{}:{}", id.page, id.slot);
}

}  // namespace vaultgres::cli
