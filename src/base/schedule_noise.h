// Schedule noise: named points of the protocols at which a test can delay the threads that pass, so that others come in
// between. The product has none of them. A point is one line in the code:
//
//   VG_NOISE(kEvictLatched);
//
// Without a NoiseScope it is a relaxed load and a compare. It neither allocates nor locks, so it may stand in noexcept
// code, and under latches.
#pragma once

#ifdef VG_TEST_HOOKS

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <type_traits>

namespace vaultgres {

// clang-format off
#define VG_NOISE_POINTS(point)                                       \
  /* base */                                                         \
  point(kSleepBefore,             "sleep.before")                    \
  point(kSleepWoken,              "sleep.woken")                     \
  /* buffer: latches */                                              \
  point(kLatchTaken,              "latch.taken")                     \
  point(kLatchBeforeUnlock,       "latch.before_unlock")             \
  point(kLatchSharedBeforeUnlock, "latch.shared_before_unlock")      \
  /* buffer: guards */                                               \
  point(kOptimisticVersionRead,   "optimistic.version_read")         \
  point(kValidateBefore,          "validate.before")                 \
  point(kUpgradeBefore,           "upgrade.before")                  \
  point(kUpgradeTaken,            "upgrade.taken")                   \
  point(kSharedCheckedResident,   "shared.checked_resident")         \
  point(kExclusiveCheckedResident,"exclusive.checked_resident")      \
  point(kCreateLatched,           "create.latched")                  \
  /* buffer: pages in and out */                                     \
  point(kFaultFrameInHand,        "fault.frame_in_hand")             \
  point(kFaultLatched,            "fault.latched")                   \
  point(kFaultRead,               "fault.read")                      \
  point(kFaultAdmitted,           "fault.admitted")                  \
  point(kPinLatched,              "pin.latched")                     \
  point(kTouchBefore,             "touch.before")                    \
  point(kEvictLatched,            "evict.latched")                   \
  point(kEvictPlaceCleared,       "evict.place_cleared")             \
  point(kEvictBeforeHandover,     "evict.before_handover")           \
  point(kReadAheadLatched,        "read_ahead.latched")              \
  point(kReadAheadAdmitted,       "read_ahead.admitted")             \
  point(kBatchCopied,             "batch.copied")                    \
  point(kBatchWritten,            "batch.written")                   \
  point(kBatchBeforeClean,        "batch.before_clean")              \
  /* buffer: a change */                                             \
  point(kCommitDirty,             "commit.dirty")                    \
  point(kCommitApplied,           "commit.applied")                  \
  point(kCommitReserved,          "commit.reserved")                 \
  point(kCommitLogged,            "commit.logged")                   \
  /* btree: descents */                                              \
  point(kDescentRootRead,         "descent.root_read")               \
  point(kDescentChildFound,       "descent.child_found")             \
  point(kDescentChildRead,        "descent.child_read")              \
  point(kDescentLeafVisited,      "descent.leaf_visited")            \
  point(kTrailLinkRead,           "trail.link_read")                 \
  point(kTrailSiblingRead,        "trail.sibling_read")              \
  point(kPathBeforeLatch,         "path.before_latch")               \
  point(kPathParentTaken,         "path.parent_taken")               \
  point(kLatchedChildTaken,       "latched.child_taken")             \
  point(kLatchedBeforeLoad,       "latched.before_load")             \
  /* btree: structure changes */                                     \
  point(kSplitReserved,           "split.reserved")                  \
  point(kSplitChecked,            "split.checked")                   \
  point(kSplitParentFull,         "split.parent_full")               \
  point(kSplitCreated,            "split.created")                   \
  point(kSplitLogged,             "split.logged")                    \
  point(kMergeNodeGivenUp,        "merge.node_given_up")             \
  point(kMergeLeftTaken,          "merge.left_taken")                \
  point(kMergeBothTaken,          "merge.both_taken")                \
  point(kMergeBeforeFreed,        "merge.before_freed")              \
  point(kCollapseRootTaken,       "collapse.root_taken")             \
  point(kCollapseBeforeFreed,     "collapse.before_freed")           \
  point(kFreeStep,                "free.step")                       \
  /* space */                                                        \
  point(kSpaceReserved,           "space.reserved")                  \
  point(kSpaceBetweenBitmaps,     "space.between_bitmaps")           \
  /* txn */                                                          \
  point(kChangeClaimed,           "change.claimed")                  \
  point(kChangeBeforeHistory,     "change.before_history")           \
  point(kReadBeforeVersions,      "read.before_versions")            \
  point(kScanBeforeVersions,      "scan.before_versions")            \
  point(kPurgeBefore,             "purge.before")                    \
  point(kRollbackBeforeWithdraw,  "rollback.before_withdraw")        \
  point(kSnapshotStored,          "snapshot.stored")                 \
  point(kFloorRaised,             "floor.raised")                    \
  /* wal */                                                          \
  point(kLogClaimed,              "wal.claimed")                     \
  point(kLogReserved,             "wal.reserved")                    \
  point(kLogCopied,               "wal.copied")                      \
  point(kLogEndRead,              "wal.end_read")                    \
  point(kFlushClosed,             "flush.closed")                    \
  point(kFlushWritten,            "flush.written")                   \
  point(kFlushSynced,             "flush.synced")
// clang-format on

enum class NoisePoint : std::uint8_t {
#define VG_NOISE_ENUMERATOR(enumerator, name) enumerator,
  VG_NOISE_POINTS(VG_NOISE_ENUMERATOR)
#undef VG_NOISE_ENUMERATOR
};

inline constexpr std::array kNoiseNames{
#define VG_NOISE_NAME(enumerator, name) name,
    VG_NOISE_POINTS(VG_NOISE_NAME)
#undef VG_NOISE_NAME
};
inline constexpr std::size_t kNoisePoints = kNoiseNames.size();
static_assert(kNoisePoints >= 30 && kNoisePoints <= UINT8_MAX);

/// Who is delayed, where, how often and how. One word, so that threads which pass while a scope begins or ends see one
/// plan or the other; aligned as one, or clang calls a library for it.
struct alignas(8) NoisePlan {
  enum class Delay : std::uint8_t { kPause, kYield, kSleep };
  static constexpr std::uint8_t kNowhere = UINT8_MAX;
  static constexpr unsigned kPointsMax = 3;

