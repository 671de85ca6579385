#include "cli/column_types.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/try.h"
#include "catalog/text_format.h"
#include "cli/escape.h"

namespace vaultgres::cli {

namespace {

constexpr std::string_view kBlanks = " \t\r\n";

Error bad_columns(std::size_t number, std::string_view what) {
  return Error(ErrorCode::kInvalidArgument,
               fmt::format("column {}: {}; columns are written like `id int64, name text null`", number, what));
}

/// Takes words, quoted names and commas off a text.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text) { skip_blanks(); }

  bool at_end() const noexcept { return rest_.empty(); }
  bool take_comma() {
    if (!rest_.starts_with(',')) return false;
    rest_.remove_prefix(1);
    skip_blanks();
    return true;
  }
  /// Empty: there is none.
  std::string_view take_word() {
    const std::string_view word = rest_.substr(0, rest_.find_first_of(" \t\r\n,\""));
    rest_.remove_prefix(word.size());
    skip_blanks();
    return word;
  }
  /// None: a quote is never closed.
  std::optional<std::string> take_name() {
    if (!rest_.starts_with('"')) return std::string(take_word());
    std::string name;
    for (std::size_t at = 1; at < rest_.size(); ++at) {
      if (rest_[at] == '"' && !rest_.substr(at + 1).starts_with('"')) {
        rest_.remove_prefix(at + 1);
        skip_blanks();
        return name;
      }
      name += rest_[at];
      if (rest_[at] == '"') ++at;
    }
    return std::nullopt;
  }

 private:
  void skip_blanks() { rest_.remove_prefix(std::min(rest_.find_first_not_of(kBlanks), rest_.size())); }

  std::string_view rest_;
};

std::string type_names() {
  std::string names;
  for (unsigned number = 1; column_type_name(static_cast<ColumnType>(number)) != "?"; ++number) {
    names += (names.empty() ? "" : " ") + std::string(column_type_name(static_cast<ColumnType>(number)));
  }
  return names;
}

Result<Column> take_column(Scanner& scanner, std::size_t number) {
  Column column;
  std::optional<std::string> name = scanner.take_name();
  if (!name) return bad_columns(number, "the quote around its name is never closed");
  if (name->empty()) return bad_columns(number, "it has no name");
  column.name = *std::move(name);
  const std::string_view type = scanner.take_word();
  if (type.empty()) return bad_columns(number, fmt::format("\"{}\" has no type", escape(column.name)));
  const std::optional<ColumnType> known = parse_column_type(type);
  if (!known) {
    return bad_columns(number, fmt::format("\"{}\" is no type; there are {}", escape(type), type_names()));
  }
  column.type = *known;
  const std::string_view null = scanner.take_word();
  if (!null.empty() && null != "null") {
    return bad_columns(number, fmt::format("\"{}\" behind the type; only `null` may stand there", escape(null)));
  }
  column.nullable = !null.empty();
  return column;
}

bool is_digit(char c) noexcept {
  return c >= '0' && c <= '9';
}

/// Whether the number that `text` stands for would be printed in another way for a reason that matters.
bool loses_as_number(ColumnType type, std::string_view text) noexcept {
  if (text.starts_with('-')) text.remove_prefix(1);
  if (text.size() > 1 && text[0] == '0' && is_digit(text[1])) return true;
  constexpr std::size_t kExactDigits = 15;  // every integer of so many digits is a double
  return type == ColumnType::kDouble && text.size() > kExactDigits && std::all_of(text.begin(), text.end(), is_digit);
}

bool is_truth_word(std::string_view text) {
  return text.size() > 1 && parse_value(ColumnType::kBool, text).has_value();
}

constexpr std::array<ColumnType, TypeGuess::kCandidateCount> kCandidates = {ColumnType::kInt64, ColumnType::kDouble,
                                                                            ColumnType::kDate,  ColumnType::kTimestamp,
                                                                            ColumnType::kBool,  ColumnType::kText};
constexpr std::size_t kText = kCandidates.size() - 1;  // what all fit

bool fits(ColumnType type, std::string_view text) {
  switch (type) {
    case ColumnType::kInt64:
    case ColumnType::kDouble:
      return !loses_as_number(type, text) && parse_value(type, text).has_value();
    case ColumnType::kBool:
      return is_truth_word(text);
    default:
      return parse_value(type, text).has_value();
  }
}

}  // namespace

Result<Schema> parse_schema(std::string_view text) {
  std::vector<Column> columns;
  Scanner scanner(text);
  do {
    VG_ASSIGN(Column column, take_column(scanner, columns.size() + 1));
    columns.push_back(std::move(column));
  } while (scanner.take_comma());
  if (!scanner.at_end()) return bad_columns(columns.size(), "something follows that is no comma");
  return Schema::create(std::move(columns));
}

std::string column_name_text(std::string_view name) {
  if (name.find_first_of(" \t\r\n,\"") == std::string_view::npos) return std::string(name);
  std::string quoted = "\"";
  for (const char c : name) quoted.append(c == '"' ? 2 : 1, c);
  return quoted + '"';
}

std::string schema_text(const Schema& schema) {
  std::string text;
  for (const Column& column : schema.columns()) {
    text += fmt::format("{}{} {}{}", text.empty() ? "" : ", ", column_name_text(column.name),
                        column_type_name(column.type), column.nullable ? " null" : "");
  }
  return text;
}

std::string index_columns_text(const IndexSpec& spec) {
  std::string text;
  for (const IndexSpec::Part& part : spec.columns) {
    text += (text.empty() ? "" : ", ") + column_name_text(part.column) + (part.descending ? " desc" : "");
  }
  return text;
}

TypeGuess::TypeGuess(std::vector<std::string> names) : names_(std::move(names)), guesses_(names_.size()) {}

void TypeGuess::add(std::span<const std::optional<std::string_view>> fields) {
  for (std::size_t i = 0; i < guesses_.size(); ++i) {
    Guess& guess = guesses_[i];
    if (!fields[i]) {
      guess.has_nulls = true;
      continue;
    }
    guess.has_values = true;
    for (std::size_t candidate = 0; candidate < kText; ++candidate) {
      if (guess.fits[candidate]) guess.fits[candidate] = fits(kCandidates[candidate], *fields[i]);
    }
  }
}

ColumnType TypeGuess::Guess::type() const {
  if (!has_values) return ColumnType::kText;
  const auto first = std::find(fits.begin(), fits.begin() + kText, true);
  return kCandidates[static_cast<std::size_t>(first - fits.begin())];
}

Result<Schema> TypeGuess::schema() const {
  std::vector<Column> columns;
  for (std::size_t i = 0; i < guesses_.size(); ++i) {
    const Guess& guess = guesses_[i];
    const ColumnType type = guess.type();
    columns.push_back({names_[i], type, guess.has_nulls || type == ColumnType::kText});
  }
  return Schema::create(std::move(columns));
}

}  // namespace vaultgres::cli
