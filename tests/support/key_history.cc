#include "support/key_history.h"

#include <algorithm>
#include <optional>
#include <unordered_set>

namespace vaultgres {

namespace {

/// Of a report.
constexpr std::size_t kLinesMax = 40;

bool has_returned(const KeyOperation& operation) {
  return operation.returned != kNoReturn;
}

/// What the operation leaves when it is done where `value` is; none: it cannot have been done there with that answer,
/// or, without an answer, need not have been.
std::optional<ValueNumber> done_at(const KeyOperation& operation, ValueNumber value) {
  const bool there = value != kNoValue;
  const bool changes = operation.call == KeyCall::kInsert ? !there : there;  // insert and erase
  switch (operation.call) {
    case KeyCall::kGet:
      return has_returned(operation) && operation.value == value ? std::optional(value) : std::nullopt;
    case KeyCall::kPut:
      return operation.value;
    case KeyCall::kInsert:
    case KeyCall::kErase:
      if (has_returned(operation) ? changes != operation.changed : !changes) return std::nullopt;
      if (!changes) return value;
      return operation.call == KeyCall::kInsert ? operation.value : kNoValue;
  }
  return std::nullopt;
}

bool writes(const KeyOperation& operation) {
  if (operation.call == KeyCall::kInsert) return operation.changed || !has_returned(operation);
  return operation.call == KeyCall::kPut;
}

/// Its answer says that it changed nothing, wherever it was done.
bool only_looks(const KeyOperation& operation) {
  if (!has_returned(operation) || operation.call == KeyCall::kPut) return false;
  return operation.call == KeyCall::kGet || !operation.changed;
}

std::uint64_t mixed(std::uint64_t x) {
  x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
  x = (x ^ x >> 27) * 0x94D049BB133111EBu;
  return x ^ x >> 31;
}

/// Which operations were taken, as the exclusive or of their random numbers, and what they left.
struct Place {
  std::uint64_t taken = 0;
  std::uint64_t taken_too = 0;  // by other numbers
  ValueNumber value = kNoValue;

  void toggle(std::size_t operation) {
    taken ^= mixed(2 * operation + 1);
    taken_too ^= mixed(~(2 * operation));
  }
  bool operator==(const Place&) const = default;
};

struct PlaceHash {
  std::size_t operator()(const Place& place) const { return place.taken ^ place.value * 0x9E3779B97F4A7C15u; }
};

/// One search. Calls and returns of the operations that are not taken stand in a list, by time.
class Search {
 public:
  Search(const KeyHistory& history, ValueNumber first) : operations_(history) {
    place_.value = first;
    number_values();
    reads_left_.resize(values_.size());
    writes_left_.resize(values_.size());
    for (const KeyOperation& operation : operations_) count(operation, 1);
    list_events();
  }

  bool finds_an_order() {
    for (;;) {
      while (returns_left_ > 0 && take_look()) {
      }
      if (returns_left_ == 0) return true;
      std::size_t event = events_[kHead].after;
      while (!take_changing(event)) {
        event = give_back();
        if (event == kHead) return false;
      }
    }
  }

 private:
  static constexpr std::size_t kHead = 0;
  struct Event {
    std::size_t operation = 0;
    bool is_call = false;
    std::size_t partner = kHead;  ///< the return of a call; kHead: there is none
    std::size_t before = kHead;
    std::size_t after = kHead;
  };
  struct Step {
    std::size_t call;
    ValueNumber value_before;
    bool is_look;
  };

  /// From here on values are numbered without gaps; kNoValue stays what it is.
  void number_values() {
    values_ = {kNoValue, place_.value};
    for (const KeyOperation& operation : operations_) values_.push_back(operation.value);
    std::sort(values_.begin(), values_.end());
    values_.erase(std::unique(values_.begin(), values_.end()), values_.end());
    const auto number = [&](ValueNumber value) {
      return static_cast<ValueNumber>(std::lower_bound(values_.begin(), values_.end(), value) - values_.begin());
    };
    place_.value = number(place_.value);
    for (KeyOperation& operation : operations_) operation.value = number(operation.value);
  }

