// vaultgres batch: commands from standard input, each answered before the next is read.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <memory>
#include <vector>

#include "base/try.h"
#include "cli/escape.h"
#include "cli/line_reader.h"
#include "cli/named_object.h"
#include "cli/open_database.h"
#include "cli/output.h"
#include "cli/verb.h"
#include "io/io_error.h"

namespace vaultgres::cli {

namespace {

constexpr char kBatchDetails[] = R"(
One command a line, fields separated by one tab; tab, newline, carriage return, NUL and backslash inside a field
are written \t \n \r \0 \\, any byte may be \xHH:

  put K V            ok
  get K              value V | none
  erase K            ok | none
  range FROM TO N    entry K V … then: end COUNT      FROM is in it, TO is not; empty: open; N 0: no limit
  begin              ok        from here on, changes belong to one transaction
  commit | rollback  ok

Answers have their fields separated by tabs, too. A command that fails is answered `error CODE TEXT`, and the
session goes on. `ok` for commit, or for put and erase outside of a transaction, comes when the change is
durable (with --relaxed: when it is made; a crash may lose the last 100 ms). The end of the input inside a
transaction rolls it back. The database and the map are made if they are missing. The exit code is 0 when all
commands were answered, also those with an error. A last line without a line end is taken for cut off: put, erase
and commit are refused.

Examples:
  printf 'put\talice\t42\nget\talice\n' | vaultgres batch shop.vg sessions
  vaultgres batch shop.vg sessions < commands.tsv | grep ^error)";

constexpr std::size_t kLineBytesMax = std::size_t{64} << 20;

struct Batch {
  std::string directory;
  std::string map;
  bool relaxed = false;
};

Error malformed(std::string what) {
  return Error(ErrorCode::kInvalidArgument, std::move(what));
}

using Fields = std::vector<std::string>;

/// One session: a map and at most one open transaction. Each command prints its answer, or returns the error.
class Session {
 public:
  Session(Database& database, Map map) : database_(database), map_(std::move(map)) {}

  void answer(std::string_view line);
  /// A line without an end: half of a value must not be stored for the whole.
  void answer_cut_off(std::string_view line);
  void answer_error(const Error& error);

 private:
  struct Command {
    std::string_view name;
    std::size_t fields;  // behind the name
    const char* usage;
    Status (Session::*run)(const Fields& fields);
  };
  static const Command kCommands[];

  Status run_line(std::string_view line);
  Status put(const Fields& fields);
  Status get(const Fields& fields);
  Status erase(const Fields& fields);
  Status range(const Fields& fields);
  Status begin(const Fields& fields);
  Status commit(const Fields& fields);
  Status rollback(const Fields& fields);

  Database& database_;
  Map map_;
  std::optional<Transaction> txn_;
};

const Session::Command Session::kCommands[] = {
    {"put", 2, "put K V", &Session::put},
    {"get", 1, "get K", &Session::get},
    {"erase", 1, "erase K", &Session::erase},
    {"range", 3, "range FROM TO LIMIT", &Session::range},
    {"begin", 0, "begin", &Session::begin},
    {"commit", 0, "commit", &Session::commit},
    {"rollback", 0, "rollback", &Session::rollback},
};

/// The fields behind the command's name, unescaped.
Result<Fields> split_fields(std::string_view text) {
  Fields fields;
  for (std::size_t start = 0; start <= text.size();) {
    const std::size_t end = std::min(text.find('\t', start), text.size());
    VG_ASSIGN(std::string field, unescape(text.substr(start, end - start)));
    fields.push_back(std::move(field));
    start = end + 1;
  }
  return fields;
}

Result<std::uint64_t> parse_limit(const std::string& text) {
  std::uint64_t limit = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), limit);
  if (problem != std::errc() || end != text.data() + text.size()) {
    return malformed("LIMIT is not a number: " + escape(text));
  }
  return limit;
}

void print_fields(std::string_view name, std::initializer_list<std::string_view> fields) {
  std::string line(name);
  for (const std::string_view field : fields) {
    line += '\t';
    append_escaped(line, field);
  }
  line += '\n';
  print(line);
}

void Session::answer(std::string_view line) {
  if (const Status done = run_line(line); !done) answer_error(done.error());
  flush_output();
}

void Session::answer_cut_off(std::string_view line) {
  const std::string_view name = line.substr(0, line.find('\t'));
  if (name != "put" && name != "erase" && name != "commit") return answer(line);
  answer_error(
      malformed(fmt::format("the input ends within this line: {} needs a line end, and has changed nothing", name)));
}

void Session::answer_error(const Error& error) {
  print_fields("error", {error_code_name(error.code()), error.message()});
  flush_output();
}

