#include "io/io_error.h"

#include <cerrno>
#include <system_error>

namespace vaultgres {
namespace {

ErrorCode code_of(int os_error) noexcept {
  switch (os_error) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return ErrorCode::kNoSpace;
    case ENOENT:
      return ErrorCode::kNotFound;
    case EEXIST:
      return ErrorCode::kAlreadyExists;
    default:
      return ErrorCode::kIo;
  }
}

}  // namespace

Error io_error(std::string_view path, std::string_view what, int os_error) {
  std::string text(path);
  text.append(": ").append(what).append(" failed: ").append(std::generic_category().message(os_error));
  return Error(code_of(os_error), std::move(text), os_error);
}

}  // namespace vaultgres
