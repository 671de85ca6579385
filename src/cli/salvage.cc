// vaultgres salvage: what can be read of a damaged database, in a new one.
#include "vaultgres/salvage.h"

#include <fmt/format.h>

#include <memory>

#include "base/try.h"
#include "cli/answer.h"
#include "cli/escape.h"
#include "cli/open_database.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/verb.h"

namespace vaultgres::cli {

namespace {

constexpr char kSalvageDetails[] = R"(
Copies everything that can be read of the database DAMAGED, which is only read and never written, into a new
database NEW, and says object by object what is lost. For a database that does not open, or in which `check`
found damage.

Pages say themselves whose they are: only what stood on a damaged page is lost. Indexes are made anew. Where
the catalog is damaged objects are named after their numbers ("object 17"), and tables without their schemas
cannot be read. If the log cannot be applied, the answer says why and what that means.

Exit code 0: all was read. 2: something was lost.

Examples:
  vaultgres salvage shop.vg rescued.vg
  vaultgres salvage shop.vg rescued.vg --json | jq '.objects[] | select(.losses > 0) | {name, lost}'
  vaultgres check rescued.vg)";

/// More is in --json, and counted.
constexpr std::size_t kShownMax = 20;

struct Salvage {
  std::string damaged;
  std::string fresh;
  std::uint64_t cache_mib = 256;
  bool json = false;
};

const char* kind_text(SalvagedObject::Kind kind) {
  switch (kind) {
    case SalvagedObject::Kind::kMap:
      return "map";
    case SalvagedObject::Kind::kTable:
      return "table";
    default:
      return "index";
  }
}

const char* log_name(SalvageLog log) {
  switch (log) {
    case SalvageLog::kApplied:
      return "applied";
    case SalvageLog::kEndLost:
      return "end_lost";
    case SalvageLog::kNotRolledBack:
      return "not_rolled_back";
    default:
      return "not_applied";
  }
}

const char* log_meaning(SalvageLog log) {
  if (log == SalvageLog::kNotRolledBack) {
    return "changes of transactions that were open may be in the new database";
  }
  if (log == SalvageLog::kEndLost) {
    return "what was committed before that place is there; of later changes any may be missing, and some of "
           "transactions that did not commit may be in";
  }
  return "pages count as they lie in the data file: of the last changes before the database was left any may be "
         "missing, "
         "and some of transactions that did not commit may be in";
}

// --- JSON

Json json_of_losses(const SalvageLosses& losses) {
  Json list = Json::array();
  for (const SalvageLoss& loss : losses.listed) {
    Json item{{"what", json_of(loss.what)}};
    if (loss.keys) {
      item["from"] = loss.keys->from ? json_of(*loss.keys->from) : Json();
      item["to"] = loss.keys->to ? json_of(*loss.keys->to) : Json();
    }
    list.push_back(std::move(item));
  }
  return list;
}

Json json_of_object(const SalvagedObject& object) {
  return {{"kind", kind_text(object.kind)},     {"name", json_of(object.name)},
          {"object_id", object.object_id},      {"copied", object.copied},
          {"entries", object.entries},          {"losses", object.lost.count},
          {"lost", json_of_losses(object.lost)}};
}

void print_json(const SalvageReport& report) {
  Json answer{{"complete", report.complete()}, {"log", log_name(report.log)}};
  if (report.log != SalvageLog::kApplied) answer["log_problem"] = json_of(report.log_problem);
  answer["pages"] = report.pages;
  answer["pages_damaged"] = report.pages_damaged;
  answer["damaged"] = Json::array();
  for (const SalvagePage& page : report.damaged) {
    answer["damaged"].push_back({{"page", page.page}, {"object", json_of(page.object)}, {"what", json_of(page.what)}});
  }
  answer["healed"] = report.healed;
  answer["objects"] = Json::array();
  for (const SalvagedObject& object : report.objects) answer["objects"].push_back(json_of_object(object));
  answer["losses"] = report.lost.count;
  answer["lost"] = json_of_losses(report.lost);
  answer["notes"] = Json::array();
  for (const std::string& note : report.notes) answer["notes"].push_back(json_of(note));
  print_answer(answer, Format::kJson);
}

// --- Text

void print_losses(const SalvageLosses& losses, std::string_view indent) {
  std::size_t shown = 0;
  for (const SalvageLoss& loss : losses.listed) {
    if (shown++ == kShownMax) break;
    print(fmt::format("{}lost: {}\n", indent, escape_for_display(loss.what)));
  }
  if (losses.count > kShownMax) {
    print(fmt::format("{}… and {} more; --json lists up to {}\n", indent, with_commas(losses.count - kShownMax),
                      SalvageLosses::kListedMax));
  }
}

void print_object(const SalvagedObject& object) {
  const char* const what = object.kind == SalvagedObject::Kind::kMap ? "entries" : "rows";
  std::string line = fmt::format("{} {}: ", kind_text(object.kind), escape(object.name));
  if (!object.copied) {
    line += "not in the new database";
  } else if (object.kind == SalvagedObject::Kind::kIndex) {
    line += "made anew";
  } else {
    line += fmt::format("{} {}", with_commas(object.entries), what);
  }
  print(line + "\n");
  print_losses(object.lost, "  ");
}

void print_pages(const SalvageReport& report) {
  print(fmt::format("{} pages, {} of them damaged\n", with_commas(report.pages), with_commas(report.pages_damaged)));
  std::size_t shown = 0;
  for (const SalvagePage& page : report.damaged) {
    if (shown++ == kShownMax) break;
    print(fmt::format("  page {}{}{} {}\n", page.page, page.object.empty() ? "" : " of ", escape(page.object),
                      escape_for_display(page.what)));
  }
  if (report.pages_damaged > kShownMax) {
    print(fmt::format("  … and {} more\n", with_commas(report.pages_damaged - kShownMax)));
  }
  for (const std::uint32_t page : report.healed) {
    print(fmt::format("  page {} was damaged and is whole in the doublewrite file: taken from there\n", page));
  }
}

void print_text(const SalvageReport& report) {
  if (report.log != SalvageLog::kApplied) {
    print(fmt::format("the log could not be applied{}: {}\n  {}\n",
                      report.log == SalvageLog::kNotApplied ? "" : " to its end",
                      escape_for_display(report.log_problem), log_meaning(report.log)));
  }
  print_pages(report);
  print_losses(report.lost, "");
  for (const SalvagedObject& object : report.objects) print_object(object);
  for (const std::string& note : report.notes) print(fmt::format("note: {}\n", escape_for_display(note)));
  print(report.complete() ? "all was read\n" : "not all could be read: see above\n");
}

Result<ExitCode> run(const Salvage& request) {
  if (request.cache_mib < 2 || request.cache_mib > (1u << 30)) {
    return Error(ErrorCode::kInvalidArgument, "--cache-mib is 2 or more");
  }
  SalvageOptions options;
  options.cache_bytes = static_cast<std::size_t>(request.cache_mib) << 20;
  const Result<SalvageReport> report = salvage(request.damaged, request.fresh, options);
  if (!report && report.error().code() == ErrorCode::kCorruption) {
    report_note(report.error().message());  // the advice for damage is salvage
    return ExitCode::kCorruption;
  }
  if (!report) return report.error();
  if (request.json) {
    print_json(*report);
  } else {
    print_text(*report);
  }
  return report->complete() ? ExitCode::kOk : ExitCode::kCorruption;
}

Action declare_salvage(Arguments& arguments) {
  auto request = std::make_shared<Salvage>();
  arguments.positional("DAMAGED", request->damaged, "Directory of the damaged database; it stays as it is");
  arguments.positional("NEW", request->fresh, "Directory of the new database, which must not be one yet");
  arguments.count("--cache-mib", request->cache_mib, "N",
                  "Memory for what the log changes, and for the new database's cache (256)");
  arguments.flag("--json", request->json, kJsonHelp);
  return [request] { return run(*request); };
}

}  // namespace

const Verb kSalvageVerb = {"salvage", "Health", "Copy what can be read of a damaged database into a new one",
                           kSalvageDetails, declare_salvage};

}  // namespace vaultgres::cli
