#include "txn/version_table.h"

#include <algorithm>
#include <array>
#include <bit>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <new>
#include <utility>

#include "base/check.h"
#include "base/seeded_bug.h"

namespace vaultgres {

// --- TxnStatus

namespace {

/// Where waiters sleep. Few transactions are ever waited for, so they share some of these.
struct WaitPlace {
  std::mutex mutex;
  std::condition_variable wake;
};

WaitPlace& wait_place(const TxnStatus* status) noexcept {
  static std::array<WaitPlace, 64> places;
  return places[reinterpret_cast<std::uintptr_t>(status) / 64 % places.size()];
}

}  // namespace

void TxnStatus::finish() noexcept {
  if (stage_.exchange(Stage::kFinished, std::memory_order_acq_rel) != Stage::kAwaited) return;
  WaitPlace& place = wait_place(this);
  // A waiter marks the stage and goes to sleep under this mutex: once we have it, it sleeps and hears us, or
  // it has not looked yet and will see kFinished.
  { const std::lock_guard lock(place.mutex); }
  place.wake.notify_all();
}

bool TxnStatus::wait_finished(std::chrono::steady_clock::time_point deadline) const {
  if (finished()) return true;
  WaitPlace& place = wait_place(this);
  std::unique_lock lock(place.mutex);
  Stage open = Stage::kOpen;
  stage_.compare_exchange_strong(open, Stage::kAwaited, std::memory_order_acq_rel);
  return place.wake.wait_until(lock, deadline, [this] { return finished(); });
}

// --- The table's parts

namespace {

/// An older state of a key, its value behind it in the same piece of memory.
struct Version {
  Version* older;
  std::shared_ptr<TxnStatus> writer;  ///< committed; null: older than every snapshot
  std::uint32_t value_bytes;
  bool present;
  std::uint8_t flags;

  std::uint64_t commit() const noexcept { return writer == nullptr ? 0 : writer->commit_lsn(); }
  char* value() noexcept { return reinterpret_cast<char*>(this + 1); }
  std::size_t memory_bytes() const noexcept { return memory_bytes(value_bytes); }
  /// With the allocator's own.
  static std::size_t memory_bytes(std::size_t value_bytes) noexcept { return sizeof(Version) + value_bytes + 16; }

  static Version* create(const KeyState& state) noexcept {
    const std::size_t bytes = state.present ? state.value.size() : 0;
    void* memory = ::operator new(sizeof(Version) + bytes, std::nothrow);
    if (memory == nullptr) return nullptr;
    auto* version =
        new (memory) Version{nullptr, nullptr, static_cast<std::uint32_t>(bytes), state.present, state.flags};
    if (bytes != 0) std::memcpy(version->value(), state.value.data(), bytes);
    return version;
  }
  static void destroy_chain(Version* version) noexcept {
    while (version != nullptr) {
      Version* older = version->older;
      version->~Version();
      ::operator delete(version);
      version = older;
    }
  }
};

/// What is known about one key, the key's bytes behind it in the same piece of memory.
struct Entry {
  Entry* next;  // in its bucket
  std::uint64_t hash;
  std::shared_ptr<TxnStatus> head;  ///< who wrote the state on the page
  Version* older;                   ///< newest first
  ObjectId object;
  std::uint32_t key_bytes;

  std::byte* key() noexcept { return reinterpret_cast<std::byte*>(this + 1); }
  bool is(std::uint64_t other_hash, ObjectId other_object, Bytes other_key) noexcept {
    return hash == other_hash && object == other_object && key_bytes == other_key.size() &&
           (key_bytes == 0 || std::memcmp(key(), other_key.data(), key_bytes) == 0);
  }
  std::size_t memory_bytes() const noexcept { return memory_bytes(key_bytes); }
  /// With its bucket, the allocator's own, and its writer's status, which it may be the last to need.
  static std::size_t memory_bytes(std::size_t key_bytes) noexcept {
    return sizeof(Entry) + key_bytes + sizeof(TxnStatus) + 48;
  }