  void count(const KeyOperation& operation, int step) {
    if (operation.call == KeyCall::kGet && has_returned(operation)) reads_left_[operation.value] += step;
    if (writes(operation)) writes_left_[operation.value] += step;
    if (has_returned(operation)) returns_left_ += step;
  }

  /// At equal times calls come first: neither operation is then before the other.
  void list_events() {
    struct Moment {
      std::uint64_t time;
      bool is_return;
      std::size_t operation;
    };
    std::vector<Moment> moments;
    for (std::size_t i = 0; i < operations_.size(); ++i) {
      moments.push_back({operations_[i].called, false, i});
      if (has_returned(operations_[i])) moments.push_back({operations_[i].returned, true, i});
    }
    std::sort(moments.begin(), moments.end(), [](const Moment& a, const Moment& b) {
      return a.time != b.time ? a.time < b.time : a.is_return < b.is_return;
    });
    events_.resize(moments.size() + 1);
    std::vector<std::size_t> call_of(operations_.size());
    for (std::size_t i = 0; i < moments.size(); ++i) {
      const std::size_t event = i + 1;
      const Moment& moment = moments[i];
      if (!moment.is_return) call_of[moment.operation] = event;
      events_[event].operation = moment.operation;
      events_[event].is_call = !moment.is_return;
      if (moment.is_return) events_[call_of[moment.operation]].partner = event;
    }
    for (std::size_t event = 0; event < events_.size(); ++event) {
      events_[event].after = (event + 1) % events_.size();
      events_[events_[event].after].before = event;
    }
  }

  /// There is a call before the first return that fits and only looks.
  bool take_look() {
    for (std::size_t event = events_[kHead].after; events_[event].is_call; event = events_[event].after) {
      const KeyOperation& operation = operations_[events_[event].operation];
      if (!only_looks(operation) || !done_at(operation, place_.value)) continue;
      take(event, place_.value, true);
      return true;
    }
    return false;
  }

  /// There is one from `event` on, before the first return, that fits and leads to a place that is new.
  bool take_changing(std::size_t event) {
    for (; events_[event].is_call; event = events_[event].after) {
      const std::size_t operation = events_[event].operation;
      const std::optional<ValueNumber> left = done_at(operations_[operation], place_.value);
      if (!left || only_looks(operations_[operation])) continue;
      if (*left != place_.value && is_missed_later()) continue;
      Place next = place_;
      next.toggle(operation);
      next.value = *left;
      if (!seen_.insert(next).second) continue;
      take(event, *left, false);
      return true;
    }
    return false;
  }

  /// A get has yet to see the value that is there, and nobody is left who writes it.
  bool is_missed_later() const {
    return place_.value != kNoValue && reads_left_[place_.value] > 0 && writes_left_[place_.value] == 0;
  }

  void take(std::size_t call, ValueNumber left, bool is_look) {
    steps_.push_back({call, place_.value, is_look});
    const Event& event = events_[call];
    place_.toggle(event.operation);
    place_.value = left;
    count(operations_[event.operation], -1);
    unlink(call);
    if (event.partner != kHead) unlink(event.partner);
  }

  /// Back to where there may be another choice: the event from which to look for it. kHead: there is none.
  std::size_t give_back() {
    while (!steps_.empty()) {
      const Step step = steps_.back();
      steps_.pop_back();
      const Event& event = events_[step.call];
      if (event.partner != kHead) link(event.partner);
      link(step.call);
      count(operations_[event.operation], 1);
      place_.toggle(event.operation);
      place_.value = step.value_before;
      if (!step.is_look) return event.after;
    }
    return kHead;
  }

  void unlink(std::size_t event) {
    events_[events_[event].before].after = events_[event].after;
    events_[events_[event].after].before = events_[event].before;
  }
  /// What was unlinked last is linked first.
  void link(std::size_t event) {
    events_[events_[event].before].after = event;
    events_[events_[event].after].before = event;
  }

