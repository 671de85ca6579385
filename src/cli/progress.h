// One line on standard error that says how far long work is, when it is a terminal.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace vaultgres::cli {

struct ProgressState {
  std::uint64_t rows = 0;  ///< or whatever `unit` says
  std::uint64_t bytes = 0;
  std::optional<std::uint64_t> bytes_total;
  double seconds = 0;
  std::string_view unit = "rows";
};

/// "[####......] 42 %  1,234,567 rows  812,000 rows/s  0:17 left", cut to `width` columns; without a total the bar and
/// the time are left out.
std::string progress_line(const ProgressState& state, std::size_t width);

/// "1,234,567".
std::string with_commas(std::uint64_t number);

class Progress {
 public:
  /// Shows nothing unless `wanted` and standard error is a terminal.
  Progress(bool wanted, std::optional<std::uint64_t> bytes_total, std::string_view unit = "rows");
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// Cheap: looks at the clock every few calls, draws at most ten times a second.
  void update(std::uint64_t rows, std::uint64_t bytes) {
    if (shown_ && ++calls_ % kCallsPerLook == 0) draw_if_due(rows, bytes);
  }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr std::uint32_t kCallsPerLook = 64;

  void draw_if_due(std::uint64_t rows, std::uint64_t bytes);

  const bool shown_;
  ProgressState state_;
  std::uint32_t calls_ = 0;
  const Clock::time_point start_ = Clock::now();
  Clock::time_point drawn_ = start_;
};

}  // namespace vaultgres::cli
