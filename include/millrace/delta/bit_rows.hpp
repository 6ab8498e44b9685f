// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

/// \file
/// Bit packing of blocks of at most 256 unsigned numbers, each kept in `bits` bits.
///
/// A whole block has 8 lanes of 32 numbers: number i is in lane i % 8 at position i / 8. The
/// numbers of a lane follow each other in a stream of `bits` little-endian 32-bit words, lowest
/// bits first, and word w of lane l is word 8 w + l of the block. So 8 neighbours are one 256-bit
/// row (or two, where they straddle words), which a host unpacks at once and a thread of a warp
/// alone. A shorter block is one stream: number i has the bits from i * bits on, lowest first.
/// Either has (count * bits + 7) / 8 bytes. Numbers of 64 bits that need more than 32 are two
/// blocks: their lower halves in 32 bits, then their upper halves in bits - 32.

namespace millrace::inline v0::delta {

static_assert(std::endian::native == std::endian::little, "packed words are little-endian");

/// Numbers of a whole block.
inline constexpr std::uint32_t block_rows = 256;
/// Numbers of a row of a whole block.
inline constexpr std::uint32_t row_lanes = 8;

/// Bytes of `count` numbers of `bits` bits each.
[[nodiscard]] MILLRACE_HD constexpr std::uint32_t packed_bytes(std::uint32_t count,
                                                               std::uint32_t bits) noexcept {
  return (count * bits + 7) / 8;
}

/// The largest number of `bits` bits, which are at most 32.
[[nodiscard]] MILLRACE_HD constexpr std::uint32_t low_mask(std::uint32_t bits) noexcept {
  return static_cast<std::uint32_t>((std::uint64_t{1} << bits) - 1);
}

/// Words at an address of any alignment.
struct unaligned_words {
  std::byte const* from;

  [[nodiscard]] MILLRACE_HD std::uint32_t operator[](std::uint32_t i) const noexcept {
    std::uint32_t word = 0;
    std::memcpy(&word, from + std::size_t{i} * 4, 4);
    return word;
  }
};

/// One row of a whole block: its 8 numbers from 8 * `row` on. What one thread of a warp does.
/// @param words [8 * bits] the block; an array, a pointer or unaligned_words
/// @param bits  0 to 32
template <class Words>
MILLRACE_HD constexpr void unpack_row(Words const& words, std::uint32_t bits, std::uint32_t row,
                                      std::uint32_t (&out)[row_lanes]) noexcept {
  std::uint32_t const word = row * bits / 32, shift = row * bits % 32, mask = low_mask(bits);
  bool const straddles = shift + bits > 32;
  for (std::uint32_t lane = 0; lane < row_lanes; ++lane) {
    std::uint32_t value = 0;
    if (bits != 0) { value = words[word * row_lanes + lane] >> shift; }
    if (straddles) { value |= words[(word + 1) * row_lanes + lane] << (32 - shift); }
    out[lane] = value & mask;
  }
}

/// Number i of a block shorter than 256.
/// @param from [packed_bytes(count, bits)], i < count
/// @param bits 0 to 32
[[nodiscard]] MILLRACE_HD constexpr std::uint32_t unpack_one(std::byte const* from,
                                                             std::uint32_t bits,
                                                             std::uint32_t i) noexcept {
  std::uint32_t const first = i * bits, begin = first / 8, end = (first + bits + 7) / 8;
  std::uint64_t window = 0;
  for (std::uint32_t b = begin; b < end; ++b) {
    window |= static_cast<std::uint64_t>(from[b]) << (8 * (b - begin));
  }
  return static_cast<std::uint32_t>(window >> (first % 8)) & low_mask(bits);
}

/// Bits that the largest of `count` numbers needs: 0 when all are zero.
template <class U>
[[nodiscard]] constexpr std::uint32_t bits_needed(U const* in, std::uint32_t count) noexcept {
  U all = 0;
  for (std::uint32_t i = 0; i < count; ++i) { all |= in[i]; }
  return static_cast<std::uint32_t>(std::bit_width(all));
}

namespace detail {

inline void store_word(std::byte* to, std::uint32_t word) noexcept { std::memcpy(to, &word, 4); }

inline void pack_whole(std::uint32_t const* in, std::uint32_t bits, std::byte* out) noexcept {
  std::uint32_t word[row_lanes] = {};
  std::uint32_t filled = 0;  // bits of `word`
  for (std::uint32_t row = 0; row < block_rows / row_lanes; ++row, in += row_lanes) {
    for (std::uint32_t lane = 0; lane < row_lanes; ++lane) { word[lane] |= in[lane] << filled; }
    filled += bits;
    if (filled < 32) { continue; }
    for (std::uint32_t lane = 0; lane < row_lanes; ++lane, out += 4) {
      store_word(out, word[lane]);
      std::uint32_t const kept = bits - (filled - 32);  // bits that are in the word just stored
      word[lane] = kept < 32 ? in[lane] >> kept : 0;
    }
    filled -= 32;
  }
}

inline void pack_short(std::uint32_t const* in, std::uint32_t count, std::uint32_t bits,
                       std::byte* out) noexcept {
  std::uint64_t window = 0;
  std::uint32_t filled = 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    window |= static_cast<std::uint64_t>(in[i]) << filled;
    for (filled += bits; filled >= 8; filled -= 8, window >>= 8) {
      *out++ = static_cast<std::byte>(window);
    }
  }
  if (filled != 0) { *out = static_cast<std::byte>(window); }
}

}  // namespace detail

}  // namespace millrace::inline v0::delta
