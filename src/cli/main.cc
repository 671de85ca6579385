// The program `vaultgres`: verbs in the manner of git's.
#include <csignal>
#include <exception>
#include <new>

#include "cli/verb.h"

namespace {

using namespace vaultgres::cli;

// In the order of the help.
constexpr const Verb* kVerbs[] = {
    &kGetVerb,    &kRangeVerb,       &kInsertVerb,    &kDeleteVerb,    &kBatchVerb,       &kImportVerb,
    &kTablesVerb, &kCreateIndexVerb, &kDropTableVerb, &kDropIndexVerb, &kRenameTableVerb, &kRenameIndexVerb,
    &kMapsVerb,   &kCreateMapVerb,   &kDropMapVerb,   &kRenameMapVerb, &kDumpVerb,        &kLoadVerb,
    &kBackupVerb, &kRestoreVerb,     &kCheckVerb,     &kStatsVerb,     &kInspectVerb,     &kSalvageVerb,
};

ExitCode run(int argc, const char* const* argv) {
  try {
    return run_command_line(argc, argv, kVerbs);
  } catch (const std::bad_alloc&) {
    report_note("out of memory");
    return ExitCode::kIo;
  } catch (const std::exception& e) {
    report_note(e.what());
    return ExitCode::kUsage;
  }
}

}  // namespace

int main(int argc, char** argv) {
  // A reader that closes its pipe shall not end the process in the middle: the database is closed in order.
  std::signal(SIGPIPE, SIG_IGN);
  return static_cast<int>(run(argc, argv));
}