  static Entry* create(std::uint64_t hash, ObjectId object, Bytes key) noexcept {
    void* memory = ::operator new(sizeof(Entry) + key.size(), std::nothrow);
    if (memory == nullptr) return nullptr;
    auto* entry = new (memory) Entry{nullptr, hash, nullptr, nullptr, object, static_cast<std::uint32_t>(key.size())};
    if (!key.empty()) std::memcpy(entry->key(), key.data(), key.size());
    return entry;
  }
  static void destroy(Entry* entry) noexcept {
    if (entry == nullptr) return;
    Version::destroy_chain(entry->older);
    entry->~Entry();
    ::operator delete(entry);
  }
};

/// What was taken out of a shard, freed after the shard's latch: declare it before the lock.
struct Removed {
  Removed() = default;
  Removed(const Removed&) = delete;
  Removed& operator=(const Removed&) = delete;
  ~Removed() {
    Entry::destroy(entry);
    Version::destroy_chain(versions);
  }
  Entry* entry = nullptr;
  Version* versions = nullptr;
};

std::uint64_t hash_of(std::uint64_t seed, ObjectId object, Bytes key) noexcept {
  constexpr std::uint64_t kMultiplier = 0x9FB21C651E98DF25;
  std::uint64_t hash = seed ^ (std::uint64_t{raw(object)} << 32 | static_cast<std::uint32_t>(key.size()));
  const auto mix = [&](std::uint64_t word) {
    hash = (hash ^ word) * kMultiplier;
    hash ^= hash >> 32;
  };
  const std::byte* at = key.data();
  std::size_t left = key.size();
  for (; left >= 8; at += 8, left -= 8) {
    std::uint64_t word;
    std::memcpy(&word, at, sizeof word);
    mix(word);
  }
  if (left != 0) {
    std::uint64_t word = 0;
    std::memcpy(&word, at, left);
    mix(word);
  }
  mix(seed >> 7);
  return hash;
}

/// Part of the table under one latch. Chained buckets, doubled when there are more entries than buckets.
struct alignas(64) Shard {
  mutable std::mutex mutex;
  std::unique_ptr<Entry*[]> buckets;
  std::size_t bucket_count = 0;  // a power of two, or 0 before the first entry
  std::size_t credit = 0;        // bytes taken from the table's memory and not used
  // Changed under the latch, read without it.
  std::atomic<std::size_t> entries{0};
  std::atomic<std::size_t> bytes{0};

  ~Shard() {
    for (std::size_t i = 0; i < bucket_count; ++i) {
      while (Entry* entry = buckets[i]) {
        buckets[i] = entry->next;
        Entry::destroy(entry);
      }
    }
  }

  /// The link that points to the entry, or the null link where it would go; null without buckets.
  Entry** find(std::uint64_t hash, ObjectId object, Bytes key) const noexcept {
    if (bucket_count == 0) return nullptr;
    Entry** link = &buckets[hash & (bucket_count - 1)];
    while (*link != nullptr && !(*link)->is(hash, object, key)) link = &(*link)->next;
    return link;
  }
  Entry* find_entry(std::uint64_t hash, ObjectId object, Bytes key) const noexcept {
    Entry** link = find(hash, object, key);
    return link == nullptr ? nullptr : *link;
  }

  /// False only when there is not a single bucket: else a failed growth makes longer chains.
  bool grow() noexcept {
    constexpr std::size_t kFirstCount = 16;
    const std::size_t count = bucket_count == 0 ? kFirstCount : 2 * bucket_count;
    std::unique_ptr<Entry*[]> grown(new (std::nothrow) Entry*[count]());
    if (grown == nullptr) return bucket_count != 0;
    for (std::size_t i = 0; i < bucket_count; ++i) {
      while (Entry* entry = buckets[i]) {
        buckets[i] = entry->next;
        Entry*& bucket = grown[entry->hash & (count - 1)];
        entry->next = bucket;
        bucket = entry;
      }
    }
    buckets = std::move(grown);
    bucket_count = count;
    return true;
  }
  bool insert(Entry* entry) noexcept {
    const std::size_t count = entries.load(std::memory_order_relaxed);
    if (count >= bucket_count && !grow()) return false;
    Entry*& bucket = buckets[entry->hash & (bucket_count - 1)];
    entry->next = bucket;
    bucket = entry;
    entries.store(count + 1, std::memory_order_relaxed);
    return true;
  }
  Entry* take_out(Entry** link) noexcept {
    Entry* entry = *link;
    *link = entry->next;
    entries.store(entries.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
    return entry;
  }
};

}  // namespace

struct VersionTable::Impl {
  explicit Impl(std::size_t bytes_max)
      // More shards for larger tables, so that doubling one of them stays short.
      : shard_count(std::bit_ceil(std::clamp<std::size_t>(bytes_max / (std::size_t{512} << 10), 256, 4096))),
        chunk(bytes_max / (16 * shard_count)),
        seed(reinterpret_cast<std::uintptr_t>(this) * 0xD6E8FEB86659FD93 ^
             static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count())),
        shards(new Shard[shard_count]),
        free_bytes(bytes_max) {}

  const std::size_t shard_count;
  const std::size_t chunk;   // bytes that a shard takes or gives back at a time
  const std::uint64_t seed;  // so that nobody can choose keys that meet in one bucket
  const std::unique_ptr<Shard[]> shards;
  alignas(64) std::atomic<std::size_t> free_bytes;
  /// The highest floor that prune() was given: no snapshot below it is, or ever will be, registered.
  alignas(64) std::atomic<std::uint64_t> floor{0};

