#include "cli/explain.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdio>

#include "cli/answer.h"
#include "cli/output.h"

namespace vaultgres::cli {

void Explain::print(bool json) const {
  const PagesVisited now = pages_visited();
  const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - start_;
  Json costs{{"rows_returned", rows_returned},
             {"rows_looked_at", rows_looked_at},
             {"tree_pages", now.tree - before_.tree},
             {"heap_pages", now.heap - before_.heap},
             {"overflow_pages", now.overflow - before_.overflow},
             {"milliseconds", std::round(time.count() * 1000) / 1000}};
  flush_output();
  if (json) {
    fmt::print(stderr, "{}\n", costs.dump());
  } else {
    costs["milliseconds"] = fmt::format("{:.3f}", time.count());
    fmt::print(stderr, "{}", align_object(costs, "", 0));
  }
}

}  // namespace vaultgres::cli
