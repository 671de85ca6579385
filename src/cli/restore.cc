// vaultgres restore: a backup becomes a database, as it was at the backup's end or at a later point.
#include <fmt/format.h>

#include <charconv>
#include <memory>

#include "base/try.h"
#include "catalog/text_format.h"
#include "cli/answer.h"
#include "cli/copy_progress.h"
#include "cli/escape.h"
#include "cli/output.h"
#include "cli/verb.h"
#include "vaultgres/backup.h"

namespace vaultgres::cli {

namespace {

constexpr char kRestoreDetails[] = R"(
DIR is made; it must not be there. Without --archive it is what the database was at the end of the backup. With the
archive of its log (Options::archive_directory) it is the latest that the archive leads to, or what it was

  --until-time 2026-11-29T14:05:00Z     at that time (UTC): every commit that was acknowledged by then
  --until-lsn 73400320                  at that position of the log

Transactions that were open at this point are rolled back. A point before the end of the backup is refused, and so is
one that the archive does not reach: the error says which is the nearest. A damaged or missing file is an error that
names it. DIR is complete once the command has said so; what a crash leaves of it is not opened. An error or Ctrl-C
removes what was made.

The restored database goes its own way from there: give it an archive directory of its own.

Examples:
  vaultgres restore backups/monday shop.vg
  vaultgres restore backups/monday shop.vg --archive shop.archive
  vaultgres restore backups/monday shop.vg --archive shop.archive --until-time '2026-11-29 14:05:00'
  vaultgres check shop.vg                          is every page as it should be?)";

struct Restore {
  std::string backup;
  std::string directory;
  std::vector<std::string> archives;
  std::optional<std::string> until_lsn;
  std::optional<std::string> until_time;
  bool quiet = false;
  bool json = false;
};

Result<RestoreOptions> options_of(const Restore& restore) {
  RestoreOptions options;
  options.archive_directories = restore.archives;
  if (restore.until_lsn) {
    const std::string& text = *restore.until_lsn;
    std::uint64_t lsn = 0;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), lsn);
    if (problem != std::errc() || end != text.data() + text.size()) {
      return Error(ErrorCode::kInvalidArgument, "--until-lsn is a number, not \"" + text + "\"");
    }
    options.until_lsn = lsn;
  }
  if (restore.until_time) {
    const Result<Value> time = parse_value(ColumnType::kTimestamp, *restore.until_time);
    if (!time) return time.error().with_context("--until-time");
    options.until_time = std::chrono::system_clock::time_point(std::chrono::microseconds(time->timestamp().micros));
  }
  return options;
}

void print_report(const RestoreReport& report, const Restore& restore) {
  if (restore.json) {
    return print_answer({{"directory", json_of(restore.directory)},
                         {"lsn", report.lsn},
                         {"time", utc_text(report.time)},
                         {"records", report.records},
                         {"rolled_back", report.rolled_back}},
                        Format::kJson);
  }
  print(fmt::format("{}: as of LSN {} ({}); {} log records redone, {} open transaction{} rolled back\n",
                    escape(restore.directory), report.lsn, utc_text(report.time), with_commas(report.records),
                    report.rolled_back, report.rolled_back == 1 ? "" : "s"));
}

Result<ExitCode> run(const Restore& restore) {
  VG_ASSIGN(RestoreOptions options, options_of(restore));
  InterruptibleCopy copy(!restore.quiet);
  options.progress = copy.progress();
  const Result<RestoreReport> restored = vaultgres::restore(restore.backup, restore.directory, std::move(options));
  if (!restored && copy.interrupted()) {
    report_note("interrupted; nothing was restored");
    return ExitCode::kInterrupted;
  }
  if (!restored) return restored.error();
  print_report(*restored, restore);
  return ExitCode::kOk;
}

Action declare_restore(Arguments& arguments) {
  auto restore = std::make_shared<Restore>();
  arguments.positional("BACKUP", restore->backup, "Directory of the backup");
  arguments.positional("DIR", restore->directory, "Directory of the database, which is made");
  arguments.option("--archive", restore->archives, "DIR", "Where its log was archived; any number of times");
  arguments.option("--until-time", restore->until_time, "TIME", "As it was at this time, UTC");
  arguments.option("--until-lsn", restore->until_lsn, "N", "As it was at this position of the log");
  arguments.flag("--quiet", restore->quiet, "Show no progress");
  arguments.flag("--json", restore->json, kJsonHelp);
  return [restore] { return run(*restore); };
}

}  // namespace

const Verb kRestoreVerb = {"restore", "Health", "Make a database of a backup, also as of a later point",
                           kRestoreDetails, declare_restore};

}  // namespace vaultgres::cli