  Shard& shard_of(std::uint64_t hash) const noexcept { return shards[(hash >> 48) & (shard_count - 1)]; }

  void raise_floor(std::uint64_t to) noexcept {
    std::uint64_t seen = floor.load(std::memory_order_relaxed);
    while (seen < to && !floor.compare_exchange_weak(seen, to, std::memory_order_relaxed)) {
    }
  }

  bool take_from_all(std::size_t bytes) noexcept {
    if (VG_SEEDED_BUG(kVersionsUnlimited)) return true;
    std::size_t free = free_bytes.load(std::memory_order_relaxed);
    while (free >= bytes) {
      if (free_bytes.compare_exchange_weak(free, free - bytes, std::memory_order_relaxed)) return true;
    }
    return false;
  }
  bool take(Shard& shard, std::size_t bytes) noexcept {
    if (shard.credit < bytes) {
      const std::size_t missing = bytes - shard.credit;
      if (take_from_all(missing + chunk)) {
        shard.credit += missing + chunk;
      } else if (take_from_all(missing)) {
        shard.credit += missing;
      } else {
        return false;
      }
    }
    shard.credit -= bytes;
    shard.bytes.store(shard.bytes.load(std::memory_order_relaxed) + bytes, std::memory_order_relaxed);
    return true;
  }
  void give(Shard& shard, std::size_t bytes) noexcept {
    shard.credit += bytes;
    shard.bytes.store(shard.bytes.load(std::memory_order_relaxed) - bytes, std::memory_order_relaxed);
    if (shard.credit <= 2 * chunk) return;
    free_bytes.fetch_add(shard.credit - chunk, std::memory_order_relaxed);
    shard.credit = chunk;
  }

