// run_fuzz_inputs TARGET FILE|FOLDER…: gives inputs to a fuzz target, without libFuzzer. It stops at the first one that
// the target does not survive; the file named last is the culprit.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <string_view>

#include "targets.h"

namespace vaultgres::fuzz {
namespace {

const NamedTarget* find_target(std::string_view name) {
  for (const NamedTarget& target : kTargets) {
    if (target.name == name) return &target;
  }
  return nullptr;
}

void add_inputs(const std::filesystem::path& path, std::set<std::filesystem::path>& inputs) {
  if (!std::filesystem::is_directory(path)) {
    inputs.insert(path);
    return;
  }
  for (const auto& entry : std::filesystem::directory_iterator(path)) inputs.insert(entry.path());
}

int run(const NamedTarget& target, const std::set<std::filesystem::path>& inputs) {
  for (const std::filesystem::path& path : inputs) {
    std::ifstream file(path, std::ios::binary);
    if (!file) {
      std::fprintf(stderr, "cannot read %s\n", path.c_str());
      return 1;
    }
    const std::string input(std::istreambuf_iterator<char>(file), {});
    std::printf("%s: %s, %zu bytes\n", target.name, path.c_str(), input.size());
    std::fflush(stdout);
    target.run(as_bytes(input));
  }
  std::printf("%s: %zu inputs\n", target.name, inputs.size());
  return inputs.empty() ? 1 : 0;
}

}  // namespace
}  // namespace vaultgres::fuzz

int main(int argc, char** argv) {
  using namespace vaultgres::fuzz;
  const NamedTarget* const target = argc > 2 ? find_target(argv[1]) : nullptr;
  if (target == nullptr) {
    std::fprintf(stderr, "usage: %s TARGET FILE|FOLDER…\ntargets:", argv[0]);
    for (const NamedTarget& known : kTargets) std::fprintf(stderr, " %s", known.name);
    std::fputc('\n', stderr);
    return 1;
  }
  std::set<std::filesystem::path> inputs;
  for (int i = 2; i < argc; ++i) add_inputs(argv[i], inputs);
  return run(*target, inputs);
}
