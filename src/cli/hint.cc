#include "cli/hint.h"

#include <fmt/format.h>

namespace vaultgres::cli {

Error with_hint(const Error& error, std::string_view hint) {
  return Error(error.code(), fmt::format("{}; {}", error.message(), hint), error.os_error());
}

Error with_hint_if(ErrorCode code, const Error& error, std::string_view hint) {
  return error.code() == code ? with_hint(error, hint) : error;
}

}  // namespace vaultgres::cli
