// vaultgres inspect: one page as it lies in the data file. Opens no database: also for one that does not open.
#include <fmt/format.h>

#include <charconv>
#include <memory>

#include "base/try.h"
#include "cli/data_file.h"
#include "cli/escape.h"
#include "cli/hexdump.h"
#include "cli/open_database.h"
#include "cli/output.h"
#include "cli/page_report.h"
#include "cli/verb.h"

namespace vaultgres::cli {

namespace {

constexpr char kInspectDetails[] = R"(
Reads the data file only, without a lock: also while another process has the database open (the file then lags
behind), or when it is too damaged to be opened. Pages 0 and 1 are the superblocks, 2 the first allocation
bitmap, 3 the root of the catalog. Exit code 2 when checksum or structure of the page is wrong.

Examples:
  vaultgres inspect shop.vg 3
  vaultgres inspect shop.vg 17 --all               every entry of a tree node
  vaultgres inspect shop.vg 0x11 --hex             a number in hexadecimal; the bytes
  vaultgres inspect shop.vg 0 --json | jq .superblock.sequence)";

/// Characters of a key or value that a drawing shows.
constexpr std::size_t kShortenTo = 40;

struct Inspect {
  std::string directory;
  std::string page;
  bool all = false;
  bool hex = false;
  bool json = false;
};

Result<PageId> parse_page(const std::string& text, const DataFile& data) {
  const bool hexadecimal = text.starts_with("0x");
  const char* const begin = text.data() + (hexadecimal ? 2 : 0);
  std::uint32_t number = 0;
  const auto [end, problem] = std::from_chars(begin, text.data() + text.size(), number, hexadecimal ? 16 : 10);
  if (problem != std::errc() || end != text.data() + text.size()) {
    return Error(ErrorCode::kInvalidArgument, "PAGE is not a page number: " + escape(text));
  }
  if (number >= data.page_count()) {
    return Error(ErrorCode::kNotFound, fmt::format("page {} lies beyond the end of {}, which has {} pages, from 0 on",
                                                   number, data.path(), data.page_count()));
  }
  return PageId{number};
}

/// A list of which only the ends may be there: a line in the gap says so.
std::string draw_list(const Json& list, std::size_t count) {
  std::string table = align_array(list, "  ", kShortenTo);
  if (list.size() >= count) return table;
  std::size_t at = 0;
  for (std::size_t line = 0; line < 1 + kShownAtEachEnd; ++line) at = table.find('\n', at) + 1;
  return table.insert(at, fmt::format("  … {} more, which --all shows\n", count - list.size()));
}

/// Header first, then a section for each part of the report.
void draw(const Json& report, PageId id, const DataFile& data) {
  const Json& verdict = report["verdict"];
  print(fmt::format("page {} of {}, at byte {}: {}\n", raw(id), data.path(), std::uint64_t{raw(id)} * kPageBytes,
                    report["header"]["type"].get<std::string>()));
  if (data.current_superblock() == id) print("the superblock that counts: the newer sound one\n");
  std::size_t count = 0;
  for (const auto& [name, part] : report.items()) {
    if (name == "verdict") continue;
    print(fmt::format("\n{}\n", name));
    if (part.is_array()) {
      print(draw_list(part, count));
      continue;
    }
    Json fields = part;
    fields.erase("epochs");
    print(align_object(fields, "  ", kShortenTo));
    count = part.value("count", std::size_t{0});
    if (part.contains("epochs")) print("\nepochs\n" + align_array(part["epochs"], "  ", kShortenTo));
  }
  print(fmt::format("\n{}: checksum {}, structure {}\n", verdict["sound"].get<bool>() ? "sound" : "DAMAGED",
                    text_of(verdict["checksum"]), text_of(verdict["structure"])));
}

Result<ExitCode> run(const Inspect& inspect) {
  VG_ASSIGN(DataFile data, DataFile::open(inspect.directory));
  VG_ASSIGN(const PageId id, parse_page(inspect.page, data));
  VG_ASSIGN(const Bytes page, data.read(id));
  const Json report = describe_page({id, data.page_count(), data.database(), inspect.all}, page);
  if (inspect.json) {
    Json answer{{"file", json_of(data.path())}, {"page", raw(id)}, {"pages", data.page_count()}};
    answer.update(report);
    if (inspect.hex) answer["hex"] = to_hex(as_text(page));
    print_answer(answer, Format::kJson);
  } else {
    draw(report, id, data);
    if (inspect.hex) print("\n" + hexdump(page));
  }
  return report["verdict"]["sound"].get<bool>() ? ExitCode::kOk : ExitCode::kCorruption;
}

Action declare_inspect(Arguments& arguments) {
  auto inspect = std::make_shared<Inspect>();
  arguments.positional("DIR", inspect->directory, kDirectoryHelp);
  arguments.positional("PAGE", inspect->page, "Number of the page");
  arguments.flag("--all", inspect->all, "Every entry or run, not only the first and the last");
  arguments.flag("--hex", inspect->hex, "The page's bytes, too");
  arguments.flag("--json", inspect->json, kJsonHelp);
  return [inspect] { return run(*inspect); };
}

}  // namespace

const Verb kInspectVerb = {"inspect", "Health", "Draw one page of the data file", kInspectDetails, declare_inspect};

}  // namespace vaultgres::cli
