// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/delta/combine.hpp>

#include <array>
#include <cstddef>
#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>

namespace millrace::inline v0::delta::detail {

/// For each set of `Count` lanes the lanes that are in it, in order, then whatever: how AVX2, which
/// cannot compress, permutes. A byte a lane.
template <std::size_t Count>
inline constexpr auto lanes_in_set = [] {
  std::array<std::array<std::uint8_t, Count>, std::size_t{1} << Count> sets{};
  for (std::size_t set = 0; set < sets.size(); ++set) {
    std::size_t next = 0;
    for (std::size_t lane = 0; lane < Count; ++lane) {
      if ((set >> lane & 1) != 0) { sets[set][next++] = static_cast<std::uint8_t>(lane); }
    }
  }
  return sets;
}();

}  // namespace millrace::inline v0::delta::detail

MILLRACE_TARGET_AVX2
namespace millrace::inline v0::delta::detail::avx2 {

/// As in lanes_avx512.hpp. A mask is a register whose lanes are all ones or zero; newer's indices
/// are those with the top bit set.
template <std::size_t Bytes, std::size_t Count>
struct lanes;

template <>
struct lanes<4, 8> {
  static constexpr std::size_t count = 8;
  using reg = __m256i;
  using mask = __m256i;
  using bits = std::uint32_t;

