#include "base/schedule_noise.h"

#ifdef VG_TEST_HOOKS

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

#include "base/check.h"

namespace vaultgres {

namespace {

/// SplitMix64: every seed is as good as any other.
std::uint64_t next_random(std::uint64_t& state) noexcept {
  std::uint64_t x = state += 0x9E3779B97F4A7C15u;
  x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
  x = (x ^ x >> 27) * 0x94D049BB133111EBu;
  return x ^ x >> 31;
}

struct Counter {
  std::atomic<std::uint64_t> passed{0};
  std::atomic<std::uint64_t> delayed{0};
};
std::array<Counter, kNoisePoints> counters;

/// Not fetch_add: that is a fence on many processors, and would hide what the code lacks. A count may get lost.
void count_up(std::atomic<std::uint64_t>& counter) noexcept {
  counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

std::atomic<std::uint32_t> noisy_threads{0};
/// A thread's own chances.
struct Dice {
  std::uint32_t thread = 0;  // from 1 on
  std::uint8_t scope = 0;    // that `state` is for
  std::uint64_t state = 0;
};
constinit thread_local Dice dice;
constinit thread_local NoiseStop* own_stop = nullptr;

void delay(const NoisePlan& plan) noexcept {
  const unsigned amount = 1u << plan.amount_shift;
  switch (plan.delay) {
    case NoisePlan::Delay::kPause:
      for (unsigned i = 0; i < amount; ++i) {
#if defined(__x86_64__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        asm volatile("yield");
#endif
      }
      return;
    case NoisePlan::Delay::kYield:
      for (unsigned i = 0; i < amount; ++i) std::this_thread::yield();
      return;
    case NoisePlan::Delay::kSleep:
      std::this_thread::sleep_for(std::chrono::microseconds(std::clamp(amount, 20u, 2000u)));
  }
}

}  // namespace

NoisePlan NoisePlan::nowhere() noexcept {
  NoisePlan plan{};
  std::fill(std::begin(plan.points), std::end(plan.points), kNowhere);
  return plan;
}

NoisePlan NoisePlan::of_seed(std::uint64_t seed) noexcept {
  const auto below = [&](std::uint64_t limit) { return static_cast<std::uint8_t>(next_random(seed) % limit); };
  NoisePlan plan = nowhere();
  for (unsigned i = below(kPointsMax); i < kPointsMax; ++i) plan.points[i] = below(kNoisePoints);
  plan.odds_shift = static_cast<std::uint8_t>(1 + below(8));
  plan.delay = static_cast<Delay>(below(3));
  switch (plan.delay) {
    case Delay::kPause:
      plan.amount_shift = static_cast<std::uint8_t>(4 + below(9));
      break;
    case Delay::kYield:
      plan.amount_shift = below(6);
      break;
    case Delay::kSleep:  // the longer the rarer: a point may be passed a million times
      plan.amount_shift = static_cast<std::uint8_t>(4 + below(plan.odds_shift));
      break;
  }
  plan.threads = below(3);
  return plan;
}

void noise_internal::pass(NoisePoint point, const NoisePlan& plan) noexcept {
  const auto index = static_cast<std::uint8_t>(point);
  count_up(counters[index].passed);
  if (own_stop != nullptr) own_stop->pass(point);
  if (std::find(std::begin(plan.points), std::end(plan.points), index) == std::end(plan.points)) return;
  if (dice.thread == 0) dice.thread = noisy_threads.fetch_add(1, std::memory_order_relaxed) + 1;
  if (plan.threads != 0 && dice.thread % 2 != plan.threads % 2u) return;
  if (dice.scope != plan.number) {
    dice.scope = plan.number;
    static_assert(sizeof plan == sizeof dice.state);
    std::memcpy(&dice.state, &plan, sizeof plan);
    dice.state ^= std::uint64_t{dice.thread} * 0xD6E8FEB86659FD93u;
  }
  if (next_random(dice.state) >> (64 - plan.odds_shift) != 0) return;
  count_up(counters[index].delayed);
  delay(plan);
}

NoiseCount noise_count(NoisePoint point) noexcept {
  const Counter& counter = counters[static_cast<std::uint8_t>(point)];
  return {counter.passed.load(std::memory_order_relaxed), counter.delayed.load(std::memory_order_relaxed)};
}

NoiseScope::NoiseScope(const NoisePlan& given) {
  static std::atomic<std::uint8_t> scopes{0};
  NoisePlan plan = given;
  do {
    plan.number = static_cast<std::uint8_t>(scopes.fetch_add(1, std::memory_order_relaxed) + 1);
  } while (plan.number == 0);
  const NoisePlan before = noise_internal::current.exchange(plan);
  VG_CHECK(before.number == 0, "two scopes of schedule noise at a time");
}

NoiseScope::~NoiseScope() {
  noise_internal::current.store(NoisePlan{});
}

NoiseStop::NoiseStop(NoisePoint point, std::function<void()> action, unsigned nth)
    : scope_(NoisePlan::nowhere()), point_(point), action_(std::move(action)), passes_left_(nth) {
  VG_CHECK(nth > 0, "a stop that is reached before it is made");
  own_stop = this;
}

NoiseStop::~NoiseStop() {
  own_stop = nullptr;
}

void NoiseStop::pass(NoisePoint point) noexcept {
  if (point != point_ || passes_left_ == 0 || --passes_left_ > 0) return;
  action_();
}

}  // namespace vaultgres

#endif
