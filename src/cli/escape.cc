#include "cli/escape.h"

#include <algorithm>

namespace vaultgres::cli {

namespace {

constexpr char kHexDigits[] = "0123456789abcdef";

int hex_value(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// The letter behind the backslash, or 0 when the byte has no short escape.
char short_escape(char c) noexcept {
  switch (c) {
    case '\t':
      return 't';
    case '\n':
      return 'n';
    case '\r':
      return 'r';
    case '\0':
      return '0';
    case '\\':
      return '\\';
    default:
      return 0;
  }
}

void append_hex_escape(std::string& out, char c) {
  const auto byte = static_cast<unsigned char>(c);
  out += {'\\', 'x', kHexDigits[byte >> 4], kHexDigits[byte & 15]};
}

/// C1 controls: valid UTF-8, but a terminal obeys them.
bool is_control(std::string_view character) noexcept {
  return character.size() == 2 && character[0] == '\xC2' && static_cast<unsigned char>(character[1]) < 0xA0;
}

void append(std::string& out, std::string_view bytes, bool escape_backslash) {
  for (std::size_t at = 0; at < bytes.size();) {
    const char c = bytes[at];
    const char letter = short_escape(c);
    const std::size_t length = utf8_character(bytes.substr(at));
    const std::string_view character = bytes.substr(at, std::max<std::size_t>(length, 1));
    at += character.size();
    if (letter != 0 && (c != '\\' || escape_backslash)) {
      out += {'\\', letter};
    } else if (length == 0 || static_cast<unsigned char>(c) < 0x20 || c == '\x7F' || is_control(character)) {
      for (const char byte : character) append_hex_escape(out, byte);
    } else {
      out += character;
    }
  }
}

Error bad_escape(std::size_t at, std::string_view what) {
  return Error(ErrorCode::kInvalidArgument, "bad escape at byte " + std::to_string(at) + ": " + std::string(what) +
                                                "; allowed are \\t \\n \\r \\0 \\\\ and \\xHH");
}

}  // namespace

void append_escaped(std::string& out, std::string_view bytes) {
  append(out, bytes, true);
}

std::string escape(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  append(out, bytes, true);
  return out;
}

std::string escape_for_display(std::string_view bytes) {
  std::string out;
  append(out, bytes, false);
  return out;
}

Result<std::string> unescape(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '\\') {
      out += text[at];
      continue;
    }
    const std::size_t start = at;
    if (++at == text.size()) return bad_escape(start, "nothing follows the backslash");
    switch (text[at]) {
      case 't':
        out += '\t';
        break;
      case 'n':
        out += '\n';
        break;
      case 'r':
        out += '\r';
        break;
      case '0':
        out += '\0';
        break;
      case '\\':
        out += '\\';
        break;
      case 'x': {
        const int high = at + 1 < text.size() ? hex_value(text[at + 1]) : -1;
        const int low = at + 2 < text.size() ? hex_value(text[at + 2]) : -1;
        if (high < 0 || low < 0) return bad_escape(start, "\\x needs two hexadecimal digits");
        out += static_cast<char>(high * 16 + low);
        at += 2;
        break;
      }
      default:
        return bad_escape(start, "unknown letter");
    }
  }
  return out;
}

std::size_t utf8_character(std::string_view text) noexcept {
  if (text.empty()) return 0;
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  if (byte(0) < 0x80) return 1;
  std::size_t length = 0;
  // The second byte's bounds exclude overlong forms, surrogates and what lies beyond U+10FFFF.
  unsigned char low = 0x80;
  unsigned char high = 0xBF;
  if (byte(0) >= 0xC2 && byte(0) <= 0xDF) {
    length = 2;
  } else if (byte(0) >= 0xE0 && byte(0) <= 0xEF) {
    length = 3;
    if (byte(0) == 0xE0) low = 0xA0;
    if (byte(0) == 0xED) high = 0x9F;
  } else if (byte(0) >= 0xF0 && byte(0) <= 0xF4) {
    length = 4;
    if (byte(0) == 0xF0) low = 0x90;
    if (byte(0) == 0xF4) high = 0x8F;
  }
  if (length == 0 || text.size() < length || byte(1) < low || byte(1) > high) return 0;
  for (std::size_t i = 2; i < length; ++i) {
    if (byte(i) < 0x80 || byte(i) > 0xBF) return 0;
  }
  return length;
}

bool is_utf8(std::string_view text) noexcept {
  while (!text.empty()) {
    const std::size_t length = utf8_character(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string to_hex(std::string_view bytes) {
  std::string out;
  out.reserve(2 * bytes.size());
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    out += {kHexDigits[byte >> 4], kHexDigits[byte & 15]};
  }
  return out;
}

std::string from_hex(std::string_view hex) {
  std::string out;
  out.reserve(hex.size() / 2);
  for (std::size_t at = 0; at + 1 < hex.size(); at += 2) {
    out += static_cast<char>(hex_value(hex[at]) * 16 + hex_value(hex[at + 1]));
  }
  return out;
}

std::size_t display_width(std::string_view text) noexcept {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

}  // namespace vaultgres::cli
