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
/// The lane operations of value_rows.inl in AVX2, and that text in them.

namespace millrace::inline v0::delta::detail::avx2::values {
MILLRACE_TARGET_AVX2

struct lanes {
  using words = __m256i;
  static constexpr std::uint32_t rows32 = 8, rows64 = 4;

  static words load(void const* from) noexcept {
    return _mm256_loadu_si256(static_cast<words const*>(from));
  }
  static constexpr bool reads_within = false;
  static void store(void* to, words v) noexcept { _mm256_storeu_si256(static_cast<words*>(to), v); }
  static words broadcast(std::uint32_t v) noexcept {
    return _mm256_set1_epi32(static_cast<std::int32_t>(v));
  }
  static words broadcast(std::uint64_t v) noexcept {
    return _mm256_set1_epi64x(static_cast<std::int64_t>(v));
  }
  static words exor(words a, words b) noexcept { return _mm256_xor_si256(a, b); }
  static words any(words a, words b) noexcept { return _mm256_or_si256(a, b); }
  template <class T>
  static words add(words a, words b) noexcept {
    return sizeof(T) == 4 ? _mm256_add_epi32(a, b) : _mm256_add_epi64(a, b);
  }
  template <class T>
  static words up(words v, std::uint32_t by) noexcept {
    __m128i const count = _mm_cvtsi32_si128(static_cast<std::int32_t>(by));
    return sizeof(T) == 4 ? _mm256_sll_epi32(v, count) : _mm256_sll_epi64(v, count);
  }
  template <class T>
  static words down(words v, std::uint32_t by) noexcept {
    __m128i const count = _mm_cvtsi32_si128(static_cast<std::int32_t>(by));
    return sizeof(T) == 4 ? _mm256_srl_epi32(v, count) : _mm256_srl_epi64(v, count);
  }
  template <class T>
  static words unzigzag(words v) noexcept {
    words const zero = _mm256_setzero_si256();
    if constexpr (sizeof(T) == 4) {
      words const sign = _mm256_sub_epi32(zero, _mm256_and_si256(v, _mm256_set1_epi32(1)));
      return _mm256_xor_si256(_mm256_srli_epi32(v, 1), sign);
    } else {
      words const sign = _mm256_sub_epi64(zero, _mm256_and_si256(v, _mm256_set1_epi64x(1)));
      return _mm256_xor_si256(_mm256_srli_epi64(v, 1), sign);
    }
  }
  /// The last lane of the lower half in all lanes of the upper; zero below.
  template <class T>
  static words lower_total(words v) noexcept {
    words const lower = _mm256_permute2x128_si256(v, v, 0x08);
    return sizeof(T) == 4 ? _mm256_shuffle_epi32(lower, 0xff) : _mm256_unpackhi_epi64(lower, lower);
  }
  template <class T>
  static words prefix_add(words v) noexcept {
    if constexpr (sizeof(T) == 4) { v = _mm256_add_epi32(v, _mm256_slli_si256(v, 4)); }
    v = add<T>(v, _mm256_slli_si256(v, 8));
    return add<T>(v, lower_total<T>(v));
  }
  template <class T>
  static words prefix_xor(words v) noexcept {
    if constexpr (sizeof(T) == 4) { v = exor(v, _mm256_slli_si256(v, 4)); }
    v = exor(v, _mm256_slli_si256(v, 8));
    return exor(v, lower_total<T>(v));
  }
  /// The last lane in all.
  template <class T>
  static words last(words v) noexcept {
    return sizeof(T) == 4 ? _mm256_permutevar8x32_epi32(v, _mm256_set1_epi32(7))
                          : _mm256_permute4x64_epi64(v, 0xff);
  }
  /// The first `count` lanes of 64 bits; zero beyond.
  static words first_of(words v, std::uint32_t count) noexcept {
    words const lane = _mm256_set_epi64x(3, 2, 1, 0);
    return _mm256_and_si256(v, _mm256_cmpgt_epi64(_mm256_set1_epi64x(count), lane));
  }
  /// Whether no lane reaches 2^52.
  static bool highest_bits_clear(words v) noexcept {
    return _mm256_testz_si256(v, _mm256_set1_epi64x(-(std::int64_t{1} << 52))) != 0;
  }

  static words load_two(std::byte const* low, std::byte const* high) noexcept {
    __m128i const a = _mm_loadu_si128(reinterpret_cast<__m128i const*>(low));
    __m128i const b = _mm_loadu_si128(reinterpret_cast<__m128i const*>(high));
    return _mm256_inserti128_si256(_mm256_castsi128_si256(a), b, 1);
  }

