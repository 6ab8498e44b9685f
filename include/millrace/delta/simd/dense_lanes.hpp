// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/delta/combine.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/// \file
/// What dense_diff.inl is written in, for each instruction set: which of 64 numbers differ, and
/// how those of a block that do are put side by side.

namespace millrace::inline v0::delta::detail {

namespace base {
template <std::size_t Bytes>
struct dense_lanes {
  static constexpr bool compresses = false;

  template <class V>
  [[nodiscard]] static std::uint64_t differing(V const* before, V const* after) noexcept {
    using B = bits_of_size<Bytes>;
    B any = 0;
    for (std::size_t i = 0; i < 64; ++i) { any |= at<B>(before + i) ^ at<B>(after + i); }
    if (any == 0) { return 0; }
    std::uint64_t bits = 0;
    for (std::size_t i = 0; i < 64; ++i) {
      bits |= std::uint64_t{at<B>(before + i) != at<B>(after + i)} << i;
    }
    return bits;
  }

 private:
  template <class B, class V>
  [[nodiscard]] static B at(V const* value) noexcept {
    B bits;
    std::memcpy(&bits, value, sizeof bits);
    return bits;
  }
};
}  // namespace base

#if defined(__x86_64__)
MILLRACE_TARGET_AVX2
namespace avx2 {
template <std::size_t Bytes>
struct dense_lanes {
  static constexpr bool compresses = false;

  [[nodiscard]] static std::uint64_t differing(void const* before, void const* after) noexcept {
    auto const* const a = static_cast<__m256i const*>(before);
    auto const* const b = static_cast<__m256i const*>(after);
    std::uint64_t same = 0;
    for (int i = 0; i < static_cast<int>(2 * Bytes); ++i) {
      __m256i const x = _mm256_loadu_si256(a + i), y = _mm256_loadu_si256(b + i);
      int mask = 0;
      if constexpr (Bytes == 4) {
        mask = _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpeq_epi32(x, y)));
      } else {
        mask = _mm256_movemask_pd(_mm256_castsi256_pd(_mm256_cmpeq_epi64(x, y)));
      }
      same |= static_cast<std::uint64_t>(mask) << (i * static_cast<int>(32 / Bytes));
    }
    return ~same;
  }
};
}  // namespace avx2
MILLRACE_TARGET_END

MILLRACE_TARGET_AVX512
namespace avx512 {
template <std::size_t Bytes>
struct dense_lanes {
  static constexpr bool compresses = true;
  static constexpr int width = 64 / static_cast<int>(Bytes);

  [[nodiscard]] static std::uint64_t differing(void const* before, void const* after) noexcept {
    auto const* const a = static_cast<std::byte const*>(before);
    auto const* const b = static_cast<std::byte const*>(after);
    std::uint64_t bits = 0;
    for (int i = 0; i < static_cast<int>(Bytes); ++i) {
      __m512i const x = _mm512_loadu_si512(a + 64 * i), y = _mm512_loadu_si512(b + 64 * i);
      if constexpr (Bytes == 4) {
        bits |= static_cast<std::uint64_t>(_mm512_cmpneq_epi32_mask(x, y)) << (i * width);
      } else {
        bits |= static_cast<std::uint64_t>(_mm512_cmpneq_epi64_mask(x, y)) << (i * width);
      }
    }
    return bits;
  }
  /// The numbers of `from` whose bits are set, side by side. Compressed in the register: Zen 4
  /// compresses into memory in microcode.
  static void put(void* out, std::uint64_t bits, void const* from) noexcept {
    auto* to = static_cast<std::byte*>(out);
    for (int i = 0; i < static_cast<int>(Bytes); ++i, bits >>= width) {
      to = put_one(to, bits, _mm512_loadu_si512(static_cast<std::byte const*>(from) + 64 * i));
    }
  }
  static void put_indices(void* out, std::uint64_t bits, std::size_t first) noexcept {
    auto* to = static_cast<std::byte*>(out);
    for (int i = 0; i < static_cast<int>(Bytes); ++i, bits >>= width, first += width) {
      if constexpr (Bytes == 4) {
        __m512i const ramp = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
        to = put_one(to, bits, _mm512_add_epi32(ramp, _mm512_set1_epi32(static_cast<int>(first))));
      } else {
        __m512i const ramp = _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0);
        to = put_one(to, bits,
                     _mm512_add_epi64(ramp, _mm512_set1_epi64(static_cast<long long>(first))));
      }
    }
  }

 private:
  [[nodiscard]] static std::byte* put_one(std::byte* to, std::uint64_t bits,
                                          __m512i from) noexcept {
    if constexpr (Bytes == 4) {
      auto const mask = static_cast<__mmask16>(bits);
      _mm512_storeu_si512(to, _mm512_maskz_compress_epi32(mask, from));
      return to + 4 * __builtin_popcount(mask);
    } else {
      auto const mask = static_cast<__mmask8>(bits);
      _mm512_storeu_si512(to, _mm512_maskz_compress_epi64(mask, from));
      return to + 8 * __builtin_popcount(mask);
    }
  }
};
}  // namespace avx512
MILLRACE_TARGET_END
#endif

}  // namespace millrace::inline v0::delta::detail
