#include "cli/answer.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "cli/escape.h"
#include "cli/output.h"

namespace vaultgres::cli {

namespace {

bool is_hex_object(const Json& value) {
  return value.is_object() && value.size() == 1 && value.contains("hex");
}

/// The bytes behind json_of(), other values as text.
std::string bytes_of(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (is_hex_object(value)) return from_hex(value["hex"].get_ref<const std::string&>());
  return value.is_null() ? "" : value.dump();
}

/// Cuts between characters of escaped text; an escape may be cut, what remains is for people.
std::string shorten(std::string text, std::size_t characters) {
  if (characters == 0 || display_width(text) <= characters) return text;
  std::size_t at = 0;
  for (std::size_t kept = 0; kept + 1 < characters; ++kept) {
    at += std::max<std::size_t>(utf8_character(std::string_view(text).substr(at)), 1);
  }
  return text.substr(0, at) + "…";
}

std::string heading(std::string name) {
  std::replace(name.begin(), name.end(), '_', ' ');
  return name;
}

std::vector<std::vector<std::string>> rows_of(const Json& array, bool with_header, std::size_t shorten_to) {
  std::vector<std::vector<std::string>> rows;
  if (array.empty()) return rows;
  if (with_header) {
    rows.emplace_back();
    for (const auto& [name, value] : array.front().items()) rows.back().push_back(heading(name));
  }
  for (const Json& object : array) {
    rows.emplace_back();
    for (const auto& [name, value] : object.items()) rows.back().push_back(text_of(value, shorten_to));
  }
  return rows;
}

bool is_number(std::string_view text) noexcept {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || c == '.'; });
}

void print_csv(const Json& array) {
  if (array.empty()) return;
  std::string line;
  for (const auto& [name, value] : array.front().items()) line += (line.empty() ? "" : ",") + csv_field(name);
  print(line + "\n");
  for (const Json& object : array) {
    line.clear();
    bool first = true;
    for (const auto& [name, value] : object.items()) {
      if (!std::exchange(first, false)) line += ',';
      line += csv_field(bytes_of(value));
    }
    print(line + "\n");
  }
}

}  // namespace

Result<Format> format_of(bool json, bool csv) {
  if (json && csv) return Error(ErrorCode::kInvalidArgument, "--json and --csv exclude each other; give one");
  return json ? Format::kJson : csv ? Format::kCsv : Format::kText;
}

Json json_of(std::string_view bytes) {
  if (is_utf8(bytes)) return Json(std::string(bytes));
  return Json{{"hex", to_hex(bytes)}};
}

Json index_columns_json(const IndexSpec& spec) {
  Json parts = Json::array();
  for (const IndexSpec::Part& part : spec.columns) {
    parts.push_back({{"name", json_of(part.column)}, {"descending", part.descending}});
  }
  return parts;
}

std::string text_of(const Json& value, std::size_t shorten_to) {
  if (value.is_null()) return "none";
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  if (value.is_number_float()) return fmt::format("{:.1f}", value.get<double>());
  if (value.is_string() || is_hex_object(value)) return shorten(escape(bytes_of(value)), shorten_to);
  if (value.is_array()) {
    std::string list;
    for (const Json& item : value) list += (list.empty() ? "" : ", ") + text_of(item);
    return list.empty() ? "none" : shorten(std::move(list), shorten_to);
  }
  if (value.is_object()) {
    std::string list;
    for (const auto& [name, item] : value.items()) {
      list += (list.empty() ? "" : ", ") + heading(name) + " " + text_of(item, shorten_to);
    }
    return list;
  }
  return value.dump();
}

std::string align(const std::vector<std::vector<std::string>>& rows, std::string_view indent) {
  if (rows.empty()) return "";
  const std::size_t columns = rows.front().size();
  std::vector<std::size_t> widths(columns, 0);
  std::vector<bool> numeric(columns, rows.size() > 1);
  for (std::size_t r = 0; r < rows.size(); ++r) {
    for (std::size_t c = 0; c < columns; ++c) {
      widths[c] = std::max(widths[c], display_width(rows[r][c]));
      if (r > 0 && !is_number(rows[r][c])) numeric[c] = false;  // row 0 may be the header
    }
  }
  std::string text;
  for (const std::vector<std::string>& row : rows) {
    std::string line(indent);
    for (std::size_t c = 0; c < columns; ++c) {
      const std::string padding(widths[c] - display_width(row[c]), ' ');
      line += (c > 0 ? "  " : "") + (numeric[c] ? padding + row[c] : row[c] + padding);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

std::string fill_bar(double fill) {
  constexpr int kWidth = 40;
  const int filled = std::clamp(static_cast<int>(fill * kWidth + 0.5), 0, kWidth);
  return fmt::format("[{:#<{}}{:.<{}}] {:.1f} %", "", filled, "", kWidth - filled, 100 * fill);
}

std::string csv_field(std::string_view bytes) {
  if (bytes.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(bytes);
  std::string quoted = "\"";
  for (const char c : bytes) quoted.append(c == '"' ? 2 : 1, c);
  return quoted + '"';
}

std::string align_object(const Json& object, std::string_view indent, std::size_t shorten_to) {
  std::vector<std::vector<std::string>> rows;
  for (const auto& [name, value] : object.items()) {
    const bool fill = value.is_number_float() && name.ends_with("fill");
    rows.push_back({heading(name), fill ? fill_bar(value.get<double>()) : text_of(value, shorten_to)});
  }
  std::size_t width = 0;
  for (const auto& row : rows) width = std::max(width, display_width(row[0]));
  std::string text;
  for (const auto& row : rows) {
    text += fmt::format("{}{}{}  {}\n", indent, row[0], std::string(width - display_width(row[0]), ' '), row[1]);
  }
  return text;
}

std::string align_array(const Json& array, std::string_view indent, std::size_t shorten_to) {
  return align(rows_of(array, true, shorten_to), indent);
}

void print_answer(const Json& answer, Format format) {
  const Json rows = answer.is_array() ? answer : Json::array({answer});
  switch (format) {
    case Format::kJson:
      return print(answer.dump(2) + "\n");
    case Format::kCsv:
      return print_csv(rows);
    case Format::kText:
      break;
  }
  if (answer.is_object()) return print(align_object(answer, "", 0));
  if (output_is_terminal()) return print(align_array(answer, "", 0));
  for (const auto& row : rows_of(answer, false, 0)) print(fmt::format("{}\n", fmt::join(row, "\t")));
}

}  // namespace vaultgres::cli
