// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/delta/bit_pack.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>

/// \file
/// Streams of any count of unsigned numbers, each in `width` bits, lowest bits first: number i has
/// the bits from i * width on, as in a short block of bit_pack.hpp. Widths are 0 to 57 or 64, so
/// that one unaligned load of 8 bytes holds a number: 58 to 63 are written as 64.

namespace millrace::inline v0::delta {

/// The narrowest width of a stream for numbers of `bits` bits, which are at most 64.
[[nodiscard]] MILLRACE_HD constexpr std::uint32_t stream_width(std::uint32_t bits) noexcept {
  return bits <= 57 ? bits : 64;
}

/// The largest number of `bits` bits, which are at most 64.
[[nodiscard]] MILLRACE_HD constexpr std::uint64_t low_mask64(std::uint32_t bits) noexcept {
  return bits == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << bits) - 1;
}

/// Up to 8 bytes as a little-endian number.
[[nodiscard]] MILLRACE_HD inline std::uint64_t load_bytes(std::byte const* from,
                                                          std::uint32_t count) noexcept {
  std::uint64_t word = 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    word |= static_cast<std::uint64_t>(from[i]) << (8 * i);
  }
  return word;
}

/// The lowest `count` bytes of a number, little-endian; at most 8.
inline void store_bytes(std::byte* to, std::uint64_t word, std::uint32_t count) noexcept {
  for (std::uint32_t i = 0; i < count; ++i) { to[i] = static_cast<std::byte>(word >> (8 * i)); }
}

/// Number i of a stream.
/// @param from  the stream
/// @param bytes its bytes, which hold number i; nothing beyond them is read
/// @param width 0 to 57 or 64
[[nodiscard]] MILLRACE_HD inline std::uint64_t stream_at(std::byte const* from, std::uint32_t bytes,
                                                         std::uint32_t width,
                                                         std::uint32_t i) noexcept {
  if (width == 0) { return 0; }
  std::uint32_t const first = i * width, begin = first / 8, left = bytes - begin;
  std::uint64_t word = 0;
  if (left >= 8) {
    std::memcpy(&word, from + begin, 8);
  } else {
    word = load_bytes(from + begin, left);
  }
  return (word >> (first % 8)) & low_mask64(width);
}

/// Writes the lowest `width` bits of each number.
/// @param in    [count]
/// @param width 0 to 57 or 64
/// @param out   [packed_bytes(count, width)]
/// @return bytes written
template <class W>
std::uint32_t write_stream(W const* in, std::uint32_t count, std::uint32_t width,
                           std::byte* out) noexcept {
  if (width == 0) { return 0; }
  std::uint64_t const mask = low_mask64(width);
  std::byte* const begin = out;
  std::uint64_t window = 0;
  std::uint32_t filled = 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    std::uint64_t const number = std::uint64_t{in[i]} & mask;
    window |= number << filled;
    filled += width;
    if (filled < 64) { continue; }
    std::memcpy(out, &window, 8);
    out += 8;
    filled -= 64;
    window = filled == 0 ? 0 : number >> (width - filled);
  }
  std::uint32_t const tail = (filled + 7) / 8;
  store_bytes(out, window, tail);
  return static_cast<std::uint32_t>(out - begin) + tail;
}

}  // namespace millrace::inline v0::delta
