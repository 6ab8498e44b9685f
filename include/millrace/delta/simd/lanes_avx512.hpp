// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>

#include <cstddef>
#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>

MILLRACE_TARGET_AVX512
namespace millrace::inline v0::delta::detail::avx512 {

/// A mask as a number. Through a general register: where g++ 12 keeps the number on the stack, it
/// would store the one byte of a mask of 8 lanes and load four.
static inline std::uint32_t mask_bits(std::uint32_t m) noexcept {
  asm("" : "+r"(m));
  return m;
}

/// For fixupimm: a NaN, quiet or signalling, becomes the canonical one, and other numbers stay.
inline constexpr int canonical_nans = 0x33;

/// Lanes of 4 or 8 bytes in one register: what merge_pass.inl is written in. Bit i of a word of
/// bits is lane i. An index names a lane of two registers, older's (below `count`) or newer's.
template <std::size_t Bytes, std::size_t Count>
struct lanes;

// Whole registers by a mask of every lane: g++ 12 warns of what the forms without one leave
// undefined.
template <>
struct lanes<4, 16> {
  static constexpr __mmask16 every = 0xFFFF;
  static constexpr std::size_t count = 16;
  using reg = __m512i;
  using mask = __mmask16;
  using bits = std::uint32_t;

  static inline reg load(void const* p) noexcept { return _mm512_loadu_si512(p); }
  static inline void store(void* p, reg x) noexcept { _mm512_storeu_si512(p, x); }
  static inline void stream(void* p, reg x) noexcept {
    _mm512_stream_si512(static_cast<__m512i*>(p), x);
  }
  static inline reg load_keys(void const* p) noexcept { return load(p); }
  static inline reg as_stored(reg keys) noexcept { return keys; }
  static inline reg all(std::uint32_t x) noexcept { return _mm512_set1_epi32(static_cast<int>(x)); }
  static inline reg index_older() noexcept {
    return _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  }
  static inline reg index_newer_reversed() noexcept {
    return _mm512_setr_epi32(31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16);
  }
  static inline reg reverse(reg x) noexcept {
    return _mm512_maskz_permutexvar_epi32(
        every, _mm512_setr_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0), x);
  }
  static inline bits to_bits(mask m) noexcept { return mask_bits(m); }
  static inline mask less_equal(reg a, reg b) noexcept { return _mm512_cmple_epu32_mask(a, b); }
  static inline mask equal(reg a, reg b) noexcept { return _mm512_cmpeq_epi32_mask(a, b); }
  static inline mask greater_signed(reg a, reg b) noexcept { return _mm512_cmpgt_epi32_mask(a, b); }
  static inline reg lower(reg a, reg b, mask) noexcept {
    return _mm512_maskz_min_epu32(every, a, b);
  }
  static inline reg select(mask m, reg yes, reg no) noexcept {
    return _mm512_mask_mov_epi32(no, m, yes);
  }
  static inline reg previous(reg x, reg before) noexcept {
    return _mm512_maskz_alignr_epi32(every, x, before, 15);
  }
  static inline reg gather(reg older, reg index, reg newer) noexcept {
    return _mm512_permutex2var_epi32(older, index, newer);
  }
  static inline reg gather_older(reg older, reg index) noexcept {
    return _mm512_maskz_permutexvar_epi32(every, index, older);
  }
  static inline bits newer_bits(reg index) noexcept { return to_bits(newer_mask(index)); }
  static inline mask newer_mask(reg index) noexcept {
    return _mm512_test_epi32_mask(index, _mm512_set1_epi32(16));
  }
  static inline reg compress(bits m, reg x) noexcept {
    return _mm512_maskz_compress_epi32(static_cast<__mmask16>(m), x);
  }
  static inline reg exclusive_or(reg a, reg b) noexcept { return _mm512_xor_si512(a, b); }
  static inline reg add_integers(reg a, reg b) noexcept { return _mm512_add_epi32(a, b); }
  /// a + b in the lanes of m.
  static inline reg add_floats(mask m, reg a, reg b, reg otherwise) noexcept {
    __m512 const sum = _mm512_mask_add_ps(_mm512_castsi512_ps(otherwise), m, _mm512_castsi512_ps(a),
                                          _mm512_castsi512_ps(b));
    return _mm512_castps_si512(
        _mm512_mask_fixupimm_ps(sum, m, sum, _mm512_set1_epi32(canonical_nans), 0));
  }
  static inline reg total_order(reg x) noexcept {
    return _mm512_xor_si512(
        x, _mm512_maskz_srli_epi32(every, _mm512_maskz_srai_epi32(every, x, 31), 1));
  }
  static inline reg flip_sign(reg x) noexcept {
    return _mm512_xor_si512(x, _mm512_set1_epi32(INT32_MIN));
  }

