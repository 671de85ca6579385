// Whether what several threads saw of one key can have happened at all.
//
// A history is linearizable (Herlihy and Wing, "Linearizability: A Correctness Condition for Concurrent Objects", 1990)
// when each operation can be given one instant between its call and its return, so that a key on which they are done
// one after the other, in the order of those instants, gives the same answers. Keys have nothing to do with each other,
// so each is looked at alone (Horn and Kroening, "Faster Linearizability Checking via P-Compositionality", 2015).
//
// The search is that of Wing and Gong ("Testing and Verifying Concurrent Objects", 1993): an operation that was called
// before the first return of those that are left may be the next one; if it fits, it is taken, and if the rest then
// finds no order, it is given back. Lowe ("Testing for Linearizability", 2017): where the same operations were taken
// and the same value was left, nothing is tried again. Two shortcuts are ours:
//   What only looks, and fits, is taken at once and for good: whatever order the rest has, it has behind it, too.
//   A value is not replaced while a get has yet to see it and nobody is left who writes it.
// Sets of operations are remembered as hashes of 128 bits; two of them would have to be equal for a wrong "no".
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace vaultgres {

/// Values are known by numbers. Each should be written once, so that a get says whose it saw; the answer is right
/// anyway.
using ValueNumber = std::uint64_t;
inline constexpr ValueNumber kNoValue = 0;  ///< the key is not there
inline constexpr std::uint64_t kNoReturn = ~std::uint64_t{0};

enum class KeyCall : std::uint8_t { kGet, kPut, kInsert, kErase };

struct KeyOperation {
  KeyCall call = KeyCall::kGet;
  ValueNumber value = kNoValue;  ///< what a get found, what a put or an insert writes
  bool changed = false;          ///< what insert and erase say: it was not there, it was there
  unsigned thread = 0;           ///< for the report
  /// Of one clock. An operation is before another when it returned at an earlier time than that was called.
  std::uint64_t called = 0;
  std::uint64_t returned = kNoReturn;  ///< kNoReturn: no answer; it was done at some later time, or never
};

/// Of one key, in any order.
using KeyHistory = std::vector<KeyOperation>;

/// `first`: what was there before.
bool is_linearizable(const KeyHistory& history, ValueNumber first = kNoValue);

/// The history as it stood at the first moment at which it had become impossible: what had not returned by then has no
/// answer. Empty: there is no such moment.
KeyHistory impossible_prefix(const KeyHistory& history, ValueNumber first = kNoValue);

/// Empty: linearizable. Else the end of that prefix, line by line, and what the last answer could have been.
std::string what_is_not_linearizable(const KeyHistory& history, ValueNumber first = kNoValue);

}  // namespace vaultgres
