// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/isa.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/// \file
/// CRC32C, the cyclic redundancy check of iSCSI (RFC 3720, Castagnoli's polynomial): finds every
/// burst of at most 32 bits and every three flipped bits in a block of less than 2^28 bytes.

namespace millrace::inline v0::delta {

namespace detail {

/// Castagnoli's polynomial; bit i stands for x^(31 - i), as everywhere below.
inline constexpr std::uint32_t crc32c_polynomial = 0x82F6'3B78;

[[nodiscard]] MILLRACE_HD constexpr std::uint32_t crc32c_times_x(std::uint32_t crc) noexcept {
  return crc >> 1 ^ ((crc & 1) != 0 ? crc32c_polynomial : 0);
}

/// at[k][b]: what byte b does to the remainder when k bytes follow it.
struct crc32c_bytes {
  std::uint32_t at[8][256];
};
[[nodiscard]] constexpr crc32c_bytes make_crc32c_bytes() noexcept {
  crc32c_bytes made{};
  for (std::uint32_t b = 0; b < 256; ++b) {
    std::uint32_t crc = b;
    for (int bit = 0; bit < 8; ++bit) { crc = crc32c_times_x(crc); }
    made.at[0][b] = crc;
  }
  for (int k = 1; k < 8; ++k) {
    for (std::uint32_t b = 0; b < 256; ++b) {
      std::uint32_t const before = made.at[k - 1][b];
      made.at[k][b] = before >> 8 ^ made.at[0][before & 255];
    }
  }
  return made;
}
inline constexpr crc32c_bytes crc32c_table = make_crc32c_bytes();

/// Eight bytes a step, by tables.
[[nodiscard]] inline std::uint32_t crc32c_scalar(std::byte const* data, std::size_t bytes,
                                                 std::uint32_t crc) noexcept {
  auto const& at = crc32c_table.at;
  for (; bytes >= 8; bytes -= 8, data += 8) {
    std::uint32_t low = 0, high = 0;
    std::memcpy(&low, data, 4);
    std::memcpy(&high, data + 4, 4);
    low ^= crc;
    crc = at[7][low & 255] ^ at[6][low >> 8 & 255] ^ at[5][low >> 16 & 255] ^ at[4][low >> 24] ^
          at[3][high & 255] ^ at[2][high >> 8 & 255] ^ at[1][high >> 16 & 255] ^ at[0][high >> 24];
  }
  for (; bytes != 0; --bytes, ++data) {
    crc = crc >> 8 ^ at[0][(crc ^ static_cast<std::uint32_t>(*data)) & 255];
  }
  return crc;
}

/// Words of each of the three streams at most.
inline constexpr std::uint32_t crc32c_most_words = 128;

/// after[n]: x^(64 n - 33), by which a remainder is multiplied that n words follow: the product of
/// two remainders, taken as a message of 64 bits, has the remainder of their product times x^33.
struct crc32c_shifts {
  std::uint32_t after[2 * crc32c_most_words + 1];
};
[[nodiscard]] constexpr crc32c_shifts make_crc32c_shifts() noexcept {
  crc32c_shifts made{};
  std::uint32_t power = 1;  // x^31
  for (std::uint32_t n = 1; n <= 2 * crc32c_most_words; ++n) {
    made.after[n] = power;
    for (int bit = 0; bit < 64; ++bit) { power = crc32c_times_x(power); }
  }
  return made;
}
inline constexpr crc32c_shifts crc32c_shift = make_crc32c_shifts();

/// of[n]: the remainder of 32 ones that n words of zero follow.
struct crc32c_starts {
  std::uint32_t of[3 * crc32c_most_words + 1];
};
[[nodiscard]] constexpr crc32c_starts make_crc32c_starts() noexcept {
  crc32c_starts made{};
  std::uint32_t crc = ~0u;
  for (std::uint32_t n = 0; n <= 3 * crc32c_most_words; ++n) {
    made.of[n] = crc;
    for (int bit = 0; bit < 64; ++bit) { crc = crc32c_times_x(crc); }
  }
  return made;
}
inline constexpr crc32c_starts crc32c_start = make_crc32c_starts();

}  // namespace detail

#if defined(__x86_64__)
MILLRACE_TARGET_AVX2
namespace detail::avx2 {

[[nodiscard]] inline std::uint64_t crc32c_word(std::byte const* data) noexcept {
  std::uint64_t word = 0;
  std::memcpy(&word, data, 8);
  return word;
}

/// The remainder when `words` more words have followed, all zero.
[[nodiscard]] inline std::uint64_t crc32c_shifted(std::uint64_t crc, std::uint32_t words) noexcept {
  auto const factor = static_cast<int>(crc32c_shift.after[words]);
  __m128i const product = _mm_clmulepi64_si128(_mm_cvtsi64_si128(static_cast<long long>(crc)),
                                               _mm_cvtsi32_si128(factor), 0);
  return _mm_crc32_u64(0, static_cast<std::uint64_t>(_mm_cvtsi128_si64(product)));
}

/// Bytes that are few enough for one stream.
inline constexpr std::size_t crc32c_short = 3 * 4 * 8;

/// Bytes of each of three streams that begin `bytes` bytes.
[[nodiscard]] inline std::size_t crc32c_third(std::size_t bytes) noexcept {
  std::size_t const words = bytes / (3 * 8);
  return (words < crc32c_most_words ? words : crc32c_most_words) * 8;
}

/// By the processor's instruction, which takes a word a cycle but gives its result after three: so
/// three streams run beside each other, and all of them beside other work, a step at a time. As
/// small as can be, for other work needs registers as well.
struct crc32c_streams {
  std::byte const* at;  // in the first stream
  std::size_t third;    // bytes of each stream
  std::uint64_t a, b = 0, c = 0;