  static inline reg load(void const* p) noexcept {
    return _mm256_loadu_si256(static_cast<__m256i const*>(p));
  }
  static inline void store(void* p, reg x) noexcept {
    _mm256_storeu_si256(static_cast<__m256i*>(p), x);
  }
  static inline void stream(void* p, reg x) noexcept {
    _mm256_stream_si256(static_cast<__m256i*>(p), x);
  }
  static inline reg load_keys(void const* p) noexcept { return load(p); }
  static inline reg as_stored(reg keys) noexcept { return keys; }
  static inline reg all(std::uint32_t x) noexcept { return _mm256_set1_epi32(static_cast<int>(x)); }
  static inline reg index_older() noexcept { return _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7); }
  static inline reg index_newer_reversed() noexcept {
    return _mm256_or_si256(_mm256_setr_epi32(7, 6, 5, 4, 3, 2, 1, 0), _mm256_set1_epi32(INT32_MIN));
  }
  static inline reg reverse(reg x) noexcept {
    return _mm256_permutevar8x32_epi32(x, _mm256_setr_epi32(7, 6, 5, 4, 3, 2, 1, 0));
  }
  static inline bits to_bits(mask m) noexcept {
    return static_cast<bits>(_mm256_movemask_ps(_mm256_castsi256_ps(m)));
  }
  static inline mask less_equal(reg a, reg b) noexcept {
    return _mm256_cmpeq_epi32(_mm256_min_epu32(a, b), a);
  }
  static inline mask equal(reg a, reg b) noexcept { return _mm256_cmpeq_epi32(a, b); }
  static inline mask greater_signed(reg a, reg b) noexcept { return _mm256_cmpgt_epi32(a, b); }
  static inline reg lower(reg a, reg b, mask) noexcept { return _mm256_min_epu32(a, b); }
  static inline reg select(mask m, reg yes, reg no) noexcept {
    return _mm256_blendv_epi8(no, yes, m);
  }
  static inline reg previous(reg x, reg before) noexcept {
    return _mm256_alignr_epi8(x, _mm256_permute2x128_si256(before, x, 0x21), 12);
  }
  static inline reg gather(reg older, reg index, reg newer) noexcept {
    __m256 const a = _mm256_castsi256_ps(_mm256_permutevar8x32_epi32(older, index));
    __m256 const b = _mm256_castsi256_ps(_mm256_permutevar8x32_epi32(newer, index));
    return _mm256_castps_si256(_mm256_blendv_ps(a, b, _mm256_castsi256_ps(index)));
  }
  static inline reg gather_older(reg older, reg index) noexcept {
    return _mm256_permutevar8x32_epi32(older, index);
  }
  static inline bits newer_bits(reg index) noexcept { return to_bits(index); }
  static inline mask newer_mask(reg index) noexcept { return _mm256_srai_epi32(index, 31); }
  static inline reg compress(bits m, reg x) noexcept {
    __m128i const set =
        _mm_loadl_epi64(reinterpret_cast<__m128i const*>(lanes_in_set<8>[m].data()));
    return _mm256_permutevar8x32_epi32(x, _mm256_cvtepu8_epi32(set));
  }
  static inline reg exclusive_or(reg a, reg b) noexcept { return _mm256_xor_si256(a, b); }
  static inline reg add_integers(reg a, reg b) noexcept { return _mm256_add_epi32(a, b); }
  /// a + b in the lanes of m.
  static inline reg add_floats(mask m, reg a, reg b, reg otherwise) noexcept {
    __m256 const sum = _mm256_add_ps(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b));
    __m256 const nan = _mm256_castsi256_ps(all(canonical_nan<float>));
    __m256 const one = _mm256_blendv_ps(sum, nan, _mm256_cmp_ps(sum, sum, _CMP_UNORD_Q));
    return select(m, _mm256_castps_si256(one), otherwise);
  }
  static inline reg total_order(reg x) noexcept {
    return _mm256_xor_si256(x, _mm256_srli_epi32(_mm256_srai_epi32(x, 31), 1));
  }
  static inline reg flip_sign(reg x) noexcept {
    return _mm256_xor_si256(x, _mm256_set1_epi32(INT32_MIN));
  }

  /// Packed: the key's distance from a base above the lane's index, in one number, of which the
  /// base is part.
  static constexpr int index_bits = 4;
  static constexpr int distance_bits = 27;
  static constexpr std::uint32_t bias = 0;
  static inline reg pack(reg stored_keys, reg index_less_base) noexcept {
    return _mm256_add_epi32(_mm256_slli_epi32(stored_keys, index_bits), index_less_base);
  }
  static inline reg unpack(reg packed, reg base) noexcept {
    return _mm256_add_epi32(_mm256_srli_epi32(packed, index_bits), base);
  }
  static inline reg packed_index(reg packed) noexcept {
    return _mm256_or_si256(packed, _mm256_slli_epi32(packed, 28));
  }
  static inline reg subtract(reg a, reg b) noexcept { return _mm256_sub_epi32(a, b); }
  static inline reg numbers(bool newer) noexcept {
    return newer ? _mm256_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15)
                 : _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  }
  /// Of keys, and of the same packed: here the latter, which are signed.
  static inline mask packed_less_equal(reg, reg, reg a, reg b) noexcept {
    return _mm256_cmpgt_epi32(b, a);
  }
  static inline reg packed_lower(reg a, reg b) noexcept { return _mm256_min_epu32(a, b); }
  template <int Distance>
  static inline reg swap(reg x) noexcept {
    if constexpr (Distance == 4) { return _mm256_permute4x64_epi64(x, 0x4E); }
    if constexpr (Distance == 2) { return _mm256_shuffle_epi32(x, 0x4E); }
    if constexpr (Distance == 1) { return _mm256_shuffle_epi32(x, 0xB1); }
  }
  /// Lanes whose partner lies below them.
  template <int Distance>
  static constexpr int high = Distance == 4   ? 0xF0
                              : Distance == 2 ? 0xCC
                                              : 0xAA;
  template <int Distance>
  static inline void exchange(reg& keys) noexcept {
    reg const other = swap<Distance>(keys);
    keys = _mm256_blend_epi32(_mm256_min_epu32(keys, other), _mm256_max_epu32(keys, other),
                              high<Distance>);
  }
  template <int Distance>
  static inline void exchange_packed(reg& packed) noexcept {
    exchange<Distance>(packed);
  }
  template <int Distance>
  static inline void exchange(reg& keys, reg& index) noexcept {
    reg const before = keys;
    exchange<Distance>(keys);
    index = select(_mm256_cmpeq_epi32(keys, before), index, swap<Distance>(index));
  }
  template <int Distance>
  static inline void exchange_stably(reg& keys, reg& index) noexcept {
    reg const other = swap<Distance>(keys), other_index = swap<Distance>(index);
    mask const less = _mm256_cmpgt_epi32(flip_sign(other), flip_sign(keys));
    mask const earlier = _mm256_cmpgt_epi32(flip_sign(other_index), flip_sign(index));
    mask const stays_low =
        _mm256_or_si256(less, _mm256_and_si256(_mm256_cmpeq_epi32(keys, other), earlier));
    mask const stays = _mm256_blend_epi32(
        stays_low, _mm256_xor_si256(stays_low, _mm256_set1_epi32(-1)), high<Distance>);
    keys = select(stays, keys, other);
    index = select(stays, index, other_index);
  }
};

