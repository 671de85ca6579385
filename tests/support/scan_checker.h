// What a scan may give while entries come and go around some that are never deleted: each of those exactly once, in
// order, nothing outside the range, values that belong to their keys.
#pragma once

#include <algorithm>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vaultgres/map.h"

namespace vaultgres {

/// Follows one scan. Each call says what is wrong, or nothing.
class ScanChecker {
 public:
  using Belongs = std::function<bool(std::string_view key, std::string_view value)>;

  /// `indelible`: ascending, outlives the checker. The scan begins at the end of the range that `forward` says.
  ScanChecker(const std::vector<std::string>& indelible, KeyRange range, bool forward, Belongs belongs)
      : indelible_(indelible), range_(std::move(range)), belongs_(std::move(belongs)), forward_(forward) {
    begin();
  }

  /// The scan begins at `key`, or at the first one behind it, instead; at its end of the range if that is closer.
  void seek(std::string_view key) {
    if (is_before_range(key)) return begin();
    at_ = std::string(key);
    passed_ = false;
  }

  /// An entry comes.
  std::string entry(std::string_view key, std::string_view value) {
    const std::string name(key);
    if (!inside(key)) return name + " is outside the range";
    if (at_ && !is_ahead(key)) return name + " comes after " + *at_ + (forward_ ? ", upwards" : ", downwards");
    if (const std::string* missed = next_indelible(); missed != nullptr && is_before(*missed, key)) {
      return *missed + " is missed: " + name + " comes" + (at_ ? " after " + *at_ : " first");
    }
    if (!belongs_(key, value)) return name + " has a value that nobody wrote there";
    at_ = name;
    passed_ = true;
    return "";
  }

  /// There is no further entry.
  std::string end() {
    const std::string* missed = next_indelible();
    begin_at_other_end_ = true;
    if (missed == nullptr || !inside(*missed)) return "";
    return *missed + " is missed: the scan ends" + (at_ ? " after " + *at_ : " with nothing");
  }

  /// From here on it goes the other way.
  void turn() {
    forward_ = !forward_;
    if (begin_at_other_end_) begin();
  }

 private:
  /// At the end of the range where a scan this way begins.
  void begin() {
    at_ = forward_ ? range_.from : range_.to;
    passed_ = !(forward_ ? range_.from_inclusive : range_.to_inclusive);
    begin_at_other_end_ = false;
  }

  /// On this way, `a` comes before `b`.
  bool is_before(std::string_view a, std::string_view b) const { return forward_ ? a < b : a > b; }
  bool is_ahead(std::string_view key) const { return is_before(*at_, key) || (!passed_ && key == *at_); }
  bool is_before_range(std::string_view key) const {
    const std::optional<std::string>& edge = forward_ ? range_.from : range_.to;
    return edge && !is_before(*edge, key);
  }

  bool inside(std::string_view key) const {
    if (range_.from && (key < *range_.from || (key == *range_.from && !range_.from_inclusive))) return false;
    return !range_.to || key < *range_.to || (key == *range_.to && range_.to_inclusive);
  }

  /// The next one that must come, if it lies within the range.
  const std::string* next_indelible() const {
    const auto first = indelible_.begin();
    const auto last = indelible_.end();
    if (forward_) {
      if (!at_) return indelible_.empty() ? nullptr : &indelible_.front();
      const auto next = passed_ ? std::upper_bound(first, last, *at_) : std::lower_bound(first, last, *at_);
      return next == last ? nullptr : &*next;
    }
    const auto behind = !at_      ? last
                        : passed_ ? std::lower_bound(first, last, *at_)
                                  : std::upper_bound(first, last, *at_);
    return behind == first ? nullptr : &*std::prev(behind);
  }

  const std::vector<std::string>& indelible_;
  const KeyRange range_;
  const Belongs belongs_;
  bool forward_;
  /// The scan has come to this key, which it has given or, unless `passed_`, may still give; none: it may begin
  /// anywhere.
  std::optional<std::string> at_;
  bool passed_ = false;
  bool begin_at_other_end_ = false;  ///< if it turns
};

}  // namespace vaultgres
