// Goal: a history of one key is called linearizable exactly when it is.
//
// Method: small histories of known answer, one for each thing that goes wrong; thousands of small random ones, compared
// with a search that tries every order and knows no shortcut; long ones of many threads, by a simulated key that is
// right, and by one that is wrong at one moment that must be named.
#include "support/key_history.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <optional>

#include "support/random.h"
#include "support/scale.h"

namespace vaultgres {
namespace {

KeyOperation operation(KeyCall call, ValueNumber value, bool changed, std::uint64_t called, std::uint64_t returned) {
  KeyOperation made;
  made.call = call;
  made.value = value;
  made.changed = changed;
  made.called = called;
  made.returned = returned;
  return made;
}
KeyOperation get(ValueNumber found, std::uint64_t called, std::uint64_t returned = kNoReturn) {
  return operation(KeyCall::kGet, found, false, called, returned);
}
KeyOperation put(ValueNumber value, std::uint64_t called, std::uint64_t returned = kNoReturn) {
  return operation(KeyCall::kPut, value, false, called, returned);
}
KeyOperation insert(ValueNumber value, bool changed, std::uint64_t called, std::uint64_t returned = kNoReturn) {
  return operation(KeyCall::kInsert, value, changed, called, returned);
}
KeyOperation erase(bool changed, std::uint64_t called, std::uint64_t returned = kNoReturn) {
  return operation(KeyCall::kErase, kNoValue, changed, called, returned);
}

TEST(KeyHistory, OneOperationAfterTheOther) {
  EXPECT_TRUE(is_linearizable({}));
  EXPECT_TRUE(is_linearizable({get(kNoValue, 1, 2), put(7, 3, 4), get(7, 5, 6), insert(8, false, 7, 8), get(7, 9, 10),
                               erase(true, 11, 12), erase(false, 13, 14), get(kNoValue, 15, 16),
                               insert(9, true, 17, 18), get(9, 19, 20)}));
  EXPECT_TRUE(is_linearizable({get(5, 1, 2), insert(6, false, 3, 4), erase(true, 5, 6)}, 5));
  EXPECT_FALSE(is_linearizable({get(kNoValue, 1, 2)}, 5));
}

TEST(KeyHistory, WhatOverlapsComesInAnyOrder) {
  EXPECT_TRUE(is_linearizable({put(1, 1, 4), put(2, 2, 3), get(1, 5, 6)}));
  EXPECT_TRUE(is_linearizable({put(1, 1, 4), put(2, 2, 3), get(2, 5, 6)}));
  EXPECT_TRUE(is_linearizable({put(1, 1, 10), get(kNoValue, 2, 3), get(1, 4, 5)}));
  EXPECT_FALSE(is_linearizable({put(1, 1, 10), get(1, 2, 3), get(kNoValue, 4, 5)}));
  EXPECT_FALSE(is_linearizable({put(1, 1, 4), put(2, 2, 3), get(1, 5, 6), get(2, 7, 8)}));
  // At one time: neither is before the other.
  EXPECT_TRUE(is_linearizable({put(1, 1, 2), get(kNoValue, 2, 3)}));
  EXPECT_FALSE(is_linearizable({put(1, 1, 2), get(kNoValue, 3, 4)}));
}

TEST(KeyHistory, AReadIsStale) {
  EXPECT_FALSE(is_linearizable({put(1, 1, 2), put(2, 3, 4), get(1, 5, 6)}));
  EXPECT_TRUE(is_linearizable({put(1, 1, 2), put(2, 3, 7), get(1, 5, 6)}));
  EXPECT_FALSE(is_linearizable({put(1, 1, 2), erase(true, 3, 4), get(1, 5, 6)}));
}

TEST(KeyHistory, AnUpdateIsLost) {
  EXPECT_FALSE(is_linearizable({put(1, 1, 2), erase(true, 3, 4), put(2, 5, 6), get(kNoValue, 7, 8)}));
  // Both were there when they returned, and only one can have replaced the other.
  EXPECT_FALSE(is_linearizable({put(1, 1, 4), put(2, 2, 3), get(kNoValue, 5, 6)}));
}

TEST(KeyHistory, NobodyWroteWhatIsRead) {
  EXPECT_FALSE(is_linearizable({get(1, 1, 2)}));
  EXPECT_FALSE(is_linearizable({put(1, 1, 10), get(2, 3, 4)}));
  EXPECT_FALSE(is_linearizable({get(1, 1, 2), put(1, 3, 4)})) << "written too late";
  EXPECT_FALSE(is_linearizable({put(1, 1, 2), insert(2, false, 3, 4), get(2, 5, 6)})) << "refused";
}

TEST(KeyHistory, TwoInsertsSucceedWithoutAnEraseBetween) {
  EXPECT_FALSE(is_linearizable({insert(1, true, 1, 3), insert(2, true, 2, 4)}));
  EXPECT_TRUE(is_linearizable({insert(1, true, 1, 3), insert(2, false, 2, 4)}));
  EXPECT_TRUE(is_linearizable({insert(1, true, 1, 3), insert(2, true, 2, 6), erase(true, 4, 5)}));
  EXPECT_FALSE(is_linearizable({insert(1, true, 1, 3), insert(2, true, 2, 4), erase(true, 5, 6)}));
  EXPECT_FALSE(is_linearizable({insert(1, false, 1, 2)})) << "refused for nothing";
}

TEST(KeyHistory, AnEraseFindsNothingThoughTheKeyIsThereAllAlong) {
  EXPECT_FALSE(is_linearizable({put(1, 1, 2), erase(false, 3, 4)}));
  EXPECT_FALSE(is_linearizable({put(1, 1, 2), put(2, 3, 6), erase(false, 4, 5), put(3, 4, 7)}));
  EXPECT_TRUE(is_linearizable({put(1, 1, 2), erase(true, 3, 6), erase(false, 4, 5)}));
  EXPECT_FALSE(is_linearizable({put(1, 1, 2), erase(true, 3, 6), erase(true, 4, 5)})) << "one entry is erased twice";
}

TEST(KeyHistory, WhatHasNoAnswerWasDoneOrNot) {
  EXPECT_TRUE(is_linearizable({put(1, 1), get(kNoValue, 2, 3)}));
  EXPECT_TRUE(is_linearizable({put(1, 1), get(1, 2, 3)}));
  EXPECT_TRUE(is_linearizable({put(1, 1), get(kNoValue, 2, 3), get(1, 4, 5)})) << "done late";
  EXPECT_FALSE(is_linearizable({put(1, 1), get(1, 2, 3), get(kNoValue, 4, 5)})) << "done, then not";
  EXPECT_FALSE(is_linearizable({get(1, 1, 2), put(1, 3)})) << "done before it was called";
  EXPECT_TRUE(is_linearizable({put(1, 1, 2), erase(false, 3), get(kNoValue, 4, 5)}));
  EXPECT_TRUE(is_linearizable({put(1, 1, 2), erase(false, 3), get(1, 4, 5), erase(false, 6, 7)}));
  EXPECT_FALSE(is_linearizable({put(1, 1, 2), erase(false, 3), erase(false, 4, 5), get(1, 6, 7)}));
  EXPECT_TRUE(is_linearizable({insert(1, false, 1), insert(2, false, 2, 3), get(1, 4, 5)}));
  EXPECT_FALSE(is_linearizable({put(3, 1, 2), insert(1, false, 3), get(1, 4, 5)})) << "it had to be refused";
  EXPECT_TRUE(is_linearizable({get(9, 1), put(1, 2, 3)})) << "a get without an answer found anything";
}

TEST(KeyHistory, TheReportEndsWithTheFirstImpossibleAnswer) {
  KeyHistory history{put(1, 1, 2),   put(2, 3, 6),        get(1, 4, 5),   get(2, 7, 8),
                     get(1, 10, 12), erase(true, 11, 14), get(5, 13, 15), put(3, 16, 17)};
  for (unsigned i = 0; i < history.size(); ++i) history[i].thread = i % 3;
  const KeyHistory prefix = impossible_prefix(history);
  ASSERT_EQ(prefix.size(), 6u);
  EXPECT_EQ(prefix[4].returned, 12u);
  EXPECT_EQ(prefix[5].returned, kNoReturn) << "it had not returned yet";
  EXPECT_EQ(what_is_not_linearizable(history),
            "not linearizable; it began with nothing\n"
            "  1 to 2, thread 0: put of 1\n"
            "  3 to 6, thread 1: put of 2\n"
            "  4 to 5, thread 2: get finds 1\n"
            "  7 to 8, thread 0: get finds 2\n"
            "  10 to 12, thread 1: get finds 1   <- impossible\n"
            "  11 to ?, thread 2: erase has no answer\n"
            "in its place a get could have found: nothing, 2");
  EXPECT_EQ(what_is_not_linearizable({put(1, 1, 2)}), "");
}

TEST(KeyHistory, TheReportOfALongHistoryIsShort) {
  KeyHistory history;
  for (ValueNumber i = 1; i <= 500; ++i) history.push_back(put(i, 2 * i, 2 * i + 1));
  history.push_back(get(77, 2000, 2001));
  const std::string report = what_is_not_linearizable(history);
  EXPECT_LT(std::count(report.begin(), report.end(), '\n'), 50) << report;
  EXPECT_NE(report.find("put of 77\n"), std::string::npos) << "who wrote it is left out: " << report;
  EXPECT_NE(report.find("could have found: 500"), std::string::npos) << report;
}

// --- Every order

/// Whether some order of what is left gives the answers. By the definition alone.
bool has_an_order(const KeyHistory& history, std::vector<bool>& taken, ValueNumber value) {
  bool all = true;
  for (std::size_t i = 0; i < history.size(); ++i) all = all && (taken[i] || history[i].returned == kNoReturn);
  if (all) return true;
  for (std::size_t i = 0; i < history.size(); ++i) {
    if (taken[i]) continue;
    bool may_be_next = true;
    for (std::size_t j = 0; j < history.size(); ++j) {
      if (!taken[j] && history[j].returned < history[i].called) may_be_next = false;
    }
    if (!may_be_next) continue;
    const KeyOperation& next = history[i];
    const bool answered = next.returned != kNoReturn;
    ValueNumber left = value;
    bool right = true;
    if (next.call == KeyCall::kGet) right = next.value == value;
    if (next.call == KeyCall::kPut) left = next.value;
    if (next.call == KeyCall::kInsert) {
      right = next.changed == (value == kNoValue);
      if (value == kNoValue) left = next.value;
    }
    if (next.call == KeyCall::kErase) {
      right = next.changed == (value != kNoValue);
      left = kNoValue;
    }
    if (answered && !right) continue;
    taken[i] = true;
    if (has_an_order(history, taken, left)) return true;
    taken[i] = false;
  }
  return false;
}

/// Values that are written more than once, too, and answers of all kinds.
KeyHistory small_history(TestRandom& random) {
  KeyHistory history;
  const std::uint64_t count = random.between(1, 6);
  const std::uint64_t times = random.between(3, 3 * count + 3);
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto call = static_cast<KeyCall>(random.uniform(4));
    const ValueNumber value = call == KeyCall::kGet ? random.uniform(3) : random.between(1, 2);
    const std::uint64_t called = random.uniform(times);
    const bool answered = !random.one_in(5);
    history.push_back(operation(call, call == KeyCall::kErase ? kNoValue : value, random.one_in(2), called,
                                answered ? called + random.between(1, times / 2) : kNoReturn));
  }
  return history;
}

TEST(KeyHistory, EqualsASearchThatTriesEveryOrder) {
  TestRandom random;
  std::uint64_t linearizable = 0;
  const std::uint64_t cases = scaled(30000);
  for (std::uint64_t i = 0; i < cases; ++i) {
    const KeyHistory history = small_history(random);
    const ValueNumber first = random.uniform(2);
    std::vector<bool> taken(history.size());
    const bool expected = has_an_order(history, taken, first);
    const std::string found = what_is_not_linearizable(history, first);
    ASSERT_EQ(found.empty(), expected) << "case " << i << ": " << found;
    linearizable += expected;
    if (expected) continue;
    // The prefix is impossible; without its last answer it is not.
    KeyHistory prefix = impossible_prefix(history, first);
    taken.assign(prefix.size(), false);
    ASSERT_FALSE(has_an_order(prefix, taken, first)) << "case " << i << ": " << found;
    std::uint64_t last = 0;
    for (const KeyOperation& one : prefix) {
      if (one.returned != kNoReturn) last = std::max(last, one.returned);
    }
    const auto begun =
        std::count_if(history.begin(), history.end(), [&](const auto& one) { return one.called <= last; });
    ASSERT_EQ(prefix.size(), static_cast<std::size_t>(begun)) << "case " << i << ": " << found;
    for (KeyOperation& one : prefix) {
      if (one.returned == last) one.returned = kNoReturn;
    }
    taken.assign(prefix.size(), false);
    ASSERT_TRUE(has_an_order(prefix, taken, first)) << "case " << i << " becomes impossible earlier: " << found;
  }
  EXPECT_GT(linearizable, cases / 20);
  EXPECT_LT(linearizable, cases - cases / 20);
}

// --- Long histories

/// A key, and threads that use it at random. Each operation is done at one instant between its call and its return.
class SimulatedKey {
 public:
  SimulatedKey(unsigned threads, bool loses_answers, TestRandom& random)
      : loses_answers_(loses_answers), random_(random), open_(threads) {}

