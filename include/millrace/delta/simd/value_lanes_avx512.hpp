// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/delta/bit_stream.hpp>
#include <millrace/delta/decimal_inverse.hpp>
#include <millrace/delta/value_layout.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>

/// \file
/// The lane operations of value_rows.inl in AVX-512, and that text in them.

namespace millrace::inline v0::delta::detail::avx512::values {
// Masks of every lane: g++ 12 warns of what the forms without one leave undefined.
MILLRACE_TARGET_AVX512

struct lanes {
  using words = __m512i;
  static constexpr std::uint32_t rows32 = 16, rows64 = 8;

  static words load(void const* from) noexcept { return _mm512_loadu_si512(from); }
  /// Reads only the first `left` bytes; zero beyond. So the end of a block needs no copy, whose
  /// bytes a wide load could not take from the stores just before.
  static constexpr bool reads_within = true;
  static words load_first(std::byte const* from, std::ptrdiff_t left) noexcept {
    auto const bytes = static_cast<std::uint32_t>(left < 64 ? left : 64);
    return _mm512_maskz_loadu_epi8(_bzhi_u64(~0ULL, bytes), from);
  }
  static void store(void* to, words v) noexcept { _mm512_storeu_si512(to, v); }
  static words broadcast(std::uint32_t v) noexcept {
    return _mm512_set1_epi32(static_cast<std::int32_t>(v));
  }
  static words broadcast(std::uint64_t v) noexcept {
    return _mm512_set1_epi64(static_cast<std::int64_t>(v));
  }
  static words exor(words a, words b) noexcept { return _mm512_xor_si512(a, b); }
  static words any(words a, words b) noexcept { return _mm512_or_si512(a, b); }
  template <class T>
  static words add(words a, words b) noexcept {
    return sizeof(T) == 4 ? _mm512_add_epi32(a, b) : _mm512_add_epi64(a, b);
  }
  template <class T>
  static words up(words v, std::uint32_t by) noexcept {
    __m128i const count = _mm_cvtsi32_si128(static_cast<std::int32_t>(by));
    return sizeof(T) == 4 ? _mm512_maskz_sll_epi32(0xFFFF, v, count)
                          : _mm512_maskz_sll_epi64(0xFF, v, count);
  }
  template <class T>
  static words down(words v, std::uint32_t by) noexcept {
    __m128i const count = _mm_cvtsi32_si128(static_cast<std::int32_t>(by));
    return sizeof(T) == 4 ? _mm512_maskz_srl_epi32(0xFFFF, v, count)
                          : _mm512_maskz_srl_epi64(0xFF, v, count);
  }
  template <class T>
  static words unzigzag(words v) noexcept {
    words const zero = _mm512_setzero_si512();
    if constexpr (sizeof(T) == 4) {
      words const sign = _mm512_sub_epi32(zero, _mm512_and_si512(v, _mm512_set1_epi32(1)));
      return _mm512_xor_si512(_mm512_maskz_srli_epi32(0xFFFF, v, 1), sign);
    } else {
      words const sign = _mm512_sub_epi64(zero, _mm512_and_si512(v, _mm512_set1_epi64(1)));
      return _mm512_xor_si512(_mm512_maskz_srli_epi64(0xFF, v, 1), sign);
    }
  }
  template <class T>
  static words prefix_add(words v) noexcept {
    words const zero = _mm512_setzero_si512();
    if constexpr (sizeof(T) == 4) {
      v = _mm512_add_epi32(v, _mm512_maskz_alignr_epi32(0xFFFF, v, zero, 15));
    }
    v = add<T>(v, _mm512_maskz_alignr_epi64(0xFF, v, zero, 7));
    v = add<T>(v, _mm512_maskz_alignr_epi64(0xFF, v, zero, 6));
    return add<T>(v, _mm512_maskz_alignr_epi64(0xFF, v, zero, 4));
  }
  template <class T>
  static words prefix_xor(words v) noexcept {
    words const zero = _mm512_setzero_si512();
    if constexpr (sizeof(T) == 4) { v = exor(v, _mm512_maskz_alignr_epi32(0xFFFF, v, zero, 15)); }
    v = exor(v, _mm512_maskz_alignr_epi64(0xFF, v, zero, 7));
    v = exor(v, _mm512_maskz_alignr_epi64(0xFF, v, zero, 6));
    return exor(v, _mm512_maskz_alignr_epi64(0xFF, v, zero, 4));
  }
  /// The last lane in all.
  template <class T>
  static words last(words v) noexcept {
    if constexpr (sizeof(T) == 4) {
      return _mm512_maskz_permutexvar_epi32(0xFFFF, _mm512_set1_epi32(15), v);
    } else {
      return _mm512_maskz_permutexvar_epi64(0xFF, _mm512_set1_epi64(7), v);
    }
  }
  /// The first `count` lanes of 64 bits; zero beyond.
  static words first_of(words v, std::uint32_t count) noexcept {
    return _mm512_maskz_mov_epi64(static_cast<__mmask8>(count >= 8 ? 255 : (1u << count) - 1), v);
  }
  /// Whether no lane reaches 2^52.
  static bool highest_bits_clear(words v) noexcept {
    return _mm512_test_epi64_mask(v, _mm512_set1_epi64(-(std::int64_t{1} << 52))) == 0;
  }

