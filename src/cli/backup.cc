// vaultgres backup: a copy of the database from which `restore` makes one again.
#include <fmt/format.h>

#include <memory>

#include "base/try.h"
#include "cli/answer.h"
#include "cli/copy_progress.h"
#include "cli/escape.h"
#include "cli/open_database.h"
#include "cli/output.h"
#include "cli/verb.h"

namespace vaultgres::cli {

namespace {

constexpr char kBackupDetails[] = R"(
BACKUP is made; it must not be there. Every page is checked on its way, a damaged one is an error that names it. The
backup is whole once the command has said so: what a crash or a power cut leaves of one is refused by `restore`. An
error or Ctrl-C removes what was made.

A program that has the database open makes its backups itself, while it goes on (Database::backup); this command needs
the database for itself (exit code 4).

Examples:
  vaultgres backup shop.vg backups/monday
  vaultgres restore backups/monday shop-again.vg
  vaultgres backup shop.vg backups/monday --json | jq .lsn       the earliest point that it can be restored to)";

struct Backup {
  std::string directory;
  std::string backup;
  bool quiet = false;
  bool json = false;
};

void print_report(const BackupReport& report, const Backup& backup) {
  if (backup.json) {
    return print_answer({{"backup", json_of(backup.backup)},
                         {"pages", report.pages},
                         {"log_bytes", report.log_bytes},
                         {"lsn", report.lsn},
                         {"time", utc_text(report.time)}},
                        Format::kJson);
  }
  print(fmt::format("{}: {} pages and {} bytes of log, to LSN {} ({})\n", escape(backup.backup),
                    with_commas(report.pages), with_commas(report.log_bytes), report.lsn, utc_text(report.time)));
}

Result<ExitCode> run(const Backup& backup) {
  InterruptibleCopy copy(!backup.quiet);
  std::optional<BackupReport> made;
  Result<ExitCode> done = with_database(backup.directory, Missing::kIsError, Durability::kDurable,
                                        [&](Database& database) -> Result<ExitCode> {
                                          VG_ASSIGN(made, database.backup(backup.backup, copy.progress()));
                                          return ExitCode::kOk;
                                        });
  if (copy.interrupted() && !made) {
    report_note("interrupted; there is no backup");
    return ExitCode::kInterrupted;
  }
  if (done) print_report(*made, backup);
  return done;
}

Action declare_backup(Arguments& arguments) {
  auto backup = std::make_shared<Backup>();
  arguments.positional("DIR", backup->directory, kDirectoryHelp);
  arguments.positional("BACKUP", backup->backup, "Directory of the backup, which is made");
  arguments.flag("--quiet", backup->quiet, "Show no progress");
  arguments.flag("--json", backup->json, kJsonHelp);
  return [backup] { return run(*backup); };
}

}  // namespace

const Verb kBackupVerb = {"backup", "Health", "Copy the database into a new directory", kBackupDetails, declare_backup};

}  // namespace vaultgres::cli
