#include "cli/interrupt.h"

namespace vaultgres::cli {

namespace {

volatile std::sig_atomic_t interrupted = 0;

void note_interrupt(int /*signal*/) {
  interrupted = 1;
}

}  // namespace

InterruptGuard::InterruptGuard() noexcept {
  interrupted = 0;
  struct sigaction action {};
  action.sa_handler = note_interrupt;
  action.sa_flags = static_cast<int>(SA_RESETHAND);  // and not SA_RESTART: a read that waits for a pipe must end
  ::sigaction(SIGINT, &action, &before_);
}

InterruptGuard::~InterruptGuard() {
  ::sigaction(SIGINT, &before_, nullptr);
}

bool InterruptGuard::requested() const noexcept {
  return interrupted != 0;
}

}  // namespace vaultgres::cli