template <>
struct lanes<4, 4> {
  static constexpr std::size_t count = 4;
  using reg = __m128i;
  using mask = __m128i;
  using bits = std::uint32_t;

  static inline reg load(void const* p) noexcept {
    return _mm_loadu_si128(static_cast<__m128i const*>(p));
  }
  static inline void store(void* p, reg x) noexcept {
    _mm_storeu_si128(static_cast<__m128i*>(p), x);
  }
  static inline void stream(void* p, reg x) noexcept {
    _mm_stream_si128(static_cast<__m128i*>(p), x);
  }
  static inline reg load_keys(void const* p) noexcept { return load(p); }
  static inline reg as_stored(reg keys) noexcept { return keys; }
  static inline reg all(std::uint32_t x) noexcept { return _mm_set1_epi32(static_cast<int>(x)); }
  static inline reg index_older() noexcept { return _mm_setr_epi32(0, 1, 2, 3); }
  static inline reg index_newer_reversed() noexcept {
    return _mm_or_si128(_mm_setr_epi32(3, 2, 1, 0), _mm_set1_epi32(INT32_MIN));
  }
  static inline reg reverse(reg x) noexcept { return _mm_shuffle_epi32(x, 0x1B); }
  static inline bits to_bits(mask m) noexcept {
    return static_cast<bits>(_mm_movemask_ps(_mm_castsi128_ps(m)));
  }
  static inline mask less_equal(reg a, reg b) noexcept {
    return _mm_cmpeq_epi32(_mm_min_epu32(a, b), a);
  }
  static inline mask equal(reg a, reg b) noexcept { return _mm_cmpeq_epi32(a, b); }
  static inline mask greater_signed(reg a, reg b) noexcept { return _mm_cmpgt_epi32(a, b); }
  static inline reg lower(reg a, reg b, mask) noexcept { return _mm_min_epu32(a, b); }
  static inline reg select(mask m, reg yes, reg no) noexcept { return _mm_blendv_epi8(no, yes, m); }
  static inline reg previous(reg x, reg before) noexcept { return _mm_alignr_epi8(x, before, 12); }
  static inline reg gather(reg older, reg index, reg newer) noexcept {
    __m128 const a = _mm_permutevar_ps(_mm_castsi128_ps(older), index);
    __m128 const b = _mm_permutevar_ps(_mm_castsi128_ps(newer), index);
    return _mm_castps_si128(_mm_blendv_ps(a, b, _mm_castsi128_ps(index)));
  }
  static inline reg gather_older(reg older, reg index) noexcept {
    return _mm_castps_si128(_mm_permutevar_ps(_mm_castsi128_ps(older), index));
  }
  static inline bits newer_bits(reg index) noexcept { return to_bits(index); }
  static inline mask newer_mask(reg index) noexcept { return _mm_srai_epi32(index, 31); }
  static inline reg compress(bits m, reg x) noexcept {
    std::int32_t set;
    __builtin_memcpy(&set, lanes_in_set<4>[m].data(), sizeof set);
    return _mm_castps_si128(
        _mm_permutevar_ps(_mm_castsi128_ps(x), _mm_cvtepu8_epi32(_mm_cvtsi32_si128(set))));
  }
  static inline reg exclusive_or(reg a, reg b) noexcept { return _mm_xor_si128(a, b); }
  static inline reg add_integers(reg a, reg b) noexcept { return _mm_add_epi32(a, b); }
  /// a + b in the lanes of m.
  static inline reg add_floats(mask m, reg a, reg b, reg otherwise) noexcept {
    __m128 const sum = _mm_add_ps(_mm_castsi128_ps(a), _mm_castsi128_ps(b));
    __m128 const nan = _mm_castsi128_ps(all(canonical_nan<float>));
    __m128 const one = _mm_blendv_ps(sum, nan, _mm_cmp_ps(sum, sum, _CMP_UNORD_Q));
    return select(m, _mm_castps_si128(one), otherwise);
  }
  static inline reg total_order(reg x) noexcept {
    return _mm_xor_si128(x, _mm_srli_epi32(_mm_srai_epi32(x, 31), 1));
  }
  static inline reg flip_sign(reg x) noexcept {
    return _mm_xor_si128(x, _mm_set1_epi32(INT32_MIN));
  }

