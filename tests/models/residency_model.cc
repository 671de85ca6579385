// Goal: who reads a page optimistically and validates has read that page's bytes, though its frame was given to another
// page meanwhile; a page that is pinned stays where it is; what was changed does not leave with its frame; whatever the
// schedule and whatever the memory model lets a processor reorder.
//
// Method: buffer/residency.h compiled with Relacy's atomics: two pages, one frame or two. Some want a page: they bring
// it in, throwing the other out, and look at it while they have it pinned. One only throws out, one changes a page, one
// reads without a latch. MUTANT names a fault of the atomics, of the order in which a frame is got, or one of the
// engine's seeded bugs; then a failure is expected.
#include "models/faulty_atomics.h"
#include "models/model_main.h"
#include "models/relacy_atomics.h"
// Then the engine's, which the models can give a seeded bug.
#include "buffer/residency.h"

namespace vaultgres {

/// One queue for all latches: it belongs to the execution that is under way.
template <class A>
struct ModelQueue {
  static LatchQueue<A>* current;
};
template <class A>
LatchQueue<A>* ModelQueue<A>::current;

template <class A>
LatchQueue<A>& latch_queue(const BasicLatch<A>&) {
  return *ModelQueue<A>::current;
}

namespace {

constexpr unsigned kPages = 2;
constexpr unsigned kSaysPage = 10;  // a page says its number times this, and how often it was changed

template <class A, unsigned kFrames>
class Pool {
 public:
  Pool() { ModelQueue<A>::current = &queue_; }
  /// All frames free, but for the first where page 0 is.
  void begin() {
    for (Content& content : contents_) content.is_free($) = true;
    for (rl::var<bool>& changed : is_changed_) changed($) = false;
    load(0, 0, /*pins=*/0);
    contents_[0].is_free($) = false;
  }

  void read(unsigned page) {
    Entry& entry = entries_[page];
    const typename Entry::Seen seen = entry.begin_read();
    if (BasicLatch<A>::is_exclusive(seen.word) || !Entry::is_resident(seen.place)) return;
    entry.mark(seen.place);
    const Content& content = contents_[Entry::frame_of(seen.place)];
    const unsigned first = content.first.load(A::kRelaxed);
    const unsigned second = content.second.load(A::kRelaxed);
    if (!entry.latch.validate(BasicLatch<A>::version_of(seen.word))) return;
    RL_ASSERT(first == second && first / kSaysPage == page);
  }
  void change(unsigned page) {
    const std::uint64_t place = entries_[page].exclusive_if_resident();
    if (place == Entry::kAbsent) return;
    contents_[Entry::frame_of(place)].add(1);
    frames_[Entry::frame_of(place)].rec_lsn.store(1, A::kRelaxed);
    is_changed_[page]($) = true;
    entries_[page].unlock_exclusive();
  }
  void evict(unsigned frame) {
    if (Entry::try_evict(entries_, frames_[frame], frame)) give_frame(frame);
  }
  /// Brings the page in if need be; in any case has it pinned while it looks.
  void look_at(unsigned page) {
    std::uint64_t place = entries_[page].pin_if_resident(frames_);
    if (place == Entry::kAbsent) place = bring(page);
    if (place == Entry::kAbsent) return;
    const unsigned frame = Entry::frame_of(place);
    const std::uint64_t again = entries_[page].shared_if_resident();
    RL_ASSERT(Entry::is_resident(again) && Entry::frame_of(again) == frame);
    RL_ASSERT(contents_[frame].owned($) / kSaysPage == page);
    entries_[page].unlock_shared();
    frames_[frame].unpin();
  }

  /// Brings the page in as soon as somebody else has thrown the other out. The rule is: frame first, then latch.
  void take_over(unsigned page, bool latch_first) {
    if (latch_first) RL_ASSERT(entries_[page].latch_absent());
    unsigned frame = kFrames;
    while ((frame = take_free_frame()) == kFrames) A::pause();
    if (!latch_first) RL_ASSERT(entries_[page].latch_absent());
    load(page, frame, /*pins=*/0);
    entries_[page].unlock_exclusive();
  }

  void end() {
    for (unsigned frame = 0; frame < kFrames; ++frame) {
      const unsigned page = frames_[frame].page.load(A::kRelaxed);
      const bool is_free = page == BasicFrame<A>::kFree;
      RL_ASSERT(contents_[frame].is_free($) == is_free);
      RL_ASSERT(is_free || Entry::frame_of(entries_[page].place.load(A::kRelaxed)) == frame);
      RL_ASSERT(is_free || frames_[frame].pins.load(A::kRelaxed) == 0);
    }
    for (unsigned page = 0; page < kPages; ++page) {
      const std::uint64_t place = entries_[page].place.load(A::kRelaxed);
      RL_ASSERT(BasicLatch<A>::holders_of(entries_[page].latch.peek()) == 0);
      if (!Entry::is_resident(place)) {
        RL_ASSERT(place == Entry::kAbsent && !is_changed_[page]($));
        continue;
      }
      const unsigned frame = Entry::frame_of(place);
      RL_ASSERT(frames_[frame].page.load(A::kRelaxed) == page);
      RL_ASSERT(contents_[frame].owned($) == page * kSaysPage + is_changed_[page]($));
    }
  }