  /// Packed: the key's distance from a base above the lane's index, in one number, of which the
  /// base is part.
  static constexpr int index_bits = 5;
  static constexpr int distance_bits = 26;
  static constexpr std::uint32_t bias = 0;
  static inline reg pack(reg stored_keys, reg index_less_base) noexcept {
    return _mm512_add_epi32(_mm512_maskz_slli_epi32(every, stored_keys, index_bits),
                            index_less_base);
  }
  static inline reg unpack(reg packed, reg base) noexcept {
    return _mm512_add_epi32(_mm512_maskz_srli_epi32(every, packed, index_bits), base);
  }
  static inline reg packed_index(reg packed) noexcept { return packed; }
  static inline reg subtract(reg a, reg b) noexcept { return _mm512_sub_epi32(a, b); }
  static inline reg numbers(bool newer) noexcept {
    return newer ? _mm512_setr_epi32(16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31)
                 : _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  }
  /// Of keys, and of the same packed: here the former, which are there before.
  static inline mask packed_less_equal(reg a, reg b, reg, reg) noexcept { return less_equal(a, b); }
  static inline reg packed_lower(reg a, reg b) noexcept {
    return _mm512_maskz_min_epu32(every, a, b);
  }
  template <int Distance>
  static inline reg swap(reg x) noexcept {
    if constexpr (Distance == 8) { return _mm512_maskz_shuffle_i64x2(0xFF, x, x, 0x4E); }
    if constexpr (Distance == 4) { return _mm512_maskz_shuffle_i64x2(0xFF, x, x, 0xB1); }
    if constexpr (Distance == 2) { return _mm512_maskz_shuffle_epi32(every, x, _MM_PERM_BADC); }
    if constexpr (Distance == 1) { return _mm512_maskz_shuffle_epi32(every, x, _MM_PERM_CDAB); }
  }
  template <int Distance>
  static constexpr mask low = Distance == 8   ? 0x00FF
                              : Distance == 4 ? 0x0F0F
                              : Distance == 2 ? 0x3333
                                              : 0x5555;
  template <int Distance>
  static inline void exchange(reg& keys) noexcept {
    reg const other = swap<Distance>(keys);
    keys = _mm512_mask_min_epu32(_mm512_maskz_max_epu32(every, keys, other), low<Distance>, keys,
                                 other);
  }
  template <int Distance>
  static inline void exchange_packed(reg& packed) noexcept {
    exchange<Distance>(packed);
  }
  template <int Distance>
  static inline void exchange(reg& keys, reg& index) noexcept {
    reg const before = keys;
    exchange<Distance>(keys);
    index =
        _mm512_mask_mov_epi32(index, _mm512_cmpneq_epi32_mask(keys, before), swap<Distance>(index));
  }
  template <int Distance>
  static inline void exchange_stably(reg& keys, reg& index) noexcept {
    reg const other = swap<Distance>(keys), other_index = swap<Distance>(index);
    mask const greater = _mm512_cmpgt_epu32_mask(keys, other);
    mask const later =
        _mm512_mask_cmpgt_epu32_mask(_mm512_cmpeq_epi32_mask(keys, other), index, other_index);
    mask const swapped = static_cast<mask>((greater | later) ^ static_cast<mask>(~low<Distance>));
    keys = _mm512_mask_mov_epi32(keys, swapped, other);
    index = _mm512_mask_mov_epi32(index, swapped, other_index);
  }
};

