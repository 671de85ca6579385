// Heap::walk: visits and checks every page of a table, online. What one page says about another is looked at under
// latches of both, or is of a kind that never changes.
#include <algorithm>
#include <string>
#include <vector>

#include "base/try.h"
#include "heap/heap.h"

namespace vaultgres {

namespace {

std::string name_of(Tid tid) {
  return "page " + std::to_string(raw(tid.page)) + " slot " + std::to_string(tid.slot);
}

struct Walker {
  const HeapContext& context;
  ObjectId object;
  FunctionRef<void(PageId, Bytes)> visit;
  FunctionRef<void(PageId, const std::string&)> problem;
  ReadAhead read_ahead;

  /// A stub and its body, as one of the two says.
  struct Link {
    Tid home;
    Tid body;
  };
  /// What a map page's parent says about it.
  struct Expected {
    bool root;
    unsigned level;
    std::uint64_t first;
    bool full;  ///< it is not the last one of its level
  };

  /// Damage is a problem, errors of the environment are returned.
  Status report(PageId id, const Error& error) {
    if (error.code() != ErrorCode::kCorruption) return error;
    problem(id, std::string(error.message()));
    return {};
  }

  /// A shared latch, or none and the problem reported.
  Result<SharedGuard> open(PageId id) {
    Result<SharedGuard> page = context.pool.shared(id, Hint::kScan);
    if (page) return page;
    VG_TRY(report(id, page.error()));
    return SharedGuard();
  }

  /// False when there is no use in looking further into the page.
  bool sound(PageId id, Bytes page, const Status& verified) {
    if (!verified) {
      problem(id, std::string(verified.error().message()));
      return false;
    }
    const std::uint32_t owner = page_header(page).object.get();
    if (owner == raw(object)) return true;
    problem(id, "belongs to object " + std::to_string(owner));
    return false;
  }

  Status map_page(PageId id, Expected expected) {
    std::vector<PageId> entries;
    {
      VG_ASSIGN(const SharedGuard page, open(id));
      if (!page) return {};
      visit(id, page.page());
      if (!sound(id, page.page(), verify_map_page(page.page()))) return {};
      const MapPageView view(page.page());
      if (view.is_root() != expected.root) problem(id, "its root mark is wrong");
      if (expected.root) expected.level = view.level();
      if (view.level() != expected.level || view.first() != expected.first) {
        problem(id, "is not the part of the free-space map that its parent says");
        return {};
      }
      if (expected.full && !view.full()) problem(id, "has free entries although the map goes on behind it");
      for (unsigned i = 0; i < view.count(); ++i) entries.push_back(view.id(i));
    }
    for (std::size_t i = 0; i < entries.size(); ++i) {
      if (expected.level == 0) context.pool.read_ahead(std::span(entries).subspan(i), read_ahead);
      const std::uint64_t first = expected.first + i * map_span(expected.level);
      const bool full = expected.full || i + 1 < entries.size();
      VG_TRY(expected.level == 0 ? heap_page(entries[i], first)
                                 : map_page(entries[i], {false, expected.level - 1, first, full}));
    }
    return {};
  }

  Status heap_page(PageId id, std::uint64_t number) {
    std::vector<Link> links;
    {
      VG_ASSIGN(const SharedGuard page, open(id));
      if (!page) return {};
      visit(id, page.page());
      if (!sound(id, page.page(), verify_heap_page(page.page()))) return {};
      const HeapPageView view(page.page());
      if (view.number() != number) {
        problem(id, "is number " + std::to_string(view.number()) + " of its table, but listed as " +
                        std::to_string(number));
      }
      for (unsigned i = 0; i < view.slots(); ++i) {
        const HeapSlot slot = view.slot(i);
        const Tid tid{id, static_cast<std::uint16_t>(i)};
        if (slot.state.kind == HeapKind::kStub) links.push_back({tid, slot.link()});
        if (slot.state.kind == HeapKind::kBody && !slot.state.ghost) links.push_back({slot.link(), tid});
      }
    }
    for (const Link& link : links) VG_TRY(check_link(link));
    return {};
  }

  /// A stub and its body change in one record: under both latches either both say so or none does.
  Status check_link(const Link& link) {
    const PageId ids[] = {std::min(link.home.page, link.body.page), std::max(link.home.page, link.body.page)};
    LoadPin pin;
    for (;;) {
      VG_ASSIGN(SharedGuard low, open(ids[0]));
      if (!low) return {};
      SharedGuard high;
      if (ids[0] != ids[1]) {
        auto latched = context.pool.shared_if_resident(ids[1]);
        if (!latched) {
          low.release();
          auto loaded = context.pool.load(ids[1], Hint::kScan);
          if (!loaded) return report(ids[1], loaded.error());
          pin = *std::move(loaded);
          continue;
        }
        high = *std::move(latched);
      }
      const auto slot_of = [&](Tid tid) {
        const HeapPageView view(tid.page == ids[0] ? low.page() : high.page());
        return view.plausible() && view.object() == object ? view.slot(tid.slot) : HeapSlot{};
      };
      const HeapSlot home = slot_of(link.home);
      const HeapSlot body = slot_of(link.body);
      const bool home_says = home.state.kind == HeapKind::kStub && home.link() == link.body;
      const bool body_says = body.state.kind == HeapKind::kBody && !body.state.ghost && body.link() == link.home;
      if (home_says && !body_says) {
        problem(link.home.page, "the stub in slot " + std::to_string(link.home.slot) + " leads to " +
                                    name_of(link.body) + ", which is not its body");
      } else if (body_says && !home_says) {
        problem(link.body.page, "the body in slot " + std::to_string(link.body.slot) + " names " + name_of(link.home) +
                                    ", which does not lead to it");
      }
      return {};
    }
  }
};

}  // namespace

Status Heap::walk(FunctionRef<void(PageId id, Bytes page)> visit,
                  FunctionRef<void(PageId id, const std::string& what)> problem) const {
  Walker walker{*context_, object_, visit, problem, {}};
  return walker.map_page(root_, {true, 0, 0, false});
}

}  // namespace vaultgres