  /// @param bytes at least crc32c_short
  crc32c_streams(std::byte const* data, std::size_t bytes, std::uint64_t start) noexcept
      : at{data}, third{crc32c_third(bytes)}, a{start} {}

  /// A word of each stream; there are third / 8 of them.
  void step() noexcept {
    a = _mm_crc32_u64(a, crc32c_word(at));
    b = _mm_crc32_u64(b, crc32c_word(at + third));
    c = _mm_crc32_u64(c, crc32c_word(at + 2 * third));
    at += 8;
  }
};

[[nodiscard]] inline std::uint32_t crc32c_single(std::byte const* data, std::size_t bytes,
                                                 std::uint64_t crc) noexcept {
  for (; bytes >= 8; bytes -= 8, data += 8) { crc = _mm_crc32_u64(crc, crc32c_word(data)); }
  auto rest = static_cast<std::uint32_t>(crc);
  if (bytes >= 4) {
    std::uint32_t half = 0;
    std::memcpy(&half, data, 4);
    rest = _mm_crc32_u32(rest, half);
    data += 4;
    bytes -= 4;
  }
  for (; bytes != 0; --bytes, ++data) {
    rest = _mm_crc32_u8(rest, static_cast<unsigned char>(*data));
  }
  return rest;
}

/// The rest of what streams began with.
[[nodiscard]] inline std::uint32_t crc32c_finish(crc32c_streams streams, std::byte const* data,
                                                 std::size_t bytes) noexcept {
  for (;;) {
    std::byte const* const end = data + streams.third;
    while (end - streams.at >= 32) {
      streams.step();
      streams.step();
      streams.step();
      streams.step();
    }
    while (streams.at != end) { streams.step(); }
    auto const words = static_cast<std::uint32_t>(streams.third / 8);
    std::uint64_t const crc =
        crc32c_shifted(streams.a, 2 * words) ^ crc32c_shifted(streams.b, words) ^ streams.c;
    data += 3 * streams.third;
    bytes -= 3 * streams.third;
    if (bytes < crc32c_short) { return crc32c_single(data, bytes, crc); }
    streams = crc32c_streams(data, bytes, crc);
  }
}

/// The checksum of 19 to 384 words, beside other work. Lengths that differ by a few words take the
/// same way, so that no branch is mispredicted when they change: words of zero stand before the
/// data, which leave a remainder that begins with 0 as it is, until their number is one of six.
struct crc32c_padded {
  static constexpr std::size_t fewest_bytes = 19 * 8, most_bytes = 3 * 8 * crc32c_most_words + 7;
  static constexpr std::uint32_t fewest_steps = 8;

  std::byte const* at;  // before the data by the padding, which is readable
  std::size_t third;    // bytes of each stream
  std::uint64_t padding;
  std::uint64_t a = 0, b = 0, c = 0;

  /// @param data  with 40 readable bytes before it
  /// @param bytes fewest_bytes to most_bytes
  crc32c_padded(std::byte const* data, std::size_t bytes) noexcept {
    std::size_t const words = bytes / 8, padded = (words + 5) / 6 * 6;
    padding = padded - words;
    at = data - 8 * padding;
    third = padded / 3 * 8;
  }
  /// Word i of each stream, in their order.
  void step(std::uint32_t i) noexcept {
    std::uint64_t word = crc32c_word(at + 8 * i);
    if (i < 5) { word &= i >= padding ? ~std::uint64_t{0} : 0; }
    a = _mm_crc32_u64(a, word);
    b = _mm_crc32_u64(b, crc32c_word(at + third + 8 * i));
    c = _mm_crc32_u64(c, crc32c_word(at + 2 * third + 8 * i));
  }
  /// The CRC32C, after `taken` steps.
  [[nodiscard]] std::uint32_t finish(std::uint32_t taken, std::size_t bytes) noexcept {
    auto const words = static_cast<std::uint32_t>(third / 8);
    for (; taken < words; ++taken) { step(taken); }
    std::uint64_t const crc = crc32c_shifted(a, 2 * words) ^ crc32c_shifted(b, words) ^ c;
    std::uint64_t const start = crc32c_start.of[bytes / 8];
    return ~crc32c_single(at + 3 * third, bytes % 8, crc ^ start);
  }
};

[[nodiscard]] inline std::uint32_t crc32c(std::byte const* data, std::size_t bytes,
                                          std::uint32_t start) noexcept {
  if (bytes < crc32c_short) { return crc32c_single(data, bytes, start); }
  return crc32c_finish(crc32c_streams(data, bytes, start), data, bytes);
}

}  // namespace detail::avx2
MILLRACE_TARGET_END
#endif

/// The CRC32C of `bytes` bytes, or of those after others.
/// @param before the CRC32C of what comes before; 0 when nothing does
/// @cost about an eighth of a cycle a byte where the processor has an instruction for it, else one
///       and a half   @thread any
/// @source RFC 3720, appendix B.4; Gopal et al., "Fast CRC Computation for iSCSI Polynomial Using
///         CRC32 Instruction", 2011
[[nodiscard]] inline std::uint32_t crc32c(std::byte const* data, std::size_t bytes,
                                          std::uint32_t before = 0,
                                          core::isa which = core::best_isa()) noexcept {
#if defined(__x86_64__)
  if (core::usable_isa(which) != core::isa::scalar) {
    return ~detail::avx2::crc32c(data, bytes, ~before);
  }
#endif
  static_cast<void>(which);
  return ~detail::crc32c_scalar(data, bytes, ~before);
}

}  // namespace millrace::inline v0::delta
