// Tables for tests: their rows as a std::map, the order of an index computed
// from its definition alone, and what an index says that differs from the rows.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "support/database.h"
#include "vaultgres/table.h"

namespace vaultgres {

using Rows = std::map<RowId, Row>;

inline std::string text_of(RowId id) {
  return "(" + std::to_string(id.page) + ", " + std::to_string(id.slot) + ")";
}

inline Error wrong_answer(const std::string& what) {
  return Error(ErrorCode::kCorruption, "wrong answer: " + what);
}

/// All rows; an error when one comes twice.
inline Result<Rows> read_rows(TableScan scan) {
  Rows rows;
  for (;;) {
    const Result<bool> more = scan.next();
    if (!more) return more.error().with_context("scan");
    if (!*more) return rows;
    if (!rows.emplace(scan.id(), scan.row()).second) {
      return wrong_answer("the scan gives row " + text_of(scan.id()) + " twice");
    }
  }
}

inline Rows rows_or_failure(Result<Rows> rows) {
  EXPECT_TRUE(rows) << (rows ? "" : rows.error().message());
  return rows ? *std::move(rows) : Rows{};
}
inline Rows rows_of(const Table& table) {
  return rows_or_failure(read_rows(table.scan()));
}
inline Rows rows_of(const Table& table, const Transaction& txn) {
  return rows_or_failure(read_rows(table.scan(txn)));
}

using RowEntry = Rows::value_type;
using RowEntries = std::vector<const RowEntry*>;

/// How an index orders rows: by its columns, equal ones by their places.
class IndexOrder {
 public:
  IndexOrder(const Schema& schema, const IndexSpec& spec) {
    for (const IndexSpec::Part& part : spec.columns) parts_.push_back({*schema.find(part.column), part.descending});
  }

  std::weak_ordering compare_keys(const Row& a, const Row& b) const {
    for (const auto& [column, descending] : parts_) {
      const auto order = descending ? b[column] <=> a[column] : a[column] <=> b[column];
      if (order != 0) return order;
    }
    return std::weak_ordering::equivalent;
  }
  bool operator()(const RowEntry* a, const RowEntry* b) const {
    const auto order = compare_keys(a->second, b->second);
    return order != 0 ? order < 0 : a->first < b->first;
  }
  RowEntries sorted(const Rows& rows) const {
    RowEntries entries;
    for (const RowEntry& entry : rows) entries.push_back(&entry);
    std::sort(entries.begin(), entries.end(), *this);
    return entries;
  }
  /// The values of the first `count` columns of the index.
  Row key_of(const Row& row, std::size_t count = SIZE_MAX) const {
    Row key;
    for (std::size_t i = 0; i < std::min(count, parts_.size()); ++i) key.push_back(row[parts_[i].column]);
    return key;
  }
  std::size_t size() const { return parts_.size(); }
  std::size_t column(std::size_t i) const { return parts_[i].column; }
  bool has_null(const Row& row) const {
    return std::any_of(parts_.begin(), parts_.end(), [&](const Part& part) { return row[part.column].is_null(); });
  }

 private:
  struct Part {
    std::size_t column;
    bool descending;
  };
  std::vector<Part> parts_;
};

/// Whether the cursor, new or behind its last row, gives exactly these rows in this order, or in the reverse one.
inline Status check_walk(RowCursor& cursor, const RowEntries& expected, bool forward) {
  Result<bool> more = forward ? cursor.first() : cursor.last();
  for (std::size_t i = 0;; ++i, more = forward ? cursor.next() : cursor.prev()) {
    const std::string where = (forward ? "forward, row " : "backward, row ") + std::to_string(i) + ": ";
    if (!more) return more.error().with_context(where);
    if (*more != cursor.valid()) return wrong_answer(where + "the cursor's answer and valid() differ");
    if (i == expected.size() && *more) return wrong_answer(where + text_of(cursor.id()) + " is too much");
    if (i == expected.size()) return {};
    const RowEntry& entry = *expected[forward ? i : expected.size() - 1 - i];
    if (!*more) return wrong_answer(where + "the walk is over and " + text_of(entry.first) + " is missing");
    if (cursor.id() != entry.first) {
      return wrong_answer(where + text_of(cursor.id()) + " instead of " + text_of(entry.first));
    }
    if (cursor.row() != entry.second) return wrong_answer(where + text_of(cursor.id()) + " has other values");
  }
}

/// Whether the index gives exactly these rows, in its order, both ways, and finds some fifty of them by their keys.
inline Status check_index(const Index& index, const Rows& rows, const Transaction* txn = nullptr) {
  const IndexOrder order(index.schema(), index.spec());
  const RowEntries entries = order.sorted(rows);
  RowCursor cursor = txn != nullptr ? index.range(*txn) : index.range();
  for (const bool forward : {true, false}) {
    const Status walked = check_walk(cursor, entries, forward);
    if (!walked) return walked.error().with_context("index " + index.name());
  }
  const std::size_t step = 1 + entries.size() / 50;
  for (std::size_t i = 0; i < entries.size(); i += step) {
    const Row& row = entries[i]->second;
    if (i > 0 && order.compare_keys(entries[i - 1]->second, row) == 0) continue;  // not the first of its key
    const Row key = order.key_of(row);
    const auto found = txn != nullptr ? index.find(*txn, key) : index.find(key);
    const std::string what = "index " + index.name() + ", find of row " + text_of(entries[i]->first);
    if (!found) return found.error().with_context(what);
    if (!*found) return wrong_answer(what + ": nothing");
    if ((*found)->id != entries[i]->first) return wrong_answer(what + ": " + text_of((*found)->id));
    if ((*found)->values != row) return wrong_answer(what + ": other values");
  }
  return {};
}

/// All indexes of the table agree with what a scan gives; that.
inline Rows expect_agreement(Database& db, const Table& table) {
  Rows rows = rows_of(table);
  const auto indexes = db.indexes(table.name());
  EXPECT_TRUE(indexes) << (indexes ? "" : indexes.error().message());
  if (!indexes) return rows;
  for (const IndexInfo& info : *indexes) {
    const Result<Index> index = db.open_index(info.name);
    EXPECT_TRUE(index) << (index ? "" : index.error().message());
    if (index) {
      const Status agrees = check_index(*index, rows);
      EXPECT_TRUE(agrees) << agrees.error().message();
    }
  }
  return rows;
}

}  // namespace vaultgres