  KeyHistory operations_;
  std::vector<ValueNumber> values_;
  std::vector<int> reads_left_;   // by value, of the operations that are not taken
  std::vector<int> writes_left_;  // likewise
  int returns_left_ = 0;
  std::vector<Event> events_;
  std::vector<Step> steps_;
  Place place_;
  std::unordered_set<Place, PlaceHash> seen_;
};

/// What was known at that time.
KeyHistory history_until(const KeyHistory& history, std::uint64_t time) {
  KeyHistory until;
  for (KeyOperation operation : history) {
    if (operation.called > time) continue;
    if (operation.returned > time) operation.returned = kNoReturn;
    until.push_back(operation);
  }
  return until;
}

std::string text_of(ValueNumber value) {
  return value == kNoValue ? "nothing" : std::to_string(value);
}

std::string text_of(const KeyOperation& operation) {
  const bool answered = has_returned(operation);
  std::string text = "  " + std::to_string(operation.called) + " to " +
                     (answered ? std::to_string(operation.returned) : "?") + ", thread " +
                     std::to_string(operation.thread) + ": ";
  const std::string said = answered ? operation.changed ? " says true" : " says false" : " has no answer";
  switch (operation.call) {
    case KeyCall::kGet:
      return text + "get" + (answered ? " finds " + text_of(operation.value) : said);
    case KeyCall::kPut:
      return text + "put of " + text_of(operation.value) + (answered ? "" : said);
    case KeyCall::kInsert:
      return text + "insert of " + text_of(operation.value) + said;
    case KeyCall::kErase:
      return text + "erase" + said;
  }
  return text;
}

/// What a get could have found that was called and returned with the operation that returned last, which is not done.
std::string possible_answers(KeyHistory prefix, std::size_t last, ValueNumber first) {
  std::vector<ValueNumber> values{kNoValue, first};
  for (const KeyOperation& operation : prefix) {
    if (writes(operation)) values.push_back(operation.value);
  }
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
  std::string text;
  for (const ValueNumber value : values) {
    prefix[last].call = KeyCall::kGet;
    prefix[last].value = value;
    if (is_linearizable(prefix, first)) text += (text.empty() ? "" : ", ") + text_of(value);
  }
  return text;
}

}  // namespace

bool is_linearizable(const KeyHistory& history, ValueNumber first) {
  return Search(history, first).finds_an_order();
}

KeyHistory impossible_prefix(const KeyHistory& history, ValueNumber first) {
  if (is_linearizable(history, first)) return {};
  std::vector<std::uint64_t> returns;
  for (const KeyOperation& operation : history) {
    if (has_returned(operation)) returns.push_back(operation.returned);
  }
  std::sort(returns.begin(), returns.end());
  // What is impossible stays so, whatever comes later.
  const auto moment = std::partition_point(returns.begin(), returns.end(), [&](std::uint64_t time) {
    return is_linearizable(history_until(history, time), first);
  });
  return history_until(history, *moment);
}

std::string what_is_not_linearizable(const KeyHistory& history, ValueNumber first) {
  KeyHistory prefix = impossible_prefix(history, first);
  if (prefix.empty()) return "";
  std::sort(prefix.begin(), prefix.end(),
            [](const KeyOperation& a, const KeyOperation& b) { return a.called < b.called; });
  std::size_t last = prefix.size();
  for (std::size_t i = 0; i < prefix.size(); ++i) {
    if (!has_returned(prefix[i])) continue;
    if (last == prefix.size() || prefix[i].returned > prefix[last].returned) last = i;
  }
  std::string text = "not linearizable; it began with " + text_of(first) + "\n";
  std::size_t left_out = 0;
  for (std::size_t i = 0; i < prefix.size(); ++i) {
    const bool wrote_it = i != last && prefix[i].value == prefix[last].value && prefix[i].value != kNoValue;
    if (i + kLinesMax >= prefix.size() || i == last || (wrote_it && writes(prefix[i]))) {
      if (left_out > 0) text += "  … " + std::to_string(left_out) + " operations\n";
      left_out = 0;
      text += text_of(prefix[i]) + (i == last ? "   <- impossible\n" : "\n");
    } else {
      ++left_out;
    }
  }
  return text + "in its place a get could have found: " + possible_answers(prefix, last, first);
}

}  // namespace vaultgres
