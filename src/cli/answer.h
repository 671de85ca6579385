// Answers: one description of what a verb found, shown as aligned text, JSON or CSV.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "vaultgres/result.h"
#include "vaultgres/table.h"

namespace vaultgres::cli {

using Json = nlohmann::ordered_json;

enum class Format : std::uint8_t { kText, kJson, kCsv };

/// The flags --json and --csv; both together are kInvalidArgument.
Result<Format> format_of(bool json, bool csv);

inline constexpr char kJsonHelp[] = "Answer in JSON; bytes that are not UTF-8 become {\"hex\": \"ff00\"}";
inline constexpr char kCsvHelp[] = "Answer in CSV with a header line; bytes stay as they are";

/// Bytes as JSON: a string if they are UTF-8, else {"hex": "…"}.
Json json_of(std::string_view bytes);
/// The columns of an index: objects with "name" and "descending".
Json index_columns_json(const IndexSpec& spec);

/// A value for people to read: escaped, no line break. `shorten_to`: characters at most, 0 for any number.
std::string text_of(const Json& value, std::size_t shorten_to = 0);

/// Rows of equal length in columns that line up; columns of numbers go to the right. Ends with a newline.
std::string align(const std::vector<std::vector<std::string>>& rows, std::string_view indent = "");

/// "42 %" with a bar, for a number from 0 to 1.
std::string fill_bar(double fill);

/// One field of a CSV line, quoted if need be.
std::string csv_field(std::string_view bytes);

/// An array of objects with equal keys, or one object. Text is aligned and has a header on a terminal; in a
/// pipe an array's rows are lines of fields separated by tabs.
void print_answer(const Json& answer, Format format);

/// The same for one object in a drawing: lines "name  value".
std::string align_object(const Json& object, std::string_view indent, std::size_t shorten_to);
/// The same for an array of objects: a header and a line for each.
std::string align_array(const Json& array, std::string_view indent, std::size_t shorten_to);

}  // namespace vaultgres::cli
