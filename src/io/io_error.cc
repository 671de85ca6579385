#include "io/io_error.h"

#include <cerrno>
#include <new>
#include <system_error>
#include <utility>

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

Error io_error(std::string_view path, FunctionRef<std::string()> what, int os_error) noexcept {
  try {
    std::string text(path);
    text.append(": ").append(what()).append(" failed: ").append(std::generic_category().message(os_error));
    return Error(code_of(os_error), std::move(text), os_error);
  } catch (const std::bad_alloc&) {
    return Error(code_of(os_error), "a call of the file system failed, and there is no memory to say which", os_error);
  }
}

Error io_error(std::string_view path, std::string_view what, int os_error) noexcept {
  return io_error(
      path, [&] { return std::string(what); }, os_error);
}

}  // namespace vaultgres
