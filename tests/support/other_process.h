// A second process that holds something: a lock, a database; or that does something and ends.
#pragma once

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>

namespace vaultgres {

/// Killed in the end, as a crash would end it.
class OtherProcess {
 public:
  /// What `take()` gives in the other process stays there until that is killed; returns when it has it.
  template <class Take>
  explicit OtherProcess(Take&& take) {
    int answers[2];
    if (::pipe(answers) != 0) return;
    std::fflush(nullptr);
    process_ = ::fork();
    if (process_ == 0) {
      const auto held = take();
      const char answer = held ? 'y' : 'n';
      static_cast<void>(!::write(answers[1], &answer, 1));
      while (true) ::pause();
    }
    ::close(answers[1]);
    char answer = 'n';
    holds_ = process_ > 0 && ::read(answers[0], &answer, 1) == 1 && answer == 'y';
    ::close(answers[0]);
  }
  OtherProcess(const OtherProcess&) = delete;
  OtherProcess& operator=(const OtherProcess&) = delete;
  ~OtherProcess() { kill(); }

  /// False: `take()` gave nothing (it converts to false), or there is no such process.
  bool holds() const noexcept { return holds_; }
  void kill() {
    if (process_ <= 0) return;
    ::kill(process_, SIGKILL);
    EXPECT_EQ(::waitpid(process_, nullptr, 0), process_);
    process_ = -1;
  }

 private:
  pid_t process_ = -1;
  bool holds_ = false;
};

/// Runs `body`, which gives an exit status, in a child process. That status; -1 when a signal has ended the child,
/// among them the one that comes after a minute.
template <class Body>
int run_in_child(Body&& body) {
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGALRM, SIG_DFL);
    ::alarm(60);
    ::_exit(body());
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace vaultgres
