// Bytes as one line of text and back. Tab, newline, carriage return, NUL and backslash are \t \n \r \0 \\,
// any byte may be \xHH. What is written so contains no control character and is valid UTF-8.
#pragma once

#include <string>
#include <string_view>

#include "vaultgres/result.h"

namespace vaultgres::cli {

/// Escapes the five, and as \xHH whatever is not printable ASCII or part of a valid UTF-8 character.
std::string escape(std::string_view bytes);
void append_escaped(std::string& out, std::string_view bytes);
/// As escape(), but a backslash stays: for text that nobody reads back.
std::string escape_for_display(std::string_view bytes);

/// The bytes; kInvalidArgument for an escape that is none.
Result<std::string> unescape(std::string_view text);

/// Length of the valid UTF-8 character that `text` begins with, 1 to 4; 0 if there is none.
std::size_t utf8_character(std::string_view text) noexcept;
bool is_utf8(std::string_view text) noexcept;

/// "FF00" for bytes FF 00, in lower case, and back (precondition: made by to_hex).
std::string to_hex(std::string_view bytes);
std::string from_hex(std::string_view hex);

/// Columns that `text` takes on a terminal, a character being one column wide.
std::size_t display_width(std::string_view text) noexcept;

}  // namespace vaultgres::cli
