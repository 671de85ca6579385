// Asks an index of the chess ratings random range queries and compares every answer with a sorted copy of the CSV file,
// read without the engine; some of the answers also with a scan of the whole table by the engine.
//
//   range_oracle DIR TABLE INDEX FILE.csv QUERIES SCANS [SEED]
//
// The table has the columns fide_id, period, elo; the index is over fide_id and period. Ends with an error at the first
// difference.
#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "vaultgres/database.h"

namespace {

using vaultgres::IndexRange;
using vaultgres::Result;
using vaultgres::Row;
using vaultgres::Value;
using vaultgres::ValueBound;

struct Rating {
  std::int32_t player = 0;
  std::int32_t period = 0;
  std::int32_t elo = 0;
  friend auto operator<=>(const Rating&, const Rating&) = default;
};

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "range_oracle: %s\n", what.c_str());
  std::exit(1);
}

template <class T>
T expect(Result<T> result) {
  if (!result) fail(std::string(result.error().message()));
  return *std::move(result);
}

std::vector<Rating> read_sorted(const char* path) {
  std::ifstream file(path);
  if (!file) fail(std::string("cannot read ") + path);
  std::vector<Rating> ratings;
  std::string line;
  std::getline(file, line);
  while (std::getline(file, line)) {
    Rating rating;
    const char* at = line.data();
    const char* const end = line.data() + line.size();
    for (std::int32_t* field : {&rating.player, &rating.period, &rating.elo}) {
      const auto [next, problem] = std::from_chars(at, end, *field);
      if (problem != std::errc()) fail("cannot read the line " + line);
      at = next == end ? end : next + 1;
    }
    ratings.push_back(rating);
  }
  std::sort(ratings.begin(), ratings.end());
  return ratings;
}

/// A query and the part of the sorted copy that answers it.
struct Query {
  IndexRange range;
  bool backward = false;
  std::size_t begin = 0;
  std::size_t end = 0;
  std::int32_t player_from = 0, player_to = INT32_MAX, period_from = 0, period_to = INT32_MAX;  ///< both inclusive
};

class Oracle {
 public:
  Oracle(std::vector<Rating> ratings, std::uint64_t seed) : ratings_(std::move(ratings)), random_(seed) {}

  /// Half of the queries are about periods of one player, half about players from one to another.
  Query next() {
    Query query;
    const Rating& start = ratings_[random_() % ratings_.size()];
    query.backward = random_() % 2 == 0;
    if (random_() % 2 == 0) {
      query.range.equal = {Value(start.player)};
      query.player_from = query.player_to = start.player;
      add_ends(query.range, start.period, static_cast<std::int32_t>(start.period + random_() % 300), query.period_from,
               query.period_to);
    } else {
      const std::size_t other = static_cast<std::size_t>(&start - ratings_.data()) + random_() % 2000;
      const std::int32_t last = ratings_[std::min(other, ratings_.size() - 1)].player;
      // Two ends at least: a query for half of the table says little and takes long.
      add_ends(query.range, start.player, last + static_cast<std::int32_t>(random_() % 3), query.player_from,
               query.player_to, true);
    }
    const auto begin =
        std::lower_bound(ratings_.begin(), ratings_.end(), Rating{query.player_from, query.period_from, INT32_MIN});
    const auto end =
        std::upper_bound(ratings_.begin(), ratings_.end(), Rating{query.player_to, query.period_to, INT32_MAX});
    query.begin = static_cast<std::size_t>(begin - ratings_.begin());
    query.end = std::max(query.begin, static_cast<std::size_t>(end - ratings_.begin()));
    return query;
  }