  /// Packed: the key's distance from a base above the lane's index, in one number, of which the
  /// base is part.
  static constexpr int index_bits = 3;
  static constexpr int distance_bits = 28;
  static constexpr std::uint32_t bias = 0;
  static inline reg pack(reg stored_keys, reg index_less_base) noexcept {
    return _mm_add_epi32(_mm_slli_epi32(stored_keys, index_bits), index_less_base);
  }
  static inline reg unpack(reg packed, reg base) noexcept {
    return _mm_add_epi32(_mm_srli_epi32(packed, index_bits), base);
  }
  static inline reg packed_index(reg packed) noexcept {
    return _mm_or_si128(packed, _mm_slli_epi32(packed, 29));
  }
  static inline reg subtract(reg a, reg b) noexcept { return _mm_sub_epi32(a, b); }
  static inline reg numbers(bool newer) noexcept {
    return newer ? _mm_setr_epi32(4, 5, 6, 7) : _mm_setr_epi32(0, 1, 2, 3);
  }
  /// Of keys, and of the same packed: here the latter, which are signed.
  static inline mask packed_less_equal(reg, reg, reg a, reg b) noexcept {
    return _mm_cmpgt_epi32(b, a);
  }
  static inline reg packed_lower(reg a, reg b) noexcept { return _mm_min_epu32(a, b); }
  template <int Distance>
  static inline reg swap(reg x) noexcept {
    if constexpr (Distance == 2) { return _mm_shuffle_epi32(x, 0x4E); }
    if constexpr (Distance == 1) { return _mm_shuffle_epi32(x, 0xB1); }
  }
  template <int Distance>
  static constexpr int high = Distance == 2 ? 0xC : 0xA;
  template <int Distance>
  static inline void exchange(reg& keys) noexcept {
    reg const other = swap<Distance>(keys);
    keys = _mm_blend_epi32(_mm_min_epu32(keys, other), _mm_max_epu32(keys, other), high<Distance>);
  }
  template <int Distance>
  static inline void exchange_packed(reg& packed) noexcept {
    exchange<Distance>(packed);
  }
  template <int Distance>
  static inline void exchange(reg& keys, reg& index) noexcept {
    reg const before = keys;
    exchange<Distance>(keys);
    index = select(_mm_cmpeq_epi32(keys, before), index, swap<Distance>(index));
  }
  template <int Distance>
  static inline void exchange_stably(reg& keys, reg& index) noexcept {
    reg const other = swap<Distance>(keys), other_index = swap<Distance>(index);
    mask const less = _mm_cmpgt_epi32(flip_sign(other), flip_sign(keys));
    mask const earlier = _mm_cmpgt_epi32(flip_sign(other_index), flip_sign(index));
    mask const stays_low = _mm_or_si128(less, _mm_and_si128(_mm_cmpeq_epi32(keys, other), earlier));
    mask const stays =
        _mm_blend_epi32(stays_low, _mm_xor_si128(stays_low, _mm_set1_epi32(-1)), high<Distance>);
    keys = select(stays, keys, other);
    index = select(stays, index, other_index);
  }
};

/// AVX2 compares 64-bit lanes as signed ones only: keys have their sign flipped while they are in
/// registers.
template <>
struct lanes<8, 4> {
  static constexpr std::size_t count = 4;
  using reg = __m256i;
  using mask = __m256i;
  using bits = std::uint32_t;

