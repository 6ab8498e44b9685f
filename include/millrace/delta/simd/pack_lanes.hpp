// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/delta/bit_rows.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/// \file
/// simd/pack_rows.inl for each instruction set: registers of eight 32-bit lanes, in AVX-512 as
/// well, whose longer registers win nothing here (but see small_gaps.hpp): a scan crosses lanes,
/// and rows straddle words.

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

}  // namespace detail::avx512
MILLRACE_TARGET_END

#endif

}  // namespace millrace::inline v0::delta
