#include "btree/node_search.h"

#include <algorithm>
#include <atomic>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "base/little.h"

namespace vaultgres::node {

namespace {

// All three work alike. Hints below the wanted head, k of them, say that head k * spacing is below it and
// head (k + 1) * spacing is not: the answer is k * spacing plus the number of smaller heads in between.

unsigned scalar(const std::byte* page, unsigned count, std::uint32_t head) {
  const unsigned spacing = hint_spacing(count);
  unsigned begin = 0;
  for (unsigned i = 0; i < kNodeHints; ++i) {
    if (load_little<std::uint32_t>(page + kNodeHintsOffset + 4 * i) >= head) break;
    begin += spacing;
  }
  begin = std::min(begin, count);
  unsigned end = std::min(begin + spacing, count);
  while (begin < end) {
    const unsigned middle = (begin + end) / 2;
    if (load_little<std::uint32_t>(page + kNodeHeadsOffset + 4 * middle) < head) {
      begin = middle + 1;
    } else {
      end = middle;
    }
  }
  return begin;
}

#if defined(__x86_64__)

/// Lanes below `head` among eight; AVX2 compares signed, so the caller flips the sign bits of `head`.
__attribute__((target("avx2,popcnt"))) inline unsigned below_of_8(const std::byte* at, __m256i flipped_head) {
  const __m256i sign = _mm256_set1_epi32(INT32_MIN);
  const __m256i lanes = _mm256_xor_si256(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)), sign);
  return static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(flipped_head, lanes))));
}

__attribute__((target("avx2,popcnt"))) unsigned avx2(const std::byte* page, unsigned count, std::uint32_t head) {
  const __m256i flipped = _mm256_xor_si256(_mm256_set1_epi32(static_cast<int>(head)), _mm256_set1_epi32(INT32_MIN));
  const std::byte* hints = page + kNodeHintsOffset;
  const unsigned below_hints = below_of_8(hints, flipped) | below_of_8(hints + 32, flipped) << 8;
  const unsigned spacing = hint_spacing(count);
  const unsigned begin = static_cast<unsigned>(__builtin_popcount(below_hints)) * spacing;
  if (begin >= count) return count;
  const unsigned length = std::min(spacing, count - begin);
  const std::byte* heads = page + kNodeHeadsOffset + 4 * begin;
  unsigned below = 0;
  unsigned i = 0;
  for (; i + 8 <= length; i += 8) {
    below += static_cast<unsigned>(__builtin_popcount(below_of_8(heads + 4 * i, flipped)));
  }
  for (; i < length; ++i) below += load_little<std::uint32_t>(heads + 4 * i) < head ? 1 : 0;
  return begin + below;
}

__attribute__((target("avx512f,popcnt"))) unsigned avx512(const std::byte* page, unsigned count, std::uint32_t head) {
  const __m512i wanted = _mm512_set1_epi32(static_cast<int>(head));
  const __m512i hints = _mm512_loadu_si512(page + kNodeHintsOffset);
  const unsigned spacing = hint_spacing(count);
  const unsigned below_hints = static_cast<unsigned>(__builtin_popcount(_mm512_cmplt_epu32_mask(hints, wanted)));
  const unsigned begin = below_hints * spacing;
  if (begin >= count) return count;
  const unsigned length = std::min(spacing, count - begin);
  const std::byte* heads = page + kNodeHeadsOffset + 4 * begin;
  unsigned below = 0;
  for (unsigned i = 0; i < length; i += 16) {
    const unsigned left = length - i;
    const auto valid = static_cast<__mmask16>(left >= 16 ? 0xFFFFu : (1u << left) - 1);
    const __m512i lanes = _mm512_maskz_loadu_epi32(valid, heads + 4 * i);
    below += static_cast<unsigned>(__builtin_popcount(_mm512_mask_cmplt_epu32_mask(valid, lanes, wanted)));
  }
  return begin + below;
}

#endif

unsigned choose_then_search(const std::byte* page, unsigned count, std::uint32_t head);

/// Relaxed: whichever value a thread sees is a right one.
constinit std::atomic<SearchHeads> chosen{choose_then_search};

unsigned choose_then_search(const std::byte* page, unsigned count, std::uint32_t head) {
  SearchHeads best = search_heads_avx512();
  if (best == nullptr) best = search_heads_avx2();
  if (best == nullptr) best = search_heads_scalar();
  chosen.store(best, std::memory_order_relaxed);
  return best(page, count, head);
}

}  // namespace

SearchHeads search_heads_scalar() noexcept {
  return scalar;
}

SearchHeads search_heads_avx2() noexcept {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt")) return avx2;
#endif
  return nullptr;
}

SearchHeads search_heads_avx512() noexcept {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("popcnt")) return avx512;
#endif
  return nullptr;
}

unsigned search_heads(const std::byte* page, unsigned count, std::uint32_t head) noexcept {
  return chosen.load(std::memory_order_relaxed)(page, count, head);
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
