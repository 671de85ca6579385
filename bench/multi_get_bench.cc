// Many keys in one call beside one key in each: the same random keys of one map, one thread; in a cache that holds it,
// then in one of an eighth of the file.
//
//   bench_multi_get [KEYS] [DIRECTORY]        default: 4,000,000 keys, a directory below the current one
//
// Keys are 8 random bytes. Values are 16 bytes, then, in another map, 8 to 24: leaves of a fixed stride and slotted
// ones.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "bench_support.h"
#include "vaultgres/database.h"

namespace {

using namespace bench;  // NOLINT: nothing else is here

/// Looks up keys of a map in which the value of key number n begins with n.
class Lookups {
 public:
  Lookups(const vaultgres::Map& map, std::uint64_t keys) : map_(map), keys_(keys) {}

  /// Keys per second, `batch` of them in a call; 0: by get().
  double run(std::size_t batch, std::uint64_t lookups) {
    const std::size_t each = std::max<std::size_t>(batch, 1);
    std::vector<std::uint64_t> numbers(each);
    std::vector<std::uint64_t> bytes(each);
    std::vector<std::string_view> views(each);
    values_.resize(each);
    const auto start = Clock::now();
    for (std::uint64_t done = 0; done < lookups; done += each) {
      for (std::size_t i = 0; i < each; ++i) {
        numbers[i] = mix(++asked_ + 12345) % keys_;
        bytes[i] = mix(numbers[i]);
        views[i] = {reinterpret_cast<const char*>(&bytes[i]), 8};
      }
      if (batch == 0) {
        check(must(map_.get(views[0], value_)) ? &value_ : nullptr, numbers[0]);
        continue;
      }
      must(map_.multi_get(views, values_));
      for (std::size_t i = 0; i < each; ++i) check(values_[i] ? &*values_[i] : nullptr, numbers[i]);
    }
    return static_cast<double>(lookups) / seconds_since(start);
  }

 private:
  static void check(const std::string* value, std::uint64_t number) {
    if (value == nullptr || std::memcmp(value->data(), &number, 8) != 0) die("a wrong value");
  }

  const vaultgres::Map& map_;
  const std::uint64_t keys_;
  std::uint64_t asked_ = 0;
  std::string value_;
  std::vector<std::optional<std::string>> values_;
};

void fill(vaultgres::Database& db, const char* name, std::uint64_t keys, bool one_length) {
  vaultgres::Map map = must(db.create_map(name));
  for (std::uint64_t i = 0; i < keys; ++i) {
    const std::uint64_t key = mix(i);
    char value[24] = "twenty-three letters...";
    std::memcpy(value, &i, 8);
    const std::size_t bytes = one_length ? 16 : 8 + mix(key) % 17;
    must(map.put({reinterpret_cast<const char*>(&key), 8}, {value, bytes}));
  }
}

void measure(vaultgres::Database& db, const char* name, std::uint64_t keys, std::uint64_t warm_up,
             std::uint64_t lookups_each) {
  const vaultgres::Map map = must(db.open_map(name));
  Lookups lookups(map, keys);
  lookups.run(0, warm_up);
  constexpr std::size_t kBatches[] = {0, 8, 64, 1024};
  double best[std::size(kBatches)] = {};
  for (int pass = 0; pass < 3; ++pass) {  // the best of three interleaved passes
    for (std::size_t i = 0; i < std::size(kBatches); ++i)
      best[i] = std::max(best[i], lookups.run(kBatches[i], lookups_each));
  }
  for (std::size_t i = 0; i < std::size(kBatches); ++i) {
    const std::string what = kBatches[i] == 0 ? "get" : "multi_get of " + std::to_string(kBatches[i]);
    std::printf("%-14s %-18s %12.0f %8.2f\n", name, what.c_str(), best[i], best[i] / best[0]);
  }
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t keys = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 4'000'000;
  const std::string directory = argc > 2 ? argv[2] : "bench_data";
  if (keys == 0) die("the number of keys must be at least 1");
  std::filesystem::remove_all(directory);
  vaultgres::Options options;
  options.durability = vaultgres::Durability::kRelaxed;
  options.cache_bytes = std::max<std::size_t>(keys * 160, std::size_t{64} << 20);
  {
    vaultgres::Database db = must(vaultgres::Database::open(directory, options));
    std::printf("%llu keys of 8 random bytes, all cached, one thread; keys per second, and beside get\n",
                static_cast<unsigned long long>(keys));
    for (const bool one_length : {true, false}) {
      const char* const name = one_length ? "one length" : "many lengths";
      fill(db, name, keys, one_length);
      measure(db, name, keys, keys / 4 + 1, keys / 2 + 1);
    }
  }
  options.cache_bytes = std::filesystem::file_size(directory + "/data.vg") / 8;
  {
    vaultgres::Database db = must(vaultgres::Database::open(directory, options));
    std::printf("the same with an eighth of the file's pages cached\n");
    for (const char* name : {"one length", "many lengths"}) measure(db, name, keys, keys / 100 + 1, keys / 200 + 1);
  }
  std::filesystem::remove_all(directory);
  return 0;
}
