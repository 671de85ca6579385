// Maps: ordered byte strings to byte strings; cursors over them.
//
// Keys are 0 to kMaxKeyBytes bytes and compare as bytes; values 0 to kMaxValueBytes. Calls without a
// Transaction are transactions of their own. Calls with one belong to it: it sees its own changes, nobody
// else does before it commits. A call that must wait for another writer of the key ends with kConflict
// after Options::lock_timeout.
//
// Thread safety: a Map may be used by any number of threads at once; a Transaction, a Cursor and a MapLoad by one
// thread at a time. A Map keeps the database's core alive; after Database::close() its calls return kClosed.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vaultgres/result.h"

namespace vaultgres {

class Transaction;
class Cursor;
class Map;
class MapLoad;

namespace internal {
class Core;
struct MapHandle;
struct CursorState;
struct MapLoadState;
Map make_map(MapHandle handle);
Result<MapLoad> begin_map_load(const std::shared_ptr<Core>& core, std::string_view name);
}  // namespace internal

/// Ends of a range of keys; none: open.
struct KeyRange {
  std::optional<std::string> from;  ///< first key
  bool from_inclusive = true;
  std::optional<std::string> to;  ///< last key
  bool to_inclusive = false;

  static KeyRange all() { return {}; }
  /// All keys that begin with `prefix`.
  static KeyRange prefix(std::string_view prefix);
};

struct KeyValue {
  std::string_view key;
  std::string_view value;
};

/// About how much a range of a map holds.
struct SizeEstimate {
  std::uint64_t entries = 0;
  std::uint64_t bytes = 0;  ///< of their keys and values, large values included; not of the pages that hold them
};

/// Copies are handles of the same map. So is what it was moved from: moving copies.
class Map {
 public:
  Map(const Map& other) noexcept = default;
  Map& operator=(const Map& other) noexcept = default;
  ~Map() = default;

  const std::string& name() const noexcept;

  /// Inserts or replaces.
  Status put(std::string_view key, std::string_view value);
  /// kDuplicateKey when the key is there.
  Status insert(std::string_view key, std::string_view value);
  /// The value, or none.
  Result<std::optional<std::string>> get(std::string_view key) const;
  /// The value into `value`, whose memory is reused; false when there is none.
  Result<bool> get(std::string_view key, std::string& value) const;
  Result<bool> contains(std::string_view key) const;
  /// False when there was none.
  Result<bool> erase(std::string_view key);

  Status put(Transaction& txn, std::string_view key, std::string_view value);
  Status insert(Transaction& txn, std::string_view key, std::string_view value);
  Result<std::optional<std::string>> get(const Transaction& txn, std::string_view key) const;
  Result<bool> get(const Transaction& txn, std::string_view key, std::string& value) const;
  Result<bool> contains(const Transaction& txn, std::string_view key) const;
  Result<bool> erase(Transaction& txn, std::string_view key);

  /// Many keys in one call: `values` gets as many as there are keys, in their order, none where there is none. Memory
  /// of strings that it has is used again: keys must not lie in `values`. Keys may come in any order and more than
  /// once. The lookups wait for memory together, many at a time, and for pages that are not in the cache, up to
  /// eight at a time. All values belong to one state of the map, as of some moment during the call; in a relaxed
  /// database only as to transactions: a put or erase without one, while the call runs, may be seen whatever else is.
  /// While it runs, older versions of what others change are kept for it. Errors are those of get(), or kConflict where
  /// versions that it needs had to make room, and then `values` means nothing; a key that is too long is found before
  /// any is looked up.
  Status multi_get(std::span<const std::string_view> keys, std::vector<std::optional<std::string>>& values) const;
  Status multi_get(const Transaction& txn, std::span<const std::string_view> keys,
                   std::vector<std::optional<std::string>>& values) const;

  /// Many puts in one call, as one change: all or none. They are put in the order of their keys, which saves most ways
  /// through the tree; of several with one key the last one counts. Without a Transaction they are one of their own,
  /// with its limits: kTooLarge where it changes more than an eighth of the cache can remember; load_map() has none. A
  /// Transaction whose call was that large keeps others from changing much until it ends. Other errors are those of
  /// put(), which also says for how long others that hold a key are waited for; a key or value that is too long is
  /// found before anything is put.
  Status multi_put(std::span<const KeyValue> entries);
  Status multi_put(Transaction& txn, std::span<const KeyValue> entries);

  /// A cursor over a range, standing before its first entry. The one with a Transaction also sees what the
  /// transaction has changed, and must not outlive it. Without memory for the cursor its first step says so.
  Cursor cursor(KeyRange range = {}) const;
  Cursor cursor(const Transaction& txn, KeyRange range = {}) const;

  /// Cuts a range into up to `pieces` (1 to kMaxPieces) that hold about as many pages each, in order: what one of them
  /// leaves out the next one begins with. Fewer where the range has fewer leaves. It reads inner nodes only. For who
  /// has threads of his own: each takes a cursor over a piece.
  Result<std::vector<KeyRange>> partition(KeyRange range, unsigned pieces) const;
  static constexpr unsigned kMaxPieces = 256;

