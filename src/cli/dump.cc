// vaultgres dump: maps and tables as one file.
#include <fmt/format.h>

#include <memory>
#include <optional>

#include "base/try.h"
#include "cli/hint.h"
#include "cli/open_database.h"
#include "cli/output.h"
#include "cli/output_file.h"
#include "cli/progress.h"
#include "cli/verb.h"

namespace vaultgres::cli {

namespace {

constexpr char kDumpDetails[] = R"(
Writes maps and tables with their indexes, all or those named, to FILE, which must not be there yet; without
--out to standard output. `vaultgres load` makes them again, in this or another database, on this or another
machine. Equal content gives equal bytes. The file is not there when the command fails; a copy that was cut
off or damaged is noticed by load. Indexes are written as definitions and made anew.

Examples:
  vaultgres dump shop.vg --out shop.vgdump
  vaultgres dump shop.vg users orders --out two.vgdump
  vaultgres dump shop.vg | zstd > shop.vgdump.zst
  vaultgres dump shop.vg users | vaultgres load other.vg -)";

struct Dump {
  std::string directory;
  std::vector<std::string> objects;
  std::optional<std::string> out;
};

Status print_part(std::string_view bytes) {
  print(bytes);
  return output_failed() ? output_status() : Status();
}

Result<ExitCode> dump(Database& database, const Dump& request) {
  const auto write_all = [&](const DumpSink& sink) -> Result<DumpSummary> {
    Result<DumpSummary> done = database.dump(sink, request.objects);
    if (done) return done;
    return with_hint_if(ErrorCode::kNotFound, done.error(),
                        "`vaultgres maps` and `vaultgres tables` list what there is");
  };
  if (!request.out) {
    VG_TRY(write_all(print_part));
    return ExitCode::kOk;
  }
  VG_ASSIGN(OutputFile file, OutputFile::create(*request.out));
  VG_ASSIGN(const DumpSummary summary, write_all([&](std::string_view bytes) { return file.write(bytes); }));
  VG_TRY(file.finish());
  print(fmt::format("maps: {}, entries: {}; tables: {}, rows: {}; indexes: {}; {} bytes\n", summary.maps,
                    with_commas(summary.entries), summary.tables, with_commas(summary.rows), summary.indexes,
                    with_commas(summary.bytes)));
  return ExitCode::kOk;
}

Result<ExitCode> run(const Dump& request) {
  if (!request.out && output_is_terminal()) {
    return Error(ErrorCode::kInvalidArgument, "a dump is nothing for a terminal; give --out FILE, or a pipe");
  }
  return with_database_to_read(request.directory, [&](Database& database) { return dump(database, request); });
}

Action declare_dump(Arguments& arguments) {
  auto request = std::make_shared<Dump>();
  arguments.positional("DIR", request->directory, kDirectoryHelp);
  arguments.optional_positionals("OBJECT", request->objects, "Names of maps and tables; all when none is given");
  arguments.option("--out", request->out, "FILE", "The new file; without it standard output");
  return [request] { return run(*request); };
}

}  // namespace

const Verb kDumpVerb = {"dump", "Copies", "Write maps and tables to one file", kDumpDetails, declare_dump};

}  // namespace vaultgres::cli