  /// Where 16 numbers of up to 25 bits lie in the bytes of a group.
  struct window32 {
    words control, shift, mask;
    explicit window32(std::uint32_t width) noexcept {
      words const lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
      words const bit =
          _mm512_mullo_epi32(lane, _mm512_set1_epi32(static_cast<std::int32_t>(width)));
      words const spread = _mm512_maskz_broadcast_i32x4(
          0xFFFF, _mm_set_epi8(12, 12, 12, 12, 8, 8, 8, 8, 4, 4, 4, 4, 0, 0, 0, 0));
      control =
          _mm512_add_epi32(_mm512_shuffle_epi8(_mm512_maskz_srli_epi32(0xFFFF, bit, 3), spread),
                           _mm512_set1_epi32(0x03020100));
      shift = _mm512_and_si512(bit, _mm512_set1_epi32(7));
      mask = _mm512_set1_epi32(static_cast<std::int32_t>((1u << width) - 1));
    }
  };
  static words unpack32(std::byte const* from, std::ptrdiff_t left, window32 const& w) noexcept {
    words const bytes = _mm512_maskz_permutexvar_epi8(~0ull, w.control, load_first(from, left));
    return _mm512_and_si512(_mm512_maskz_srlv_epi32(0xFFFF, bytes, w.shift), w.mask);
  }

