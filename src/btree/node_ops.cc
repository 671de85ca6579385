// The node's page operations: payloads and their apply functions, twins side by side.
//
//   kNodeInsert    u16 slot | u8 flags | u16 key bytes | key | value (to the end)
//   kNodeRemove    u16 slot
//   kNodeReplace   u16 slot | u8 flags, and 128: the cell keeps its room | value (to the end)
//   kNodeSetGhost  u16 slot | u8 ghost (0 or 1)
//   kNodeTruncate  u16 keep | u32 right sibling | high fence (to the end)
//   kNodePurge     u16 slot, ascending, and 32,768: it stays and gives up the room that it keeps; repeated to the end
//
// Flags are kSlotGhost and kSlotOverflow; the history flag is never logged.
#include <array>
#include <string>

#include "base/payload_buffer.h"
#include "btree/node_change.h"

namespace vaultgres {

namespace {

constexpr const char* kShort = "the operation is too short";

/// Takes a payload apart; too short a payload gives zeros and ok() false.
class PayloadReader {
 public:
  explicit PayloadReader(Bytes payload) noexcept : left_(payload) {}
  template <std::unsigned_integral T>
  T take() noexcept {
    const Bytes bytes = take(sizeof(T));
    return bytes.size() == sizeof(T) ? load_little<T>(bytes.data()) : T{0};
  }
  Bytes take(std::size_t count) noexcept {
    if (count > left_.size()) {
      ok_ = false;
      left_ = {};
      return {};
    }
    const Bytes bytes = left_.first(count);
    left_ = left_.subspan(count);
    return bytes;
  }
  Bytes take_rest() noexcept { return take(left_.size()); }
  bool ok() const noexcept { return ok_; }
  bool done() const noexcept { return ok_ && left_.empty(); }