  /// A call, a change, or a return. Two threads have a processor each for a while; what others have begun stays open.
  void step() {
    if (random_.one_in(100)) running_[random_.uniform(2)] = static_cast<unsigned>(random_.uniform(open_.size()));
    const unsigned thread = running_[random_.uniform(2)];
    std::optional<Open>& open = open_[thread];
    if (!open) {
      open = Open{begin(thread, static_cast<KeyCall>(random_.uniform(4))), false};
    } else if (loses_answers_ && random_.one_in(200)) {
      give_up(open);
    } else if (!open->done) {
      act(open->operation);
      open->done = true;
    } else {
      end(open->operation);
      open.reset();
    }
  }
  void steps(std::uint64_t count) {
    for (; count > 0; --count) step();
  }
  /// Nobody is at it.
  void settle() {
    for (std::optional<Open>& open : open_) {
      if (!open) continue;
      if (!open->done) act(open->operation);
      end(open->operation);
      open.reset();
    }
  }

  /// Those who are at it never hear of it.
  void stop() {
    for (std::optional<Open>& open : open_) {
      if (open) give_up(open);
    }
  }

  /// By one thread, while nobody else is at it; `answer` changes the answer, or what was done.
  template <class Answer>
  KeyOperation alone(KeyCall call, Answer&& answer) {
    KeyOperation operation = begin(static_cast<unsigned>(random_.uniform(open_.size())), call);
    act(operation);
    answer(operation, value_);
    end(operation);
    return operation;
  }
  KeyOperation alone(KeyCall call) {
    return alone(call, [](KeyOperation&, ValueNumber&) {});
  }