template <>
struct lanes<4, 8> {
  static constexpr std::size_t count = 8;
  using reg = __m256i;
  using mask = __mmask8;
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
    return _mm256_setr_epi32(15, 14, 13, 12, 11, 10, 9, 8);
  }
  static inline reg reverse(reg x) noexcept {
    return _mm256_permutevar8x32_epi32(x, _mm256_setr_epi32(7, 6, 5, 4, 3, 2, 1, 0));
  }
  static inline bits to_bits(mask m) noexcept { return mask_bits(m); }
  static inline mask less_equal(reg a, reg b) noexcept { return _mm256_cmple_epu32_mask(a, b); }
  static inline mask equal(reg a, reg b) noexcept { return _mm256_cmpeq_epi32_mask(a, b); }
  static inline mask greater_signed(reg a, reg b) noexcept { return _mm256_cmpgt_epi32_mask(a, b); }
  static inline reg lower(reg a, reg b, mask) noexcept { return _mm256_min_epu32(a, b); }
  static inline reg select(mask m, reg yes, reg no) noexcept {
    return _mm256_mask_mov_epi32(no, m, yes);
  }
  static inline reg previous(reg x, reg before) noexcept {
    return _mm256_alignr_epi32(x, before, 7);
  }
  static inline reg gather(reg older, reg index, reg newer) noexcept {
    return _mm256_permutex2var_epi32(older, index, newer);
  }
  static inline reg gather_older(reg older, reg index) noexcept {
    return _mm256_permutevar8x32_epi32(older, index);
  }
  static inline bits newer_bits(reg index) noexcept { return to_bits(newer_mask(index)); }
  static inline mask newer_mask(reg index) noexcept {
    return _mm256_test_epi32_mask(index, _mm256_set1_epi32(8));
  }
  static inline reg compress(bits m, reg x) noexcept {
    return _mm256_maskz_compress_epi32(static_cast<__mmask8>(m), x);
  }
  static inline reg exclusive_or(reg a, reg b) noexcept { return _mm256_xor_si256(a, b); }
  static inline reg add_integers(reg a, reg b) noexcept { return _mm256_add_epi32(a, b); }
  /// a + b in the lanes of m.
  static inline reg add_floats(mask m, reg a, reg b, reg otherwise) noexcept {
    __m256 const sum = _mm256_mask_add_ps(_mm256_castsi256_ps(otherwise), m, _mm256_castsi256_ps(a),
                                          _mm256_castsi256_ps(b));
    return _mm256_castps_si256(
        _mm256_mask_fixupimm_ps(sum, m, sum, _mm256_set1_epi32(canonical_nans), 0));
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
  static inline reg packed_index(reg packed) noexcept { return packed; }
  static inline reg subtract(reg a, reg b) noexcept { return _mm256_sub_epi32(a, b); }
  static inline reg numbers(bool newer) noexcept {
    return newer ? _mm256_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15)
                 : _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  }
  /// Of keys, and of the same packed: here the former, which are there before.
  static inline mask packed_less_equal(reg a, reg b, reg, reg) noexcept { return less_equal(a, b); }
  static inline reg packed_lower(reg a, reg b) noexcept { return _mm256_min_epu32(a, b); }
  template <int Distance>
  static inline reg swap(reg x) noexcept {
    if constexpr (Distance == 4) { return _mm256_permute4x64_epi64(x, 0x4E); }
    if constexpr (Distance == 2) { return _mm256_shuffle_epi32(x, 0x4E); }
    if constexpr (Distance == 1) { return _mm256_shuffle_epi32(x, 0xB1); }
  }
  template <int Distance>
  static constexpr mask low = Distance == 4   ? 0x0F
                              : Distance == 2 ? 0x33
                                              : 0x55;
  template <int Distance>
  static inline void exchange(reg& keys) noexcept {
    reg const other = swap<Distance>(keys);
    keys = _mm256_mask_min_epu32(_mm256_max_epu32(keys, other), low<Distance>, keys, other);
  }
  template <int Distance>
  static inline void exchange_packed(reg& packed) noexcept {
    exchange<Distance>(packed);
  }
  template <int Distance>
  static inline void exchange(reg& keys, reg& index) noexcept {
    reg const before = keys;
    exchange<Distance>(keys);
    index =
        _mm256_mask_mov_epi32(index, _mm256_cmpneq_epi32_mask(keys, before), swap<Distance>(index));
  }
  template <int Distance>
  static inline void exchange_stably(reg& keys, reg& index) noexcept {
    reg const other = swap<Distance>(keys), other_index = swap<Distance>(index);
    mask const greater = _mm256_cmpgt_epu32_mask(keys, other);
    mask const later =
        _mm256_mask_cmpgt_epu32_mask(_mm256_cmpeq_epi32_mask(keys, other), index, other_index);
    mask const swapped = static_cast<mask>((greater | later) ^ static_cast<mask>(~low<Distance>));
    keys = _mm256_mask_mov_epi32(keys, swapped, other);
    index = _mm256_mask_mov_epi32(index, swapped, other_index);
  }
};

