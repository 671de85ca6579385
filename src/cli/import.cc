// vaultgres import: the rows of a CSV file become a table, or are added to one.
#include <fmt/format.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "base/try.h"
#include "cli/answer.h"
#include "cli/csv_import.h"
#include "cli/escape.h"
#include "cli/hint.h"
#include "cli/open_database.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/verb.h"

namespace vaultgres::cli {

namespace {

constexpr char kImportDetails[] = R"(
Makes the table TABLE, and the database if there is none, of the rows of FILE; without FILE, or with -, of
standard input. All or nothing: after an error, Ctrl-C or a crash there is no table. --append adds the rows to
a table that is there, in one transaction, which has room for some 100,000 rows. With --commit-every it takes as
many transactions as need be, and after an error what was committed stays: the message says how many rows.

Columns. Without --columns the header names them, and their types are guessed from the first 10,000 rows: the
first of int64, double, date, timestamp, bool and text that all fields have. Numbers with leading zeros are
text. A column with an empty field may be NULL, one of text always. A later row that does not fit is an error
that says what to give instead. `vaultgres tables DIR TABLE` shows what came of it.
With --columns, each is a name, a type (int16 int32 int64 double bool text bytes date timestamp) and `null`
if it may be NULL: --columns 'id int64, "full name" text, born date null'

CSV. One record a line, ending with \n, \r\n or \r; fields between delimiters; the first line has the names.
  id,name,born,note                 the header; with --columns or --append it may have another order
  1,Ada,1815-12-10,first            blanks belong to their field
  2,"Hopper, Grace",1906-12-09,     a field in quotes may hold delimiters, and line breaks
  3,"Al ""Scarface""",,             two quotes within quotes are one; empty: NULL, see below
Elsewhere a quote is an error, as is a line with more or fewer fields. Empty lines are skipped, but in a table
of one column an empty line is a row with an empty field. A byte order mark (UTF-8) in front is skipped.

NULL. An empty field is NULL where the column may be NULL; elsewhere it is the empty text, or an error if the
column is none of text. "" in quotes is always the empty text. With --null TEXT it is a field TEXT without quotes
that is NULL, and an empty field is the empty text.

Values. -12   1.5e3   true false t f 1 0   2021-04-30   2021-04-30T12:34:56.789Z (UTC)   \x00ff (bytes)

Examples:
  vaultgres import shop.vg ratings ratings.csv
  vaultgres import shop.vg users users.csv --columns 'id int64, name text, born date null'
  vaultgres import shop.vg users more.csv --append
  zcat log.tsv.gz | vaultgres import shop.vg log - --delimiter '\t' --null '\N' --header no \
      --columns 'at timestamp, level text, line text null')";

struct Import {
  std::string directory;
  std::string table;
  std::optional<std::string> file;
  std::optional<std::string> columns;
  std::optional<std::string> header;
  std::optional<std::string> delimiter;
  std::optional<std::string> null_text;
  bool append = false;
  std::uint64_t commit_every = 0;  ///< 0: once, at the end
  bool quiet = false;
  bool json = false;
};

Error usage(std::string text) {
  return Error(ErrorCode::kInvalidArgument, std::move(text));
}

Result<CsvOptions> csv_options(const Import& import) {
  CsvOptions options;
  if (import.header && *import.header != "yes" && *import.header != "no") return usage("--header is yes or no");
  options.header = import.header != "no";
  if (import.delimiter) {
    const std::string delimiter = *import.delimiter == "\\t" ? "\t" : *import.delimiter;
    constexpr std::string_view kNoDelimiters("\"\r\n\0", 4);
    if (delimiter.size() != 1 || kNoDelimiters.find(delimiter[0]) != std::string_view::npos ||
        static_cast<unsigned char>(delimiter[0]) >= 0x80) {
      return usage("--delimiter is one ASCII character, or \\t; quotes and line breaks are none");
    }
    options.delimiter = delimiter[0];
  }
  options.null_text = import.null_text;
  options.progress = !import.quiet;
  if (import.append && import.columns) return usage("--append takes the table's own columns; leave out --columns");
  if (!import.append && import.commit_every != 0) {
    return usage("--commit-every goes with --append; a new table is all or nothing");
  }
  if (!import.append && !import.columns && !options.header) {
    return usage("without a header line the columns have no names; give --columns");
  }
  return options;
}

/// Why and how far it ended before the end of the file.
ExitCode report_interrupt(std::uint64_t rows_kept) {
  report_note(rows_kept == 0 ? "interrupted; nothing was imported"
                             : fmt::format("interrupted; the first {} rows are in the table", rows_kept));
  return ExitCode::kInterrupted;
}

/// Adds rows to a table, in one or more transactions.
class Appender {
 public:
  Appender(Database& database, Table table, std::uint64_t commit_every)
      : database_(database), table_(std::move(table)), commit_every_(commit_every) {}

