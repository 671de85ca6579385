// vaultgres check: is every page as it should be?
#include <fmt/format.h>

#include <memory>

#include "base/try.h"
#include "cli/answer.h"
#include "cli/escape.h"
#include "cli/open_database.h"
#include "cli/output.h"
#include "cli/verb.h"

namespace vaultgres::cli {

namespace {

constexpr char kCheckDetails[] = R"(
Reads every page: checksums, order of keys, fences, levels, siblings, and that every page belongs to exactly
one owner or is free. Each problem is a line that names the page. Exit code 2 when there is one. A directory
that cannot be written is checked as well, and stays as it is.

Examples:
  vaultgres check shop.vg
  vaultgres check shop.vg --json | jq '.problems[].page'
  vaultgres inspect shop.vg 17                     look at a page that check named)";

struct Check {
  std::string directory;
  bool json = false;
  bool csv = false;
};

Json problems_of(const CheckReport& report) {
  Json problems = Json::array();
  for (const CheckProblem& problem : report.problems) {
    problems.push_back({{"page", problem.page}, {"object", json_of(problem.object)}, {"what", json_of(problem.what)}});
  }
  return problems;
}

void print_text(const CheckReport& report) {
  for (const CheckProblem& problem : report.problems) {
    print(fmt::format("page {} of {}: {}\n", problem.page, escape(problem.object), escape_for_display(problem.what)));
  }
  const std::size_t count = report.problems.size();
  const std::string verdict = count == 0 ? "no problems" : fmt::format("{} problem{}", count, count == 1 ? "" : "s");
  print(fmt::format("{}: {} pages, {} checked, {} free; {} entries\n", verdict, report.pages, report.pages_checked,
                    report.pages_free, report.entries));
}

void print_report(const CheckReport& report, Format format) {
  if (format == Format::kText) return print_text(report);
  if (format == Format::kCsv) return print_answer(problems_of(report), format);
  print_answer(Json{{"sound", report.problems.empty()},
                    {"pages", report.pages},
                    {"pages_checked", report.pages_checked},
                    {"pages_free", report.pages_free},
                    {"entries", report.entries},
                    {"problems", problems_of(report)}},
               format);
}

Result<ExitCode> run(const Check& check) {
  VG_ASSIGN(const Format format, format_of(check.json, check.csv));
  bool damaged = false;
  Result<ExitCode> done = with_database_to_read(check.directory, [&](Database& database) -> Result<ExitCode> {
    VG_ASSIGN(const CheckReport report, database.check());
    print_report(report, format);
    damaged = !report.problems.empty();
    return ExitCode::kOk;
  });
  // What closing a damaged database ran into is the damage that was reported.
  if (damaged) return ExitCode::kCorruption;
  return done;
}

Action declare_check(Arguments& arguments) {
  auto check = std::make_shared<Check>();
  arguments.positional("DIR", check->directory, kDirectoryHelp);
  arguments.flag("--json", check->json, kJsonHelp);
  arguments.flag("--csv", check->csv, "Answer with the problems in CSV");
  return [check] { return run(*check); };
}

}  // namespace

const Verb kCheckVerb = {"check", "Health", "Look for damage in every page", kCheckDetails, declare_check};

}  // namespace vaultgres::cli