Status Session::run_line(std::string_view line) {
  if (line.find('\r') != std::string_view::npos) return malformed("a carriage return inside a field is written \\r");
  if (line.find('\0') != std::string_view::npos) return malformed("a NUL inside a field is written \\0");
  const std::size_t name_end = std::min(line.find('\t'), line.size());
  const std::string_view name = line.substr(0, name_end);
  const auto* const command = std::find_if(std::begin(kCommands), std::end(kCommands),
                                           [&](const Command& candidate) { return candidate.name == name; });
  if (command == std::end(kCommands)) {
    return malformed(fmt::format("unknown command \"{}\"; there are put, get, erase, range, begin, commit, rollback",
                                 escape(name.substr(0, 40))));
  }
  Fields fields;
  if (name_end < line.size()) {
    VG_ASSIGN(fields, split_fields(line.substr(name_end + 1)));
  }
  if (fields.size() != command->fields) {
    return malformed(fmt::format("{} takes {} field{}, not {}: {}, separated by tabs", name, command->fields,
                                 command->fields == 1 ? "" : "s", fields.size(), command->usage));
  }
  return (this->*command->run)(fields);
}

Status Session::put(const Fields& fields) {
  VG_TRY(txn_ ? map_.put(*txn_, fields[0], fields[1]) : map_.put(fields[0], fields[1]));
  print("ok\n");
  return {};
}

Status Session::get(const Fields& fields) {
  VG_ASSIGN(const std::optional<std::string> value, txn_ ? map_.get(*txn_, fields[0]) : map_.get(fields[0]));
  if (value) {
    print_fields("value", {*value});
  } else {
    print("none\n");
  }
  return {};
}

Status Session::erase(const Fields& fields) {
  VG_ASSIGN(const bool there, txn_ ? map_.erase(*txn_, fields[0]) : map_.erase(fields[0]));
  print(there ? "ok\n" : "none\n");
  return {};
}

Status Session::range(const Fields& fields) {
  VG_ASSIGN(const std::uint64_t limit, parse_limit(fields[2]));
  KeyRange keys;
  if (!fields[0].empty()) keys.from = fields[0];
  if (!fields[1].empty()) keys.to = fields[1];
  Cursor cursor = txn_ ? map_.cursor(*txn_, std::move(keys)) : map_.cursor(std::move(keys));
  std::uint64_t count = 0;
  while ((limit == 0 || count < limit) && !output_failed()) {
    VG_ASSIGN(const bool more, cursor.next());
    if (!more) break;
    print_fields("entry", {cursor.key(), cursor.value()});
    ++count;
  }
  print(fmt::format("end\t{}\n", count));
  return {};
}

Status Session::begin(const Fields& /*fields*/) {
  if (txn_) return malformed("a transaction is open already; commit it or roll it back");
  VG_ASSIGN(txn_, database_.begin());
  print("ok\n");
  return {};
}

/// Whatever comes of it, the transaction is over.
Status Session::commit(const Fields& /*fields*/) {
  if (!txn_) return malformed("no transaction is open; begin one");
  const Status done = txn_->commit();
  txn_.reset();
  VG_TRY(done);
  print("ok\n");
  return {};
}

Status Session::rollback(const Fields& /*fields*/) {
  if (!txn_) return malformed("no transaction is open; begin one");
  const Status done = txn_->rollback();
  txn_.reset();
  VG_TRY(done);
  print("ok\n");
  return {};
}

Result<ExitCode> run_session(Session& session) {
  LineReader lines(kLineBytesMax);
  std::string line;
  while (!output_failed()) {
    switch (lines.next(line)) {
      case LineReader::Got::kLine:
        session.answer(line);
        break;
      case LineReader::Got::kCutOff:
        session.answer_cut_off(line);
        break;
      case LineReader::Got::kTooLong:
        session.answer_error(malformed(fmt::format("the line has more than {} bytes", kLineBytesMax)));
        break;
      case LineReader::Got::kEnd:
        return ExitCode::kOk;
      case LineReader::Got::kFailed:
        return io_error("standard input", "read", errno);
    }
  }
  return ExitCode::kIo;
}

Result<ExitCode> run(const Batch& batch) {
  const Durability durability = batch.relaxed ? Durability::kRelaxed : Durability::kDurable;
  return with_database(batch.directory, Missing::kIsCreated, durability, [&](Database& database) -> Result<ExitCode> {
    VG_ASSIGN(NamedObject object, open_or_create(database, batch.map));
    Map* const map = std::get_if<Map>(&object);
    if (map == nullptr) return malformed(fmt::format("batch is for maps, and {} is none", named(object)));
    Session session(database, std::move(*map));
    return run_session(session);
  });
}

Action declare_batch(Arguments& arguments) {
  auto batch = std::make_shared<Batch>();
  arguments.positional("DIR", batch->directory, kDirectoryHelp);
  arguments.positional("MAP", batch->map, "Name of the map");
  arguments.flag("--relaxed", batch->relaxed, "A crash may lose the last 100 ms, never tear a transaction");
  return [batch] { return run(*batch); };
}

}  // namespace

const Verb kBatchVerb = {"batch", "Entries and rows", "Run commands from standard input", kBatchDetails, declare_batch};

}  // namespace vaultgres::cli
