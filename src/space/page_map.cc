#include "space/page_map.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace vaultgres {

void PageMap::set_page_count(std::uint32_t count) {
  VG_CHECK(count >= page_count_, "the data file became shorter");
  if (count == page_count_) return;
  const std::uint32_t last = bitmap_group_of(PageId{count - 1});
  if (page_count_ != 0) lowest_ = std::min(lowest_, bitmap_group_of(PageId{page_count_ - 1}));
  if (last >= groups_.size()) groups_.resize(last + 1);
  page_count_ = count;
}

/// How many of the group's ids the file has.
std::uint32_t PageMap::limit_of(std::uint32_t group) const noexcept {
  return std::min(kPagesPerBitmap, page_count_ - group * kPagesPerBitmap);
}

std::uint32_t PageMap::free_in(std::uint32_t group) const noexcept {
  return limit_of(group) - groups_[group].used;
}

void PageMap::begin_load(std::uint32_t group) {
  Group& loading = groups_[group];
  VG_CHECK(loading.state != State::kLoaded, "a bitmap group is loaded twice");
  if (loading.words == nullptr) loading.words = std::make_unique<BitmapWords>();
  loading.words->fill(~std::uint64_t{0});
  loading.state = State::kLoading;
}

void PageMap::finish_load(std::uint32_t group, const BitmapWords& used) noexcept {
  Group& loading = groups_[group];
  VG_CHECK(loading.state == State::kLoading, "a bitmap group was not being loaded");
  loading.used = 0;
  for (std::size_t i = 0; i < used.size(); ++i) {
    std::uint64_t& word = (*loading.words)[i];
    word &= used[i];
    loading.used += static_cast<std::uint32_t>(std::popcount(word));
  }
  loading.first_word = 0;
  loading.state = State::kLoaded;
}

/// Takes up to `count` free ids of the group's bits [begin, end).
void PageMap::take(std::uint32_t group, std::uint32_t begin, std::uint32_t end, unsigned count,
                   std::vector<PageId>& ids) {
  Group& from = groups_[group];
  for (std::uint32_t word = begin / 64; count > 0 && word * 64 < end; ++word) {
    std::uint64_t free = ~(*from.words)[word];
    if (word * 64 < begin) free &= ~std::uint64_t{0} << begin % 64;
    if (end - word * 64 < 64) free &= (std::uint64_t{1} << end % 64) - 1;
    for (; free != 0 && count > 0; free &= free - 1, --count) {
      const auto bit = static_cast<std::uint32_t>(std::countr_zero(free));
      (*from.words)[word] |= std::uint64_t{1} << bit;
      ++from.used;
      ids.push_back(PageId{group * kPagesPerBitmap + word * 64 + bit});
    }
  }
}

PageMap::Missing PageMap::reserve(unsigned count, PageId near, std::vector<PageId>& ids) {
  ids.clear();
  ids.reserve(count);
  Missing missing;
  if (raw(near) < page_count_) {
    const std::uint32_t group = bitmap_group_of(near);
    if (!loaded(group)) {
      missing.group = group;
      return missing;
    }
    take(group, bitmap_bit_of(near), limit_of(group), count, ids);
  }
  for (std::uint32_t group = lowest_; ids.size() < count && group < groups_.size(); ++group) {
    if (!loaded(group)) {
      missing.group = group;
      break;
    }
    Group& from = groups_[group];
    while (from.first_word < from.words->size() && (*from.words)[from.first_word] == ~std::uint64_t{0}) {
      ++from.first_word;
    }
    take(group, from.first_word * 64, limit_of(group), count - static_cast<unsigned>(ids.size()), ids);
    if (group == lowest_ && free_in(group) == 0) ++lowest_;
  }
  if (ids.size() == count) return missing;
  if (!missing.group) missing.pages = count - static_cast<unsigned>(ids.size());
  for (const PageId id : ids) give_back(id);
  ids.clear();
  return missing;
}

void PageMap::give_back(PageId id) noexcept {
  const std::uint32_t group = bitmap_group_of(id);
  if (group >= groups_.size() || groups_[group].words == nullptr) return;  // its bitmap page says so already
  Group& into = groups_[group];
  const std::uint32_t bit = bitmap_bit_of(id);
  std::uint64_t& word = (*into.words)[bit / 64];
  const std::uint64_t mask = std::uint64_t{1} << bit % 64;
  VG_CHECK((word & mask) != 0, "a page id is given back that is free");
  word &= ~mask;
  if (into.state != State::kLoaded) return;
  --into.used;
  into.first_word = std::min(into.first_word, bit / 64);
  lowest_ = std::min(lowest_, group);
}

std::uint64_t PageMap::free_count() const noexcept {
  std::uint64_t count = 0;
  for (std::uint32_t group = 0; group < groups_.size(); ++group) {
    if (loaded(group)) count += free_in(group);
  }
  return count;
}

}  // namespace vaultgres
