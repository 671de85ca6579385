#include "cli/csv_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <new>
#include <utility>

namespace vaultgres::cli {

namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
constexpr std::size_t kFieldGrowthBytes = 64 * 1024;

int no_space(unsigned char /*byte*/) {
  return 0;
}

std::uint64_t count(std::string_view text, char c) noexcept {
  return static_cast<std::uint64_t>(std::count(text.begin(), text.end(), c));
}

}  // namespace

CsvReader::CsvReader(std::string name, char delimiter) : name_(std::move(name)) {
  // CSV_REPALL_NL reports empty lines, which the line numbers need.
  if (csv_init(&parser_, CSV_STRICT | CSV_STRICT_FINI | CSV_REPALL_NL) != 0) throw std::bad_alloc();
  csv_set_delim(&parser_, static_cast<unsigned char>(delimiter));
  csv_set_space_func(&parser_, no_space);
  csv_set_blk_size(&parser_, kFieldGrowthBytes);
}

Result<bool> CsvReader::feed(std::string_view chunk, Sink sink) {
  if (chunk_begin_ == 0 && chunk.starts_with(kByteOrderMark)) chunk.remove_prefix(kByteOrderMark.size());
  sink_ = sink;
  chunk_ = chunk;
  const std::size_t parsed = csv_parse(&parser_, chunk.data(), chunk.size(), on_field, on_line_end, this);
  if (stopped_) return result();
  if (parsed != chunk.size()) return syntax_error();
  if (field_begin_ < chunk_begin_ + chunk.size()) open_field_quoted_ = field_is_quoted();
  chunk_begin_ += chunk.size();
  chunk_ = {};
  csv_set_blk_size(&parser_, std::max(kFieldGrowthBytes, parser_.entry_pos));  // a long field's memory doubles
  if (texts_.size() + parser_.entry_pos > kRecordBytesMax) {
    return Error(ErrorCode::kTooLarge, fmt::format("{}: the record has more than {} MiB; does a quote miss its end?",
                                                   place(), kRecordBytesMax >> 20));
  }
  return true;
}

Result<bool> CsvReader::finish(Sink sink) {
  sink_ = sink;
  if (csv_fini(&parser_, on_field, on_line_end, this) != 0) {
    return Error(ErrorCode::kInvalidArgument,
                 fmt::format("{}: the quote that opens field {} is never closed", place(), fields_.size() + 1));
  }
  return result();
}

void CsvReader::on_field(void* text, std::size_t bytes, void* self) {
  static_cast<CsvReader*>(self)->add_field({static_cast<const char*>(text), bytes});
}

void CsvReader::on_line_end(int byte, void* self) {
  static_cast<CsvReader*>(self)->end_line(byte);
}

void CsvReader::add_field(std::string_view text) {
  if (stopped_) return;
  after_carriage_return_ = false;
  const bool quoted = field_is_quoted();
  std::uint64_t source_bytes = text.size() + 1;  // and the delimiter or line end
  if (quoted) {
    source_bytes += 2 + count(text, '"');
    line_ends_inside_ += count(text, '\n');
  }
  field_begin_ += source_bytes;
  texts_.append(text);
  ends_.push_back(texts_.size());
  fields_.push_back({{}, quoted});
}

void CsvReader::end_line(int byte) {
  if (stopped_) return;
  if (fields_.empty()) {
    ++field_begin_;
    if (byte == '\n' && after_carriage_return_) {
      after_carriage_return_ = false;
      return;
    }
    ends_.push_back(0);
    fields_.push_back({});
  }
  after_carriage_return_ = byte == '\r';
  emit_record();
  line_ += 1 + line_ends_inside_;
  line_ends_inside_ = 0;
  texts_.clear();
  ends_.clear();
  fields_.clear();
}

void CsvReader::emit_record() {
  std::size_t begin = 0;
  for (std::size_t i = 0; i < fields_.size(); ++i) {
    fields_[i].text = std::string_view(texts_).substr(begin, ends_[i] - begin);
    begin = ends_[i];
  }
  Result<bool> more = (*sink_)({line_, fields_});
  if (!more) sink_error_ = more.error().with_context(place());
  stopped_ = !more || !*more;
}

bool CsvReader::field_is_quoted() const noexcept {
  if (field_begin_ < chunk_begin_) return open_field_quoted_;
  const std::uint64_t at = field_begin_ - chunk_begin_;
  return at < chunk_.size() && chunk_[at] == '"';
}

Result<bool> CsvReader::result() const {
  if (sink_error_) return *sink_error_;
  return !stopped_;
}

std::string CsvReader::place() const {
  return fmt::format("{}:{}", name_, line_);
}

Error CsvReader::syntax_error() const {
  if (csv_error(const_cast<csv_parser*>(&parser_)) != CSV_EPARSE) throw std::bad_alloc();
  const std::string_view what =
      parser_.quoted != 0 ? "goes on behind its closing quote; a quote within quotes is written twice"
                          : "has a quote but does not begin with one; put it in quotes and write its own twice";
  return Error(ErrorCode::kInvalidArgument, fmt::format("{}: field {} {}", place(), fields_.size() + 1, what));
}

}  // namespace vaultgres::cli