  static inline reg load(void const* p) noexcept {
    return _mm256_loadu_si256(static_cast<__m256i const*>(p));
  }
  static inline void store(void* p, reg x) noexcept {
    _mm256_storeu_si256(static_cast<__m256i*>(p), x);
  }
  static inline void stream(void* p, reg x) noexcept {
    _mm256_stream_si256(static_cast<__m256i*>(p), x);
  }
  static inline reg load_keys(void const* p) noexcept { return flip_sign(load(p)); }
  static inline reg as_stored(reg keys) noexcept { return flip_sign(keys); }
  static inline reg all(std::uint64_t x) noexcept {
    return _mm256_set1_epi64x(static_cast<long long>(x));
  }
  static inline reg index_older() noexcept { return _mm256_setr_epi64x(0, 1, 2, 3); }
  static inline reg index_newer_reversed() noexcept {
    constexpr long long newer = INT64_MIN;
    return _mm256_setr_epi64x(newer + 3, newer + 2, newer + 1, newer);
  }
  static inline reg reverse(reg x) noexcept { return _mm256_permute4x64_epi64(x, 0x1B); }
  static inline bits to_bits(mask m) noexcept {
    return static_cast<bits>(_mm256_movemask_pd(_mm256_castsi256_pd(m)));
  }
  static inline mask less_equal(reg a, reg b) noexcept {
    return _mm256_xor_si256(_mm256_cmpgt_epi64(a, b), _mm256_set1_epi64x(-1));
  }
  static inline mask equal(reg a, reg b) noexcept { return _mm256_cmpeq_epi64(a, b); }
  static inline mask greater_signed(reg a, reg b) noexcept { return _mm256_cmpgt_epi64(a, b); }
  static inline reg lower(reg a, reg b, mask a_lower) noexcept { return select(a_lower, a, b); }
  static inline reg select(mask m, reg yes, reg no) noexcept {
    return _mm256_blendv_epi8(no, yes, m);
  }
  static inline reg previous(reg x, reg before) noexcept {
    return _mm256_alignr_epi8(x, _mm256_permute2x128_si256(before, x, 0x21), 8);
  }
  static inline reg halves(reg index) noexcept {
    reg const twice = _mm256_slli_epi32(_mm256_shuffle_epi32(index, 0xA0), 1);
    return _mm256_or_si256(twice, _mm256_setr_epi32(0, 1, 0, 1, 0, 1, 0, 1));
  }
  static inline reg gather(reg older, reg index, reg newer) noexcept {
    reg const by_half = halves(index);
    __m256d const a = _mm256_castsi256_pd(_mm256_permutevar8x32_epi32(older, by_half));
    __m256d const b = _mm256_castsi256_pd(_mm256_permutevar8x32_epi32(newer, by_half));
    return _mm256_castpd_si256(_mm256_blendv_pd(a, b, _mm256_castsi256_pd(index)));
  }
  static inline reg gather_older(reg older, reg index) noexcept {
    return _mm256_permutevar8x32_epi32(older, halves(index));
  }
  static inline bits newer_bits(reg index) noexcept { return to_bits(index); }
  static inline mask newer_mask(reg index) noexcept {
    return _mm256_cmpgt_epi64(_mm256_setzero_si256(), index);
  }
  static inline reg compress(bits m, reg x) noexcept {
    std::int32_t set;
    __builtin_memcpy(&set, lanes_in_set<4>[m].data(), sizeof set);
    return _mm256_permutevar8x32_epi32(x, halves(_mm256_cvtepu8_epi64(_mm_cvtsi32_si128(set))));
  }
  static inline reg exclusive_or(reg a, reg b) noexcept { return _mm256_xor_si256(a, b); }
  static inline reg add_integers(reg a, reg b) noexcept { return _mm256_add_epi64(a, b); }
  /// a + b in the lanes of m.
  static inline reg add_floats(mask m, reg a, reg b, reg otherwise) noexcept {
    __m256d const sum = _mm256_add_pd(_mm256_castsi256_pd(a), _mm256_castsi256_pd(b));
    __m256d const nan = _mm256_castsi256_pd(all(canonical_nan<double>));
    __m256d const one = _mm256_blendv_pd(sum, nan, _mm256_cmp_pd(sum, sum, _CMP_UNORD_Q));
    return select(m, _mm256_castpd_si256(one), otherwise);
  }
  static inline reg total_order(reg x) noexcept {
    return _mm256_xor_si256(x, _mm256_srli_epi64(_mm256_cmpgt_epi64(_mm256_setzero_si256(), x), 1));
  }
  static inline reg flip_sign(reg x) noexcept {
    return _mm256_xor_si256(x, _mm256_set1_epi64x(INT64_MIN));
  }