 private:
  using Entry = BasicTranslation<A>;
  /// A frame's bytes, twice: for those who read them while they may be written, and for those with a latch, where
  /// Relacy tells of races.
  struct Content {
    typename A::template Atomic<unsigned> first, second;
    rl::var<unsigned> owned;
    rl::var<bool> is_free;  // with the mutex

    void write(unsigned what) {
      owned($) = what;
      first.store(what, A::kRelaxed);
      second.store(what, A::kRelaxed);
    }
    void add(unsigned more) { write(owned($) + more); }
  };

  /// kAbsent: there is no frame, or somebody else was faster.
  std::uint64_t bring(unsigned page) {
    const unsigned frame = take_frame();
    if (frame == kFrames) return Entry::kAbsent;
    if (!entries_[page].latch_absent()) {
      give_frame(frame);
      return Entry::kAbsent;
    }
    load(page, frame, /*pins=*/1);
    const std::uint64_t place = entries_[page].place.load(A::kRelaxed);
    entries_[page].unlock_exclusive();
    return place;
  }
  void load(unsigned page, unsigned frame, unsigned pins) {
    contents_[frame].write(page * kSaysPage);
    entries_[page].enter(frames_[frame], frame, page, pins, /*mark=*/0);
  }

  /// kFrames: there is none.
  unsigned take_frame() {
    unsigned frame = take_free_frame();
    if (frame < kFrames) return frame;
    for (frame = 0; frame < kFrames && !Entry::try_evict(entries_, frames_[frame], frame);) ++frame;
    return frame;
  }
  /// The last first.
  unsigned take_free_frame() {
    free_mutex_.lock();
    unsigned frame = kFrames;
    while (frame > 0 && !contents_[frame - 1].is_free($)) --frame;
    if (frame > 0) contents_[frame - 1].is_free($) = false;
    free_mutex_.unlock();
    return frame > 0 ? frame - 1 : kFrames;
  }
  void give_frame(unsigned frame) {
    free_mutex_.lock();
    contents_[frame].is_free($) = true;
    free_mutex_.unlock();
  }

  LatchQueue<A> queue_;
  Entry entries_[kPages];
  BasicFrame<A> frames_[kFrames];
  Content contents_[kFrames];
  typename A::Mutex free_mutex_;
  rl::var<bool> is_changed_[kPages];
};

/// One frame: who reads, who changes, who throws out, two who bring in.
template <class A>
struct OneFrame : rl::test_suite<OneFrame<A>, 5> {
  Pool<A, 1> pool;

  void before() { pool.begin(); }
  void thread(unsigned index) {
    const unsigned page = rl::rand(kPages);
    if (index == 0) {
      pool.read(page);
    } else if (index == 1) {
      pool.change(page);
    } else if (index == 2) {
      pool.evict(0);
    } else {
      pool.look_at(page);
    }
  }
  void after() { pool.end(); }
};

/// The frame goes from one page through another thread's hands to the next page, while somebody reads.
template <class A, bool kLatchFirst = false>
struct Handover : rl::test_suite<Handover<A, kLatchFirst>, 3> {
  Pool<A, 1> pool;

  void before() { pool.begin(); }
  void thread(unsigned index) {
    if (index == 0) {
      pool.read(0);
    } else if (index == 1) {
      pool.evict(0);
    } else {
      pool.take_over(1, kLatchFirst);
    }
  }
  void after() { pool.end(); }
};

/// Several bring the same page, and a page comes back into another frame.
template <class A>
struct TwoFrames : rl::test_suite<TwoFrames<A>, 4> {
  Pool<A, 2> pool;

  void before() { pool.begin(); }
  void thread(unsigned index) {
    // A schedule is drawn step by step: of itself nobody is very late.
    for (unsigned wait = index == 0 ? rl::rand(64) : 0; wait > 0; --wait) A::pause();
    if (index < 2) {
      pool.evict(rl::rand(2));
    } else {
      pool.look_at(rl::rand(kPages));
    }
  }
  void after() { pool.end(); }
};

// --- Faults

/// Only pins are counted by addition.
struct UncountedPins : ModelAtomics {
  template <class T>
  struct Atomic : ModelAtomic<T> {
    using ModelAtomic<T>::ModelAtomic;
    T fetch_add(T, rl::memory_order) { return 0; }
    T fetch_sub(T, rl::memory_order) { return 0; }
  };
};

template <class A>
bool holds(const ModelRun& run) {
  return run.simulate<OneFrame<A>>() && run.simulate<Handover<A>>() && run.simulate<TwoFrames<A>>();
}
bool holds_latch_first(const ModelRun& run) {
  return run.simulate<Handover<ModelAtomics, /*kLatchFirst=*/true>>();
}

}  // namespace
}  // namespace vaultgres

int main(int count, char** words) {
  using namespace vaultgres;
  return model_main("residency", count, words,
                    {{"", holds<ModelAtomics>},
                     {"no_read_fence", holds<NoReadFence>},
                     {"no_write_fence", holds<NoWriteFence>},
                     {"relaxed_release", holds<RelaxedRelease>},
                     {"uncounted_pins", holds<UncountedPins>},
                     {"latch_before_frame", holds_latch_first},
                     {"kNoRecheckBeforeLoad", holds<ModelAtomics>},
                     {"kNoRecheckBeforeEviction", holds<ModelAtomics>},
                     {"kVersionsRestart", holds<ModelAtomics>}});
}
