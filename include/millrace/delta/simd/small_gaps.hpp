// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/delta/bit_rows.hpp>
#include <millrace/delta/simd/pack_lanes.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/// \file
/// Keys of a whole block whose numbers have 1 to 8 bits, by AVX-512.
///
/// Four rows of each lane fit a word, whose bits the processor puts into bytes. 64 numbers are a
/// register then: a quarter. Four neighbours are a quad. A quad's sums are one instruction, the
/// product of its bytes with a triangle of ones; what comes before a quad is added by the same.

namespace millrace::inline v0::delta {

#if defined(__x86_64__)

namespace detail {

/// Constants for each width, and where bytes and quads go. A register has quad 4 i + j of a quarter
/// at position i of its 128-bit lane j: so a shuffle inside the lanes makes of four quads in a row
/// the 16 lanes of 32 bits that their keys are stored from, a whole quad in each.
struct small_gap_tables {
  struct width {
    std::uint64_t first_bits = 0;   // of the 8 bytes that two lanes become
    std::uint32_t mask = 0;         // of each byte
    std::uint32_t quarter = 0;      // bits of a lane in a quarter
    std::uint32_t shifts[16] = {};  // of the first quarter: the upper half has the next four rows
  };
  width of[9] = {};
  alignas(64) std::uint8_t bytes[64] = {};
  /// The next quad, and the one behind that; from 16 on they are in the next quarter.
  alignas(64) std::uint32_t next[16] = {};
  alignas(64) std::uint32_t second[16] = {};
  alignas(16) std::uint32_t triangle[4] = {0x0000'0001, 0x0000'0101, 0x0001'0101, 0x0101'0101};
  alignas(16) std::uint32_t steps[4] = {1, 2, 3, 4};
};
[[nodiscard]] constexpr small_gap_tables make_small_gap_tables() noexcept {
  small_gap_tables made{};
  for (std::uint32_t bits = 1; bits <= 8; ++bits) {
    auto& of = made.of[bits];
    of.first_bits = 0x0302'0100'0302'0100u * std::uint64_t{bits} + 0x2020'2020'0000'0000u;
    of.mask = low_mask(bits) * 0x0101'0101u;
    of.quarter = 8 * bits;
    for (std::uint32_t lane = 8; lane < 16; ++lane) { of.shifts[lane] = 4 * bits; }
  }
  auto const place = [](std::uint32_t quad) { return quad % 4 * 4 + quad / 4; };
  for (std::uint32_t quad = 0; quad < 16; ++quad) {
    for (std::uint32_t i = 0; i < 4; ++i) {
      std::uint32_t const row = (4 * quad + i) / row_lanes, lane = (4 * quad + i) % row_lanes;
      made.bytes[4 * place(quad) + i] =
          static_cast<std::uint8_t>(row / 4 * 32 + lane * 4 + row % 4);
    }
    made.next[place(quad)] = place((quad + 1) % 16) + (quad + 1) / 16 * 16;
    made.second[place(quad)] = place((quad + 2) % 16) + (quad + 2) / 16 * 16;
  }
  return made;
}
inline constexpr small_gap_tables small_gap_table = make_small_gap_tables();

}  // namespace detail

MILLRACE_TARGET_AVX512
namespace detail::avx512 {

/// 64 numbers on their way to keys.
struct small_gaps {
  using reg = __m512i;

  reg gaps;   // a byte each
  reg quads;  // the steps of a quad: its numbers, and 1 for each
  reg pairs;  // of a quad and the next one

  static reg load(void const* from) noexcept { return _mm512_load_si512(from); }
  static reg load_two(std::byte const* low, std::byte const* high) noexcept {
    return _mm512_maskz_inserti64x4(0xFF, _mm512_castsi256_si512(pack_lanes::load(low)),
                                    pack_lanes::load(high), 1);
  }
  static reg load_in_each(std::uint32_t const (&from)[4]) noexcept {
    return _mm512_maskz_broadcast_i32x4(0xFFFF,
                                        _mm_load_si128(reinterpret_cast<__m128i const*>(from)));
  }
  static reg set(std::uint32_t v) noexcept { return _mm512_set1_epi32(static_cast<int>(v)); }

