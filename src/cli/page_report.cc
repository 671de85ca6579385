#include "cli/page_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "btree/node.h"
#include "catalog/catalog_entry.h"
#include "cli/escape.h"
#include "cli/report_parts.h"
#include "format/bitmap.h"
#include "format/node.h"
#include "format/overflow.h"
#include "format/superblock.h"
#include "heap/heap_page.h"
#include "heap/map_page.h"
#include "space/bitmap.h"

namespace vaultgres::cli {

namespace {

constexpr char kInOrder[] = "in order";

std::string type_name(unsigned type) {
  switch (static_cast<PageType>(type)) {
    case PageType::kAbsent:
      return "absent";
    case PageType::kSuperblock:
      return "superblock";
    case PageType::kBitmap:
      return "bitmap";
    case PageType::kFreeSpaceMap:
      return "free-space map";
    case PageType::kHeap:
      return "heap";
    case PageType::kLeaf:
      return "leaf";
    case PageType::kInternal:
      return "internal";
    case PageType::kOverflow:
      return "overflow";
    case PageType::kFree:
      return "free";
  }
  return "unknown";
}

// --- Header

const char* checksum_state(const PageContext& context, Bytes page) {
  if (page_is_zero(page)) return "absent";
  const PageHeader& header = page_header(page);
  const bool is_superblock = header.type.get() == static_cast<std::uint8_t>(PageType::kSuperblock);
  // A superblock names its database itself.
  std::optional<DatabaseId> database = context.database;
  if (is_superblock && !database) database = reinterpret_cast<const Superblock*>(page.data())->database;
  if (!database) return "unknown";
  return header.checksum.get() == page_checksum(*database, context.id, page) ? "right" : "wrong";
}

Json describe_header(const PageContext& context, Bytes page) {
  const PageHeader& header = page_header(page);
  const bool known = context.database && !page_is_zero(page);
  const unsigned type = header.type.get();
  return Json{
      {"lsn", header.lsn.get()},
      {"checksum", fmt::format("{:#010x}", header.checksum.get())},
      {"checksum_computed",
       known ? Json(fmt::format("{:#010x}", page_checksum(*context.database, context.id, page))) : Json(nullptr)},
      {"object", header.object.get()},
      {"type", type_name(type)},
      {"type_number", type},
      {"flags", flag_names(header.flags.get(), {{kPageFlagRoot, "root"}, {kPageFlagHasGhosts, "has ghosts"}})}};
}

// --- Superblock

Json describe_superblock(Bytes page) {
  const auto& block = *reinterpret_cast<const Superblock*>(page.data());
  Json epochs = Json::array();
  for (std::uint32_t i = 0; i < std::min<std::uint32_t>(block.epoch_count.get(), kEpochsMax); ++i) {
    const EpochEntry& epoch = block.epochs[i];
    epochs.push_back({{"number", epoch.number.get()},
                      {"salt", fmt::format("{:016x}", epoch.salt.get())},
                      {"first", epoch.first.get()},
                      {"end", epoch.end.get() == 0 ? Json(nullptr) : Json(epoch.end.get())}});
  }
  return Json{{"magic", json_of(as_text(page.subspan(offsetof(Superblock, magic), sizeof block.magic)))},
              {"format_version", block.format_version.get()},
              {"page_bytes", block.page_bytes.get()},
              {"database", to_hex(as_text(Bytes(block.database.bytes)))},
              {"sequence", block.sequence.get()},
              {"checkpoint", block.checkpoint.get()},
              {"redo_start", block.redo_start.get()},
              {"next_txn", block.next_txn.get()},
              {"next_object", block.next_object.get()},
              {"segment_bytes", block.segment_bytes.get()},
              {"epoch_count", block.epoch_count.get()},
              {"epochs", std::move(epochs)}};
}

std::string superblock_problem(const PageContext& context, Bytes page) {
  const auto& block = *reinterpret_cast<const Superblock*>(page.data());
  if (block.magic.get() != kSuperblockMagic) return "the magic number is wrong: no Vaultgres data file";
  if (block.format_version.get() != kFormatVersion) return "a format version that this program does not read";
  if (block.page_bytes.get() != kPageBytes) return "a page size that this program does not read";
  if (context.database && block.database != *context.database) return "it belongs to another database";
  if (block.epoch_count.get() == 0 || block.epoch_count.get() > kEpochsMax) return "an impossible number of log epochs";
  return kInOrder;
}

// --- Tree nodes

Json describe_node(Bytes page) {
  const NodeView node(page);
  const auto& header = *reinterpret_cast<const NodeHeader*>(page.data() + kPageHeaderBytes);
  const bool fixed = (header.flags.get() & kNodeFixed) != 0;
  const std::size_t prefix = std::min<std::size_t>(header.prefix_bytes.get(), node.low_fence().size());
  Json fields{{"level", node.level()},
              {"count", header.count.get()},
              {"right", page_or_null(raw(node.right()))},
              {"low_fence", json_of(as_text(node.low_fence()))},
              {"high_fence", node.has_high_fence() ? json_of(as_text(node.high_fence())) : Json(nullptr)},
              {"prefix", json_of(as_text(node.low_fence().first(prefix)))},
              {"layout", fixed ? "fixed stride" : "slots"}};
  if (fixed) {
    fields["key_bytes"] = header.key_bytes.get();
    fields["value_bytes"] = header.value_bytes.get();
  } else {
    fields["slot_capacity"] = header.capacity.get();
    fields["dead_bytes"] = header.dead_bytes.get();
  }
  fields["heap_begin"] = header.heap_begin.get();
  fields["used_bytes"] = node.used_bytes();
  fields["fill"] = static_cast<double>(node.used_bytes()) / static_cast<double>(NodeView::capacity_bytes());
  return fields;
}

const char* kind_name(ObjectKind kind) noexcept {
  switch (kind) {
    case ObjectKind::kMap:
      return "map";
    case ObjectKind::kTable:
      return "table";
    case ObjectKind::kIndex:
      return "index";
  }
  return "unknown";
}

/// Behind a name: a table's columns with their types, an index's as places in its table's schema.
Json describe_catalog_entry(const CatalogEntry& entry) {
  Json described{{"kind", kind_name(entry.kind)}, {"object", raw(entry.object)}, {"root", raw(entry.root)}};
  if (entry.pinned) described["pinned"] = true;
  Json columns = Json::array();
  if (entry.schema) {
    for (const Column& column : entry.schema->columns()) {
      const std::string_view type = column_type_name(column.type);
      columns.push_back({{"name", json_of(column.name)}, {"type", type}, {"nullable", column.nullable}});
    }
  }
  if (entry.index) {
    described["table"] = raw(entry.index->table);
    described["unique"] = entry.index->unique;
    for (const IndexColumn& column : entry.index->columns) {
      columns.push_back({{"column", column.column}, {"descending", column.descending}});
    }
  }
  if (entry.kind != ObjectKind::kMap) described["columns"] = std::move(columns);
  return described;
}

Json describe_value(const NodeView& node, unsigned slot) {
  const Bytes value = node.value(slot);
  if ((node.flags(slot) & kSlotOverflow) != 0 && value.size() == sizeof(OverflowRef)) {
    const auto& ref = *reinterpret_cast<const OverflowRef*>(value.data());
    return Json{{"overflow_page", ref.head.get()}, {"bytes", ref.bytes.get()}};
  }
  if (node.object() == kCatalogObject) {
    if (const auto entry = decode_catalog_entry(value)) return describe_catalog_entry(*entry);
  }
  return json_of(as_text(value));
}

Json describe_entry(const NodeView& node, unsigned slot) {
  std::array<std::byte, kKeyBytesMax> buffer;
  const std::string_view key = as_text(Bytes(buffer).first(node.copy_key(slot, buffer)));
  if (!node.is_leaf())
    return Json{{"slot", slot}, {"key", json_of(key)}, {"child", page_or_null(raw(node.child(slot)))}};
  return Json{{"slot", slot},
              {"flags", flag_names(node.flags(slot),
                                   {{kSlotGhost, "ghost"}, {kSlotHistory, "history"}, {kSlotOverflow, "overflow"}})},
              {"key", json_of(key)},
              {"value", describe_value(node, slot)}};
}

// --- Bitmaps

struct Run {
  std::uint32_t first;
  std::uint32_t last;
};

std::vector<Run> allocated_runs(Bytes page, std::uint32_t first_page, std::uint32_t pages) {
  std::vector<Run> runs;
  for (std::uint32_t i = 0; i < pages; ++i) {
    if (!bitmap_bit(page, i)) continue;
    const std::uint32_t id = first_page + i;
    if (runs.empty() || runs.back().last + 1 != id) {
      runs.push_back({id, id});
    } else {
      runs.back().last = id;
    }
  }
  return runs;
}

void describe_bitmap(const PageContext& context, Bytes page, Json& report) {
  const std::uint32_t first = raw(context.id) / kPagesPerBitmap * kPagesPerBitmap;
  const std::uint32_t pages = std::min(kPagesPerBitmap, context.page_count - first);
  const std::vector<Run> runs = allocated_runs(page, first, pages);
  std::uint32_t allocated = 0;
  for (const Run& run : runs) allocated += run.last - run.first + 1;
  const auto& header = *reinterpret_cast<const BitmapHeader*>(page.data() + kPageHeaderBytes);
  report["bitmap"] = Json{{"first_page", header.first.get()},
                          {"pages", pages},
                          {"allocated", allocated},
                          {"allocated_stored", header.used.get()},
                          {"count", runs.size()},
                          {"fill", static_cast<double>(allocated) / static_cast<double>(pages)}};
  report["runs"] = ends_of(runs.size(), context.all, [&](std::size_t i) {
    return Json{{"first", runs[i].first}, {"last", runs[i].last}, {"pages", runs[i].last - runs[i].first + 1}};
  });
}

// --- Overflow pages

const OverflowHeader& overflow_header(Bytes page) {
  return *reinterpret_cast<const OverflowHeader*>(page.data() + kPageHeaderBytes);
}

Json describe_overflow(Bytes page) {
  constexpr std::size_t kPreviewBytes = 64;
  const OverflowHeader& header = overflow_header(page);
  const std::size_t bytes = std::min<std::size_t>(header.bytes.get(), kOverflowPageBytes);
  const Bytes data = page.subspan(kPageHeaderBytes + sizeof header, std::min(bytes, kPreviewBytes));
  return Json{{"next", page_or_null(header.next.get())},
              {"bytes", header.bytes.get()},
              {"begins", json_of(as_text(data))},
              {"fill", static_cast<double>(bytes) / static_cast<double>(kOverflowPageBytes)}};
}

std::string overflow_problem(const PageContext& context, Bytes page) {
  const OverflowHeader& header = overflow_header(page);
  if (header.bytes.get() > kOverflowPageBytes) return "it claims to hold more bytes than a page has room for";
  if (header.next.get() != raw(kNoPage) && header.next.get() >= context.page_count) {
    return "its next page lies beyond the end of the file";
  }
  return kInOrder;
}

std::string text_of_status(const Status& status) {
  return status ? kInOrder : std::string(status.error().message());
}

}  // namespace

Json flag_names(unsigned flags, std::initializer_list<std::pair<unsigned, const char*>> names) {
  Json found = Json::array();
  for (const auto& [bit, name] : names) {
    if ((flags & bit) != 0) found.push_back(name);
    flags &= ~bit;
  }
  if (flags != 0) found.push_back(fmt::format("{:#x}", flags));
  return found;
}

Json page_or_null(std::uint32_t page) {
  return page == raw(kNoPage) ? Json(nullptr) : Json(page);
}

Json describe_page(const PageContext& context, Bytes page) {
  Json report{{"header", describe_header(context, page)}};
  std::string structure = kInOrder;
  const auto type = static_cast<PageType>(page_header(page).type.get());
  const bool superblock_place = context.id == kSuperblockPages[0] || context.id == kSuperblockPages[1];
  switch (type) {
    case PageType::kSuperblock:
      report["superblock"] = describe_superblock(page);
      structure = superblock_problem(context, page);
      break;
    case PageType::kLeaf:
    case PageType::kInternal: {
      const NodeView node(page);
      report["node"] = describe_node(page);
      report["entries"] = ends_of(node.count(), context.all,
                                  [&](std::size_t slot) { return describe_entry(node, static_cast<unsigned>(slot)); });
      structure = text_of_status(verify_node(page));
      break;
    }
    case PageType::kBitmap:
      describe_bitmap(context, page, report);
      structure = text_of_status(verify_bitmap(context.id, page));
      break;
    case PageType::kHeap:
      describe_heap_page(context, page, report);
      structure = text_of_status(verify_heap_page(page));
      break;
    case PageType::kFreeSpaceMap:
      describe_map_page(context, page, report);
      structure = text_of_status(verify_map_page(page));
      break;
    case PageType::kOverflow:
      report["overflow"] = describe_overflow(page);
      structure = overflow_problem(context, page);
      break;
    case PageType::kFree:
      break;
    case PageType::kAbsent:
      if (!page_is_zero(page)) structure = "a page without a type that is not all zeros";
      break;
    default:
      structure = "a type that no page of this database has";
      break;
  }
  if (superblock_place != (type == PageType::kSuperblock)) {
    structure = superblock_place ? "a superblock belongs here" : "no superblock belongs here";
  }
  const std::string checksum = checksum_state(context, page);
  report["verdict"] = Json{{"sound", checksum != "wrong" && checksum != "unknown" && structure == kInOrder},
                           {"checksum", checksum},
                           {"structure", json_of(structure)}};
  return report;
}

}  // namespace vaultgres::cli
