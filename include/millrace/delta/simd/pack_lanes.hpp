// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/delta/bit_rows.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/// \file
/// simd/pack_rows.inl for each instruction set: registers of eight 32-bit lanes, in AVX-512 as
/// well, whose longer registers win nothing here: a scan crosses lanes, and rows straddle words.

namespace millrace::inline v0::delta {

/// What pack_keys says of keys that do not increase.
inline constexpr std::uint32_t not_increasing = 255;

#if defined(__x86_64__)

MILLRACE_TARGET_AVX2
namespace detail::avx2 {

struct pack_lanes {
  using reg = __m256i;

  static reg load(std::byte const* from) noexcept {
    return _mm256_loadu_si256(reinterpret_cast<reg const*>(from));
  }
  static void store(void* to, reg v) noexcept { _mm256_storeu_si256(static_cast<reg*>(to), v); }
  static reg set(std::uint32_t v) noexcept { return _mm256_set1_epi32(static_cast<int>(v)); }
  /// step, 2 * step, ... 8 * step
  static reg ramp(std::uint32_t step) noexcept {
    return _mm256_mullo_epi32(set(step), _mm256_setr_epi32(1, 2, 3, 4, 5, 6, 7, 8));
  }
  static reg add(reg a, reg b) noexcept { return _mm256_add_epi32(a, b); }
  static reg sub(reg a, reg b) noexcept { return _mm256_sub_epi32(a, b); }
  static reg bits_and(reg a, reg b) noexcept { return _mm256_and_si256(a, b); }
  static reg bits_or(reg a, reg b) noexcept { return _mm256_or_si256(a, b); }
  template <int N>
  static reg left(reg v) noexcept {
    return _mm256_slli_epi32(v, N);
  }
  template <int N>
  static reg right(reg v) noexcept {
    return _mm256_srli_epi32(v, N);
  }
  static reg left_by(reg v, std::uint32_t n) noexcept {
    return _mm256_sll_epi32(v, _mm_cvtsi32_si128(static_cast<int>(n)));
  }
  static reg right_by(reg v, std::uint32_t n) noexcept {
    return _mm256_srl_epi32(v, _mm_cvtsi32_si128(static_cast<int>(n)));
  }
  /// Bits n to n + 31 of high:low; n below 32.
  static reg funnel(reg low, reg high, std::uint32_t n) noexcept {
    return bits_or(right_by(low, n), left_by(high, 32 - n));
  }
  /// Lane i - N in lane i, zero in the first ones.
  template <int N>
  static reg up(reg v) noexcept {
    reg const below = _mm256_permute2x128_si256(v, v, 0x08);  // the lower half above zero
    if constexpr (N == 4) {
      return below;
    } else {
      return _mm256_alignr_epi8(v, below, 16 - 4 * N);
    }
  }
  /// The last lane in each.
  static reg last(reg v) noexcept { return _mm256_permutevar8x32_epi32(v, set(7)); }
  /// All ones where a <= b.
  static reg not_above(reg a, reg b) noexcept {
    return _mm256_cmpeq_epi32(_mm256_min_epu32(a, b), a);
  }
  static bool any(reg v) noexcept { return _mm256_testz_si256(v, v) == 0; }
  static std::uint32_t fold_or(reg v) noexcept {
    __m128i half = _mm_or_si128(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    half = _mm_or_si128(half, _mm_srli_si128(half, 8));
    half = _mm_or_si128(half, _mm_srli_si128(half, 4));
    return static_cast<std::uint32_t>(_mm_cvtsi128_si32(half));
  }
  /// Each lane as 64 bits, plus `base`.
  static void store_wide(std::uint64_t* to, reg v, std::uint64_t base) noexcept {
    reg const add = _mm256_set1_epi64x(static_cast<long long>(base));
    reg const low = _mm256_cvtepu32_epi64(_mm256_castsi256_si128(v));
    reg const high = _mm256_cvtepu32_epi64(_mm256_extracti128_si256(v, 1));
    store(to, _mm256_add_epi64(low, add));
    store(to + 4, _mm256_add_epi64(high, add));
  }

  // four lanes of 64 bits
  static reg sub_wide(reg a, reg b) noexcept { return _mm256_sub_epi64(a, b); }
  static reg set_wide(std::uint64_t v) noexcept {
    return _mm256_set1_epi64x(static_cast<long long>(v));
  }
  static reg not_above_wide(reg a, reg b) noexcept {
    reg const top = set_wide(std::uint64_t{1} << 63);
    reg const above = _mm256_cmpgt_epi64(_mm256_xor_si256(a, top), _mm256_xor_si256(b, top));
    return _mm256_xor_si256(above, set(~0u));
  }
  static std::uint64_t fold_or_wide(reg v) noexcept {
    __m128i const half = _mm_or_si128(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    return static_cast<std::uint64_t>(_mm_cvtsi128_si64(half)) |
           static_cast<std::uint64_t>(_mm_extract_epi64(half, 1));
  }
  /// The lower halves of four lanes and four more.
  static reg narrow(reg a, reg b) noexcept {
    reg const mixed = _mm256_castps_si256(
        _mm256_shuffle_ps(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b), 0x88));
    return _mm256_permute4x64_epi64(mixed, 0xD8);
  }
};

#include <millrace/delta/simd/pack_rows.inl>

}  // namespace detail::avx2
MILLRACE_TARGET_END

MILLRACE_TARGET_AVX512
namespace detail::avx512 {

struct pack_lanes {
  using reg = __m256i;