  /// Packed: the key's distance from a base above the lane's index, in one number, of which the
  /// base is part.
  static constexpr int index_bits = 3;
  static constexpr int distance_bits = 60;
  static constexpr std::uint64_t bias = 0;
  static inline reg pack(reg stored_keys, reg index_less_base) noexcept {
    return _mm256_add_epi64(_mm256_slli_epi64(stored_keys, index_bits), index_less_base);
  }
  static inline reg unpack(reg packed, reg base) noexcept {
    return _mm256_add_epi64(_mm256_srli_epi64(packed, index_bits), base);
  }
  static inline reg packed_index(reg packed) noexcept {
    return _mm256_or_si256(packed, _mm256_slli_epi64(packed, 61));
  }
  static inline reg subtract(reg a, reg b) noexcept { return _mm256_sub_epi64(a, b); }
  static inline reg numbers(bool newer) noexcept {
    return newer ? _mm256_setr_epi64x(4, 5, 6, 7) : _mm256_setr_epi64x(0, 1, 2, 3);
  }
  /// Of keys, and of the same packed: here the latter, which are signed.
  static inline mask packed_less_equal(reg, reg, reg a, reg b) noexcept {
    return _mm256_cmpgt_epi64(b, a);
  }
  static inline reg packed_lower(reg a, reg b) noexcept {
    return select(_mm256_cmpgt_epi64(b, a), a, b);
  }
  template <int Distance>
  static inline reg swap(reg x) noexcept {
    if constexpr (Distance == 2) { return _mm256_permute4x64_epi64(x, 0x4E); }
    if constexpr (Distance == 1) { return _mm256_shuffle_epi32(x, 0x4E); }
  }
  template <int Distance>
  static constexpr int high = Distance == 2 ? 0xF0 : 0xCC;  // in halves of a lane
  /// Lanes that keep what they hold: the lower of a pair at its lower place.
  template <int Distance>
  static inline mask stays(mask stays_low, mask stays_high) noexcept {
    return _mm256_blend_epi32(stays_low, stays_high, high<Distance>);
  }
  template <int Distance>
  static inline void exchange(reg& keys) noexcept {
    reg const other = swap<Distance>(keys);
    mask const moves =
        stays<Distance>(_mm256_cmpgt_epi64(keys, other), _mm256_cmpgt_epi64(other, keys));
    keys = select(moves, other, keys);
  }
  template <int Distance>
  static inline void exchange_packed(reg& packed) noexcept {
    exchange<Distance>(packed);
  }
  template <int Distance>
  static inline void exchange(reg& keys, reg& index) noexcept {
    reg const other = swap<Distance>(keys);
    mask const moves =
        stays<Distance>(_mm256_cmpgt_epi64(keys, other), _mm256_cmpgt_epi64(other, keys));
    keys = select(moves, other, keys);
    index = select(moves, swap<Distance>(index), index);
  }
  template <int Distance>
  static inline void exchange_stably(reg& keys, reg& index) noexcept {
    reg const other = swap<Distance>(keys), other_index = swap<Distance>(index);
    mask const same = _mm256_cmpeq_epi64(keys, other);
    // newer's indices are negative: older's come first when they are compared with the sign flipped
    mask const earlier = _mm256_cmpgt_epi64(flip_sign(other_index), flip_sign(index));
    mask const low_stays =
        _mm256_or_si256(_mm256_cmpgt_epi64(other, keys), _mm256_and_si256(same, earlier));
    mask const keeps =
        stays<Distance>(low_stays, _mm256_xor_si256(low_stays, _mm256_set1_epi64x(-1)));
    keys = select(keeps, keys, other);
    index = select(keeps, index, other_index);
  }
};

/// Whether there are registers for a step to be sorted while the one before it is put out.
inline constexpr bool sorts_ahead = false;

template <std::size_t WidestBytes>
inline constexpr std::size_t lane_count = 32 / WidestBytes;

static inline __m128i lower_halves(__m256i x) noexcept {
  return _mm256_castsi256_si128(
      _mm256_permutevar8x32_epi32(x, _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6)));
}
template <std::size_t From, std::size_t To, std::size_t Count>
static inline typename lanes<To, Count>::reg index_as(
    typename lanes<From, Count>::reg index) noexcept {
  if constexpr (From == To) {
    return index;
  } else if constexpr (From == 4) {
    return _mm256_cvtepi32_epi64(index);
  } else {  // the lane from the lower half, whose it is from the upper one's top bit
    __m128i const lane = _mm_and_si128(lower_halves(index), _mm_set1_epi32(3));
    __m128i const upper = lower_halves(_mm256_srli_epi64(index, 32));
    return _mm_or_si128(lane, _mm_and_si128(upper, _mm_set1_epi32(INT32_MIN)));
  }
}
template <std::size_t From, std::size_t To, std::size_t Count>
static inline typename lanes<To, Count>::mask mask_as(
    typename lanes<From, Count>::mask m) noexcept {
  if constexpr (From == To) {
    return m;
  } else if constexpr (From == 4) {
    return _mm256_cvtepi32_epi64(m);
  } else {
    return lower_halves(m);
  }
}

}  // namespace millrace::inline v0::delta::detail::avx2
MILLRACE_TARGET_END
#endif