  /// Where 8 numbers of up to 25 bits lie in the bytes of a group: 4 from its first byte on, 4 from
  /// byte `upper` on.
  struct window32 {
    words control, shift, mask;
    std::uint32_t upper;
    explicit window32(std::uint32_t width) noexcept : upper(4 * width / 8) {
      words const widths = _mm256_set1_epi32(static_cast<std::int32_t>(width));
      words const first = _mm256_set_epi32(
          static_cast<std::int32_t>(upper * 8), static_cast<std::int32_t>(upper * 8),
          static_cast<std::int32_t>(upper * 8), static_cast<std::int32_t>(upper * 8), 0, 0, 0, 0);
      words const bit = _mm256_sub_epi32(
          _mm256_mullo_epi32(_mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0), widths), first);
      words const spread = _mm256_broadcastsi128_si256(
          _mm_set_epi8(12, 12, 12, 12, 8, 8, 8, 8, 4, 4, 4, 4, 0, 0, 0, 0));
      control = _mm256_add_epi32(_mm256_shuffle_epi8(_mm256_srli_epi32(bit, 3), spread),
                                 _mm256_set1_epi32(0x03020100));
      shift = _mm256_and_si256(bit, _mm256_set1_epi32(7));
      mask = _mm256_set1_epi32(static_cast<std::int32_t>((1u << width) - 1));
    }
  };
  static words unpack32(std::byte const* from, std::ptrdiff_t, window32 const& w) noexcept {
    words const bytes = _mm256_shuffle_epi8(load_two(from, from + w.upper), w.control);
    return _mm256_and_si256(_mm256_srlv_epi32(bytes, w.shift), w.mask);
  }

  /// Where 8 numbers of up to 57 bits lie in the bytes of a group: two from each of four bytes on.
  struct window64 {
    words control[2], shift[2], mask;
    std::uint32_t pair[4];
    explicit window64(std::uint32_t width) noexcept : mask(broadcast(low_mask64(width))) {
      words const widths = _mm256_set1_epi64x(width);
      words const spread =
          _mm256_broadcastsi128_si256(_mm_set_epi8(8, 8, 8, 8, 8, 8, 8, 8, 0, 0, 0, 0, 0, 0, 0, 0));
      for (std::uint32_t p = 0; p < 4; ++p) { pair[p] = 2 * p * width / 8; }
      for (std::int64_t half = 0; half < 2; ++half) {
        words const lane = _mm256_set_epi64x(3 + 4 * half, 2 + 4 * half, 1 + 4 * half, 4 * half);
        words const even = _mm256_and_si256(lane, _mm256_set1_epi64x(6));
        words const first =
            _mm256_and_si256(_mm256_mul_epu32(even, widths), _mm256_set1_epi64x(-8));
        words const bit = _mm256_sub_epi64(_mm256_mul_epu32(lane, widths), first);
        control[half] = _mm256_add_epi64(_mm256_shuffle_epi8(_mm256_srli_epi64(bit, 3), spread),
                                         _mm256_set1_epi64x(0x0706050403020100));
        shift[half] = _mm256_and_si256(bit, _mm256_set1_epi64x(7));
      }
    }
  };
  static words unpack4(std::byte const* from, window64 const& w, std::uint32_t half) noexcept {
    words const bytes = _mm256_shuffle_epi8(
        load_two(from + w.pair[2 * half], from + w.pair[2 * half + 1]), w.control[half]);
    return _mm256_and_si256(_mm256_srlv_epi64(bytes, w.shift[half]), w.mask);
  }
  static void unpack64(std::byte const* from, std::ptrdiff_t, window64 const& w,
                       std::uint64_t* out) noexcept {
    store(out, unpack4(from, w, 0));
    store(out + 4, unpack4(from, w, 1));
  }
  static void unpack64(std::byte const* from, std::ptrdiff_t, window64 const& w,
                       std::uint32_t* out) noexcept {
    __m256 const low = _mm256_castsi256_ps(unpack4(from, w, 0));
    __m256 const high = _mm256_castsi256_ps(unpack4(from, w, 1));
    words const mixed = _mm256_castps_si256(_mm256_shuffle_ps(low, high, 0x88));
    store(out, _mm256_permute4x64_epi64(mixed, 0xd8));
  }

