// The entries of a tree from its leaves alone, in key order.
//
// Each leaf says which keys it may hold (its fences). In a sound tree the leaves of an object cover all keys once. A
// range that none covers was on leaves that are lost. Where several claim a key, the leaf that was changed last (the
// greatest LSN) counts: a split, merge or root change that moved keys from one leaf to another is one record, so of two
// leaves that both claim a key one is older than that record, and the other is not. That needs no inner node. After
// recovery no key is claimed twice; in a data file as a crash left it, or where an old page was put back, one can be.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/function_ref.h"
#include "db/salvage_chain.h"
#include "db/salvage_pages.h"

namespace vaultgres::internal {

/// Keys from `from` up to `to`, and the leaf that has them.
struct LeafSegment {
  PageId page = kNoPage;  ///< none: lost
  std::string from;
  std::string to;
  bool has_to = false;  ///< else up to the greatest
};

/// Cuts all keys into segments. Takes memory for the leaves that claim one key.
class LeafSweep {
 public:
  /// Gives the leaves in the order of their low fences; false at the end.
  using NextLeaf = FunctionRef<Result<bool>(FoundLeaf& leaf)>;
  explicit LeafSweep(NextLeaf next_leaf) : next_leaf_(next_leaf) {}

  /// False: the last one has been given.
  Result<bool> next(LeafSegment& segment);

 private:
  /// More leaves than any sound or crashed tree has for a key: then the oldest are left out.
  static constexpr std::size_t kClaimsMax = 64;

  Status load_pending();
  Status admit_up_to(const std::string& key);
  void drop_passed();
  const FoundLeaf* newest() const noexcept;
  const std::string* next_newer(const FoundLeaf& best) const noexcept;
  void lost_segment(LeafSegment& segment) const;
  Status segment_of(const FoundLeaf& leaf, LeafSegment& segment);

  NextLeaf next_leaf_;
  std::optional<FoundLeaf> pending_;  ///< the next that is not in claims_
  bool started_ = false;
  std::vector<FoundLeaf> claims_;
  std::string at_;  ///< all keys below are given
  bool ended_ = false;
};

/// The entries of trees whose leaves FoundPages gives.
class TreeReader {
 public:
  /// An entry that is not deleted. The views live until it returns; an error ends the reading.
  using Entry = FunctionRef<Status(std::string_view key, std::string_view value)>;
  /// What is lost: a range of keys, or the value of one.
  using Lost = FunctionRef<void(std::string what, std::optional<KeyRange> keys)>;

  static Result<TreeReader> make(const DamagedFiles& files, FoundPages& found, ChainReader& chains);
  /// Of the group at hand.
  Status read(ObjectId object, Entry entry, Lost lost);

 private:
  TreeReader(const DamagedFiles& files, FoundPages& found, ChainReader& chains, AlignedBuffer page)
      : files_(files), found_(found), chains_(chains), page_(std::move(page)) {}
  Status read_segment(ObjectId object, const LeafSegment& segment, Entry entry, Lost lost);

  const DamagedFiles& files_;
  FoundPages& found_;
  ChainReader& chains_;
  AlignedBuffer page_;
  std::string value_;
};

/// "all keys", "the keys from "a" up to "b"", …
std::string range_text(const std::string& from, const std::string& to, bool has_to);

}  // namespace vaultgres::internal
