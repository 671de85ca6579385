#include "cli/line_printer.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/escape.h"
#include "cli/output.h"

namespace vaultgres::cli {

LinePrinter::LinePrinter(std::vector<Field> fields, Format format, Header header)
    : fields_(std::move(fields)),
      format_(format),
      columns_(format == Format::kText && output_is_terminal()),
      header_(header),
      widths_(fields_.size(), 0) {}

void LinePrinter::begin() {
  std::vector<std::string> names;
  for (const Field& field : fields_)
    names.push_back(format_ == Format::kCsv ? csv_field(field.name) : escape(field.name));
  if (format_ == Format::kCsv) print(fmt::format("{}\n", fmt::join(names, ",")));
  if (columns_ && header_ == Header::kOnTerminal) hold(std::move(names));
}

void LinePrinter::line(std::vector<std::string> texts) {
  if (count_++ == 0) begin();
  switch (format_) {
    case Format::kJson:
      for (std::size_t i = 0; i < texts.size(); ++i) {
        texts[i].insert(0, json_of(fields_[i].name).dump() + ":");
      }
      return print(fmt::format("{}{{{}}}", count_ == 1 ? "[\n  " : ",\n  ", fmt::join(texts, ",")));
    case Format::kCsv:
      return print(fmt::format("{}\n", fmt::join(texts, ",")));
    case Format::kText:
      if (columns_) return hold(std::move(texts));
      return print(fmt::format("{}\n", fmt::join(texts, "\t")));
  }
}

/// Lines wait for some others, so that their columns line up.
void LinePrinter::hold(std::vector<std::string> texts) {
  constexpr std::size_t kLinesTogether = 256;
  for (std::size_t i = 0; i < texts.size(); ++i) widths_[i] = std::max(widths_[i], display_width(texts[i]));
  held_.push_back(std::move(texts));
  if (held_.size() == kLinesTogether) print_held();
}

std::string LinePrinter::aligned(const std::vector<std::string>& texts) const {
  std::string line;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const std::string padding(widths_[i] - display_width(texts[i]), ' ');
    const bool last = i + 1 == texts.size();
    line += fields_[i].right ? padding + texts[i] : last ? texts[i] : texts[i] + padding;
    line += last ? "\n" : "  ";
  }
  return line;
}

void LinePrinter::print_held() {
  for (const std::vector<std::string>& texts : held_) print(aligned(texts));
  held_.clear();
}

void LinePrinter::finish() {
  if (count_ == 0) begin();
  print_held();
  if (format_ == Format::kJson) print(count_ == 0 ? "[]\n" : "\n]\n");
}

}  // namespace vaultgres::cli
