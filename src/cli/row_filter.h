// The options --where and --select: which rows, and which of their columns.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "cli/row_text.h"
#include "vaultgres/value.h"

namespace vaultgres::cli {

/// Conditions that a row must fulfil, all of them. Each is "COLUMN OP VALUE", OP being = != < <= > >=; blanks around
/// OP do not count. Values compare as in indexes (Value's order). NULL fulfils "= NULL" alone; "!= NULL" is for all
/// other values; no other comparison with NULL is one. The syntax's text for NULL and the word NULL both mean it.
class RowFilter {
 public:
  static Result<RowFilter> parse(const Schema& schema, std::span<const std::string> conditions,
                                 const ValueSyntax& syntax);
  bool matches(const Row& row) const;

 private:
  enum class Operator : std::uint8_t { kEqual, kNotEqual, kLess, kLessOrEqual, kGreater, kGreaterOrEqual };
  struct Condition {
    std::size_t column = 0;
    Operator op = Operator::kEqual;
    Value value;
    bool holds(const Value& of_row) const;
  };
  static Result<Operator> parse_operator(const std::string& text);
  static Result<Condition> parse_condition(const Schema& schema, const std::string& text, const ValueSyntax& syntax);

  std::vector<Condition> conditions_;
};

/// Places of columns in the schema, in the order of "COLUMN,COLUMN".
Result<std::vector<std::size_t>> parse_columns(const Schema& schema, const std::string& text);

}  // namespace vaultgres::cli
