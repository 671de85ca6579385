#include "btree/node_search.h"

#include <algorithm>
#include <atomic>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "base/little.h"

namespace vaultgres::node {

namespace {

unsigned hints_below_scalar(const std::byte* hints, std::uint32_t head) noexcept {
  unsigned below = 0;
  while (below < kNodeHints && load_little<std::uint32_t>(hints + 4 * below) < head) ++below;
  return below;
}

unsigned heads_below_scalar(const std::byte* heads, unsigned length, std::uint32_t head) noexcept {
  unsigned begin = 0;
  unsigned end = length;
  while (begin < end) {
    const unsigned middle = (begin + end) / 2;
    if (load_little<std::uint32_t>(heads + 4 * middle) < head) {
      begin = middle + 1;
    } else {
      end = middle;
    }
  }
  return begin;
}

constexpr HeadSearch kScalar{hints_below_scalar, heads_below_scalar};

#if defined(__x86_64__)

/// Lanes below `head` among eight; AVX2 compares signed, so the caller flips the sign bits of `head`.
__attribute__((target("avx2,popcnt"))) inline unsigned below_of_8(const std::byte* at, __m256i flipped_head) noexcept {
  const __m256i sign = _mm256_set1_epi32(INT32_MIN);
  const __m256i lanes = _mm256_xor_si256(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)), sign);
  return static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(flipped_head, lanes))));
}
__attribute__((target("avx2,popcnt"))) inline __m256i flipped(std::uint32_t head) noexcept {
  return _mm256_xor_si256(_mm256_set1_epi32(static_cast<int>(head)), _mm256_set1_epi32(INT32_MIN));
}

__attribute__((target("avx2,popcnt"))) unsigned hints_below_avx2(const std::byte* hints, std::uint32_t head) noexcept {
  const __m256i wanted = flipped(head);
  const unsigned below = below_of_8(hints, wanted) | below_of_8(hints + 32, wanted) << 8;
  return static_cast<unsigned>(__builtin_popcount(below));
}

__attribute__((target("avx2,popcnt"))) unsigned heads_below_avx2(const std::byte* heads, unsigned length,
                                                                 std::uint32_t head) noexcept {
  const __m256i wanted = flipped(head);
  unsigned below = 0;
  unsigned i = 0;
  for (; i + 8 <= length; i += 8) {
    below += static_cast<unsigned>(__builtin_popcount(below_of_8(heads + 4 * i, wanted)));
  }
  for (; i < length; ++i) below += load_little<std::uint32_t>(heads + 4 * i) < head ? 1 : 0;
  return below;
}

constexpr HeadSearch kAvx2{hints_below_avx2, heads_below_avx2};

__attribute__((target("avx512f,popcnt"))) unsigned hints_below_avx512(const std::byte* hints,
                                                                      std::uint32_t head) noexcept {
  const __m512i wanted = _mm512_set1_epi32(static_cast<int>(head));
  return static_cast<unsigned>(__builtin_popcount(_mm512_cmplt_epu32_mask(_mm512_loadu_si512(hints), wanted)));
}

__attribute__((target("avx512f,popcnt"))) unsigned heads_below_avx512(const std::byte* heads, unsigned length,
                                                                      std::uint32_t head) noexcept {
  const __m512i wanted = _mm512_set1_epi32(static_cast<int>(head));
  unsigned below = 0;
  for (unsigned i = 0; i < length; i += 16) {
    const unsigned left = length - i;
    const auto valid = static_cast<__mmask16>(left >= 16 ? 0xFFFFu : (1u << left) - 1);
    const __m512i lanes = _mm512_maskz_loadu_epi32(valid, heads + 4 * i);
    below += static_cast<unsigned>(__builtin_popcount(_mm512_mask_cmplt_epu32_mask(valid, lanes, wanted)));
  }
  return below;
}

constexpr HeadSearch kAvx512{hints_below_avx512, heads_below_avx512};

#endif

const HeadSearch* best() noexcept {
  if (const HeadSearch* search = head_search_avx512()) return search;
  if (const HeadSearch* search = head_search_avx2()) return search;
  return head_search_scalar();
}

}  // namespace

const HeadSearch* head_search_scalar() noexcept {
  return &kScalar;
}

const HeadSearch* head_search_avx2() noexcept {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt")) return &kAvx2;
#endif
  return nullptr;
}

const HeadSearch* head_search_avx512() noexcept {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("popcnt")) return &kAvx512;
#endif
  return nullptr;
}

const HeadSearch& head_search() noexcept {
  // Relaxed: whichever thread chooses, it chooses the same constant.
  static constinit std::atomic<const HeadSearch*> chosen{nullptr};
  const HeadSearch* search = chosen.load(std::memory_order_relaxed);
  if (search == nullptr) [[unlikely]] {
    search = best();
    chosen.store(search, std::memory_order_relaxed);
  }
  return *search;
}

std::uint32_t hint_of(const std::byte* page, unsigned index, unsigned count) noexcept {
  const unsigned slot = (index + 1) * hint_spacing(count);
  return slot < count ? load_little<std::uint32_t>(page + kNodeHeadsOffset + 4 * slot) : 0xFFFFFFFFu;
}

void update_hints(std::byte* page, unsigned from, unsigned count_before, unsigned count) noexcept {
  const unsigned spacing = hint_spacing(count);
  unsigned index = 0;
  if (hint_spacing(count_before) == spacing && from > 0) index = (from - 1) / spacing;
  for (; index < kNodeHints; ++index) {
    store_little(page + kNodeHintsOffset + 4 * index, hint_of(page, index, count));
  }
}

}  // namespace vaultgres::node
