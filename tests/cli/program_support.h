// The program as its users meet it: a process with arguments, standard input, output, error, exit code.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace vaultgres {

/// Bytes of a page: what the program is built with.
inline constexpr std::size_t kProgramPageBytes = 8192;

using Lines = std::vector<std::string>;

struct Answer {
  int code = -1;  ///< exit code; 128 + signal when a signal ended it
  std::string out;
  std::string err;
};

/// Runs the program to its end.
Answer run_program(const std::vector<std::string>& arguments, std::string_view input = "");
/// The same with its standard output in this file.
Answer run_program_to(const std::vector<std::string>& arguments, const std::string& out_path,
                      std::string_view input = "");
/// The same with a terminal as standard output; `out` has "\n" for line ends.
Answer run_program_on_terminal(const std::vector<std::string>& arguments);
/// The same with a terminal as standard error, whose bytes `err` has as they are.
Answer run_program_with_error_terminal(const std::vector<std::string>& arguments);

/// A running program that is spoken to line by line.
class Conversation {
 public:
  explicit Conversation(const std::vector<std::string>& arguments);
  ~Conversation();
  Conversation(const Conversation&) = delete;
  Conversation& operator=(const Conversation&) = delete;

  /// Sends the line; the answer's next line, without its newline.
  std::string ask(std::string_view line);
  std::string read_line();
  /// Bytes as they are, to a program that may not answer; waits until all but a pipe's buffer has been read.
  void send(std::string_view bytes);
  void interrupt();
  /// Ends the input; the exit code.
  int finish();
  /// Ends the process at once, as a crash would.
  void kill();

 private:
  int wait();
  pid_t process_ = -1;
  int input_ = -1;
  int output_ = -1;
  std::string received_;
};

/// Escaped as the program wants it: every byte as \xHH.
std::string escape_all(std::string_view bytes);
/// Escaped as little as the program allows.
std::string escape_least(std::string_view bytes);
/// What escapes stand for; fails the test on a bad one.
std::string unescape_text(std::string_view text);

std::string read_file(const std::string& path);
void write_file(const std::string& path, std::string_view bytes);

}  // namespace vaultgres
