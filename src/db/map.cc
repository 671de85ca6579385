// The public handle Map: each call passes the gates, checks its arguments and goes to the rows.
#include "vaultgres/map.h"

#include <algorithm>

#include "base/try.h"
#include "db/core.h"
#include "db/cursor_state.h"
#include "db/limits.h"
#include "db/statement.h"

namespace vaultgres {

namespace {

using internal::Core;

/// Runs a change of the map as a transaction of its own: `change(tree)`.
template <class Change>
auto change_alone(const internal::MapHandle& handle, Change&& change) -> decltype(change(std::declval<Tree>())) {
  return internal::statement_alone(*handle.core, *handle.map,
                                   [&] { return change(handle.map->tree(handle.core->engine())); });
}

/// Runs a change of the map within a transaction: `change(txn, tree)`.
template <class Change>
auto change_within(const internal::MapHandle& handle, Transaction::State* state, Change&& change)
    -> decltype(change(std::declval<Txn&>(), std::declval<Tree>())) {
  return internal::statement_within(*handle.core, handle.map, state,
                                    [&](Txn& txn) { return change(txn, handle.map->tree(handle.core->engine())); });
}

Status put_alone(const internal::MapHandle& handle, std::string_view key, std::string_view value, PutMode mode) {
  VG_TRY(internal::check_key(key));
  VG_TRY(internal::check_value(value));
  Core& core = *handle.core;
  return change_alone(handle, [&](const Tree& tree) {
    return put_single(core.engine(), core.txns(), tree, as_bytes(key), as_bytes(value), mode, core.mode());
  });
}

Status put_within(const internal::MapHandle& handle, Transaction::State* state, std::string_view key,
                  std::string_view value, PutMode mode) {
  VG_TRY(internal::check_key(key));
  VG_TRY(internal::check_value(value));
  Core& core = *handle.core;
  return change_within(handle, state, [&](Txn& txn, const Tree& tree) {
    return put_entry(core.engine(), core.txns(), txn, tree, as_bytes(key), as_bytes(value), mode);
  });
}

Status check_entries(std::span<const KeyValue> entries) {
  for (const KeyValue& entry : entries) {
    VG_TRY(internal::check_key(entry.key));
    VG_TRY(internal::check_value(entry.value));
  }
  return {};
}

/// In the order of the keys: so two that want the same ones do not each hold what the other wants.
Status put_entries(Core& core, Txn& txn, const Tree& tree, std::span<const KeyValue> entries) {
  std::vector<const KeyValue*> sorted;
  sorted.reserve(entries.size());
  for (const KeyValue& entry : entries) sorted.push_back(&entry);
  const auto is_before = [](const KeyValue* a, const KeyValue* b) { return a->key < b->key; };
  std::stable_sort(sorted.begin(), sorted.end(), is_before);  // of one key the last entry stays the last
  Tree::WriteTrail trail;
  for (const KeyValue* entry : sorted) {
    VG_TRY(put_entry(core.engine(), core.txns(), txn, tree, as_bytes(entry->key), as_bytes(entry->value),
                     PutMode::kUpsert, &trail));
  }
  return {};
}

/// Runs `reading(engine, tree)`.
template <class Reading>
auto read(const internal::MapHandle& handle, Reading&& reading)
    -> decltype(reading(std::declval<const Engine&>(), std::declval<Tree>())) {
  using Answer = decltype(reading(std::declval<const Engine&>(), std::declval<Tree>()));
  return internal::run_call(*handle.core, [&]() -> Answer {
    if (handle.map->dropped.load()) return handle.map->dropped_error();
    const Engine& engine = handle.core->engine();
    VG_TRY(engine.poison.check());
    Answer answer = reading(engine, handle.map->tree(engine));
    // A tree that is being taken apart answers anything.
    if (handle.map->dropped.load()) return handle.map->dropped_error();
    return answer;
  });
}

Result<bool> read_one(const internal::MapHandle& handle, TxnId self, std::string_view key, std::string& value) {
  VG_TRY(internal::check_key(key));
  return read(handle, [&](const Engine& engine, const Tree& tree) {
    return get_entry(engine, tree, as_bytes(key), self, value);
  });
}

Status read_many(const internal::MapHandle& handle, TxnId self, std::span<const std::string_view> keys,
                 std::vector<std::optional<std::string>>& values) {
  for (const std::string_view key : keys) VG_TRY(internal::check_key(key));
  return read(handle,
              [&](const Engine& engine, const Tree& tree) { return get_entries(engine, tree, keys, self, values); });
}

}  // namespace

const std::string& Map::name() const noexcept {
  return handle_->name;
}

Status Map::put(std::string_view key, std::string_view value) {
  return put_alone(*handle_, key, value, PutMode::kUpsert);
}

Status Map::insert(std::string_view key, std::string_view value) {
  return put_alone(*handle_, key, value, PutMode::kInsertUnique);
}

Result<bool> Map::erase(std::string_view key) {
  VG_TRY(internal::check_key(key));
  Core& core = *handle_->core;
  return change_alone(*handle_, [&](const Tree& tree) {
    return erase_single(core.engine(), core.txns(), tree, as_bytes(key), core.mode());
  });
}

Result<bool> Map::get(std::string_view key, std::string& value) const {
  return read_one(*handle_, kNoTxn, key, value);
}

Result<std::optional<std::string>> Map::get(std::string_view key) const {
  std::string value;
  VG_ASSIGN(const bool found, get(key, value));
  if (!found) return std::optional<std::string>();
  return std::optional<std::string>(std::move(value));
}

Result<bool> Map::contains(std::string_view key) const {
  std::string value;
  return get(key, value);
}

Status Map::multi_get(std::span<const std::string_view> keys, std::vector<std::optional<std::string>>& values) const {
  return read_many(*handle_, kNoTxn, keys, values);
}

Status Map::multi_put(std::span<const KeyValue> entries) {
  VG_ASSIGN(std::unique_ptr<Transaction::State> state, internal::begin_transaction(handle_->core));
  Transaction txn(std::move(state));
  if (Status put = multi_put(txn, entries); !put) {
    VG_TRY(txn.rollback());
    return put;
  }
  return txn.commit();
}

Status Map::multi_put(Transaction& txn, std::span<const KeyValue> entries) {
  VG_TRY(check_entries(entries));
  return change_within(*handle_, txn.state_.get(),
                       [&](Txn& inner, const Tree& tree) { return put_entries(*handle_->core, inner, tree, entries); });
}

Status Map::put(Transaction& txn, std::string_view key, std::string_view value) {
  return put_within(*handle_, txn.state_.get(), key, value, PutMode::kUpsert);
}

Status Map::insert(Transaction& txn, std::string_view key, std::string_view value) {
  return put_within(*handle_, txn.state_.get(), key, value, PutMode::kInsertUnique);
}

Result<bool> Map::erase(Transaction& txn, std::string_view key) {
  VG_TRY(internal::check_key(key));
  Core& core = *handle_->core;
  return change_within(*handle_, txn.state_.get(), [&](Txn& inner, const Tree& tree) {
    return erase_entry(core.engine(), core.txns(), inner, tree, as_bytes(key));
  });
}

Result<bool> Map::get(const Transaction& txn, std::string_view key, std::string& value) const {
  VG_ASSIGN(const TxnId self, internal::reader_id(*handle_->core, txn.state_.get()));
  return read_one(*handle_, self, key, value);
}

Result<std::optional<std::string>> Map::get(const Transaction& txn, std::string_view key) const {
  std::string value;
  VG_ASSIGN(const bool found, get(txn, key, value));
  if (!found) return std::optional<std::string>();
  return std::optional<std::string>(std::move(value));
}

Result<bool> Map::contains(const Transaction& txn, std::string_view key) const {
  std::string value;
  return get(txn, key, value);
}

Status Map::multi_get(const Transaction& txn, std::span<const std::string_view> keys,
                      std::vector<std::optional<std::string>>& values) const {
  VG_ASSIGN(const TxnId self, internal::reader_id(*handle_->core, txn.state_.get()));
  return read_many(*handle_, self, keys, values);
}

namespace {

/// Null: there is no memory for it.
std::unique_ptr<internal::CursorState> cursor_state(const internal::MapHandle& handle, const Result<TxnId>& self,
                                                    KeyRange range) noexcept {
  try {
    auto state = std::make_unique<internal::CursorState>(handle, std::move(range));
    if (self) {
      state->self = *self;
    } else {
      state->error = state->unusable = self.error();
    }
    return state;
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

}  // namespace

Cursor Map::cursor(KeyRange range) const {
  return Cursor(cursor_state(*handle_, kNoTxn, std::move(range)));
}

Cursor Map::cursor(const Transaction& txn, KeyRange range) const {
  return Cursor(cursor_state(*handle_, internal::reader_id(*handle_->core, txn.state_.get()), std::move(range)));
}

Result<std::uint64_t> Map::count(KeyRange range) const {
  Cursor all = cursor(std::move(range));
  std::uint64_t entries = 0;
  for (;;) {
    VG_ASSIGN(const bool more, all.next());
    if (!more) return entries;
    ++entries;
  }
}

Result<SizeEstimate> Map::size_estimate(KeyRange range) const {
  return internal::run_call(*handle_->core, [&]() -> Result<SizeEstimate> {
    // The least key of the range, and the least one above it: a key with a zero byte behind it is the next one.
    std::string from = range.from.value_or(std::string());
    if (range.from && !range.from_inclusive) from += '\0';
    if (range.to && range.to_inclusive) *range.to += '\0';
    if (handle_->map->dropped.load()) return handle_->map->dropped_error();
    const Engine& engine = handle_->core->engine();
    VG_TRY(engine.poison.check());
    std::optional<Bytes> to;
    if (range.to) to = as_bytes(*range.to);
    const auto size = handle_->map->tree(engine).estimate(as_bytes(from), to);
    // A tree that is being taken apart answers anything.
    if (handle_->map->dropped.load()) return handle_->map->dropped_error();
    if (!size) return size.error();
    // On damaged pages the sums may be anything.
    const auto rounded = [](double sum) { return static_cast<std::uint64_t>(std::min(sum + 0.5, 1e18)); };
    return SizeEstimate{rounded(size->entries), rounded(size->bytes)};
  });
}

KeyRange KeyRange::prefix(std::string_view prefix) {
  KeyRange range;
  range.from = std::string(prefix);
  // The least string above all that begin with the prefix: its last byte that is not 0xFF, plus one.
  std::string end(prefix);
  while (!end.empty() && static_cast<unsigned char>(end.back()) == 0xFF) end.pop_back();
  if (!end.empty()) {
    end.back() = static_cast<char>(static_cast<unsigned char>(end.back()) + 1);
    range.to = std::move(end);
  }
  return range;
}

}  // namespace vaultgres
