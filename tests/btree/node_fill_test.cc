#include "btree/node_fill.h"

#include <set>

#include "btree/node_model.h"

namespace vaultgres {
namespace {

using Entries = std::vector<std::pair<std::string, std::string>>;

/// Do they all fit into a leaf between these fences? `page` gets those that do.
bool fit(NodePage& page, const Entries& entries, const std::string& low, const std::string& high) {
  build_node(page.bytes(), ObjectId{7}, 0, false, {as_bytes(low), as_bytes(high), true}, PageId{9});
  return std::all_of(entries.begin(), entries.end(), [&](const auto& entry) {
    return append_entry(page.bytes(), 0, as_bytes(entry.first), as_bytes(entry.second));
  });
}

// Goal: entries fit into a leaf exactly if the count says so, whatever their sizes and the fences, and however the
// prefix shrinks on the way. Method: random sorted entries, some of one size; leaves that end at any of them.
TEST(NodeFill, SaysWhatFits) {
  unsigned refused = 0;
  for (std::uint64_t round = 0; round < scaled(200); ++round) {
    TestRandom random(3000 + round);
    const bool fixed = random.one_in(2);
    const std::size_t value_max = random.one_in(2) ? 9 : kEntryBytesMax;
    const std::string prefix = random.word(random.one_in(3) ? 0 : random.uniform(kKeyBytesMax - 24));
    std::set<std::string> keys;
    for (unsigned i = 0; i < 1500; ++i) {
      // A few letters: near keys have more in common than far ones.
      std::string key = prefix + random.word(fixed ? 12 : random.uniform(24) + 1);
      for (std::size_t at = prefix.size(); at < key.size(); ++at) key[at] = static_cast<char>('a' + key[at] % 3);
      keys.insert(key);
    }
    const std::string& low = *keys.begin();
    Entries entries;
    NodeFill fill;
    fill.start(low.size());
    for (const std::string& key : keys) {
      if (!entries.empty()) {
        const auto [end, other] = std::mismatch(low.begin(), low.end(), key.begin(), key.end());
        fill.limit_prefix(static_cast<std::size_t>(end - low.begin()));
        const std::size_t bytes = fill.bytes(low.size() + key.size());
        const bool near = bytes + 2 * kEntryBytesMax > NodeView::capacity_bytes();
        if (near || random.one_in(20)) {
          NodePage page;
          const bool all = fit(page, entries, low, key);
          ASSERT_EQ(all, bytes <= NodeView::capacity_bytes()) << "round " << round << ", " << entries.size();
          if (!all) {
            ++refused;
            break;
          }
          ASSERT_GE(bytes, page.view().used_bytes());
          ASSERT_LE(bytes - page.view().used_bytes(), is_fixed(page.view()) ? 0u : 18u);
        }
      }
      const std::size_t most = std::min(value_max, inline_value_max(key.size()));
      entries.emplace_back(key, random.bytes(fixed ? most : random.uniform(most + 1)));
      fill.add(key.size(), entries.back().second.size());
    }
  }
  EXPECT_GT(refused, 0u);
}

}  // namespace
}  // namespace vaultgres
