#include "catalog/name.h"

#include <algorithm>
#include <cstdint>
#include <string>

#include "btree/node.h"
#include "vaultgres/options.h"

namespace vaultgres {
namespace {

inline constexpr std::uint32_t kNoCharacter = UINT32_MAX;

/// Takes the first character off `text`, which is not empty. kNoCharacter: not UTF-8 (overlong forms,
/// surrogates and numbers above 0x10FFFF included).
std::uint32_t take_character(std::string_view& text) noexcept {
  const auto byte = [&](std::size_t i) -> std::uint32_t { return static_cast<unsigned char>(text[i]); };
  const std::uint32_t first = byte(0);
  const std::size_t length = first < 0x80   ? 1
                             : first < 0xC0 ? 0
                             : first < 0xE0 ? 2
                             : first < 0xF0 ? 3
                             : first < 0xF8 ? 4
                                            : 0;
  if (length == 0 || length > text.size()) return kNoCharacter;
  constexpr std::uint32_t kFirstMask[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
  constexpr std::uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  std::uint32_t character = first & kFirstMask[length];
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return kNoCharacter;
    character = character << 6 | (byte(i) & 0x3F);
  }
  const bool surrogate = character >= 0xD800 && character <= 0xDFFF;
  if (character < kLeast[length] || surrogate || character > 0x10FFFF) return kNoCharacter;
  text.remove_prefix(length);
  return character;
}

bool is_control(std::uint32_t character) noexcept {
  return character < 0x20 || (character >= 0x7F && character < 0xA0);
}

}  // namespace

Status check_name_text(std::string_view name, std::size_t bytes_max) {
  if (name.empty() || name.size() > bytes_max) {
    return Error(ErrorCode::kInvalidArgument,
                 "a name has 1 to " + std::to_string(bytes_max) + " bytes, not " + std::to_string(name.size()));
  }
  while (!name.empty()) {
    const std::uint32_t character = take_character(name);
    if (character == kNoCharacter) return Error(ErrorCode::kInvalidArgument, "a name must be valid UTF-8");
    if (is_control(character)) {
      return Error(ErrorCode::kInvalidArgument, "a name must not hold control characters");
    }
  }
  return {};
}

Status check_name(std::string_view name) {
  return check_name_text(name, std::min(kMaxNameBytes, kKeyBytesMax));
}

}  // namespace vaultgres
