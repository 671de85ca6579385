// Runs a model: PROGRAM [EXECUTIONS] [MUTANT]. With a mutant a failure is what is expected. The checker's choices are
// the same in every run.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <iostream>
#include <relacy/relacy.hpp>

namespace vaultgres {

class ModelRun {
 public:
  explicit ModelRun(unsigned long executions) : executions_(executions) {}
  /// Whether nothing went wrong.
  template <class Model>
  bool simulate() const {
    rl::test_params params;
    params.iteration_count = executions_;
    params.search_type = rl::random_scheduler_type;
    std::ostream nowhere(nullptr);  // and its heap is not for streams that grow
    params.progress_stream = &nowhere;
    if (quiet) params.output_stream = &nowhere;
    const bool well = rl::simulate<Model>(params);
    done += params.stop_iteration;
    return well;
  }
  bool quiet = false;
  mutable unsigned long done = 0;

 private:
  unsigned long executions_;
};

struct ModelVariant {
  const char* mutant;
  bool (*holds)(const ModelRun&);
};

inline int model_main(const char* name, int count, char** words, std::initializer_list<ModelVariant> variants) {
  ModelRun run(count > 1 ? std::strtoul(words[1], nullptr, 10) : 100000);
  const char* const mutant = count > 2 ? words[2] : "";
  for (const ModelVariant& variant : variants) {
    if (std::strcmp(variant.mutant, mutant) != 0) continue;
    run.quiet = *mutant != 0;
    const bool well = variant.holds(run);
    std::printf("%s %s: %lu executions, %s\n", name, mutant, run.done, well ? "nothing wrong" : "a failure");
    return well == (*mutant == 0) ? 0 : 1;
  }
  std::fprintf(stderr, "%s: no mutant has the name %s\n", name, mutant);
  return 2;
}

}  // namespace vaultgres
