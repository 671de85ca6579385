// A verb of the program: its name, its help, what it takes, what it does. One file per verb.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cli/exit_code.h"
#include "vaultgres/result.h"

namespace CLI {
class App;
}

namespace vaultgres::cli {

/// Where a verb says what it takes. The targets must live as long as the action that declare() returns.
class Arguments {
 public:
  explicit Arguments(CLI::App& app) : app_(app) {}

  /// By position; all but an optional one are required.
  void positional(const char* name, std::string& target, const char* help);
  void positional(const char* name, std::optional<std::string>& target, const char* help);
  /// One or more, behind all others.
  void positional(const char* name, std::vector<std::string>& target, const char* help);
  /// Any number, none as well, behind all others.
  void optional_positionals(const char* name, std::vector<std::string>& target, const char* help);
  /// By name: "--from".
  void option(const char* name, std::optional<std::string>& target, const char* value_name, const char* help);
  /// By name, any number of times.
  void option(const char* name, std::vector<std::string>& target, const char* value_name, const char* help);
  void count(const char* name, std::uint64_t& target, const char* value_name, const char* help);
  void flag(const char* name, bool& target, const char* help);

 private:
  CLI::App& app_;
};

using Action = std::function<Result<ExitCode>()>;

struct Verb {
  const char* name;
  const char* group;
  const char* summary;
  const char* details;  ///< shown behind the options: what the answer looks like, and examples
  Action (*declare)(Arguments& arguments);
};

extern const Verb kBackupVerb;
extern const Verb kBatchVerb;
extern const Verb kCheckVerb;
extern const Verb kCreateIndexVerb;
extern const Verb kCreateMapVerb;
extern const Verb kDeleteVerb;
extern const Verb kDropIndexVerb;
extern const Verb kDropMapVerb;
extern const Verb kDropTableVerb;
extern const Verb kDumpVerb;
extern const Verb kGetVerb;
extern const Verb kImportVerb;
extern const Verb kInsertVerb;
extern const Verb kInspectVerb;
extern const Verb kLoadVerb;
extern const Verb kMapsVerb;
extern const Verb kRangeVerb;
extern const Verb kRenameIndexVerb;
extern const Verb kRenameMapVerb;
extern const Verb kRenameTableVerb;
extern const Verb kRestoreVerb;
extern const Verb kSalvageVerb;
extern const Verb kStatsVerb;
extern const Verb kTablesVerb;

/// Parses the command line, prints help or runs the verb; the process's exit code.
ExitCode run_command_line(int argc, const char* const* argv, std::span<const Verb* const> verbs);

}  // namespace vaultgres::cli