  /// Takes the quarter whose 8 rows begin at bit `at` of the lanes.
  /// @param shifts bits before the rows in their words, modulo 32, of each half
  void take(std::byte const* in, std::uint32_t bits, std::uint32_t at, reg shifts) noexcept {
    std::uint32_t const last = (bits - 1) * 32, lower = at & ~31u, upper = (at + 4 * bits) & ~31u;
    auto const behind = [last](std::uint32_t word) { return word < last ? word + 32 : last; };
    reg const words = _mm512_shrdv_epi32(load_two(in + lower, in + upper),
                                         load_two(in + behind(lower), in + behind(upper)), shifts);
    auto const& width = small_gap_table.of[bits];
    reg const first_bits = _mm512_set1_epi64(static_cast<long long>(width.first_bits));
    reg const bytes = _mm512_and_si512(
        _mm512_maskz_multishift_epi64_epi8(~__mmask64{0}, first_bits, words), set(width.mask));
    gaps = _mm512_maskz_permutexvar_epi8(~__mmask64{0}, load(small_gap_table.bytes), bytes);
    quads = _mm512_dpbusd_epi32(set(4), gaps, set(0x0101'0101));
  }
  /// Quad 16 is the first of `next`, what is behind the last quarter does not matter.
  void pair(reg next) noexcept {
    pairs =
        _mm512_add_epi32(quads, _mm512_permutex2var_epi32(quads, load(small_gap_table.next), next));
  }
  /// What lies between a quad's first key and the one of the quad four behind it.
  [[nodiscard]] reg fours(reg next_pairs) const noexcept {
    return _mm512_add_epi32(
        pairs, _mm512_permutex2var_epi32(pairs, load(small_gap_table.second), next_pairs));
  }
  template <int I>
  static reg spread(reg v) noexcept {
    return _mm512_maskz_shuffle_epi32(0xFFFF, v, static_cast<_MM_PERM_ENUM>(I * 0x55));
  }

  /// begin_keys
  static reg begin(std::uint32_t first) noexcept { return set(first - 1); }
  static reg begin(std::uint64_t) noexcept { return set(~0u); }
  static void store(std::uint32_t* out, std::uint32_t, reg sums) noexcept {
    _mm512_storeu_si512(out, sums);
  }
  static void store(std::uint64_t* out, std::uint64_t first, reg sums) noexcept {
    pack_lanes::store_wide(out, _mm512_maskz_extracti64x4_epi64(0xFF, sums, 0), first);
    pack_lanes::store_wide(out + 8, _mm512_maskz_extracti64x4_epi64(0xFF, sums, 1), first);
  }
  template <class K, int... Is>
  [[gnu::always_inline]] void put(K first, K* out, reg fours, reg& before,
                                  std::integer_sequence<int, Is...>) const noexcept {
    reg const triangle = load_in_each(small_gap_table.triangle);
    ((store(out + 16 * Is, first, _mm512_dpbusd_epi32(before, spread<Is>(gaps), triangle)),
      before = _mm512_add_epi32(before, spread<Is>(fours))),
     ...);
  }
  /// Stores 64 keys.
  /// @param before what is before each of the first four quads; then before those that follow
  template <class K>
  [[gnu::always_inline]] void put(K first, K* out, reg next_pairs, reg& before) const noexcept {
    put(first, out, fours(next_pairs), before, std::make_integer_sequence<int, 4>{});
  }
};

/// unpack_key_rows for 1 to 8 bits.
/// @param beside work for the units of scalar numbers, which all of this leaves idle. It is done
///        where the sums are waited for: the processor's scheduler holds too few instructions to
///        find other work. Inlined, so that it stays in registers.
template <class K, class Beside>
[[gnu::always_inline]] inline void unpack_small_gaps(std::byte const* in, std::uint32_t bits,
                                                     K first, K* out, Beside beside) noexcept {
  using reg = small_gaps::reg;
  auto const& width = small_gap_table.of[bits];
  reg const zero = _mm512_setzero_si512(), quarter = small_gaps::set(width.quarter);
  reg shifts = _mm512_loadu_si512(width.shifts);
  small_gaps a, b, c, d, none;
  a.take(in, bits, 0, shifts);
  shifts = _mm512_add_epi32(shifts, quarter);
  b.take(in, bits, width.quarter, shifts);
  shifts = _mm512_add_epi32(shifts, quarter);
  c.take(in, bits, 2 * width.quarter, shifts);
  shifts = _mm512_add_epi32(shifts, quarter);
  d.take(in, bits, 3 * width.quarter, shifts);
  none.quads = zero;
  a.pair(b.quads);
  b.pair(c.quads);
  c.pair(d.quads);
  d.pair(zero);
  // Four quads of zero before the first one: their last position says what is before the quads.
  none.pair(a.quads);
  reg before =
      _mm512_add_epi32(small_gaps::begin(first), small_gaps::load_in_each(small_gap_table.steps));
  before = _mm512_add_epi32(before, small_gaps::spread<3>(none.fours(a.pairs)));
  beside();
  a.put(first, out, b.pairs, before);
  b.put(first, out + 64, c.pairs, before);
  c.put(first, out + 128, d.pairs, before);
  d.put(first, out + 192, zero, before);
}

}  // namespace detail::avx512
MILLRACE_TARGET_END

#endif

}  // namespace millrace::inline v0::delta
