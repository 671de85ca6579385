// Goal: a run copied out of a leaf is what the leaf's entries are, whatever the leaf's form; the hostile test has the
// pages that no honest writer made.
#include "btree/node_run.h"

#include "btree/node_model.h"

namespace vaultgres {
namespace {

using Verdict = EntryRun::Verdict;
using Listed = std::vector<std::pair<std::string, ModelEntry>>;

Listed listed(const ModelMap& entries, unsigned first, unsigned end, bool ascending) {
  Listed all(entries.begin(), entries.end());
  end = std::min<unsigned>(end, static_cast<unsigned>(all.size()));
  if (first >= end) return {};
  Listed part(all.begin() + first, all.begin() + end);
  if (!ascending) std::reverse(part.begin(), part.end());
  return part;
}

void expect_same(const EntryRun& run, const Listed& expected) {
  ASSERT_EQ(run.size(), expected.size());
  std::uint8_t any = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    ASSERT_EQ(as_text(run.key(i)), expected[i].first) << "entry " << i;
    ASSERT_EQ(as_text(run.value(i)), expected[i].second.value) << "entry " << i;
    ASSERT_EQ(run.flags(i), expected[i].second.flags) << "entry " << i;
    any |= expected[i].second.flags;
  }
  ASSERT_EQ(run.any_flags(), any);
}

/// A leaf of entries of one length each, below a shared prefix.
NodeModel fixed_leaf(TestRandom& random, std::size_t prefix_bytes, std::size_t key_bytes, std::size_t value_bytes,
                     std::uint64_t flags_one_in) {
  const std::string prefix = random.word(prefix_bytes);
  NodeModel model(0, prefix, prefix + "\xFF", true);
  for (std::uint64_t tries = random.between(1, 500); tries > 0; --tries) {
    const std::string key = prefix + random.word(key_bytes);
    if (model.entries().count(key) != 0) continue;
    if (!model.insert(key, random.bytes(value_bytes), random.one_in(flags_one_in) ? kSlotOverflow : 0)) break;
    if (random.one_in(flags_one_in)) model.mark_history(key, true);
    if (random.one_in(flags_one_in)) model.set_ghost(key, true);
  }
  return model;
}

/// Every part of the leaf, both ways: all bounds for small leaves, random ones for others.
void check_all_parts(const NodeModel& model, EntryRun& run, TestRandom& random) {
  const auto count = static_cast<unsigned>(model.entries().size());
  for (unsigned i = 0; i < 30; ++i) {
    const auto first = i < 2 ? 0u : static_cast<unsigned>(random.uniform(count + 2));
    const auto end = i == 0 ? count : i == 1 ? count + 7 : static_cast<unsigned>(random.uniform(count + 2));
    for (const bool ascending : {true, false}) {
      run.copy(model.view(), first, end, ascending);
      expect_same(run, listed(model.entries(), first, end, ascending));
      if (::testing::Test::HasFatalFailure()) return;
    }
  }
}

// Goal: the copy in bulk from a fixed-stride leaf equals the entries, and so does that from its slotted twin.
// Method: all short lengths of keys and values, and some long ones; the twin has the same entries, and had for a moment
// one of another length.
TEST(NodeRun, FixedLeavesAndTheirSlottedTwinsGiveTheSame) {
  TestRandom random;
  EntryRun run;  // reused, as by a scan
  for (std::uint64_t round = 0; round < scaled(400); ++round) {
    const std::size_t prefix_bytes = random.one_in(3) ? random.uniform(kKeyBytesMax / 2) : random.uniform(12);
    const std::size_t key_bytes = 1 + random.uniform(random.one_in(4) ? kKeyBytesMax / 2 - 1 : 12);
    const std::size_t value_bytes =
        random.uniform(random.one_in(4) ? inline_value_max(prefix_bytes + key_bytes) + 1 : 26);
    NodeModel model = fixed_leaf(random, prefix_bytes, key_bytes, value_bytes, random.one_in(2) ? 1000000 : 9);
    ASSERT_TRUE(is_fixed(model.view()));
    check_all_parts(model, run, random);
    const std::string odd = model.entries().begin()->first + std::string(1, '\0');
    if (!model.insert(odd, "")) continue;  // full
    model.remove(odd);
    ASSERT_FALSE(is_fixed(model.view()));
    check_all_parts(model, run, random);
    if (HasFatalFailure()) FAIL() << "prefix " << prefix_bytes << ", key " << key_bytes << ", value " << value_bytes;
  }
}

TEST(NodeRun, EntriesOfAnyLengthsAreCopied) {
  TestRandom random;
  EntryRun run;
  for (std::uint64_t round = 0; round < scaled(200); ++round) {
    const std::string prefix = random.word(random.uniform(12));
    const bool has_high = random.one_in(2);
    NodeModel model(0, prefix, prefix + "\xFF", has_high);
    if (prefix.empty()) model.insert("", "of the empty key");
    for (std::uint64_t tries = random.between(1, 300); tries > 0; --tries) {
      const std::string key = prefix + random.word(random.uniform(random.one_in(5) ? kKeyBytesMax - 12 : 9));
      const std::string value = random.bytes(random.uniform(random.one_in(5) ? inline_value_max(key.size()) + 1 : 40));
      if (model.entries().count(key) != 0) continue;
      if (!model.insert(key, value)) break;
    }
    check_all_parts(model, run, random);
    if (HasFatalFailure()) return;
  }
}

// Goal: what the filter keeps, drops and replaces is what it was told, by values longer and shorter than the old ones.
TEST(NodeRun, TheFilterKeepsDropsAndReplaces) {
  TestRandom random;
  EntryRun run;
  for (std::uint64_t round = 0; round < scaled(200); ++round) {
    NodeModel model = fixed_leaf(random, random.uniform(6), 1 + random.uniform(8), random.uniform(20), 4);
    const bool ascending = random.one_in(2);
    run.copy(model.view(), 0, kPageBytes, ascending);
    Listed expected;
    std::map<std::string, std::pair<Verdict, std::string>> verdicts;
    for (auto& [key, entry] : listed(model.entries(), 0, kPageBytes, ascending)) {
      if ((entry.flags & (kSlotGhost | kSlotHistory)) == 0) {
        expected.emplace_back(key, entry);
        continue;
      }
      const Verdict verdict = std::array{Verdict::kKeep, Verdict::kDrop, Verdict::kReplace}[random.uniform(3)];
      const std::string value = random.bytes(random.uniform(inline_value_max(key.size()) + 1));
      verdicts[key] = {verdict, value};
      if (verdict == Verdict::kKeep) expected.emplace_back(key, entry);
      if (verdict == Verdict::kReplace) expected.emplace_back(key, ModelEntry{value, kSlotOverflow});
    }
    std::size_t asked = 0;
    ASSERT_TRUE(run.filter(kSlotGhost | kSlotHistory, [&](Bytes key, std::string& value, std::uint8_t& flags) {
      ++asked;
      const auto& [verdict, replacement] = verdicts.at(std::string(as_text(key)));
      if (verdict == Verdict::kReplace) {
        value = replacement;
        flags = kSlotOverflow;
      }
      return verdict;
    }));
    EXPECT_EQ(asked, verdicts.size());
    expect_same(run, expected);
    if (HasFatalFailure()) return;
    const auto stop = [](Bytes, std::string&, std::uint8_t&) { return Verdict::kStop; };
    EXPECT_EQ(run.filter(0xFF, stop), run.any_flags() == 0);
  }
}

}  // namespace
}  // namespace vaultgres