  void remove(Shard& shard, Entry** link, Removed& removed) noexcept {
    removed.entry = shard.take_out(link);
    std::size_t bytes = removed.entry->memory_bytes();
    for (Version* version = removed.entry->older; version != nullptr; version = version->older) {
      bytes += version->memory_bytes();
    }
    give(shard, bytes);
  }
  /// Takes out what lies below the newest version that a snapshot at `floor` sees.
  void trim(Shard& shard, Entry& entry, std::uint64_t to_floor, Removed& removed) noexcept {
    Version* version = entry.older;
    while (version != nullptr && version->commit() > to_floor) version = version->older;
    if (version == nullptr || version->older == nullptr) return;
    removed.versions = std::exchange(version->older, nullptr);
    std::size_t bytes = 0;
    for (version = removed.versions; version != nullptr; version = version->older) bytes += version->memory_bytes();
    give(shard, bytes);
  }
};

// --- The table

VersionTable::VersionTable(std::size_t bytes_max) : impl_(std::make_unique<Impl>(bytes_max)) {}
VersionTable::~VersionTable() = default;

namespace {

/// A key nobody has written recently: the page's state is older than every snapshot.
bool insert_entry(Shard& shard, std::uint64_t hash, ObjectId object, Bytes key,
                  const std::shared_ptr<TxnStatus>& writer, const KeyState& before) noexcept {
  Entry* entry = Entry::create(hash, object, key);
  if (entry == nullptr) return false;
  entry->head = writer;
  entry->older = Version::create(before);
  if (entry->older != nullptr && shard.insert(entry)) return true;
  Entry::destroy(entry);
  return false;
}

}  // namespace

VersionTable::ClaimResult VersionTable::claim(ObjectId object, Bytes key, const std::shared_ptr<TxnStatus>& writer,
                                              const KeyState& before) {
  const std::uint64_t hash = hash_of(impl_->seed, object, key);
  const std::size_t version_bytes = Version::memory_bytes(before.present ? before.value.size() : 0);
  Shard& shard = impl_->shard_of(hash);
  Removed removed;
  const std::lock_guard lock(shard.mutex);
  Entry* entry = shard.find_entry(hash, object, key);

  if (entry == nullptr) {
    const std::size_t bytes = Entry::memory_bytes(key.size()) + version_bytes;
    if (!impl_->take(shard, bytes)) return {Claim::kFull, nullptr};
    if (!insert_entry(shard, hash, object, key, writer, before)) {
      impl_->give(shard, bytes);
      return {Claim::kNoMemory, nullptr};
    }
    return {Claim::kGranted, nullptr, true};
  }

  if (entry->head->id() == writer->id()) return {Claim::kGranted, nullptr};
  const std::uint64_t commit = entry->head->commit_lsn();
  // Not committed: open, or rolled back and about to withdraw its claim.
  if (commit == 0) return {Claim::kHeld, entry->head};

  if (!impl_->take(shard, version_bytes)) return {Claim::kFull, nullptr};
  Version* version = Version::create(before);
  if (version == nullptr) {
    impl_->give(shard, version_bytes);
    return {Claim::kNoMemory, nullptr};
  }
  version->older = entry->older;
  version->writer = std::move(entry->head);
  entry->older = version;
  entry->head = writer;
  // Keys that are written all the time stay short even if the collector is slow.
  impl_->trim(shard, *entry, impl_->floor.load(std::memory_order_relaxed), removed);
  return {Claim::kGranted, nullptr, true, commit};
}

VersionTable::LookupResult VersionTable::find(ObjectId object, Bytes key, Lsn snapshot, TxnId self) const {
  const std::uint64_t hash = hash_of(impl_->seed, object, key);
  const Shard& shard = impl_->shard_of(hash);
  LookupResult result;
  const std::lock_guard lock(shard.mutex);
  const Entry* entry = shard.find_entry(hash, object, key);
  if (entry == nullptr) return result;
  const auto visible = [&](std::uint64_t commit) { return commit <= raw(snapshot); };
  const std::uint64_t head_commit = entry->head->commit_lsn();
  if (entry->head->id() == self || (head_commit != 0 && visible(head_commit))) return result;
  Version* version = entry->older;
  while (version != nullptr && !visible(version->commit())) version = version->older;
  // A chain that ends before a visible version was cut short: that says nothing about the key.
  result.found = version == nullptr ? Found::kTooOld : Found::kOlder;
  if (version == nullptr) return result;
  result.state.present = version->present;
  result.state.flags = version->flags;
  result.state.value.assign(version->value(), version->value_bytes);
  return result;
}

VersionTable::Peek VersionTable::peek(ObjectId object, Bytes key) const {
  const std::uint64_t hash = hash_of(impl_->seed, object, key);
  const Shard& shard = impl_->shard_of(hash);
  const std::lock_guard lock(shard.mutex);
  const Entry* entry = shard.find_entry(hash, object, key);
  if (entry == nullptr) return {};
  return {true, entry->head};
}

bool VersionTable::has_entry(ObjectId object, Bytes key) const {
  const std::uint64_t hash = hash_of(impl_->seed, object, key);
  const Shard& shard = impl_->shard_of(hash);
  const std::lock_guard lock(shard.mutex);
  return shard.find_entry(hash, object, key) != nullptr;
}

void VersionTable::withdraw(ObjectId object, Bytes key, TxnId writer) noexcept {
  const std::uint64_t hash = hash_of(impl_->seed, object, key);
  Shard& shard = impl_->shard_of(hash);
  Removed removed;
  const std::lock_guard lock(shard.mutex);
  Entry** link = shard.find(hash, object, key);
  if (link == nullptr || *link == nullptr || (*link)->head->id() != writer) return;
  Entry& entry = **link;
  VG_CHECK(entry.head->commit_lsn() == 0, "a committed claim is withdrawn");
  VG_CHECK(entry.older != nullptr, "an open claim without the state before it");
  // The collector may have passed by while this claim hid the commit below it, and does not come again.
  if (entry.older->commit() <= impl_->floor.load(std::memory_order_relaxed)) {
    impl_->remove(shard, link, removed);
    return;
  }
  removed.versions = entry.older;
  entry.head = std::move(entry.older->writer);
  entry.older = std::exchange(removed.versions->older, nullptr);
  impl_->give(shard, removed.versions->memory_bytes());
}

void VersionTable::prune(ObjectId object, Bytes key, Lsn floor) noexcept {
  impl_->raise_floor(raw(floor));
  const std::uint64_t hash = hash_of(impl_->seed, object, key);
  Shard& shard = impl_->shard_of(hash);
  Removed removed;
  const std::lock_guard lock(shard.mutex);
  Entry** link = shard.find(hash, object, key);
  if (link == nullptr || *link == nullptr) return;
  const std::uint64_t commit = (*link)->head->commit_lsn();
  if (commit != 0 && commit <= raw(floor)) {
    impl_->remove(shard, link, removed);
  } else {
    impl_->trim(shard, **link, raw(floor), removed);
  }
}

std::size_t VersionTable::bytes_used() const noexcept {
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < impl_->shard_count; ++i) bytes += impl_->shards[i].bytes.load(std::memory_order_relaxed);
  return bytes;
}

std::size_t VersionTable::entry_count() const noexcept {
  std::size_t count = 0;
  for (std::size_t i = 0; i < impl_->shard_count; ++i) {
    count += impl_->shards[i].entries.load(std::memory_order_relaxed);
  }
  return count;
}

}  // namespace vaultgres
