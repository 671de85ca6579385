#include "cli/row_filter.h"

#include <fmt/format.h>

#include <algorithm>
#include <compare>
#include <functional>
#include <optional>
#include <string_view>

#include "base/try.h"
#include "cli/escape.h"

namespace vaultgres::cli {

namespace {

constexpr char kOperatorCharacters[] = "=!<>";

std::string_view without_blanks(std::string_view text) {
  return text.substr(std::min(text.find_first_not_of(' '), text.size()));
}

/// The column with the longest name that `text` begins with and after which `may_follow`: names may contain anything.
std::optional<std::size_t> leading_column(const Schema& schema, std::string_view text,
                                          const std::function<bool(std::string_view)>& may_follow) {
  std::optional<std::size_t> found;
  for (std::size_t i = 0; i < schema.size(); ++i) {
    const std::string& name = schema[i].name;
    const bool longer = !found || name.size() > schema[*found].name.size();
    if (longer && text.starts_with(name) && may_follow(text.substr(name.size()))) found = i;
  }
  return found;
}

Error bad_condition(const std::string& text, const std::string& what) {
  return Error(ErrorCode::kInvalidArgument, fmt::format("--where \"{}\": {}", escape(text), what));
}

}  // namespace

Result<RowFilter::Operator> RowFilter::parse_operator(const std::string& text) {
  constexpr const char* kOperators[] = {"=", "!=", "<", "<=", ">", ">="};  // in the order of the enumerators
  const auto* const found = std::find(std::begin(kOperators), std::end(kOperators), text);
  if (found == std::end(kOperators)) {
    return Error(ErrorCode::kInvalidArgument,
                 fmt::format("there is no operator {}; there are = != < <= > >=, and a value that begins with one of "
                             "these characters stands behind a blank",
                             text));
  }
  return static_cast<Operator>(found - std::begin(kOperators));
}

Result<RowFilter::Condition> RowFilter::parse_condition(const Schema& schema, const std::string& text,
                                                        const ValueSyntax& syntax) {
  const auto operator_follows = [](std::string_view rest) {
    return without_blanks(rest).find_first_of(kOperatorCharacters) == 0;
  };
  const std::optional<std::size_t> column = leading_column(schema, text, operator_follows);
  if (!column) {
    return bad_condition(
        text,
        fmt::format("a condition is COLUMN OP VALUE, OP being = != < <= > >=; the columns are {}", names_of(schema)));
  }
  std::string_view rest = without_blanks(std::string_view(text).substr(schema[*column].name.size()));
  const std::size_t op_length = std::min(rest.find_first_not_of(kOperatorCharacters), rest.size());
  const Result<Operator> op = parse_operator(std::string(rest.substr(0, op_length)));
  if (!op) return bad_condition(text, std::string(op.error().message()));
  const std::string value_text(without_blanks(rest.substr(op_length)));
  Condition condition{*column, *op, Value()};
  if (value_text == "NULL" || value_text == syntax.null) {
    if (*op == Operator::kEqual || *op == Operator::kNotEqual) return condition;
    return bad_condition(text, "NULL is neither less nor greater than a value; use = NULL or != NULL");
  }
  Result<Value> value = value_of_text(schema[*column], value_text, syntax);
  if (!value) return bad_condition(text, std::string(value.error().message()));
  condition.value = *std::move(value);
  return condition;
}

Result<RowFilter> RowFilter::parse(const Schema& schema, std::span<const std::string> conditions,
                                   const ValueSyntax& syntax) {
  RowFilter filter;
  for (const std::string& text : conditions) {
    VG_ASSIGN(Condition condition, parse_condition(schema, text, syntax));
    filter.conditions_.push_back(std::move(condition));
  }
  return filter;
}

bool RowFilter::Condition::holds(const Value& of_row) const {
  if (value.is_null()) return of_row.is_null() == (op == Operator::kEqual);
  if (of_row.is_null()) return false;
  const std::weak_ordering order = of_row <=> value;
  switch (op) {
    case Operator::kEqual:
      return order == 0;
    case Operator::kNotEqual:
      return order != 0;
    case Operator::kLess:
      return order < 0;
    case Operator::kLessOrEqual:
      return order <= 0;
    case Operator::kGreater:
      return order > 0;
    case Operator::kGreaterOrEqual:
      return order >= 0;
  }
  return false;
}

bool RowFilter::matches(const Row& row) const {
  return std::all_of(conditions_.begin(), conditions_.end(),
                     [&](const Condition& condition) { return condition.holds(row[condition.column]); });
}

Result<std::vector<std::size_t>> parse_columns(const Schema& schema, const std::string& text) {
  std::vector<std::size_t> columns;
  const auto ends = [](std::string_view rest) { return rest.empty() || rest.front() == ','; };
  for (std::string_view rest = text;; rest.remove_prefix(1)) {
    const std::optional<std::size_t> column = leading_column(schema, rest, ends);
    if (!column) {
      return Error(ErrorCode::kInvalidArgument, fmt::format("--select: no column \"{}\"; the columns are {}",
                                                            escape(rest.substr(0, rest.find(','))), names_of(schema)));
    }
    if (std::find(columns.begin(), columns.end(), *column) != columns.end()) {
      return Error(ErrorCode::kInvalidArgument,
                   fmt::format("--select: column \"{}\" is named twice", escape(schema[*column].name)));
    }
    columns.push_back(*column);
    rest.remove_prefix(schema[*column].name.size());
    if (rest.empty()) return columns;
  }
}

}  // namespace vaultgres::cli
