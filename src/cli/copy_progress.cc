#include "cli/copy_progress.h"

#include "catalog/text_format.h"

namespace vaultgres::cli {

CopyProgress InterruptibleCopy::progress() {
  return [this](std::uint64_t bytes_done, std::uint64_t bytes_total) {
    if (!bar_) bar_.emplace(shown_, bytes_total, "MiB");
    bar_->update(bytes_done >> 20, bytes_done);
    if (bytes_done >= bytes_total) bar_.reset();
    return !interrupted();
  };
}

std::string utc_text(std::chrono::system_clock::time_point time) {
  const auto since_1970 = std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch());
  std::string text;
  append_value_text(Value(Timestamp{since_1970.count()}), text);
  return text;
}

}  // namespace vaultgres::cli
