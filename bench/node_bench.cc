// One node in the cache: search, insert, split. Run: node_bench [--benchmark_filter=…]
#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "base/payload_buffer.h"
#include "btree/node.h"
#include "format/page_op.h"

namespace vaultgres {
namespace {

using Page = std::array<std::byte, kPageBytes>;

std::string key_of_number(std::uint64_t number) {
  std::string key(8, '\0');
  store_big(key.data(), number);
  return key;
}

/// A full leaf of random 8-byte keys; `slotted`: with values of two lengths.
struct FullLeaf {
  alignas(64) Page page;
  std::vector<std::string> keys;  // in random order

  explicit FullLeaf(bool slotted, unsigned entries_max = 100000) {
    std::mt19937_64 random(7);
    std::vector<std::string> sorted;
    for (unsigned i = 0; i < 290; ++i) sorted.push_back(key_of_number(random()));
    std::sort(sorted.begin(), sorted.end());
    build_node(page, ObjectId{1}, 0, true, NodeFences{}, kNoPage);
    for (const std::string& key : sorted) {
      const std::string value(slotted && keys.size() % 2 != 0 ? 15 : 16, 'v');
      if (keys.size() == entries_max || !append_entry(page, 0, as_bytes(key), as_bytes(value))) break;
      keys.push_back(key);
    }
    std::shuffle(keys.begin(), keys.end(), random);
  }
};

void lookup(benchmark::State& state) {
  const FullLeaf leaf(state.range(0) != 0);
  const NodeView view(leaf.page);
  std::size_t i = 0;
  for (auto _ : state) {
    const NodeView::Position position = view.lower_bound(as_bytes(leaf.keys[i]));
    benchmark::DoNotOptimize(view.value(position.slot).data());
    if (++i == leaf.keys.size()) i = 0;
  }
}
BENCHMARK(lookup)->ArgName("slotted")->Arg(0)->Arg(1);

/// One insert into a leaf that is half full on average: inserts 200 into an empty one, in random order.
void insert(benchmark::State& state) {
  const bool slotted = state.range(0) != 0;
  const FullLeaf full(false, 200);
  RedoTable ops;
  register_node_ops(ops);
  const ApplyPageOp apply = ops.find(raw(PageOp::kNodeInsert)).apply;
  PayloadBuffer payload;
  const std::string value(16, 'v');
  alignas(64) Page page;
  std::size_t i = full.keys.size();
  for (auto _ : state) {
    if (i == full.keys.size()) {
      build_node(page, ObjectId{1}, 0, true, NodeFences{}, kNoPage);
      i = 0;
    }
    const std::string& key = full.keys[i];
    payload.clear();
    const Bytes bytes = as_bytes(value).first(slotted && i % 2 != 0 ? 15 : 16);
    encode_node_insert(payload, NodeView(page).lower_bound(as_bytes(key)).slot, 0, as_bytes(key), bytes);
    benchmark::DoNotOptimize(apply(page, payload.bytes()).has_value());
    ++i;
  }
}
BENCHMARK(insert)->ArgName("slotted")->Arg(0)->Arg(1);

void split(benchmark::State& state) {
  const FullLeaf leaf(state.range(0) != 0);
  const NodeView view(leaf.page);
  Page right;
  for (auto _ : state) {
    const SplitPoint point = choose_split(view, view.count() / 3, 24);
    build_right_half(right, view, point);
    benchmark::DoNotOptimize(right.data());
  }
}
BENCHMARK(split)->ArgName("slotted")->Arg(0)->Arg(1);

void verify(benchmark::State& state) {
  const FullLeaf leaf(state.range(0) != 0);
  for (auto _ : state) benchmark::DoNotOptimize(verify_node(leaf.page).has_value());
}
BENCHMARK(verify)->ArgName("slotted")->Arg(0)->Arg(1);

}  // namespace
}  // namespace vaultgres

BENCHMARK_MAIN();