  KeyHistory& history() { return history_; }

 private:
  struct Open {
    KeyOperation operation;
    bool done;
  };

  void give_up(std::optional<Open>& open) {
    history_.push_back(open->operation);
    open.reset();
  }
  KeyOperation begin(unsigned thread, KeyCall call) {
    KeyOperation operation;
    operation.call = call;
    operation.thread = thread;
    operation.called = ++now_;
    if (call == KeyCall::kPut || call == KeyCall::kInsert) operation.value = ++writes_;
    return operation;
  }
  void act(KeyOperation& operation) {
    switch (operation.call) {
      case KeyCall::kGet:
        operation.value = value_;
        return;
      case KeyCall::kPut:
        value_ = operation.value;
        return;
      case KeyCall::kInsert:
        operation.changed = value_ == kNoValue;
        if (operation.changed) value_ = operation.value;
        return;
      case KeyCall::kErase:
        operation.changed = value_ != kNoValue;
        value_ = kNoValue;
        return;
    }
  }
  void end(KeyOperation& operation) {
    operation.returned = ++now_;
    history_.push_back(operation);
  }

  const bool loses_answers_;
  TestRandom& random_;
  std::vector<std::optional<Open>> open_;
  unsigned running_[2] = {0, 0};
  ValueNumber value_ = kNoValue;
  ValueNumber writes_ = 0;
  std::uint64_t now_ = 0;
  KeyHistory history_;
};

TEST(KeyHistory, WhatASimulatedKeyDoesIsLinearizable) {
  TestRandom random;
  for (std::uint64_t round = 0; round < scaled(200); ++round) {
    SimulatedKey key(static_cast<unsigned>(random.between(1, 12)), random.one_in(2), random);
    key.steps(random.uniform(3000));
    random.one_in(2) ? key.settle() : key.stop();
    ASSERT_EQ(what_is_not_linearizable(key.history()), "") << "round " << round;
  }
}

TEST(KeyHistory, EightThreadsOnSixteenKeys) {
  TestRandom random;
  KeyHistory one;
  std::vector<KeyHistory> histories;
  for (int i = 0; i < 16; ++i) {
    SimulatedKey key(8, false, random);
    key.steps(3 * 8 * 2000 / 16);
    key.settle();
    histories.push_back(std::move(key.history()));
  }
  const auto begin = std::chrono::steady_clock::now();
  std::size_t operations = 0;
  for (const KeyHistory& history : histories) {
    ASSERT_EQ(what_is_not_linearizable(history), "");
    operations += history.size();
  }
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
  std::printf("%zu operations, %.1f ms\n", operations, took.count());
}

/// Each at a moment when nobody else is at the key, so that nothing can excuse it. What the answer should not be.
struct Wrong {
  const char* name;
  KeyOperation (*make)(SimulatedKey& key);
};
const Wrong kWrongs[] = {
    {"a put is lost",
     [](SimulatedKey& key) {
       key.alone(KeyCall::kPut);
       ValueNumber before = kNoValue;
       key.alone(KeyCall::kErase, [&](KeyOperation&, ValueNumber& value) { before = value; });
       key.alone(KeyCall::kPut, [&](KeyOperation&, ValueNumber& value) { value = before; });
       return key.alone(KeyCall::kGet);
     }},
    {"a get is stale",
     [](SimulatedKey& key) {
       const ValueNumber old = key.alone(KeyCall::kPut).value;
       key.alone(KeyCall::kPut);
       return key.alone(KeyCall::kGet, [&](KeyOperation& get, ValueNumber&) { get.value = old; });
     }},
    {"nobody wrote it",
     [](SimulatedKey& key) {
       return key.alone(KeyCall::kGet, [](KeyOperation& get, ValueNumber&) { get.value = 1'000'000'000; });
     }},
    {"an insert replaces",
     [](SimulatedKey& key) {
       key.alone(KeyCall::kPut);
       return key.alone(KeyCall::kInsert, [](KeyOperation& insert, ValueNumber& value) {
         insert.changed = true;
         value = insert.value;
       });
     }},
    {"an insert is refused for nothing",
     [](SimulatedKey& key) {
       key.alone(KeyCall::kErase);
       return key.alone(KeyCall::kInsert, [](KeyOperation& insert, ValueNumber&) { insert.changed = false; });
     }},
    {"an erase misses the key",
     [](SimulatedKey& key) {
       key.alone(KeyCall::kPut);
       return key.alone(KeyCall::kErase, [](KeyOperation& erase, ValueNumber&) { erase.changed = false; });
     }},
    {"an erased key is still there",
     [](SimulatedKey& key) {
       const ValueNumber old = key.alone(KeyCall::kPut).value;
       key.alone(KeyCall::kErase, [&](KeyOperation&, ValueNumber& value) { value = old; });
       return key.alone(KeyCall::kGet);
     }},
};

TEST(KeyHistory, OneWrongAnswerOfASimulatedKeyIsNamed) {
  TestRandom random;
  for (std::uint64_t round = 0; round < scaled(200); ++round) {
    const Wrong& wrong = kWrongs[round % std::size(kWrongs)];
    SimulatedKey key(static_cast<unsigned>(random.between(1, 12)), false, random);
    key.steps(random.uniform(2000));
    key.settle();
    const KeyOperation named = wrong.make(key);
    key.steps(random.uniform(1000));
    key.stop();
    const KeyHistory prefix = impossible_prefix(key.history());
    ASSERT_FALSE(prefix.empty()) << wrong.name << ", round " << round;
    const auto latest = std::max_element(prefix.begin(), prefix.end(), [](const auto& a, const auto& b) {
      return (a.returned == kNoReturn ? 0 : a.returned) < (b.returned == kNoReturn ? 0 : b.returned);
    });
    ASSERT_EQ(latest->returned, named.returned) << wrong.name << ", round " << round;
  }
}

/// Of several threads at once: a get is made to find what it cannot have found.
TEST(KeyHistory, AWrongReadAmidOthersIsNoticed) {
  TestRandom random;
  std::uint64_t stale = 0;
  std::uint64_t early = 0;
  for (std::uint64_t round = 0; round < scaled(200); ++round) {
    SimulatedKey key(static_cast<unsigned>(random.between(2, 8)), false, random);
    key.steps(600);
    key.settle();
    KeyHistory history = key.history();
    KeyOperation& read = history[random.uniform(history.size())];
    if (read.call != KeyCall::kGet) continue;
    const KeyOperation& write = history[random.uniform(history.size())];
    if (write.call != KeyCall::kPut) continue;
    // Either it is called after the read, or another put lies wholly between the two.
    bool wrong = write.called > read.returned;
    early += wrong;
    if (!wrong) {
      for (const KeyOperation& other : history) {
        if (other.call != KeyCall::kPut) continue;
        wrong = wrong || (write.returned < other.called && other.returned < read.called);
      }
      stale += wrong;
    }
    if (!wrong) continue;
    read.value = write.value;
    ASSERT_FALSE(is_linearizable(history)) << "round " << round;
  }
  EXPECT_TRUE(test_scale() < 1 || (stale > 0 && early > 0));
}

}  // namespace
}  // namespace vaultgres
