// The option --explain: what an answer has cost, on standard error behind it.
#pragma once

#include <chrono>
#include <cstdint>

#include "vaultgres/table.h"

namespace vaultgres::cli {

/// Counts from its construction on: this thread's page visits, whether the pages were in the cache or not.
class Explain {
 public:
  std::uint64_t rows_returned = 0;
  std::uint64_t rows_looked_at = 0;

  void print(bool json) const;

 private:
  const PagesVisited before_ = pages_visited();
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

inline constexpr char kExplainHelp[] = "Say on standard error what it cost: rows, pages, milliseconds";

}  // namespace vaultgres::cli
