// Tree::cut: where to part a range so that several can read it side by side.
//
// From the root down, level by level: the separators of the range are copied out of the nodes of a level, the next node
// found by the high fence of the last one, as a scan finds leaves, until there are enough to choose from. No latch is
// held, and no node is read twice; a tree that changes meanwhile makes the pieces a little less equal.
#include <array>

#include "base/try.h"
#include "btree/tree.h"

namespace vaultgres {

namespace {

/// Separators to choose from for each piece: what stands below two of them may differ, the sum of some does less.
constexpr std::size_t kChoice = 4;
/// Above the root of any tree.
constexpr unsigned kAboveAll = 64;

}  // namespace

/// Returns the level that was read, which is the root's where that is lower.
Result<unsigned> Tree::copy_separators(unsigned level, Bytes from, std::optional<Bytes> to,
                                       std::vector<std::string>& separators) const {
  const auto inside = [&](Bytes key) { return as_text(key) > as_text(from) && (!to || as_text(key) < as_text(*to)); };
  std::string key(as_text(from));
  for (;;) {
    const std::size_t before = separators.size();
    unsigned read = 0;
    std::optional<std::string> next;
    const auto visit = [&](const NodeView& node) {
      separators.resize(before);
      next.reset();
      read = node.level();
      if (read == 0) return;
      std::array<std::byte, kKeyBytesMax> buffer;
      for (unsigned slot = 0; slot < node.count(); ++slot) {  // the first one's is the low fence
        const Bytes separator = Bytes(buffer).first(node.copy_key(slot, buffer));
        if (inside(separator)) separators.emplace_back(as_text(separator));
      }
      if (node.has_high_fence()) next = as_text(node.high_fence());
    };
    VG_TRY(read_leaf(Target{Target::Kind::kCovering, as_bytes(key), level}, visit, Hint::kNormal));
    if (!next || (to && *next >= as_text(*to))) return read;
    key = *std::move(next);
  }
}

Result<std::vector<std::string>> Tree::cut(Bytes from, std::optional<Bytes> to, unsigned pieces) const {
  std::vector<std::string> all;
  for (unsigned level = kAboveAll;;) {
    all.clear();
    VG_ASSIGN(const unsigned read, copy_separators(level, from, to, all));
    if (read <= 1 || all.size() >= kChoice * pieces) break;
    level = read - 1;
  }
  std::vector<std::string> chosen;
  for (std::size_t piece = 1; piece < pieces; ++piece) {
    const std::size_t at = all.size() * piece / pieces;
    if (at >= all.size()) break;
    if (chosen.empty() || chosen.back() < all[at]) chosen.push_back(all[at]);
  }
  return chosen;
}

}  // namespace vaultgres
