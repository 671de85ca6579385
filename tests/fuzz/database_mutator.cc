// Mutations of whole databases for libFuzzer. Bytes at random places of so large an input seldom mean anything: these
// change fields of headers, links between pages, and entries and rows by the engine's own page operations, so that
// pages stay sound by themselves and lie about others.
#include <cstring>
#include <random>

#include "base/payload_buffer.h"
#include "btree/node.h"
#include "database_image.h"
#include "format/bitmap.h"
#include "format/overflow.h"
#include "format/superblock.h"
#include "heap/heap.h"
#include "heap/heap_page.h"
#include "input_reader.h"
#include "wal/block.h"

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

namespace vaultgres::fuzz {
namespace {

const RedoTable& page_ops() {
  static const RedoTable table = [] {
    RedoTable ops;
    register_node_ops(ops);
    register_heap_ops(ops);
    return ops;
  }();
  return table;
}

class Mutator {
 public:
  Mutator(DatabaseImage& image, unsigned seed) : image_(image), random_(seed) {}

  void mutate() {
    if (image_.chunks.empty()) return;
    Chunk& chunk = image_.chunks[below(image_.chunks.size())];
    switch (below(16)) {
      case 0:
        return mutate_list(chunk);
      case 1:
        return mutate_bytes(chunk.bytes, 0, limit_of(chunk.kind));
      case 2:
        return mutate_script();
      default:
        break;
    }
    switch (chunk.kind) {
      case ChunkKind::kPage:
      case ChunkKind::kDoublewritePage:
        return mutate_page(chunk);
      case ChunkKind::kLogBlock:
        return mutate_block(chunk);
      default:
        return mutate_bytes(chunk.bytes, 0, limit_of(chunk.kind));
    }
  }

 private:
  std::size_t below(std::size_t n) { return random_() % n; }
  bool one_in(std::size_t n) { return below(n) == 0; }
  static std::size_t limit_of(ChunkKind kind) {
    return kind == ChunkKind::kScript || kind == ChunkKind::kPage ? 1024 : kLogBlockBytes;
  }

  /// A number of a page that there is, or nearly.
  std::uint32_t some_page() {
    for (int i = 0; i < 8; ++i) {
      const Chunk& chunk = image_.chunks[below(image_.chunks.size())];
      if (chunk.kind == ChunkKind::kPage) return chunk.number + static_cast<std::uint32_t>(one_in(16) ? 1 : 0);
    }
    return one_in(4) ? raw(kNoPage) : static_cast<std::uint32_t>(below(200));
  }
  /// A number on the edge of what some field may hold.
  std::uint64_t some_number() {
    static constexpr std::uint64_t kEdges[] = {0,
                                               1,
                                               2,
                                               0x7F,
                                               0xFF,
                                               0xFFFF,
                                               0x10000,
                                               0x7FFFFFFF,
                                               0x80000000,
                                               0xFFFFFFFF,
                                               1ull << 62,
                                               (1ull << 62) - 1,
                                               1ull << 63,
                                               UINT64_MAX,
                                               UINT64_MAX - 4095,
                                               UINT64_MAX - 1};
    return one_in(3) ? random_() : kEdges[below(std::size(kEdges))];
  }

  // --- The list of chunks

  void mutate_list(Chunk& chunk) {
    switch (below(5)) {
      case 0:  // a page stands in another's place
        chunk.number =
            chunk.kind == ChunkKind::kPage ? some_page() : chunk.number + static_cast<std::uint32_t>(below(3)) - 1;
        break;
      case 1:
        image_.chunks.erase(image_.chunks.begin() + (&chunk - image_.chunks.data()));
        break;
      case 2:
        chunk.sealed = !chunk.sealed;
        break;
      case 3: {  // an old or another page is there twice
        Chunk copy = chunk;
        if (copy.kind == ChunkKind::kPage) copy.number = some_page();
        image_.chunks.push_back(std::move(copy));
        break;
      }
      default: {
        Chunk& other = image_.chunks[below(image_.chunks.size())];
        if (other.kind == chunk.kind) std::swap(other.bytes, chunk.bytes);
      }
    }
  }

  void mutate_script() {
    for (Chunk& chunk : image_.chunks) {
      if (chunk.kind == ChunkKind::kScript) return mutate_bytes(chunk.bytes, 0, 1024);
    }
    image_.chunks.push_back({ChunkKind::kScript, 0, std::vector<std::byte>(64), true});
  }

