// What a call lists, for a loop over it: `for (x : *db.maps())` would go on after the list is gone.
#pragma once

#include <gtest/gtest.h>

#include <vector>

#include "support/database.h"

namespace vaultgres {

template <class T>
std::vector<T> list_of(Result<std::vector<T>> listed) {
  EXPECT_TRUE(listed) << test_text(listed);
  return listed ? *std::move(listed) : std::vector<T>();
}

}  // namespace vaultgres
