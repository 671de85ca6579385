// VG_TRY and VG_ASSIGN: leave the function with the error, or go on with the value.
#pragma once

#include "vaultgres/result.h"

#define VG_CONCAT_INNER(a, b) a##b
#define VG_CONCAT(a, b) VG_CONCAT_INNER(a, b)

/// Returns the error of `expression` from the enclosing function, if it has one.
#define VG_TRY(expression)                                                \
  do {                                                                    \
    if (auto vg_try_result = (expression); !vg_try_result) [[unlikely]] { \
      return vg_try_result.error();                                       \
    }                                                                     \
  } while (false)

/// `target` (a declaration or an lvalue) gets the value of `expression`, or its error is returned.
#define VG_ASSIGN(target, expression) VG_ASSIGN_IMPL(VG_CONCAT(vg_assign_, __LINE__), target, expression)
#define VG_ASSIGN_IMPL(temporary, target, expression) \
  auto temporary = (expression);                      \
  if (!temporary) [[unlikely]]                        \
    return temporary.error();                         \
  target = *std::move(temporary)
