#include "cli/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace vaultgres::cli {

namespace {

constexpr std::chrono::milliseconds kRedrawInterval{100};
constexpr int kBarWidth = 20;
constexpr std::size_t kDefaultWidth = 80;

std::size_t terminal_width() noexcept {
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return kDefaultWidth;
  return size.ws_col;
}

void draw(const ProgressState& state) {
  // The last column stays free: some terminals wrap there. The sequence clears what an earlier, longer line left.
  fmt::print(stderr, "\r{}\x1b[K", progress_line(state, terminal_width() - 1));
}

std::string minutes(double seconds) {
  const auto whole = static_cast<std::uint64_t>(seconds);
  if (whole < 3600) return fmt::format("{}:{:02}", whole / 60, whole % 60);
  return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
}

}  // namespace

std::string with_commas(std::uint64_t number) {
  std::string digits = std::to_string(number);
  for (std::size_t at = digits.size(); at > 3;) digits.insert(at -= 3, 1, ',');
  return digits;
}

std::string progress_line(const ProgressState& state, std::size_t width) {
  const double rows_per_second = state.seconds > 0 ? static_cast<double>(state.rows) / state.seconds : 0;
  std::string line = fmt::format("{} {}  {} {}/s", with_commas(state.rows), state.unit,
                                 with_commas(static_cast<std::uint64_t>(rows_per_second)), state.unit);
  if (state.bytes_total && *state.bytes_total > 0) {
    const double done = std::min(1.0, static_cast<double>(state.bytes) / static_cast<double>(*state.bytes_total));
    const int filled = static_cast<int>(done * kBarWidth);
    line = fmt::format("[{:#<{}}{:.<{}}] {:2.0f} %  {}", "", filled, "", kBarWidth - filled, 100 * done, line);
    if (done > 0) line += fmt::format("  {} left", minutes(state.seconds * (1 - done) / done));
  }
  return line.substr(0, width);
}

Progress::Progress(bool wanted, std::optional<std::uint64_t> bytes_total, std::string_view unit)
    : shown_(wanted && ::isatty(STDERR_FILENO) == 1) {
  state_.bytes_total = bytes_total;
  state_.unit = unit;
  if (shown_) draw(state_);
}

/// The line goes: what is said next begins where it stood.
Progress::~Progress() {
  if (shown_) fmt::print(stderr, "\r\x1b[K");
}

void Progress::draw_if_due(std::uint64_t rows, std::uint64_t bytes) {
  const Clock::time_point now = Clock::now();
  if (now - drawn_ < kRedrawInterval) return;
  drawn_ = now;
  state_.rows = rows;
  state_.bytes = bytes;
  state_.seconds = std::chrono::duration<double>(now - start_).count();
  draw(state_);
}

}  // namespace vaultgres::cli
