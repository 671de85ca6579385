// Runs a model: PROGRAM [EXECUTIONS] [MUTANT]; so many executions of each of its suites. With a mutant a failure is
// what is expected. A mutant is a fault of the atomics, or one of the engine's own seeded bugs (base/seeded_bug.h), in
// the headers that are included after this one. The checker's choices follow from the number of the execution; VG_SEED
// (1) says which part of them a run takes. VG_CASES_FILE gets a line for row R15 (docs/RELIABILITY.md).
#pragma once

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <iostream>
#include <relacy/relacy.hpp>
#include <string>

#include "base/seeded_bug.h"

#undef VG_SEEDED_BUG
#define VG_SEEDED_BUG(name) ::vaultgres::model_has(#name)

namespace vaultgres {

inline const char*& model_mutant() {
  static const char* name = "";
  return name;
}
inline bool model_has(const char* seeded_bug) {
  return std::strcmp(model_mutant(), seeded_bug) == 0;
}

class ModelRun {
 public:
  ModelRun(unsigned long executions, unsigned long seed) : executions_(executions), first_((seed - 1) * executions) {}
  /// Whether nothing went wrong.
  template <class Model>
  bool simulate() const {
    rl::test_params params;
    params.initial_state = std::to_string(first_).c_str();
    params.iteration_count = first_ + executions_;
    params.search_type = rl::random_scheduler_type;
    std::ostream nowhere(nullptr);  // and its heap is not for streams that grow
    params.progress_stream = &nowhere;
    if (quiet) params.output_stream = &nowhere;
    const bool well = rl::simulate<Model>(params);
    done += params.stop_iteration - first_;
    return well;
  }
  bool quiet = false;
  mutable unsigned long done = 0;

 private:
  unsigned long executions_, first_;
};

struct ModelVariant {
  const char* mutant;
  bool (*holds)(const ModelRun&);
};

inline unsigned long model_seed() {
  const char* const seed = std::getenv("VG_SEED");
  return seed == nullptr ? 1 : std::strtoul(seed, nullptr, 10);
}
inline bool record_model(const char* name, unsigned long executions, bool well) {
  const char* const path = std::getenv("VG_CASES_FILE");
  if (path == nullptr) return true;
  std::FILE* const file = std::fopen(path, "a");
  if (file == nullptr) return false;
  std::fprintf(file, "{\"row\":\"R15\",\"test\":\"%s\",\"cases\":%lu,\"failures\":%d,\"seed\":%lu}\n", name, executions,
               well ? 0 : 1, model_seed());
  return std::fclose(file) == 0;
}

inline int model_main(const char* name, int count, char** words, std::initializer_list<ModelVariant> variants) {
  ModelRun run(count > 1 ? std::strtoul(words[1], nullptr, 10) : 100000, model_seed());
  const char* const mutant = count > 2 ? words[2] : "";
  for (const ModelVariant& variant : variants) {
    if (std::strcmp(variant.mutant, mutant) != 0) continue;
    run.quiet = *mutant != 0;
    model_mutant() = mutant;
    const bool well = variant.holds(run);
    std::printf("%s %s: %lu executions, %s\n", name, mutant, run.done, well ? "nothing wrong" : "a failure");
    const bool recorded = *mutant != 0 || record_model(name, run.done, well);
    return recorded && well == (*mutant == 0) ? 0 : 1;
  }
  std::fprintf(stderr, "%s: no mutant has the name %s\n", name, mutant);
  return 2;
}

}  // namespace vaultgres
