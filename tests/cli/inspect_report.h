// What `vaultgres inspect --json` answers about a page.
#pragma once

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/program_support.h"

namespace vaultgres {

/// The report; its verdict is that of the exit code.
inline nlohmann::json report_of(const Answer& answer) {
  EXPECT_TRUE(answer.code == 0 || answer.code == 2) << answer.err;
  nlohmann::json report = nlohmann::json::parse(answer.out, nullptr, false);
  EXPECT_FALSE(report.is_discarded()) << answer.out;
  EXPECT_EQ(answer.code == 0, report["verdict"]["sound"] == true);
  return report;
}

}  // namespace vaultgres