  /// libFuzzer's own mutations of a stretch, which stays as long as it was unless it is all.
  void mutate_bytes(std::vector<std::byte>& bytes, std::size_t from, std::size_t to) {
    if (from == 0 && to >= bytes.size()) {
      const std::size_t size = bytes.size();
      bytes.resize(std::max(to, size));
      bytes.resize(LLVMFuzzerMutate(reinterpret_cast<std::uint8_t*>(bytes.data()), size, bytes.size()));
      return;
    }
    bytes.resize(std::max(bytes.size(), to));
    std::vector<std::uint8_t> part(to - from);
    std::memcpy(part.data(), bytes.data() + from, part.size());
    const std::size_t size = LLVMFuzzerMutate(part.data(), part.size(), part.size());
    std::memcpy(bytes.data() + from, part.data(), std::min(size, part.size()));
  }
  /// A field of 1, 2, 4 or 8 bytes somewhere in a stretch gets another number.
  void mutate_field(std::vector<std::byte>& bytes, std::size_t from, std::size_t to) {
    bytes.resize(std::max(bytes.size(), to));
    const std::size_t width = std::size_t{1} << below(4);
    const std::size_t at = from + below((to - from) / width) * width;
    const std::uint64_t number = width == 4 && one_in(2) ? some_page() : some_number();
    std::byte field[8];
    store_little(field, number);
    if (one_in(3)) {
      std::memcpy(field, bytes.data() + at, width);
      field[0] = static_cast<std::byte>(std::to_integer<unsigned>(field[0]) + (one_in(2) ? 1 : 255));
    }
    std::memcpy(bytes.data() + at, field, width);
  }

  // --- Pages

  void mutate_page(Chunk& chunk) {
    chunk.bytes.resize(kPageBytes);
    const auto type = static_cast<PageType>(page_header(Bytes(chunk.bytes)).type.get());
    if (one_in(12)) return mutate_field(chunk.bytes, 0, kPageHeaderBytes);
    if (one_in(12)) return mutate_bytes(chunk.bytes, kPageHeaderBytes, kPageBytes);
    switch (type) {
      case PageType::kSuperblock:
        return mutate_field(chunk.bytes, offsetof(Superblock, format_version), offsetof(Superblock, epochs) + 4 * 32);
      case PageType::kBitmap:
        return mutate_bitmap(chunk.bytes);
      case PageType::kLeaf:
      case PageType::kInternal:
        return mutate_node(chunk.bytes);
      case PageType::kHeap:
        return mutate_heap_page(chunk.bytes);
      case PageType::kFreeSpaceMap:
        return mutate_field(chunk.bytes, kPageHeaderBytes, kPageHeaderBytes + 16 + 4 * 12);
      case PageType::kOverflow:
        return mutate_field(chunk.bytes, kPageHeaderBytes, kPageHeaderBytes + sizeof(OverflowHeader));
      default:
        return mutate_field(chunk.bytes, 0, 64);
    }
  }