  /// Where 8 numbers of up to 57 bits lie in the bytes of a group.
  struct window64 {
    words control, shift, mask;
    explicit window64(std::uint32_t width) noexcept {
      words const lane = _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0);
      words const bit = _mm512_maskz_mul_epu32(0xFF, lane, _mm512_set1_epi64(width));
      words const spread = _mm512_maskz_broadcast_i32x4(
          0xFFFF, _mm_set_epi8(8, 8, 8, 8, 8, 8, 8, 8, 0, 0, 0, 0, 0, 0, 0, 0));
      control = _mm512_add_epi64(_mm512_shuffle_epi8(_mm512_maskz_srli_epi64(0xFF, bit, 3), spread),
                                 _mm512_set1_epi64(0x0706050403020100));
      shift = _mm512_and_si512(bit, _mm512_set1_epi64(7));
      mask = broadcast(low_mask64(width));
    }
  };
  static words unpack64(std::byte const* from, std::ptrdiff_t left, window64 const& w) noexcept {
    words const bytes = _mm512_maskz_permutexvar_epi8(~0ull, w.control, load_first(from, left));
    return _mm512_and_si512(_mm512_maskz_srlv_epi64(0xFF, bytes, w.shift), w.mask);
  }
  static void unpack64(std::byte const* from, std::ptrdiff_t left, window64 const& w,
                       std::uint64_t* out) noexcept {
    store(out, unpack64(from, left, w));
  }
  static void unpack64(std::byte const* from, std::ptrdiff_t left, window64 const& w,
                       std::uint32_t* out) noexcept {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out),
                        _mm512_maskz_cvtepi64_epi32(0xFF, unpack64(from, left, w)));
  }

  /// base + integer, divided by a power of ten: see decimal_inverse.hpp.
  struct scale {
    __m512d base, near, rest;
    scale(double b, std::uint32_t exponent) noexcept
        : base(_mm512_set1_pd(b)),
          near(_mm512_set1_pd(decimal_inverses[exponent].near)),
          rest(_mm512_set1_pd(decimal_inverses[exponent].rest)) {}
  };
  static __m512d quotient(__m512d integer, scale const& by) noexcept {
    return _mm512_fmadd_pd(integer, by.near, _mm512_mul_pd(integer, by.rest));
  }
  static __m512d decimals(__m256i sums, scale const& by) noexcept {
    return quotient(_mm512_add_pd(_mm512_maskz_cvtepi32_pd(0xFF, sums), by.base), by);
  }
  static void store_decimals(double* out, words sums, scale const& by) noexcept {
    _mm512_storeu_pd(out, decimals(_mm512_maskz_extracti64x4_epi64(0xF, sums, 0), by));
    _mm512_storeu_pd(out + 8, decimals(_mm512_maskz_extracti64x4_epi64(0xF, sums, 1), by));
  }
  static void store_decimals(float* out, words sums, scale const& by) noexcept {
    _mm256_storeu_ps(out, _mm512_maskz_cvtpd_ps(
                              0xFF, decimals(_mm512_maskz_extracti64x4_epi64(0xF, sums, 0), by)));
    _mm256_storeu_ps(
        out + 8,
        _mm512_maskz_cvtpd_ps(0xFF, decimals(_mm512_maskz_extracti64x4_epi64(0xF, sums, 1), by)));
  }
  static void store_wide_decimals(double* out, words sums, scale const& by) noexcept {
    _mm512_storeu_pd(out, quotient(_mm512_maskz_cvtepi64_pd(0xFF, sums), by));
  }
  /// Sums of 32 bits, signed, beside a base of 64.
  static void store_wider(void* out, words sums, words bases) noexcept {
    auto* const to = static_cast<std::byte*>(out);
    store(to, _mm512_add_epi64(
                  _mm512_maskz_cvtepi32_epi64(0xFF, _mm512_maskz_extracti64x4_epi64(0xF, sums, 0)),
                  bases));
    store(to + 64, _mm512_add_epi64(_mm512_maskz_cvtepi32_epi64(
                                        0xFF, _mm512_maskz_extracti64x4_epi64(0xF, sums, 1)),
                                    bases));
  }

  /// How many of bits 1 to i are set, in byte i.
  static __m128i ranks(std::uint32_t bits) noexcept {
    std::uint64_t const each = _pdep_u64(bits & 254, 0x0101010101010101);
    return _mm_cvtsi64_si128(static_cast<long long>(each * 0x0101010101010101));
  }
  /// 8 rows: row i has the value as many further on as bits 0 to i are set.
  static void repeat8(double const* from, std::uint32_t bits, double* out) noexcept {
    _mm512_storeu_pd(
        out, _mm512_maskz_permutexvar_pd(0xFF, _mm512_maskz_cvtepu8_epi64(0xFF, ranks(bits)),
                                         _mm512_loadu_pd(from + (bits & 1))));
  }
  template <class V>
  static void repeat8(V const* from, std::uint32_t bits, V* out) noexcept {
    if constexpr (sizeof(V) == 8) {
      store(out, _mm512_maskz_permutexvar_epi64(0xFF, _mm512_maskz_cvtepu8_epi64(0xFF, ranks(bits)),
                                                load(from + (bits & 1))));
    } else {
      __m256i const values =
          _mm256_loadu_si256(reinterpret_cast<__m256i const*>(from + (bits & 1)));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out),
                          _mm256_permutevar8x32_epi32(values, _mm256_cvtepu8_epi32(ranks(bits))));
    }
  }
};

#include <millrace/delta/simd/value_rows.inl>

MILLRACE_TARGET_END
}  // namespace millrace::inline v0::delta::detail::avx512::values

#endif
