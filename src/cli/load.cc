// vaultgres load: maps and tables of a dump, into a database.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "base/try.h"
#include "cli/answer.h"
#include "cli/hint.h"
#include "cli/input_file.h"
#include "cli/open_database.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/verb.h"

namespace vaultgres::cli {

namespace {

constexpr char kLoadDetails[] = R"(
Makes the maps, tables and indexes of a dump, and the database if there is none. A name that is taken is an
error, and nothing is loaded; --into gives an object or index another one. Each map and table is there when it
is whole, then its indexes are made. A dump that is damaged or was cut off is an error that names the byte
(exit code 2): what was whole before it is loaded, of the rest nothing.

Examples:
  vaultgres load copy.vg shop.vgdump
  zstd -dc shop.vgdump.zst | vaultgres load copy.vg -
  vaultgres load shop.vg old.vgdump --into users=old_users --into by_id=old_by_id)";

struct Load {
  std::string directory;
  std::string file;
  std::vector<std::string> into;
  bool json = false;
};

Result<DumpNames> names_of(const std::vector<std::string>& into) {
  DumpNames names;
  for (const std::string& pair : into) {
    const std::size_t equals = pair.find('=');
    if (equals == 0 || equals == std::string::npos || equals + 1 == pair.size()) {
      return Error(ErrorCode::kInvalidArgument, "--into is OLD=NEW, the name in the dump and the one to give");
    }
    names[pair.substr(0, equals)] = pair.substr(equals + 1);
  }
  return names;
}

/// The bytes of a file, as many at a time as are wanted.
class Source {
 public:
  explicit Source(InputFile& file) : file_(file) {}
  Result<std::size_t> read(char* into, std::size_t bytes) {
    if (chunk_.empty()) {
      VG_ASSIGN(chunk_, file_.next_chunk());
    }
    const std::size_t part = std::min(bytes, chunk_.size());
    std::memcpy(into, chunk_.data(), part);
    chunk_.remove_prefix(part);
    return part;
  }

 private:
  InputFile& file_;
  std::string_view chunk_;
};

void print_summary(const DumpSummary& summary, bool json) {
  if (json) {
    return print_answer({{"maps", summary.maps},
                         {"entries", summary.entries},
                         {"tables", summary.tables},
                         {"rows", summary.rows},
                         {"indexes", summary.indexes},
                         {"bytes", summary.bytes}},
                        Format::kJson);
  }
  print(fmt::format("maps: {}, entries: {}; tables: {}, rows: {}; indexes: {}\n", summary.maps,
                    with_commas(summary.entries), summary.tables, with_commas(summary.rows), summary.indexes));
}

Result<ExitCode> run(const Load& request) {
  VG_ASSIGN(const DumpNames into, names_of(request.into));
  VG_ASSIGN(InputFile file, InputFile::open(request.file));
  Source source(file);
  const auto read = [&](char* bytes, std::size_t wanted) { return source.read(bytes, wanted); };
  return with_database(
      request.directory, Missing::kIsCreated, Durability::kDurable, [&](Database& database) -> Result<ExitCode> {
        const Result<DumpSummary> loaded = database.load(read, into);
        if (loaded) {
          print_summary(*loaded, request.json);
          return ExitCode::kOk;
        }
        const Error error =
            with_hint_if(ErrorCode::kAlreadyExists, loaded.error(), "--into OLD=NEW gives it another name")
                .with_context(file.name());
        if (error.code() != ErrorCode::kCorruption) return error;
        report_note(error.message());  // the dump's damage: what is advised for databases does not help
        return ExitCode::kCorruption;
      });
}

Action declare_load(Arguments& arguments) {
  auto request = std::make_shared<Load>();
  arguments.positional("DIR", request->directory, kDirectoryHelp);
  arguments.positional("FILE", request->file, "The dump; - for standard input");
  arguments.option("--into", request->into, "OLD=NEW", "The name NEW for what is OLD in the dump; any number of times");
  arguments.flag("--json", request->json, "Say in JSON what was loaded");
  return [request] { return run(*request); };
}

}  // namespace

const Verb kLoadVerb = {"load", "Copies", "Make the maps and tables of a dump", kLoadDetails, declare_load};

}  // namespace vaultgres::cli