  void mutate_bitmap(std::vector<std::byte>& page) {
    if (one_in(6)) return mutate_field(page, kPageHeaderBytes, kBitmapBitsOffset);
    const std::size_t bit = one_in(2) ? some_page() % (8 * kBitmapBytes) : below(256);
    page[kBitmapBitsOffset + bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
    LittleU32& used = reinterpret_cast<BitmapHeader*>(page.data() + kPageHeaderBytes)->used;
    used.set(std::to_integer<unsigned>(page[kBitmapBitsOffset + bit / 8]) >> bit % 8 & 1 ? used.get() + 1
                                                                                         : used.get() - 1);
  }

  void apply(std::vector<std::byte>& page, PageOp op, const PayloadBuffer& payload) {
    static_cast<void>(page_ops().find(raw(op)).apply(page, payload.bytes()).has_value());
  }

  void mutate_node(std::vector<std::byte>& page) {
    const NodeView view(page);
    const auto slot = static_cast<unsigned>(below(view.count() + 1u));
    PayloadBuffer payload;
    switch (below(view.is_leaf() ? 8 : 4)) {
      case 0:  // right sibling
        store_little(page.data() + 28, some_page());
        return;
      case 1:
        return mutate_field(page, 24, 56);
      case 2:
        encode_node_remove(payload, slot);
        return apply(page, PageOp::kNodeRemove, payload);
      case 3:
        return replace_value(page, slot);
      case 4:
        encode_node_set_ghost(payload, slot, one_in(2));
        return apply(page, PageOp::kNodeSetGhost, payload);
      case 5:
        return insert_entry(page);
      default:
        return replace_value(page, slot);
    }
  }
  void insert_entry(std::vector<std::byte>& page) {
    const NodeView view(page);
    std::vector<std::byte> key(kKeyBytesMax);
    key.resize(view.count() == 0 ? 0 : view.copy_key(static_cast<unsigned>(below(view.count())), key));
    mutate_bytes(key, 0, 64);
    key.resize(std::min(key.size(), kKeyBytesMax));
    const unsigned slot = view.lower_bound(key).slot;
    const Bytes value = view.value(view.count() == 0 ? 0 : static_cast<unsigned>(below(view.count())));
    PayloadBuffer payload;
    encode_node_insert(payload, slot, static_cast<std::uint8_t>(one_in(8) ? 4 : 0), key, value);
    apply(page, PageOp::kNodeInsert, payload);
  }
  /// Child, reference to a chain, or any value.
  void replace_value(std::vector<std::byte>& page, unsigned slot) {
    const NodeView view(page);
    const Bytes old = view.value(slot);
    std::vector<std::byte> value(old.begin(), old.end());
    std::uint8_t flags = view.flags(slot) & (kSlotGhost | kSlotOverflow);
    if (!view.is_leaf() || (value.size() == 4 && one_in(2))) {
      value.resize(4);
      store_little(value.data(), some_page());
    } else if ((flags & kSlotOverflow) != 0 || one_in(8)) {
      flags |= kSlotOverflow;
      value = reference(value);
    } else {
      mutate_bytes(value, 0, 64);
      if (value.size() >= 8 && one_in(3)) mutate_field(value, 0, std::min<std::size_t>(value.size(), 32));
    }
    PayloadBuffer payload;
    encode_node_replace(payload, slot, view.is_leaf() ? flags : 0,
                        Bytes(value).first(std::min(value.size(), kEntryBytesMax)),
                        view.is_leaf() && one_in(2) ? OldRoom::kKept : OldRoom::kGivenUp);
    apply(page, PageOp::kNodeReplace, payload);
  }
  std::vector<std::byte> reference(Bytes old) {
    OverflowRef ref{};
    if (old.size() == sizeof ref) std::memcpy(&ref, old.data(), sizeof ref);
    if (one_in(2)) ref.bytes.set(one_in(2) ? some_number() : ref.bytes.get() + below(3) - 1);
    if (one_in(2)) ref.head.set(some_page());
    std::vector<std::byte> bytes(sizeof ref);
    std::memcpy(bytes.data(), &ref, sizeof ref);
    return bytes;
  }

  void mutate_heap_page(std::vector<std::byte>& page) {
    const HeapPageView view(page);
    const auto slot = static_cast<unsigned>(below(view.slots() + 1u));
    const HeapSlot old = view.slot(slot);
    HeapSlotState state = old.state;
    std::vector<std::byte> content(old.content.begin(), old.content.end());
    PayloadBuffer payload;
    switch (below(6)) {
      case 0:
        return mutate_field(page, kPageHeaderBytes, kHeapSlotsOffset + 16);
      case 1: {
        const std::uint16_t slots[] = {static_cast<std::uint16_t>(slot)};
        encode_heap_remove(payload, slots);
        return apply(page, PageOp::kHeapRemove, payload);
      }
      case 2:  // another TID
        state.kind = one_in(2) ? HeapKind::kStub : HeapKind::kBody;
        state.overflow = false;
        {
          const TidBytes tid = encode_tid({PageId{some_page()}, static_cast<std::uint16_t>(below(8))});
          if (state.kind == HeapKind::kStub) content.assign(tid.begin(), tid.end());
          content.resize(std::max(content.size(), tid.size()));
          std::copy(tid.begin(), tid.end(), content.begin());
        }
        break;
      case 3:
        state = {HeapKind::kRow, one_in(4), true};
        content = reference(content);
        break;
      case 4:
        state.ghost = !state.ghost;
        break;
      default:
        mutate_bytes(content, 0, 100);
    }
    content.resize(std::min(content.size(), kHeapContentBytesMax));
    encode_heap_update(payload, slot, state, content);
    apply(page, old.used() ? PageOp::kHeapUpdate : PageOp::kHeapInsert, payload);
  }

  // --- The log

  void mutate_block(Chunk& chunk) {
    chunk.bytes.resize(kLogBlockBytes);
    const std::size_t used = std::min<std::size_t>(log_block_header(chunk.bytes).used.get(), kLogBlockPayload);
    if (one_in(10) || used < 40) return mutate_field(chunk.bytes, 4, sizeof(LogBlockHeader));
    const std::size_t begin = sizeof(LogBlockHeader);
    const std::size_t from = begin + below(used - 32);
    if (one_in(2)) return mutate_field(chunk.bytes, from, from + 32);
    mutate_bytes(chunk.bytes, from, from + 32);
  }

  DatabaseImage& image_;
  std::minstd_rand random_;
};

std::size_t copy_out(const std::string& encoded, std::uint8_t* data, std::size_t max_size) {
  const std::size_t size = std::min(encoded.size(), max_size);
  std::memcpy(data, encoded.data(), size);
  return size;
}

}  // namespace
}  // namespace vaultgres::fuzz

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  using namespace vaultgres::fuzz;
  DatabaseImage image = decode_image({reinterpret_cast<const std::byte*>(data), size});
  std::minstd_rand random(seed);
  for (auto i = 1 + random() % 3; i > 0; --i) Mutator(image, static_cast<unsigned>(random())).mutate();
  return copy_out(encode_image(image), data, max_size);
}

/// Each page or block from one of the two.
extern "C" std::size_t LLVMFuzzerCustomCrossOver(const std::uint8_t* data1, std::size_t size1,
                                                 const std::uint8_t* data2, std::size_t size2, std::uint8_t* out,
                                                 std::size_t max_size, unsigned seed) {
  using namespace vaultgres::fuzz;
  DatabaseImage image = decode_image({reinterpret_cast<const std::byte*>(data1), size1});
  DatabaseImage other = decode_image({reinterpret_cast<const std::byte*>(data2), size2});
  std::minstd_rand random(seed);
  for (Chunk& chunk : image.chunks) {
    if (random() % 4 != 0) continue;
    if (const Chunk* twin = other.find(chunk.kind, chunk.number)) chunk = *twin;
  }
  return copy_out(encode_image(image), out, max_size);
}