  Status add(const Row& row) {
    if (!txn_) {
      VG_ASSIGN(txn_, database_.begin());
    }
    VG_TRY(table_.insert(*txn_, row));
    return ++pending_ == commit_every_ ? commit() : Status();
  }
  Status commit() {
    if (!txn_) return {};
    Status done = txn_->commit();
    txn_.reset();
    VG_TRY(done);
    committed_ += pending_;
    pending_ = 0;
    return {};
  }
  std::uint64_t committed() const noexcept { return committed_; }

 private:
  Database& database_;
  Table table_;
  const std::uint64_t commit_every_;
  std::optional<Transaction> txn_;
  std::uint64_t pending_ = 0;
  std::uint64_t committed_ = 0;
};

Result<ExitCode> add_to_table(Database& database, const Import& import, CsvImport& csv) {
  Result<Table> table = database.open_table(import.table);
  if (!table) return with_hint_if(ErrorCode::kNotFound, table.error(), "without --append import makes it");
  const Schema schema = table->schema();
  Appender appender(database, *std::move(table), import.commit_every);
  Status done = csv.run(schema, [&](const Row& row) { return appender.add(row); });
  if (done && csv.interrupted()) return report_interrupt(appender.committed());
  if (done) done = appender.commit();
  if (done) return ExitCode::kOk;
  if (import.commit_every != 0) {
    return with_hint(done.error(), fmt::format("the first {} rows are in the table", appender.committed()));
  }
  return with_hint_if(ErrorCode::kTooLarge, done.error(), "--commit-every N does the former");
}

Result<ExitCode> make_table(Database& database, const Import& import, CsvImport& csv, const Schema& schema) {
  Result<TableLoad> load = database.load_table(import.table, schema);
  if (!load) return with_hint_if(ErrorCode::kAlreadyExists, load.error(), "--append adds rows to a table");
  VG_TRY(csv.run(schema, [&](const Row& row) { return load->add(row); }));
  if (csv.interrupted()) return report_interrupt(0);
  VG_TRY(load->finish());
  return ExitCode::kOk;
}

void print_summary(const Import& import, std::uint64_t rows, double seconds) {
  const double rows_per_second = seconds > 0 ? static_cast<double>(rows) / seconds : 0;
  if (import.json) {
    return print_answer(
        {{"table", json_of(import.table)}, {"rows", rows}, {"seconds", seconds}, {"rows_per_second", rows_per_second}},
        Format::kJson);
  }
  print(fmt::format("{} row{} into {} in {:.1f} s: {} rows/s\n", with_commas(rows), rows == 1 ? "" : "s",
                    escape(import.table), seconds, with_commas(static_cast<std::uint64_t>(rows_per_second))));
}

Result<ExitCode> run(const Import& import) {
  VG_ASSIGN(const CsvOptions options, csv_options(import));
  const auto start = std::chrono::steady_clock::now();
  const InterruptGuard interrupt;
  VG_ASSIGN(InputFile file, InputFile::open(import.file.value_or("-")));
  CsvImport csv(std::move(file), options, interrupt);
  // What can be wrong with the file's beginning is known before a database is made for it.
  std::optional<Schema> schema;
  if (!import.append) {
    Result<Schema> given = import.columns ? parse_schema(*import.columns) : csv.guess_schema();
    if (csv.interrupted()) return report_interrupt(0);
    if (!given) return import.columns ? given.error().with_context("--columns") : given.error();
    schema = *std::move(given);
  }
  const Missing missing = import.append ? Missing::kIsError : Missing::kIsCreated;
  VG_ASSIGN(const ExitCode code,
            with_database(import.directory, missing, Durability::kDurable, [&](Database& database) {
              return schema ? make_table(database, import, csv, *schema) : add_to_table(database, import, csv);
            }));
  if (code != ExitCode::kOk) return code;
  print_summary(import, csv.rows(), std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  return code;
}

Action declare_import(Arguments& arguments) {
  auto import = std::make_shared<Import>();
  arguments.positional("DIR", import->directory, kDirectoryHelp);
  arguments.positional("TABLE", import->table, "Name of the new table; with --append, of one that is there");
  arguments.positional("FILE", import->file, "The CSV file; - or nothing: standard input");
  arguments.option("--columns", import->columns, "LIST", "Names and types, 'id int64, name text null'");
  arguments.option("--header", import->header, "yes|no", "Whether the first line has the names (yes)");
  arguments.option("--delimiter", import->delimiter, "C", "Between fields (,); \\t is a tab");
  arguments.option("--null", import->null_text, "TEXT", "The field that is NULL (an empty one)");
  arguments.flag("--append", import->append, "Add to a table that is there");
  arguments.count("--commit-every", import->commit_every, "N", "With --append: commit every N rows");
  arguments.flag("--quiet", import->quiet, "Show no progress");
  arguments.flag("--json", import->json, "Say in JSON how many rows and how fast");
  return [import] { return run(*import); };
}

}  // namespace

const Verb kImportVerb = {"import", "Tables", "Make a table of a CSV file, or add to one", kImportDetails,
                          declare_import};

}  // namespace vaultgres::cli