  /// base + integer, divided by a power of ten. There is no fused product here; but where integers
  /// have at most 32 bits, their product with the upper 21 bits of the inverse is exact, and with
  /// the product by the rest it is off by less than 2^-22 units of the last place, which is enough
  /// for exponents up to 8: see decimal_inverse.hpp. A fused product gives the same.
  struct scale {
    __m256d base, power, upper, lower;
    bool split;
    scale(double b, std::uint32_t exponent) noexcept
        : base(_mm256_set1_pd(b)),
          power(_mm256_set1_pd(power_of_ten(exponent))),
          split(exponent <= 8 && b >= -0x1p31 && b <= 0x1p31) {
      decimal_inverse const inverse = decimal_inverses[exponent];
      upper = _mm256_and_pd(_mm256_set1_pd(inverse.near),
                            _mm256_castsi256_pd(_mm256_set1_epi64x(-(std::int64_t{1} << 32))));
      lower = _mm256_add_pd(_mm256_sub_pd(_mm256_set1_pd(inverse.near), upper),
                            _mm256_set1_pd(inverse.rest));
    }
  };
  static __m256d decimals(__m128i sums, scale const& by) noexcept {
    __m256d const integer = _mm256_add_pd(_mm256_cvtepi32_pd(sums), by.base);
    if (!by.split) { return _mm256_div_pd(integer, by.power); }
    return _mm256_add_pd(_mm256_mul_pd(integer, by.upper), _mm256_mul_pd(integer, by.lower));
  }
  static void store_decimals(double* out, words sums, scale const& by) noexcept {
    _mm256_storeu_pd(out, decimals(_mm256_castsi256_si128(sums), by));
    _mm256_storeu_pd(out + 4, decimals(_mm256_extracti128_si256(sums, 1), by));
  }
  static void store_decimals(float* out, words sums, scale const& by) noexcept {
    _mm_storeu_ps(out, _mm256_cvtpd_ps(decimals(_mm256_castsi256_si128(sums), by)));
    _mm_storeu_ps(out + 4, _mm256_cvtpd_ps(decimals(_mm256_extracti128_si256(sums, 1), by)));
  }
  /// Exact from -2^51 to below 2^51: the sum is the last bits of a double in [2^52, 2^53).
  static void store_wide_decimals(double* out, words sums, scale const& by) noexcept {
    __m256d const magic = _mm256_set1_pd(0x1.8p52);
    words const bits = _mm256_add_epi64(sums, _mm256_castpd_si256(magic));
    __m256d const integers = _mm256_sub_pd(_mm256_castsi256_pd(bits), magic);
    _mm256_storeu_pd(out, _mm256_div_pd(integers, by.power));
  }
  /// Sums of 32 bits, signed, beside a base of 64.
  static void store_wider(void* out, words sums, words bases) noexcept {
    auto* const to = static_cast<std::byte*>(out);
    store(to, _mm256_add_epi64(_mm256_cvtepi32_epi64(_mm256_castsi256_si128(sums)), bases));
    store(to + 32,
          _mm256_add_epi64(_mm256_cvtepi32_epi64(_mm256_extracti128_si256(sums, 1)), bases));
  }

  /// Which of four values each of four rows has, by bits 1 to 3 of the rows; as pairs of words.
  alignas(32) static constexpr std::int32_t four_rows[8][8] = {
      {0, 1, 0, 1, 0, 1, 0, 1}, {0, 1, 2, 3, 2, 3, 2, 3}, {0, 1, 0, 1, 2, 3, 2, 3},
      {0, 1, 2, 3, 4, 5, 4, 5}, {0, 1, 0, 1, 0, 1, 2, 3}, {0, 1, 2, 3, 2, 3, 4, 5},
      {0, 1, 0, 1, 2, 3, 4, 5}, {0, 1, 2, 3, 4, 5, 6, 7}};

  static void repeat4(void const* from, std::uint32_t bits, void* out) noexcept {
    words const values = load(static_cast<std::byte const*>(from) + std::size_t{bits & 1} * 8);
    store(out, _mm256_permutevar8x32_epi32(values, load(four_rows[bits >> 1 & 7])));
  }
  /// 8 rows: row i has the value as many further on as bits 0 to i are set.
  template <class V>
  static void repeat8(V const* from, std::uint32_t bits, V* out) noexcept {
    if constexpr (sizeof(V) == 8) {
      repeat4(from, bits, out);
      repeat4(from + __builtin_popcount(bits & 15), bits >> 4, out + 4);
    } else {
      std::uint64_t const each = _pdep_u64(bits & 254, 0x0101010101010101);
      __m128i const ranks = _mm_cvtsi64_si128(static_cast<long long>(each * 0x0101010101010101));
      store(out, _mm256_permutevar8x32_epi32(load(from + (bits & 1)), _mm256_cvtepu8_epi32(ranks)));
    }
  }
};

#include <millrace/delta/simd/value_rows.inl>

MILLRACE_TARGET_END
}  // namespace millrace::inline v0::delta::detail::avx2::values

#endif
