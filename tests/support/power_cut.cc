#include "support/power_cut.h"

#include <algorithm>
#include <cerrno>
#include <random>

#include "base/check.h"

namespace vaultgres {
namespace {

using Pending = std::vector<std::shared_ptr<const SimTraceEntry>>;

/// For each pending operation, whether it survives.
using Survivors = std::vector<bool>;

/// Within one directory, nothing after the first operation that is lost survives.
void keep_directories_in_order(const Pending& pending, Survivors& survivors) {
  std::map<InodeId, bool> lost;
  for (std::size_t i = 0; i < pending.size(); ++i) {
    if (!pending[i]->changes_directory()) continue;
    bool& lost_before = lost[pending[i]->durable_with()];
    if (lost_before) survivors[i] = false;
    if (!survivors[i]) lost_before = true;
  }
}

/// Only operation `one`; a directory operation needs those before it in its directory.
Survivors only_one(const Pending& pending, std::size_t one, bool with_directories) {
  Survivors survivors(pending.size(), false);
  survivors[one] = true;
  for (std::size_t i = 0; i < pending.size(); ++i) {
    if (!pending[i]->changes_directory()) continue;
    const bool needed =
        pending[one]->changes_directory() && i < one && pending[i]->durable_with() == pending[one]->durable_with();
    if (needed || with_directories) survivors[i] = true;
  }
  return survivors;
}

/// File operations with a chance of one half; of every directory's operations a prefix of random length.
Survivors random_subset(const Pending& pending, std::mt19937_64& random) {
  Survivors survivors(pending.size());
  std::map<InodeId, std::size_t> left;
  for (const auto& entry : pending) {
    if (entry->changes_directory()) ++left[entry->durable_with()];
  }
  for (auto& [directory, count] : left) count = random() % (count + 1);
  for (std::size_t i = 0; i < pending.size(); ++i) {
    if (pending[i]->changes_directory()) {
      std::size_t& count = left[pending[i]->durable_with()];
      survivors[i] = count > 0;
      if (count > 0) --count;
    } else {
      survivors[i] = random() % 2 == 0;
    }
  }
  return survivors;
}

Survivors choose(const Pending& pending, PowerCut mode, std::uint64_t seed, std::mt19937_64& random) {
  const std::size_t count = pending.size();
  Survivors survivors(count, mode == PowerCut::kAll || mode == PowerCut::kAllButOne);
  if (count == 0) return survivors;
  switch (mode) {
    case PowerCut::kNone:
    case PowerCut::kAll:
      break;
    case PowerCut::kPrefix:
      std::fill_n(survivors.begin(), seed % (count + 1), true);
      break;
    case PowerCut::kAllButOne:
      survivors[seed % count] = false;
      break;
    case PowerCut::kOnlyOne:
      return only_one(pending, seed % count, seed / count % 2 == 1);
    case PowerCut::kRandom:
    case PowerCut::kTorn:
      return random_subset(pending, random);
  }
  keep_directories_in_order(pending, survivors);
  return survivors;
}

/// Some sectors of the write. The new size may have reached the disk without the last sectors.
void tear(SimImage& image, const SimTraceEntry& write, std::mt19937_64& random) {
  SimContent& content = image.files[write.inode];
  for (const SimPiece& piece : write.pieces) {
    content.apply_sectors(piece, [&](std::uint64_t) { return random() % 2 == 0; });
  }
  if (random() % 2 == 0) content.grow_to(write.offset + write.length);
}

}  // namespace

void PowerCutReplay::advance(const SimTrace& trace, std::size_t position) {
  VG_CHECK(position >= position_ && position <= trace.size(), "a replay only goes forward, to the trace's end");
  while (position_ < position) step(trace[position_++]);
}

void PowerCutReplay::step(const std::shared_ptr<const SimTraceEntry>& entry) {
  if (entry->changes_file() || entry->changes_directory()) {
    pending_.push_back(entry);
    return;
  }
  if (entry->ignored || entry->os_error == EINTR) return;
  if (entry->op == SimOp::kSync) {
    std::mt19937_64 random(entry->kept_seed);
    std::erase_if(pending_, [&](const auto& earlier) {
      if (!earlier->changes_file() || earlier->inode != entry->inode) return false;
      const bool kept = entry->os_error == 0 || (entry->kept_seed != 0 && random() % 2 == 0);
      if (kept) durable_.apply_to_file(*earlier);
      return true;
    });
  } else if (entry->op == SimOp::kSyncDirectory && entry->os_error == 0) {
    std::erase_if(pending_, [&](const auto& earlier) {
      if (!earlier->changes_directory() || earlier->durable_with() != entry->inode) return false;
      durable_.apply_to_directory(*earlier);
      return true;
    });
    // What has lost its last durable name is gone, unless a pending operation gives it another.
    std::vector<InodeId> still_named;
    for (const auto& entry_left : pending_) {
      if (entry_left->changes_directory()) still_named.push_back(entry_left->inode);
    }
    durable_.drop_unreachable(std::move(still_named));
  }
}

std::vector<const SimTraceEntry*> PowerCutReplay::pending() const {
  std::vector<const SimTraceEntry*> entries;
  for (const auto& entry : pending_) entries.push_back(entry.get());
  return entries;
}

SimImage PowerCutReplay::cut(PowerCut mode, std::uint64_t seed) const {
  std::mt19937_64 random(seed);
  const Survivors survivors = choose(pending_, mode, seed, random);
  SimImage image = durable_;
  for (std::size_t i = 0; i < pending_.size(); ++i) {
    const SimTraceEntry& entry = *pending_[i];
    if (mode == PowerCut::kTorn && entry.op == SimOp::kWrite) {
      tear(image, entry, random);
    } else if (survivors[i]) {
      image.apply_to_file(entry);
      image.apply_to_directory(entry);
    }
  }
  image.drop_unreachable();
  return image;
}

}  // namespace vaultgres