 private:
  Bytes left_;
  bool ok_ = true;
};

Status outcome(const char* operation, const char* problem) {
  if (problem == nullptr) [[likely]]
    return {};
  return Error(ErrorCode::kCorruption, std::string("cannot apply ") + operation + " to a tree node: " + problem);
}

bool is_node(Bytes page) noexcept {
  const std::uint8_t type = page_header(page).type.get();
  return type == raw(NodeView(page).level() == 0 ? PageType::kLeaf : PageType::kInternal);
}
constexpr const char* kNoNode = "the page is none";

const char* logged_flags_problem(std::uint8_t flags) noexcept {
  return (flags & ~unsigned{node::kLoggedFlags}) != 0 ? "unknown slot flags" : nullptr;
}

std::uint8_t logged(std::uint8_t flags) noexcept {
  return flags & node::kLoggedFlags;
}

/// The node anew with these fences and sibling and those of its entries that `append(fresh, old)` appends.
template <class Append>
const char* rewrite(MutableBytes page, const NodeFences& fences, PageId right, Append append) noexcept {
  const NodeView old(page);
  std::array<std::byte, kPageBytes> fresh;  // NOLINT: init() writes all of it
  const std::uint8_t page_flags = page_header(Bytes(page)).flags.get() & kPageFlagRoot;
  node::init(fresh, old.object(), old.level(), page_flags, fences, right);
  if (const char* problem = append(MutableBytes(fresh), old)) return problem;
  // LSN and checksum are not part of an operation.
  constexpr std::size_t kFrom = offsetof(PageHeader, object);
  std::memcpy(page.data() + kFrom, fresh.data() + kFrom, kPageBytes - kFrom);
  return nullptr;
}

}  // namespace

// --- Insert

void encode_node_insert(PayloadBuffer& out, unsigned slot, std::uint8_t flags, Bytes key, Bytes value) {
  out.append_int(static_cast<std::uint16_t>(slot));
  out.append_int(logged(flags));
  out.append_int(static_cast<std::uint16_t>(key.size()));
  out.append(key);
  out.append(value);
}

static Status apply_insert(MutableBytes page, Bytes payload) {
  PayloadReader reader(payload);
  const auto slot = reader.take<std::uint16_t>();
  const auto flags = reader.take<std::uint8_t>();
  const Bytes key = reader.take(reader.take<std::uint16_t>());
  const Bytes value = reader.take_rest();
  const char* problem = !is_node(page) ? kNoNode : !reader.ok() ? kShort : logged_flags_problem(flags);
  return outcome("an insert", problem != nullptr ? problem : node::insert(page, slot, flags, key, value));
}

// --- Remove

void encode_node_remove(PayloadBuffer& out, unsigned slot) {
  out.append_int(static_cast<std::uint16_t>(slot));
}

static Status apply_remove(MutableBytes page, Bytes payload) {
  PayloadReader reader(payload);
  const auto slot = reader.take<std::uint16_t>();
  const char* problem = !is_node(page) ? kNoNode : !reader.done() ? kShort : nullptr;
  return outcome("a remove", problem != nullptr ? problem : node::remove(page, slot));
}

// --- Replace

/// Beside the slot's flags: OldRoom::kKept.
static constexpr std::uint8_t kReplaceKeepsRoom = 0x80;

void encode_node_replace(PayloadBuffer& out, unsigned slot, std::uint8_t flags, Bytes value, OldRoom old_room) {
  out.append_int(static_cast<std::uint16_t>(slot));
  out.append_int(static_cast<std::uint8_t>(logged(flags) | (old_room == OldRoom::kKept ? kReplaceKeepsRoom : 0u)));
  out.append(value);
}

static Status apply_replace(MutableBytes page, Bytes payload) {
  PayloadReader reader(payload);
  const auto slot = reader.take<std::uint16_t>();
  const auto word = reader.take<std::uint8_t>();
  const Bytes value = reader.take_rest();
  const auto flags = static_cast<std::uint8_t>(word & ~unsigned{kReplaceKeepsRoom});
  const OldRoom old_room = (word & kReplaceKeepsRoom) != 0 ? OldRoom::kKept : OldRoom::kGivenUp;
  const char* problem = !is_node(page) ? kNoNode : !reader.ok() ? kShort : logged_flags_problem(flags);
  return outcome("a replace", problem != nullptr ? problem : node::replace(page, slot, flags, value, old_room));
}

// --- Set or clear the ghost flag

void encode_node_set_ghost(PayloadBuffer& out, unsigned slot, bool ghost) {
  out.append_int(static_cast<std::uint16_t>(slot));
  out.append_int(static_cast<std::uint8_t>(ghost ? 1 : 0));
}

static Status apply_set_ghost(MutableBytes page, Bytes payload) {
  PayloadReader reader(payload);
  const auto slot = reader.take<std::uint16_t>();
  const auto ghost = reader.take<std::uint8_t>();
  const char* problem = !is_node(page) ? kNoNode : !reader.done() ? kShort : ghost > 1 ? "neither on nor off" : nullptr;
  const std::uint8_t flags = ghost != 0 ? kSlotGhost : 0;
  return outcome("a ghost flag", problem != nullptr ? problem : node::set_flags(page, slot, kSlotGhost, flags));
}

// --- Truncate

void encode_node_truncate(PayloadBuffer& out, unsigned keep, Bytes high_fence, PageId right) {
  out.append_int(static_cast<std::uint16_t>(keep));
  out.append_int(raw(right));
  out.append(high_fence);
}

static const char* truncate(MutableBytes page, unsigned keep, Bytes high_fence, PageId right) {
  if (const char* problem = node::header_problem(page.data())) return problem;
  const NodeView old(page);
  if (keep > old.count()) return "it keeps more entries than there are";
  if (high_fence.size() > kKeyBytesMax) return "the high fence is longer than any key";
  const NodeFences fences{old.low_fence(), high_fence, true};
  return rewrite(page, fences, right,
                 [keep](MutableBytes fresh, const NodeView& from) { return node::append_range(fresh, from, 0, keep); });
}

static Status apply_truncate(MutableBytes page, Bytes payload) {
  PayloadReader reader(payload);
  const auto keep = reader.take<std::uint16_t>();
  const auto right = PageId{reader.take<std::uint32_t>()};
  const Bytes high_fence = reader.take_rest();
  const char* problem = !is_node(page) ? kNoNode : !reader.ok() ? kShort : nullptr;
  return outcome("a truncation", problem != nullptr ? problem : truncate(page, keep, high_fence, right));
}

// --- Purge

void encode_node_purge(PayloadBuffer& out, std::span<const std::uint16_t> slots) {
  for (const std::uint16_t slot : slots) out.append_int(slot);
}

static const char* purge(MutableBytes page, Bytes slots) {
  if (const char* problem = node::header_problem(page.data())) return problem;
  const NodeView old(page);
  const NodeFences fences{old.low_fence(), old.high_fence(), old.has_high_fence()};
  return rewrite(page, fences, old.right(), [slots](MutableBytes fresh, const NodeView& from) -> const char* {
    PayloadReader reader(slots);
    unsigned next = 0;
    while (!reader.done()) {
      const auto word = reader.take<std::uint16_t>();
      const unsigned slot = word & ~unsigned{kPurgeRoomOnly};
      if (!reader.ok()) return kShort;
      if (slot < next || slot >= from.count()) return "its slots do not ascend within the node";
      if (const char* problem = node::append_range(fresh, from, next, slot)) return problem;
      if ((word & kPurgeRoomOnly) != 0) {
        if (const char* problem = node::append_released(fresh, from, slot)) return problem;
      }
      next = slot + 1u;
    }
    return node::append_range(fresh, from, next, from.count());
  });
}

static Status apply_purge(MutableBytes page, Bytes payload) {
  return outcome("a purge", !is_node(page) ? kNoNode : purge(page, payload));
}

void register_node_ops(RedoTable& table) {
  table.set(PageOp::kNodeInsert, apply_insert);
  table.set(PageOp::kNodeRemove, apply_remove);
  table.set(PageOp::kNodeReplace, apply_replace);
  table.set(PageOp::kNodeSetGhost, apply_set_ghost);
  table.set(PageOp::kNodeTruncate, apply_truncate);
  table.set(PageOp::kNodePurge, apply_purge);
}

// --- What is not logged

void set_history(MutableBytes page, unsigned slot, bool on) {
  // Stale is harmless, and on a page that is no sound node there is nothing to say.
  static_cast<void>(node::set_flags(page, slot, kSlotHistory, on ? kSlotHistory : 0));
}

void clear_history(MutableBytes page) {
  const unsigned count = NodeView(page).count();
  for (unsigned slot = 0; slot < count; ++slot) {
    if ((NodeView(page).flags(slot) & kSlotHistory) != 0) set_history(page, slot, false);
  }
}

}  // namespace vaultgres
