// What the reports on pages of each kind share. Within page_report.cc and heap_report.cc only.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <utility>

#include "cli/answer.h"
#include "cli/page_report.h"

namespace vaultgres::cli {

/// The names of the bits that are set, and those without a name as a number.
Json flag_names(unsigned flags, std::initializer_list<std::pair<unsigned, const char*>> names);

Json page_or_null(std::uint32_t page);

/// A description of each of `count` items: of the first and the last, unless all are wanted.
template <class Item>
Json ends_of(std::size_t count, bool all, const Item& item) {
  Json items = Json::array();
  for (std::size_t i = 0; i < count; ++i) {
    if (!all && count > 2 * kShownAtEachEnd && i == kShownAtEachEnd) i = count - kShownAtEachEnd;
    items.push_back(item(i));
  }
  return items;
}

/// `heap` and `slots`.
void describe_heap_page(const PageContext& context, Bytes page, Json& report);
/// `map` and `entries`.
void describe_map_page(const PageContext& context, Bytes page, Json& report);

}  // namespace vaultgres::cli