  /// `rows`: in the order of the index, which leaves rows of one key in any order.
  bool answers(const Query& query, std::vector<Rating> rows) const {
    if (query.backward) std::reverse(rows.begin(), rows.end());
    const auto key_before = [](const Rating& a, const Rating& b) {
      return std::tie(a.player, a.period) < std::tie(b.player, b.period);
    };
    if (!std::is_sorted(rows.begin(), rows.end(), key_before)) return false;
    std::sort(rows.begin(), rows.end());
    return std::equal(rows.begin(), rows.end(), ratings_.begin() + static_cast<std::ptrdiff_t>(query.begin),
                      ratings_.begin() + static_cast<std::ptrdiff_t>(query.end));
  }

 private:
  void add_ends(IndexRange& range, std::int32_t from, std::int32_t to, std::int32_t& least, std::int32_t& greatest,
                bool both = false) {
    if (both || random_() % 8 != 0) {
      range.from = ValueBound{Value(from), random_() % 2 == 0};
      least = range.from->inclusive ? from : from + 1;
    }
    if (both || random_() % 8 != 0) {
      range.to = ValueBound{Value(to), random_() % 2 == 0};
      greatest = range.to->inclusive ? to : to - 1;
    }
  }

  std::vector<Rating> ratings_;
  std::mt19937_64 random_;
};

Rating rating_of(const Row& row) {
  return {static_cast<std::int32_t>(row[0].integer()), static_cast<std::int32_t>(row[1].integer()),
          static_cast<std::int32_t>(row[2].integer())};
}

std::vector<Rating> ask(const vaultgres::Index& index, const Query& query) {
  std::vector<Rating> rows;
  vaultgres::RowCursor cursor = index.range(query.range);
  bool more = expect(query.backward ? cursor.last() : cursor.first());
  for (; more; more = expect(query.backward ? cursor.prev() : cursor.next())) rows.push_back(rating_of(cursor.row()));
  return rows;
}

std::vector<Rating> scan(const vaultgres::Table& table, const Query& query) {
  std::vector<Rating> rows;
  vaultgres::TableScan scan = table.scan();
  while (expect(scan.next())) {
    const Rating rating = rating_of(scan.row());
    if (rating.player < query.player_from || rating.player > query.player_to) continue;
    if (rating.period < query.period_from || rating.period > query.period_to) continue;
    rows.push_back(rating);
  }
  std::sort(rows.begin(), rows.end());
  if (query.backward) std::reverse(rows.begin(), rows.end());
  return rows;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 7) fail("usage: range_oracle DIR TABLE INDEX FILE.csv QUERIES SCANS [SEED]");
  const std::uint64_t queries = std::strtoull(argv[5], nullptr, 10);
  const std::uint64_t scans = std::strtoull(argv[6], nullptr, 10);
  const std::uint64_t seed = argc > 7 ? std::strtoull(argv[7], nullptr, 10) : std::random_device()();
  vaultgres::Options options;
  options.create_if_missing = false;
  vaultgres::Database db = expect(vaultgres::Database::open(argv[1], options));
  const vaultgres::Table table = expect(db.open_table(argv[2]));
  const vaultgres::Index index = expect(db.open_index(argv[3]));
  Oracle oracle(read_sorted(argv[4]), seed);
  std::uint64_t rows = 0;
  for (std::uint64_t i = 0; i < queries; ++i) {
    const Query query = oracle.next();
    const std::vector<Rating> answer = ask(index, query);
    rows += answer.size();
    if (!oracle.answers(query, answer)) {
      fail("query " + std::to_string(i) + " of seed " + std::to_string(seed) + " has a wrong answer");
    }
    if (i < scans && !oracle.answers(query, scan(table, query))) {
      fail("query " + std::to_string(i) + " of seed " + std::to_string(seed) + ": a scan finds something else");
    }
  }
  std::printf("%llu range queries, %llu rows, %llu of the queries by a scan as well, seed %llu: no difference\n",
              static_cast<unsigned long long>(queries), static_cast<unsigned long long>(rows),
              static_cast<unsigned long long>(scans), static_cast<unsigned long long>(seed));
  return 0;
}