  /// Scans a range in up to `threads` (1 to kMaxScanThreads) threads, each with a cursor over a piece of it as
  /// partition() makes them: `visit(piece, key, value)` for each entry, ascending within a piece, perhaps at the same
  /// time in pieces that differ; all keys of a piece are below those of the next one. False ends the scan, in all
  /// pieces. The views live until `visit` returns; it must not throw. As to what others change meanwhile: see Cursor.
  /// The first error ends it, too.
  using VisitEntry = std::function<bool(unsigned piece, std::string_view key, std::string_view value)>;
  Status parallel_scan(KeyRange range, unsigned threads, const VisitEntry& visit) const;
  static constexpr unsigned kMaxScanThreads = 16;

  /// Number of visible entries, by a scan.
  Result<std::uint64_t> count(KeyRange range = {}) const;

  /// How much the range holds, without a scan: the ways to both of its ends are read, and a few leaves between them;
  /// some ten pages in a small map, twenty to sixty in one of a thousand million entries. What stands in the two leaves
  /// at the ends is counted, so a range that lies within them is exact; the rest is within a factor of two, mostly
  /// within a tenth, where entries of different sizes are well mixed. It tells what stands in the pages now: changes of
  /// open transactions count, whoever asks.
  Result<SizeEstimate> size_estimate(KeyRange range = {}) const;

 private:
  friend class Database;
  friend Map internal::make_map(internal::MapHandle handle);
  explicit Map(std::shared_ptr<internal::MapHandle> handle) : handle_(std::move(handle)) {}
  std::shared_ptr<internal::MapHandle> handle_;
};

/// Fills a new map with entries in ascending key order: faster than put(), and all or nothing. The map gets its name
/// with finish(), durably; without it (an error, a crash, destruction) nothing of it stays. Made by
/// Database::load_map(). For one thread at a time.
///
///   auto load = db.load_map("words");
///   if (!load) return report(load.error());
///   for (const auto& [key, value] : sorted) {
///     if (auto added = load->add(key, value); !added) return report(added.error());
///   }
///   auto words = load->finish();
class MapLoad {
 public:
  MapLoad(MapLoad&& other) noexcept;
  MapLoad& operator=(MapLoad&& other) noexcept;
  ~MapLoad();

  /// kInvalidArgument: the key is not above the last one. After an error the entry is not added, and the load can go on
  /// without it; after kNoSpace also with it, when there is space.
  Status add(std::string_view key, std::string_view value);
  std::uint64_t entries() const noexcept;
  /// kAlreadyExists when somebody else has taken the name meanwhile. After kNoSpace it can be called again; but nothing
  /// can be added any more.
  Result<Map> finish();

 private:
  friend Result<MapLoad> internal::begin_map_load(const std::shared_ptr<internal::Core>& core, std::string_view name);
  explicit MapLoad(std::unique_ptr<internal::MapLoadState> state);
  std::unique_ptr<internal::MapLoadState> state_;
};

/// Walks the entries of a map in key order, both ways. Holds no latch and no lock between calls: entries
/// come and go while it stands, also the very entry that it stands on. Entries are read in groups, each of one leaf
/// and at one instant, large values when it comes to them. It has no snapshot: what is committed while it walks may be
/// seen or not. So may what its
/// own loop writes ahead of it: one that puts a greater key for each that it meets need not end.
///
///   Cursor cursor = map.cursor(KeyRange::prefix("user:"));
///   for (auto more = cursor.next(); ; more = cursor.next()) {
///     if (!more) return report(more.error());     // never ends silently on an error
///     if (!*more) break;
///     use(cursor.key(), cursor.value());
///   }
///
/// The views live until the cursor's next step. After an error every later step returns an error too, until
/// a seek. Never leaves its range. Steps of a cursor that was moved from return kInvalidArgument.
class Cursor {
 public:
  Cursor(Cursor&& other) noexcept;
  Cursor& operator=(Cursor&& other) noexcept;
  ~Cursor();

  // Each answers whether the cursor now stands on an entry.
  Result<bool> first();
  Result<bool> last();
  Result<bool> seek(std::string_view key);   ///< first entry with a key >= `key` (ceiling)
  Result<bool> floor(std::string_view key);  ///< last entry with a key <= `key`
  Result<bool> next();                       ///< from before the first: the first
  Result<bool> prev();                       ///< from behind the last: the last

  bool valid() const noexcept;            ///< stands on an entry
  std::string_view key() const noexcept;  ///< empty unless valid()
  std::string_view value() const noexcept;

 private:
  friend class Map;
  explicit Cursor(std::unique_ptr<internal::CursorState> state) noexcept;
  std::unique_ptr<internal::CursorState> state_;  ///< null: no memory for it, or moved from
  bool no_memory_;
};

}  // namespace vaultgres
