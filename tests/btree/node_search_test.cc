#include "btree/node_search.h"

#include <algorithm>

#include "btree/node_layout.h"
#include "btree/node_model.h"

namespace vaultgres {
namespace {

using node::HeadSearch;

std::vector<const HeadSearch*> implementations() {
  std::vector<const HeadSearch*> all;
  for (const HeadSearch* one : {node::head_search_scalar(), node::head_search_avx2(), node::head_search_avx512()}) {
    if (one != nullptr) all.push_back(one);
  }
  all.push_back(&node::head_search());
  return all;
}

// Goal: every implementation finds what std::lower_bound finds, for every count and around every head.
// Method: sorted heads with duplicates and the extreme values; hints from update_hints.
TEST(NodeSearch, AllImplementationsAgreeWithLowerBound) {
  TestRandom random;
  NodePage page;
  std::byte* bytes = page.bytes().data();
  for (unsigned count = 0; count <= node::kEntriesMax; count += count < 700 ? 1 : 37) {
    std::vector<std::uint32_t> heads(count);
    const std::uint64_t range = random.one_in(2) ? 1ull << 32 : 1 + random.uniform(2 * count + 1);
    for (std::uint32_t& head : heads) head = static_cast<std::uint32_t>(random.uniform(range));
    if (count > 2 && random.one_in(2)) heads[0] = 0xFFFFFFFFu;
    std::sort(heads.begin(), heads.end());
    for (unsigned i = 0; i < count; ++i) store_little(bytes + kNodeHeadsOffset + 4 * i, heads[i]);
    node::update_hints(bytes, 0, 0, count);
    for (unsigned i = 0; i < 40; ++i) {
      std::uint32_t wanted = static_cast<std::uint32_t>(random.next());
      if (count > 0 && i % 4 != 0)
        wanted = heads[random.uniform(count)] + static_cast<std::uint32_t>(random.uniform(3)) - 1;
      if (i == 1) wanted = 0xFFFFFFFFu;
      if (i == 2) wanted = 0;
      const auto expected = static_cast<unsigned>(std::lower_bound(heads.begin(), heads.end(), wanted) - heads.begin());
      for (const HeadSearch* search : implementations()) {
        ASSERT_EQ(search->search(bytes, count, wanted), expected) << "count " << count << " head " << wanted;
      }
    }
  }
}

// Goal: on arbitrary bytes every implementation stays within the page and answers at most `count`.
TEST(NodeSearch, ArbitraryBytesAreBounded) {
  TestRandom random(1);
  NodePage page;
  for (std::uint64_t round = 0; round < scaled(2000); ++round) {
    for (std::byte& byte : page.bytes()) byte = static_cast<std::byte>(random.one_in(2) ? random.next() : 0xFF);
    const auto count = static_cast<unsigned>(random.uniform(node::kEntriesMax + 1));
    for (const HeadSearch* search : implementations()) {
      ASSERT_LE(search->search(page.bytes().data(), count, static_cast<std::uint32_t>(random.next())), count);
    }
  }
}

// Goal: hints kept up to date by single changes equal hints made from scratch.
TEST(NodeSearch, HintsFollowChanges) {
  TestRandom random(2);
  NodePage page;
  build_node(page.bytes(), ObjectId{1}, 0, true, NodeFences{}, kNoPage);
  NodeModel model(0, "", "", false);
  std::vector<std::string> keys;
  for (unsigned step = 0; step < 2000; ++step) {
    if (keys.empty() || random.uniform(100) < (step % 800 < 500 ? 80u : 20u)) {
      const std::string key = random.bytes(4);
      if (model.entries().count(key) == 0 && model.insert(key, "")) keys.push_back(key);
    } else {
      std::swap(keys[random.uniform(keys.size())], keys.back());
      model.remove(keys.back());
      keys.pop_back();
    }
    const std::byte* bytes = model.view().page().data();
    for (unsigned i = 0; i < kNodeHints; ++i) {
      ASSERT_EQ(load_little<std::uint32_t>(bytes + kNodeHintsOffset + 4 * i),
                node::hint_of(bytes, i, model.view().count()));
    }
  }
}

}  // namespace
}  // namespace vaultgres