template <>
struct lanes<8, 8> {
  static constexpr __mmask8 every = 0xFF;
  static constexpr std::size_t count = 8;
  using reg = __m512i;
  using mask = __mmask8;
  using bits = std::uint32_t;

  static inline reg load(void const* p) noexcept { return _mm512_loadu_si512(p); }
  static inline void store(void* p, reg x) noexcept { _mm512_storeu_si512(p, x); }
  static inline void stream(void* p, reg x) noexcept {
    _mm512_stream_si512(static_cast<__m512i*>(p), x);
  }
  static inline reg load_keys(void const* p) noexcept { return load(p); }
  static inline reg as_stored(reg keys) noexcept { return keys; }
  static inline reg all(std::uint64_t x) noexcept {
    return _mm512_set1_epi64(static_cast<long long>(x));
  }
  static inline reg index_older() noexcept { return _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7); }
  static inline reg index_newer_reversed() noexcept {
    return _mm512_setr_epi64(15, 14, 13, 12, 11, 10, 9, 8);
  }
  static inline reg reverse(reg x) noexcept {
    return _mm512_maskz_permutexvar_epi64(every, _mm512_setr_epi64(7, 6, 5, 4, 3, 2, 1, 0), x);
  }
  static inline bits to_bits(mask m) noexcept { return mask_bits(m); }
  static inline mask less_equal(reg a, reg b) noexcept { return _mm512_cmple_epu64_mask(a, b); }
  static inline mask equal(reg a, reg b) noexcept { return _mm512_cmpeq_epi64_mask(a, b); }
  static inline mask greater_signed(reg a, reg b) noexcept { return _mm512_cmpgt_epi64_mask(a, b); }
  static inline reg lower(reg a, reg b, mask) noexcept {
    return _mm512_maskz_min_epu64(every, a, b);
  }
  static inline reg select(mask m, reg yes, reg no) noexcept {
    return _mm512_mask_mov_epi64(no, m, yes);
  }
  static inline reg previous(reg x, reg before) noexcept {
    return _mm512_maskz_alignr_epi64(every, x, before, 7);
  }
  static inline reg gather(reg older, reg index, reg newer) noexcept {
    return _mm512_permutex2var_epi64(older, index, newer);
  }
  static inline reg gather_older(reg older, reg index) noexcept {
    return _mm512_maskz_permutexvar_epi64(every, index, older);
  }
  static inline bits newer_bits(reg index) noexcept { return to_bits(newer_mask(index)); }
  static inline mask newer_mask(reg index) noexcept {
    return _mm512_test_epi64_mask(index, _mm512_set1_epi64(8));
  }
  static inline reg compress(bits m, reg x) noexcept {
    return _mm512_maskz_compress_epi64(static_cast<__mmask8>(m), x);
  }
  static inline reg exclusive_or(reg a, reg b) noexcept { return _mm512_xor_si512(a, b); }
  static inline reg add_integers(reg a, reg b) noexcept { return _mm512_add_epi64(a, b); }
  /// a + b in the lanes of m.
  static inline reg add_floats(mask m, reg a, reg b, reg otherwise) noexcept {
    __m512d const sum = _mm512_mask_add_pd(_mm512_castsi512_pd(otherwise), m,
                                           _mm512_castsi512_pd(a), _mm512_castsi512_pd(b));
    return _mm512_castpd_si512(
        _mm512_mask_fixupimm_pd(sum, m, sum, _mm512_set1_epi64(canonical_nans), 0));
  }
  static inline reg total_order(reg x) noexcept {
    return _mm512_xor_si512(
        x, _mm512_maskz_srli_epi64(every, _mm512_maskz_srai_epi64(every, x, 63), 1));
  }
  static inline reg flip_sign(reg x) noexcept {
    return _mm512_xor_si512(x, _mm512_set1_epi64(INT64_MIN));
  }

  /// Packed: the key's distance from a base above the lane's index, in one number, of which the
  /// base is part.
  static constexpr int index_bits = 4;
  /// Keys' distances are below 2 to the `distance_bits`, and `bias` above: so that a packed key is
  /// a normal number of floating point as well.
  static constexpr int distance_bits = 57;
  static constexpr std::uint64_t bias = std::uint64_t{1} << 57;
  static inline reg pack(reg stored_keys, reg index_less_base) noexcept {
    return _mm512_add_epi64(_mm512_maskz_slli_epi64(every, stored_keys, index_bits),
                            index_less_base);
  }
  static inline reg unpack(reg packed, reg base) noexcept {
    return _mm512_add_epi64(_mm512_maskz_srli_epi64(every, packed, index_bits), base);
  }
  static inline reg packed_index(reg packed) noexcept { return packed; }
  static inline reg subtract(reg a, reg b) noexcept { return _mm512_sub_epi64(a, b); }
  static inline reg numbers(bool newer) noexcept {
    return newer ? _mm512_setr_epi64(8, 9, 10, 11, 12, 13, 14, 15)
                 : _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7);
  }
  /// Of keys, and of the same packed: here the former, which are there before.
  static inline mask packed_less_equal(reg a, reg b, reg, reg) noexcept { return less_equal(a, b); }
  static inline reg packed_lower(reg a, reg b) noexcept {
    return _mm512_maskz_min_epu64(every, a, b);
  }
  template <int Distance>
  static inline reg swap(reg x) noexcept {
    if constexpr (Distance == 4) { return _mm512_maskz_shuffle_i64x2(every, x, x, 0x4E); }
    if constexpr (Distance == 2) { return _mm512_maskz_permutex_epi64(every, x, 0x4E); }
    if constexpr (Distance == 1) { return _mm512_maskz_shuffle_epi32(0xFFFF, x, _MM_PERM_BADC); }
  }
  template <int Distance>
  static constexpr mask low = Distance == 4   ? 0x0F
                              : Distance == 2 ? 0x33
                                              : 0x55;
  template <int Distance>
  static inline void exchange(reg& keys) noexcept {
    reg const other = swap<Distance>(keys);
    keys = _mm512_mask_min_epu64(_mm512_maskz_max_epu64(every, keys, other), low<Distance>, keys,
                                 other);
  }
  template <int Distance>
  static inline void exchange_packed(reg& packed) noexcept {
    // as numbers of floating point, of the same order: integers' maximum would wait for their
    // minimum
    reg const other = swap<Distance>(packed);
    reg const higher = _mm512_castpd_si512(
        _mm512_maskz_max_pd(every, _mm512_castsi512_pd(packed), _mm512_castsi512_pd(other)));
    packed = _mm512_mask_min_epu64(higher, low<Distance>, packed, other);
  }
  template <int Distance>
  static inline void exchange(reg& keys, reg& index) noexcept {
    reg const before = keys;
    exchange<Distance>(keys);
    index =
        _mm512_mask_mov_epi64(index, _mm512_cmpneq_epi64_mask(keys, before), swap<Distance>(index));
  }
  template <int Distance>
  static inline void exchange_stably(reg& keys, reg& index) noexcept {
    reg const other = swap<Distance>(keys), other_index = swap<Distance>(index);
    mask const greater = _mm512_cmpgt_epu64_mask(keys, other);
    mask const later =
        _mm512_mask_cmpgt_epu64_mask(_mm512_cmpeq_epi64_mask(keys, other), index, other_index);
    mask const swapped = static_cast<mask>((greater | later) ^ static_cast<mask>(~low<Distance>));
    keys = _mm512_mask_mov_epi64(keys, swapped, other);
    index = _mm512_mask_mov_epi64(index, swapped, other_index);
  }
};

/// Whether there are registers for a step to be sorted while the one before it is put out.
inline constexpr bool sorts_ahead = true;

/// Rows in a register: as many as the widest column leaves room for.
template <std::size_t WidestBytes>
inline constexpr std::size_t lane_count = 64 / WidestBytes;

/// An index of lanes of From bytes as one of lanes of To bytes.
template <std::size_t From, std::size_t To, std::size_t Count>
static inline typename lanes<To, Count>::reg index_as(
    typename lanes<From, Count>::reg index) noexcept {
  if constexpr (From == To) {
    return index;
  } else if constexpr (From == 4) {
    return _mm512_maskz_cvtepu32_epi64(0xFF, index);
  } else {
    return _mm512_maskz_cvtepi64_epi32(0xFF, index);
  }
}
/// A mask of lanes of From bytes as one of lanes of To bytes.
template <std::size_t From, std::size_t To, std::size_t Count>
static inline typename lanes<To, Count>::mask mask_as(
    typename lanes<From, Count>::mask m) noexcept {
  return m;
}

}  // namespace millrace::inline v0::delta::detail::avx512
MILLRACE_TARGET_END
#endif
