#include "cli/program_support.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <utility>

#include "support/temp_directory.h"

extern char** environ;

namespace vaultgres {

namespace {

int exit_code_of(int status) {
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/// Starts the program with these descriptors as its standard ones.
pid_t start(const std::vector<std::string>& arguments, int in, int out, int err) {
  std::vector<char*> argv = {const_cast<char*>("vaultgres")};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, err, STDERR_FILENO);
  pid_t process = -1;
  const int failed = ::posix_spawn(&process, VG_PROGRAM, &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) {
    std::fprintf(stderr, "cannot start %s: error %d\n", VG_PROGRAM, failed);
    std::abort();
  }
  return process;
}

int wait_for(pid_t process) {
  int status = 0;
  while (::waitpid(process, &status, 0) < 0) {
  }
  return exit_code_of(status);
}

int open_file(const std::string& path, int flags) {
  const int descriptor = ::open(path.c_str(), flags | O_CLOEXEC, 0644);
  if (descriptor < 0) std::abort();
  return descriptor;
}

std::string read_to_end(int descriptor) {
  std::string bytes;
  char chunk[4096];
  for (;;) {
    const ssize_t got = ::read(descriptor, chunk, sizeof chunk);
    if (got <= 0) return bytes;  // a terminal whose other side is closed answers with an error
    bytes.append(chunk, static_cast<std::size_t>(got));
  }
}

/// Runs the program with a terminal as one of its two outputs and a file as the other; the exit code.
int run_on_terminal(const std::vector<std::string>& arguments, int terminal_stream, std::string& shown,
                    std::string& other) {
  const TempDirectory files;
  const int terminal = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (terminal < 0 || ::grantpt(terminal) != 0 || ::unlockpt(terminal) != 0) std::abort();
  const int program_side = ::open(::ptsname(terminal), O_RDWR | O_NOCTTY | O_CLOEXEC);
  const int in = open_file("/dev/null", O_RDONLY);
  const int file = open_file(files.file("other"), O_WRONLY | O_CREAT);
  const bool out_is_terminal = terminal_stream == STDOUT_FILENO;
  const pid_t process =
      start(arguments, in, out_is_terminal ? program_side : file, out_is_terminal ? file : program_side);
  for (const int descriptor : {in, program_side, file}) ::close(descriptor);
  shown = read_to_end(terminal);
  const int code = wait_for(process);
  ::close(terminal);
  other = read_file(files.file("other"));
  return code;
}

std::string hex_escape(char c) {
  char text[8];
  std::snprintf(text, sizeof text, "\\x%02X", static_cast<unsigned>(static_cast<unsigned char>(c)));
  return text;
}

}  // namespace

Answer run_program(const std::vector<std::string>& arguments, std::string_view input) {
  const TempDirectory files;
  Answer answer = run_program_to(arguments, files.file("out"), input);
  answer.out = read_file(files.file("out"));
  return answer;
}

Answer run_program_to(const std::vector<std::string>& arguments, const std::string& out_path, std::string_view input) {
  const TempDirectory files;
  write_file(files.file("in"), input);
  const int in = open_file(files.file("in"), O_RDONLY);
  const int out = open_file(out_path, O_WRONLY | O_CREAT);
  const int err = open_file(files.file("err"), O_WRONLY | O_CREAT);
  Answer answer;
  answer.code = wait_for(start(arguments, in, out, err));
  for (const int descriptor : {in, out, err}) ::close(descriptor);
  answer.err = read_file(files.file("err"));
  return answer;
}

Answer run_program_on_terminal(const std::vector<std::string>& arguments) {
  Answer answer;
  std::string shown;
  answer.code = run_on_terminal(arguments, STDOUT_FILENO, shown, answer.err);
  for (const char c : shown) {
    if (c != '\r') answer.out += c;
  }
  return answer;
}

Answer run_program_with_error_terminal(const std::vector<std::string>& arguments) {
  Answer answer;
  answer.code = run_on_terminal(arguments, STDERR_FILENO, answer.err, answer.out);
  return answer;
}

Conversation::Conversation(const std::vector<std::string>& arguments) {
  std::signal(SIGPIPE, SIG_IGN);
  int to_program[2];
  int from_program[2];
  if (::pipe2(to_program, O_CLOEXEC) != 0 || ::pipe2(from_program, O_CLOEXEC) != 0) std::abort();
  process_ = start(arguments, to_program[0], from_program[1], STDERR_FILENO);
  ::close(to_program[0]);
  ::close(from_program[1]);
  input_ = to_program[1];
  output_ = from_program[0];
}

Conversation::~Conversation() {
  if (process_ >= 0) kill();
  ::close(output_);
}

std::string Conversation::ask(std::string_view line) {
  send(std::string(line) + "\n");
  return read_line();
}

void Conversation::send(std::string_view bytes) {
  EXPECT_EQ(::write(input_, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
}

void Conversation::interrupt() {
  ::kill(process_, SIGINT);
}

std::string Conversation::read_line() {
  for (;;) {
    const std::size_t end = received_.find('\n');
    if (end != std::string::npos) {
      std::string line = received_.substr(0, end);
      received_.erase(0, end + 1);
      return line;
    }
    char chunk[4096];
    const ssize_t got = ::read(output_, chunk, sizeof chunk);
    if (got <= 0) return "(no answer)";
    received_.append(chunk, static_cast<std::size_t>(got));
  }
}

int Conversation::finish() {
  ::close(std::exchange(input_, -1));
  return wait_for(std::exchange(process_, -1));
}

void Conversation::kill() {
  ::kill(process_, SIGKILL);
  if (input_ >= 0) ::close(std::exchange(input_, -1));
  wait_for(std::exchange(process_, -1));
}

std::string escape_all(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) text += hex_escape(c);
  return text;
}

std::string escape_least(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) {
    switch (c) {
      case '\t':
        text += "\\t";
        break;
      case '\n':
        text += "\\n";
        break;
      case '\r':
        text += "\\r";
        break;
      case '\0':
        text += "\\0";
        break;
      case '\\':
        text += "\\\\";
        break;
      default:
        text += c;
    }
  }
  return text;
}

std::string unescape_text(std::string_view text) {
  std::string bytes;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      bytes += text[i];
      continue;
    }
    constexpr std::string_view kLetters = "tnr0\\x";
    constexpr std::string_view kBytes("\t\n\r\0\\", 5);
    const std::size_t letter = ++i < text.size() ? kLetters.find(text[i]) : std::string_view::npos;
    if (letter < kBytes.size()) {
      bytes += kBytes[letter];
    } else if (letter == kBytes.size() && i + 2 < text.size()) {
      bytes += static_cast<char>(std::stoi(std::string(text.substr(i + 1, 2)), nullptr, 16));
      i += 2;
    } else {
      ADD_FAILURE() << "bad escape in: " << text;
    }
  }
  return bytes;
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream bytes;
  bytes << file.rdbuf();
  return bytes.str();
}

void write_file(const std::string& path, std::string_view bytes) {
  std::ofstream file(path, std::ios::binary);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

}  // namespace vaultgres
