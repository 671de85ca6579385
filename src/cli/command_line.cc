// The only file that knows CLI11, which takes long to compile.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <iterator>
#include <numeric>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/output.h"
#include "cli/verb.h"

namespace vaultgres::cli {

namespace {

constexpr char kFooter[] = R"(
Examples:
  vaultgres create-map shop.vg sessions            make a database and a map
  vaultgres insert shop.vg sessions alice 42       durable when the command returns
  vaultgres range shop.vg sessions --prefix a      keys in order
  vaultgres import shop.vg users users.csv         make a table of a CSV file
  vaultgres create-index shop.vg users by_id id    find its rows without a scan
  vaultgres backup shop.vg backups/monday          a copy; `restore` makes a database of it
  vaultgres check shop.vg                          is every page as it should be?
  vaultgres VERB --help                            more, with examples

Exit codes: 0 ok, 1 usage or bad input, 2 corruption, 3 I/O or no space, 4 locked, 5 constraint or
conflict, 6 not found, 130 interrupted.)";

/// Letters to change, add or drop to make one word out of the other.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i + 1);
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, diagonal + 1, row[j] + 1});
    }
  }
  return row.back();
}

void report_unknown_verb(std::string_view given, std::span<const Verb* const> verbs) {
  const Verb* const nearest = *std::min_element(verbs.begin(), verbs.end(), [&](const Verb* a, const Verb* b) {
    return edit_distance(given, a->name) < edit_distance(given, b->name);
  });
  const bool close = edit_distance(given, nearest->name) <= 2;
  report_note(fmt::format("there is no verb `{}`; {}`vaultgres --help` lists them", given,
                          close ? fmt::format("did you mean `{}`? ", nearest->name) : ""));
}

/// The library splits a value "[a,b]" of a list into two. No argument contains a NUL: one in front keeps such a value
/// together, until as_given().
std::string kept_together(std::string argument) {
  return argument.starts_with('[') ? std::string(1, '\0') + argument : argument;
}
std::string as_given(const std::string& argument) {
  return argument.substr(argument.starts_with('\0') ? 1 : 0);
}

CLI::callback_t all_into(std::vector<std::string>& target) {
  return [&target](const std::vector<std::string>& texts) {
    std::transform(texts.begin(), texts.end(), std::back_inserter(target), as_given);
    return true;
  };
}

/// The library's words for a wrong command line, and where to read on.
ExitCode report_usage(const CLI::App& app, const CLI::ParseError& error) {
  const auto chosen = app.get_subcommands();
  const std::string verb = chosen.empty() ? "" : chosen.back()->get_name();
  report_note(fmt::format("{}{}{}; `vaultgres{}{} --help` shows what it takes", verb, verb.empty() ? "" : ": ",
                          error.what(), verb.empty() ? "" : " ", verb));
  return ExitCode::kUsage;
}

ExitCode finish(ExitCode code) {
  const Status written = output_status();
  if (written) return code;
  if (written.error().os_error() != EPIPE) report_error(written.error());
  return ExitCode::kIo;
}

ExitCode run_action(const Action& action) {
  const Result<ExitCode> done = action();
  if (done) return finish(*done);
  flush_output();
  report_error(done.error());
  return exit_code_of(done.error().code());
}

}  // namespace

void Arguments::positional(const char* name, std::string& target, const char* help) {
  app_.add_option_function<std::string>(
          name, [&target](const std::string& text) { target = as_given(text); }, help)
      ->required()
      ->type_name("");
}

void Arguments::positional(const char* name, std::optional<std::string>& target, const char* help) {
  app_.add_option_function<std::string>(
          name, [&target](const std::string& text) { target = as_given(text); }, help)
      ->type_name("");
}

void Arguments::positional(const char* name, std::vector<std::string>& target, const char* help) {
  app_.add_option(name, all_into(target), help)->required()->expected(1, -1)->allow_extra_args()->type_name("");
}

void Arguments::optional_positionals(const char* name, std::vector<std::string>& target, const char* help) {
  app_.add_option(name, all_into(target), help)->expected(0, -1)->allow_extra_args()->type_name("");
}

void Arguments::option(const char* name, std::optional<std::string>& target, const char* value_name, const char* help) {
  app_.add_option_function<std::string>(
          name, [&target](const std::string& text) { target = as_given(text); }, help)
      ->type_name(value_name);
}

void Arguments::option(const char* name, std::vector<std::string>& target, const char* value_name, const char* help) {
  app_.add_option(name, all_into(target), help)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->type_name(value_name);
}

void Arguments::count(const char* name, std::uint64_t& target, const char* value_name, const char* help) {
  // The library's own conversion takes -1 for a large number.
  const auto parse = [&target](const std::vector<std::string>& texts) {
    const std::string& text = texts.front();
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), target);
    return problem == std::errc() && end == text.data() + text.size();
  };
  app_.add_option(name, parse, help)->type_name(value_name);
}

void Arguments::flag(const char* name, bool& target, const char* help) {
  app_.add_flag(name, target, help);
}

ExitCode run_command_line(int argc, const char* const* argv, std::span<const Verb* const> verbs) {
  CLI::App app("Vaultgres: a crash-safe B+Tree storage engine. A database is a directory.", "vaultgres");
  app.footer(kFooter);
  app.require_subcommand(1);
  app.set_version_flag("--version", "vaultgres " VG_VERSION, "Print the version");
  app.set_help_flag("-h,--help", "Print this help");
  app.get_formatter()->column_width(30);
  app.get_formatter()->label("REQUIRED", "");
  app.get_formatter()->label("SUBCOMMAND", "VERB");
  app.get_formatter()->label("SUBCOMMANDS", "VERBS");
  Action action;
  for (const Verb* verb : verbs) {
    CLI::App* const sub = app.add_subcommand(verb->name, verb->summary);
    sub->group(verb->group);
    sub->footer(verb->details);
    Arguments arguments(*sub);
    sub->final_callback([&action, act = verb->declare(arguments)] { action = act; });
  }
  if (argc < 2) {
    fmt::print(stderr, "{}", app.help());
    return ExitCode::kUsage;
  }
  const std::string_view first(argv[1]);
  if (!first.starts_with('-') && std::none_of(verbs.begin(), verbs.end(), [&](auto* v) { return first == v->name; })) {
    report_unknown_verb(first, verbs);
    return ExitCode::kUsage;
  }
  try {
    std::vector<std::string> arguments;  // from the last to the first, as the library wants them
    for (int i = argc - 1; i > 0; --i) arguments.push_back(kept_together(argv[i]));
    app.parse(std::move(arguments));
  } catch (const CLI::CallForHelp&) {
    print(app.help());
    return finish(ExitCode::kOk);
  } catch (const CLI::CallForVersion& version) {
    print(fmt::format("{}\n", version.what()));
    return finish(ExitCode::kOk);
  } catch (const CLI::ParseError& error) {
    return report_usage(app, error);
  }
  return run_action(action);
}

}  // namespace vaultgres::cli