  std::uint8_t points[kPointsMax];  ///< NoisePoint, or kNowhere
  std::uint8_t odds_shift;          ///< one out of 1 << odds_shift is delayed
  Delay delay;
  std::uint8_t amount_shift;  ///< 1 << amount_shift pauses, yields or microseconds
  std::uint8_t threads;       ///< 0: all; 1, 2: those with odd, with even numbers
  std::uint8_t number;        ///< of the scope, from 1 on; 0: there is none

  static NoisePlan of_seed(std::uint64_t seed) noexcept;
  /// Nobody is delayed.
  static NoisePlan nowhere() noexcept;
};
static_assert(sizeof(NoisePlan) == 8 && std::is_trivially_copyable_v<NoisePlan>);

namespace noise_internal {
inline std::atomic<NoisePlan> current{NoisePlan{}};
void pass(NoisePoint point, const NoisePlan& plan) noexcept;
}  // namespace noise_internal

inline void noise_at(NoisePoint point) noexcept {
  const NoisePlan plan = noise_internal::current.load(std::memory_order_relaxed);
  if (plan.number != 0) [[unlikely]] {
    noise_internal::pass(point, plan);
  }
}

/// About how often a point was passed while scopes lived, and how often somebody was delayed there.
struct NoiseCount {
  std::uint64_t passed;
  std::uint64_t delayed;
};
NoiseCount noise_count(NoisePoint point) noexcept;

/// While it lives, threads are delayed at some points, all of it chosen by the seed. One at a time.
class NoiseScope {
 public:
  explicit NoiseScope(std::uint64_t seed) : NoiseScope(NoisePlan::of_seed(seed)) {}
  /// The plan's number is the scope's own.
  explicit NoiseScope(const NoisePlan& plan);
  NoiseScope(const NoiseScope&) = delete;
  NoiseScope& operator=(const NoiseScope&) = delete;
  ~NoiseScope();
};

/// Runs `action` when the thread that made it passes the point for the nth time from then on: in that thread, with
/// whatever latches it holds there. Once. Takes the place of a NoiseScope.
class NoiseStop {
 public:
  NoiseStop(NoisePoint point, std::function<void()> action, unsigned nth = 1);
  NoiseStop(const NoiseStop&) = delete;
  NoiseStop& operator=(const NoiseStop&) = delete;
  ~NoiseStop();
  bool reached() const noexcept { return passes_left_ == 0; }

 private:
  friend void noise_internal::pass(NoisePoint point, const NoisePlan& plan) noexcept;
  void pass(NoisePoint point) noexcept;

  const NoiseScope scope_;
  const NoisePoint point_;
  const std::function<void()> action_;
  unsigned passes_left_;
};

}  // namespace vaultgres

#define VG_NOISE(point) ::vaultgres::noise_at(::vaultgres::NoisePoint::point)

#else
#define VG_NOISE(point) static_cast<void>(0)
#endif
