// Bugs on purpose, for the test of the tests: a test build can be told to have one of these, and the test that
// tests/seeded_bugs.txt names for it must fail. The product has none of them: there the condition is `false`.
//
//   if (VG_SEEDED_BUG(kSkipLogSync)) return {};
//
// The environment variable VG_SEEDED_BUG names the one that is on in the process; a test turns one on for a while by
// SeededBugScope.
#pragma once

#ifdef VG_TEST_HOOKS

#include <atomic>
#include <cstdint>

namespace vaultgres {

// clang-format off
#define VG_SEEDED_BUGS(bug)                                                                    \
  bug(kSkipLogSync)             /* syncs of log segments do nothing */                         \
  bug(kSkipDirectorySync)       /* syncs of directories do nothing */                          \
  bug(kAcknowledgeBeforeSync)   /* a transaction's commit does not wait for the log's sync */  \
  bug(kIgnoreFailedSync)        /* a failed sync of the log counts as one that succeeded */    \
  bug(kNoDoublewrite)           /* pages are written in place without a copy */                \
  bug(kNoFenceCheck)            /* a leaf is believed whatever its fences say */               \
  bug(kVersionsRestart)         /* a page's version begins anew when it is evicted */          \
  bug(kRedoAgain)               /* redo repeats the last record that a page contains */        \
  bug(kRedoLeavesOut)           /* redo leaves out the ghost flags of entries */               \
  bug(kChecksumUnchecked)       /* a page is believed whatever its checksum says */            \
  bug(kChecksumUnseeded)        /* pages' checksums depend neither on database nor on id */    \
  bug(kReservationKept)         /* page ids that were reserved in vain are not given back */   \
  bug(kLengthWraps)             /* the length of a value on a node wraps at 512 */             \
  bug(kCursorSkips)             /* a cursor that goes on in the next leaf skips an entry */    \
  bug(kLogHoleIsTheEnd)         /* the log ends at its first bad block, come what may */       \
  bug(kLogBlockUnchecked)       /* a log block is believed whatever its checksum says */       \
  bug(kLockDropped)             /* files are not locked */                                     \
  bug(kDumpCountUnchecked)      /* a dump's end of an object is believed whatever it counts */ \
  bug(kVersionsUnlimited)       /* older versions take as much memory as they like */          \
  bug(kRoomGivenUp)             /* a value that gets shorter leaves its room to others */      \
  bug(kNoRecheckBeforeLoad)     /* a page is loaded although it has come meanwhile */          \
  bug(kNoRecheckBeforeEviction) /* a page is evicted whatever it has become meanwhile */       \
  bug(kNoValidation)            /* what was read without a latch is believed at once */        \
  bug(kStaleChild)              /* a child is believed although its parent has changed */      \
  bug(kParkedLinkBelieved)      /* a scan follows its old link, whatever has come of it */     \
  bug(kNoOwnerCheck)            /* a node is believed whoever owns it */                       \
  bug(kRootGrewUnnoticed)       /* a root is latched for the level that it had */              \
  bug(kUnfairLatch)             /* nobody makes room for who waits for a latch exclusively */  \
  bug(kSleepersForgotten)       /* a latch that is released forgets who sleeps on */
// clang-format on

enum class SeededBug : std::uint8_t {
  kNone,
#define VG_SEEDED_BUG_ENUMERATOR(name) name,
  VG_SEEDED_BUGS(VG_SEEDED_BUG_ENUMERATOR)
#undef VG_SEEDED_BUG_ENUMERATOR
};

/// Says on standard output which one it is; ends the process when there is none of the name.
SeededBug seeded_bug_of_environment();
inline std::atomic<SeededBug> seeded_bug{seeded_bug_of_environment()};

class SeededBugScope {
 public:
  explicit SeededBugScope(SeededBug bug) : before_(seeded_bug.exchange(bug)) {}
  SeededBugScope(const SeededBugScope&) = delete;
  SeededBugScope& operator=(const SeededBugScope&) = delete;
  ~SeededBugScope() { seeded_bug.store(before_); }

 private:
  const SeededBug before_;
};

}  // namespace vaultgres

#define VG_SEEDED_BUG(name) (::vaultgres::seeded_bug.load(std::memory_order_relaxed) == ::vaultgres::SeededBug::name)

#else
#define VG_SEEDED_BUG(name) false
#endif
