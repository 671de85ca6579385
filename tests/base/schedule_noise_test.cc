// Goal: a seed chooses among all points and all delays; a scope delays who passes the chosen points, nobody else, and
// nobody when it is over. A stop runs its action once, in its own thread only.
#include "base/schedule_noise.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <thread>

namespace vaultgres {
namespace {

NoisePlan plan_for(NoisePoint point, std::uint8_t threads = 0) {
  NoisePlan plan = NoisePlan::nowhere();
  plan.points[1] = static_cast<std::uint8_t>(point);
  plan.odds_shift = 1;
  plan.delay = NoisePlan::Delay::kYield;
  plan.threads = threads;
  return plan;
}

void pass(NoisePoint point, unsigned times) {
  for (unsigned i = 0; i < times; ++i) noise_at(point);
}

TEST(ScheduleNoise, SeedsChooseAllPointsAndKeepTheBounds) {
  std::set<std::uint8_t> points;
  std::set<NoisePlan::Delay> delays;
  for (std::uint64_t seed = 0; seed < 3000; ++seed) {
    const NoisePlan plan = NoisePlan::of_seed(seed);
    unsigned chosen = 0;
    for (const std::uint8_t point : plan.points) {
      if (point == NoisePlan::kNowhere) continue;
      ASSERT_LT(point, kNoisePoints);
      points.insert(point);
      ++chosen;
    }
    ASSERT_GE(chosen, 1u);
    ASSERT_GE(plan.odds_shift, 1u);
    ASSERT_LE(plan.odds_shift, 8u);
    ASSERT_LE(plan.amount_shift, 12u);
    ASSERT_LE(plan.threads, 2u);
    delays.insert(plan.delay);
  }
  EXPECT_EQ(points.size(), kNoisePoints);
  EXPECT_EQ(delays.size(), 3u);
}

TEST(ScheduleNoise, OnlyTheChosenPointDelaysAndOnlyWhileTheScopeLives) {
  const NoiseCount before = noise_count(NoisePoint::kFreeStep);
  const NoiseCount other_before = noise_count(NoisePoint::kPinLatched);
  pass(NoisePoint::kFreeStep, 100);
  EXPECT_EQ(noise_count(NoisePoint::kFreeStep).passed, before.passed) << "counted without a scope";
  {
    const NoiseScope scope(plan_for(NoisePoint::kFreeStep));
    pass(NoisePoint::kFreeStep, 1000);
    pass(NoisePoint::kPinLatched, 10);
  }
  pass(NoisePoint::kFreeStep, 100);
  const NoiseCount after = noise_count(NoisePoint::kFreeStep);
  EXPECT_EQ(after.passed, before.passed + 1000);
  EXPECT_GT(after.delayed, before.delayed + 300);
  EXPECT_LT(after.delayed, before.delayed + 700);
  EXPECT_EQ(noise_count(NoisePoint::kPinLatched).passed, other_before.passed + 10);
  EXPECT_EQ(noise_count(NoisePoint::kPinLatched).delayed, other_before.delayed);
}

TEST(ScheduleNoise, APlanForThreadsOfOneParityLeavesTheOthersAlone) {
  // Threads get their numbers one after the other, at their first chance of a delay.
  for (const std::uint8_t parity : {std::uint8_t{1}, std::uint8_t{2}}) {
    const NoiseScope scope(plan_for(NoisePoint::kFreeStep, parity));
    unsigned delayed_threads = 0;
    for (unsigned t = 0; t < 4; ++t) {
      const std::uint64_t before = noise_count(NoisePoint::kFreeStep).delayed;
      std::thread([] { pass(NoisePoint::kFreeStep, 100); }).join();
      delayed_threads += noise_count(NoisePoint::kFreeStep).delayed > before;
    }
    EXPECT_EQ(delayed_threads, 2u);
  }
}

TEST(ScheduleNoise, AStopRunsItsActionAtTheNthPassOfItsThreadOnly) {
  unsigned ran = 0;
  {
    const NoiseStop stop(
        NoisePoint::kFreeStep,
        [&] {
          ++ran;
          pass(NoisePoint::kFreeStep, 10);  // once, whatever it does
        },
        3);
    pass(NoisePoint::kPinLatched, 10);
    std::thread([] { pass(NoisePoint::kFreeStep, 10); }).join();
    pass(NoisePoint::kFreeStep, 2);
    EXPECT_EQ(ran, 0u);
    EXPECT_FALSE(stop.reached());
    pass(NoisePoint::kFreeStep, 1);
    EXPECT_EQ(ran, 1u);
    EXPECT_TRUE(stop.reached());
    pass(NoisePoint::kFreeStep, 10);
  }
  pass(NoisePoint::kFreeStep, 10);
  EXPECT_EQ(ran, 1u);
}

TEST(ScheduleNoiseDeathTest, TwoScopesAtATimeStop) {
  const NoiseScope scope(1);
  EXPECT_DEATH(NoiseScope(2), "two scopes of schedule noise");
}

}  // namespace
}  // namespace vaultgres