  static reg load(std::byte const* from) noexcept {
    return _mm256_loadu_si256(reinterpret_cast<reg const*>(from));
  }
  static void store(void* to, reg v) noexcept { _mm256_storeu_si256(static_cast<reg*>(to), v); }
  static reg set(std::uint32_t v) noexcept { return _mm256_set1_epi32(static_cast<int>(v)); }
  static reg ramp(std::uint32_t step) noexcept {
    return _mm256_mullo_epi32(set(step), _mm256_setr_epi32(1, 2, 3, 4, 5, 6, 7, 8));
  }
  static reg add(reg a, reg b) noexcept { return _mm256_add_epi32(a, b); }
  static reg sub(reg a, reg b) noexcept { return _mm256_sub_epi32(a, b); }
  static reg bits_and(reg a, reg b) noexcept { return _mm256_and_si256(a, b); }
  static reg bits_or(reg a, reg b) noexcept { return _mm256_or_si256(a, b); }
  template <int N>
  static reg left(reg v) noexcept {
    return _mm256_slli_epi32(v, N);
  }
  template <int N>
  static reg right(reg v) noexcept {
    return _mm256_srli_epi32(v, N);
  }
  static reg left_by(reg v, std::uint32_t n) noexcept {
    return _mm256_sll_epi32(v, _mm_cvtsi32_si128(static_cast<int>(n)));
  }
  static reg right_by(reg v, std::uint32_t n) noexcept {
    return _mm256_srl_epi32(v, _mm_cvtsi32_si128(static_cast<int>(n)));
  }
  static reg funnel(reg low, reg high, std::uint32_t n) noexcept {
    return _mm256_shrdv_epi32(low, high, set(n));
  }
  template <int N>
  static reg up(reg v) noexcept {
    return _mm256_alignr_epi32(v, _mm256_setzero_si256(), 8 - N);
  }
  static reg last(reg v) noexcept { return _mm256_permutexvar_epi32(set(7), v); }
  static reg not_above(reg a, reg b) noexcept {
    return _mm256_cmpeq_epi32(_mm256_min_epu32(a, b), a);
  }
  static bool any(reg v) noexcept { return _mm256_testz_si256(v, v) == 0; }
  static std::uint32_t fold_or(reg v) noexcept {
    __m128i half = _mm_or_si128(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    half = _mm_or_si128(half, _mm_srli_si128(half, 8));
    half = _mm_or_si128(half, _mm_srli_si128(half, 4));
    return static_cast<std::uint32_t>(_mm_cvtsi128_si32(half));
  }
  static void store_wide(std::uint64_t* to, reg v, std::uint64_t base) noexcept {
    __m512i const add = _mm512_set1_epi64(static_cast<long long>(base));
    _mm512_storeu_si512(to, _mm512_add_epi64(_mm512_maskz_cvtepu32_epi64(0xFF, v), add));
  }

  static reg sub_wide(reg a, reg b) noexcept { return _mm256_sub_epi64(a, b); }
  static reg set_wide(std::uint64_t v) noexcept {
    return _mm256_set1_epi64x(static_cast<long long>(v));
  }
  static reg not_above_wide(reg a, reg b) noexcept {
    return _mm256_cmpeq_epi64(_mm256_min_epu64(a, b), a);
  }
  static std::uint64_t fold_or_wide(reg v) noexcept {
    __m128i const half = _mm_or_si128(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    return static_cast<std::uint64_t>(_mm_cvtsi128_si64(half)) |
           static_cast<std::uint64_t>(_mm_extract_epi64(half, 1));
  }
  static reg narrow(reg a, reg b) noexcept {
    return _mm256_set_m128i(_mm256_maskz_cvtepi64_epi32(15, b), _mm256_maskz_cvtepi64_epi32(15, a));
  }
};

#include <millrace/delta/simd/pack_rows.inl>

/// Steps that unpack_small_gaps takes of what runs beside it.
inline constexpr std::uint32_t small_gaps_steps = 8;

/// Nothing beside.
struct idle {
  static void step(std::uint32_t) noexcept {}
};

/// What small gaps are summed with: lanes and words in which a sum goes on, and weights of the two
/// rows that share a register.
struct small_gaps {
  using L = pack_lanes;
  using reg = L::reg;
  static constexpr std::uint32_t pairs = block_rows / row_lanes / 2;

  reg second_lane = L::set_wide(0x0000'0001'0000'0001u);
  reg from_pair = _mm256_setr_epi32(0, 0, 1, 1, 3, 3, 5, 5);
  reg from_four = _mm256_setr_epi32(0, 0, 0, 0, 3, 3, 3, 3);
  reg steps = L::ramp(0x0001'0001u);
  /// The first row's last sum beside each of the second row's.
  reg with_row = _mm256_setr_epi16(14, 1, 14, 3, 14, 5, 14, 7, 14, 9, 14, 11, 14, 13, 14, 15);
  reg end = L::set(7), both = L::set(0x0001'0001u), first_row = L::set(1);

  small_gaps() noexcept {}  // NOLINT(modernize-use-equals-default): compiled for what is around it

  /// Four rows from bit `at` of the lanes on, two in each of v[0] and v[1].
  static void take(std::byte const* in, std::uint32_t at, std::uint32_t last, reg begin, reg behind,
                   reg* v) noexcept {
    reg const word = row_bits<L>(in, at, last);
    v[0] = _mm256_maskz_multishift_epi64_epi8(~0u, begin, word);
    v[1] = _mm256_maskz_multishift_epi64_epi8(~0u, behind, word);
  }
  /// Stores the keys of two rows behind the sums `before`, and adds theirs to them.
  template <class K>
  void put(reg v, K first, K* out, reg& before) const noexcept {
    reg const second = _mm256_permutexvar_epi16(with_row, v);
    put_keys<L>(out, first, _mm256_dpwssd_epi32(before, v, first_row));
    put_keys<L>(out + row_lanes, first, _mm256_dpwssd_epi32(before, second, both));
    before = L::add(before, _mm256_madd_epi16(_mm256_permutexvar_epi32(end, v), both));
  }
};

/// unpack_key_rows for 1 to 8 bits: four rows of each lane fit a word, whose bits the processor
/// puts where they are wanted, two rows to a register. Every step is taken for all 16 pairs of rows
/// before the next one: a pair waits for each of its steps, and the processor's scheduler holds too
/// few pairs that follow each other to fill that time.
/// @param beside work for the units of scalar numbers, which all of this leaves idle: it is almost
///        free. Inlined, so that it stays in registers.
template <class K, class Beside, std::size_t... Fours, std::size_t... Pairs>
[[gnu::always_inline]] inline void unpack_small_gaps(std::byte const* in, std::uint32_t bits,
                                                     K first, K* out, Beside& beside,
                                                     std::index_sequence<Fours...>,
                                                     std::index_sequence<Pairs...>) noexcept {
  using L = pack_lanes;
  small_gaps const with;
  L::reg const mask = L::set(low_mask(bits) * 0x0001'0001u);
  // the first bits of the bytes of two lanes: a row's number and the next row's, 16 bits each
  L::reg const begin = L::set_wide(0x2820'2820'0800'0800u + bits * 0x0101'0000'0101'0000u);
  L::reg const behind = _mm256_add_epi8(begin, _mm256_set1_epi8(static_cast<char>(2 * bits)));
  std::uint32_t const last = (bits - 1) * 32;
  L::reg v[sizeof...(Pairs)];
  (small_gaps::take(in, static_cast<std::uint32_t>(4 * Fours) * bits, last, begin, behind,
                    v + 2 * Fours),
   ...);
  beside.step(0);
  ((v[Pairs] = L::bits_and(v[Pairs], mask)), ...);
  beside.step(1);
  ((v[Pairs] = _mm256_mullo_epi64(v[Pairs], with.second_lane)), ...);
  beside.step(2);
  ((v[Pairs] = L::add(v[Pairs], _mm256_maskz_permutexvar_epi32(0xCC, with.from_pair, v[Pairs]))),
   ...);
  beside.step(3);
  ((v[Pairs] = L::add(v[Pairs], _mm256_maskz_permutexvar_epi32(0xF0, with.from_four, v[Pairs]))),
   ...);
  beside.step(4);
  ((v[Pairs] = L::add(v[Pairs], with.steps)), ...);
  beside.step(5);
  L::reg before = begin_keys<L>(first);
  (with.put(v[Fours], first, out + 2 * row_lanes * Fours, before), ...);
  beside.step(6);
  (with.put(v[sizeof...(Fours) + Fours], first, out + 2 * row_lanes * (sizeof...(Fours) + Fours),
            before),
   ...);
  beside.step(7);
}
template <class K, class Beside>
[[gnu::always_inline]] inline void unpack_small_gaps(std::byte const* in, std::uint32_t bits,
                                                     K first, K* out, Beside& beside) noexcept {
  unpack_small_gaps(in, bits, first, out, beside, std::make_index_sequence<small_gaps::pairs / 2>{},
                    std::make_index_sequence<small_gaps::pairs>{});
}

}  // namespace detail::avx512
MILLRACE_TARGET_END

#endif

}  // namespace millrace::inline v0::delta
