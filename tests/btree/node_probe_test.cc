// Goal: a search that is cut in steps says what one in one go says, of sound nodes of every form; what damaged ones
// make it say: node_hostile_test.cc.
//
// Method: random nodes, with keys that share their heads, keys of the node and others.
#include "btree/node_probe.h"

#include "btree/node_model.h"

namespace vaultgres {
namespace {

/// Of two letters: many have their first four bytes in common.
std::string some_tail(TestRandom& random, std::size_t bytes) {
  std::string tail(bytes, 'a');
  for (char& letter : tail) letter = random.one_in(3) ? 'b' : 'a';
  return tail;
}

unsigned longest_run_of_heads(const NodeModel& model, std::size_t prefix) {
  unsigned longest = 0;
  unsigned run = 0;
  std::string last;
  for (const auto& entry : model.entries()) {
    const std::string head = entry.first.substr(std::min(prefix, entry.first.size()), 4);
    run = head == last ? run + 1 : 1;
    last = head;
    longest = std::max(longest, run);
  }
  return longest;
}

/// Keys below `low` have another prefix than all in the node.
NodeModel random_model(TestRandom& random, unsigned level, const std::string& low) {
  NodeModel model(level, low, low.empty() ? "" : low + "\xFF", !low.empty());
  if (level > 0) model.insert(low, child_value(1));
  const bool one_length = random.one_in(2);
  const bool alike = random.one_in(2);
  const std::uint64_t entries = random.uniform(random.one_in(2) ? 20 : 600);
  for (std::uint64_t i = 0; i < entries; ++i) {
    const std::size_t bytes = one_length ? 12 : random.between(1, 16);
    const std::string key = low + (alike ? some_tail(random, bytes) : random.word(bytes));
    if (key <= low || model.entries().count(key) != 0) continue;
    const std::string value =
        level > 0 ? child_value(static_cast<std::uint32_t>(i)) : random.bytes(one_length ? 9 : random.uniform(200));
    if (!model.insert(key, value, level == 0 && random.one_in(6) ? kSlotGhost : 0)) break;
  }
  return model;
}

void expect_as_view(const NodeView& view, const std::string& key) {
  NodeProbe probe;
  NodeProbe::ask_for_header(view.page());
  probe.look_at_hints(view.page(), as_bytes(key));
  probe.look_at_heads();
  EXPECT_EQ(probe.covers(), view.covers(as_bytes(key))) << key;
  if (view.level() > 0) {
    EXPECT_EQ(probe.child(), view.child_towards(as_bytes(key)).id) << key;
    return;
  }
  const NodeView::Found found = probe.find();
  const NodeView::Found expected = view.find(as_bytes(key));
  EXPECT_EQ(found.position.slot, expected.position.slot) << key;
  EXPECT_EQ(found.position.exact, expected.position.exact) << key;
  EXPECT_EQ(found.flags, expected.flags) << key;
  EXPECT_EQ(as_text(found.value), as_text(expected.value)) << key;
}

TEST(NodeProbe, SaysWhatASearchInOneGoSays) {
  unsigned longest = 0;
  for (std::uint64_t round = 0; round < scaled(300); ++round) {
    SCOPED_TRACE("seed " + std::to_string(round));
    TestRandom random(round);
    const unsigned level = random.one_in(3) ? 1 : 0;
    const std::string low = random.one_in(3) ? "" : random.word(random.one_in(2) ? 3 : 12);
    const NodeModel model = random_model(random, level, low);
    longest = std::max(longest, longest_run_of_heads(model, low.size()));
    for (const auto& entry : model.entries()) {
      expect_as_view(model.view(), entry.first);
      expect_as_view(model.view(), entry.first + "a");
    }
    for (int i = 0; i < 50; ++i) {
      expect_as_view(model.view(), low + random.bytes(random.uniform(9)));
      expect_as_view(model.view(), random.bytes(random.uniform(kKeyBytesMax + 1)));
    }
    if (testing::Test::HasFailure()) return;
  }
  EXPECT_GE(longest, 8u);
}

}  // namespace
}  // namespace vaultgres
