// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/delta/bit_stream.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

/// \file
/// What the bytes of an encoded block of values say, read and checked once: where each part lies.
/// docs/design/delta-format-values.md is the specification.

namespace millrace::inline v0::delta {

/// Rows of a block of values, at most.
inline constexpr std::uint32_t most_values = 256;

/// How a block is written: the lowest 3 bits of its first byte. Values are frozen: they are in
/// files.
enum class value_scheme : std::uint8_t {
  raw = 0,             ///< the values as they are
  constant = 1,        ///< one value for all
  integer = 2,         ///< numbers: the values themselves
  decimal = 3,         ///< numbers: the values times a power of ten
  decimal_except = 4,  ///< the same, but for some rows whose values follow as they are
  pattern = 5,         ///< numbers: the bits of floats
  planes = 6,          ///< byte b of all rows together, once where it is the same in all
};

/// How a number becomes the next one's neighbour.
enum class value_step : std::uint8_t {
  none = 0,   ///< number = base + stored: a frame of reference
  delta = 1,  ///< number = predecessor + zigzag of stored
  flip = 2,   ///< number = predecessor xor stored
  ramp = 3,   ///< number = predecessor + slope + stored
};

/// Which rows repeat their predecessor and store nothing.
enum class value_repeats : std::uint8_t {
  none = 0,       ///< every row stores
  bitmap = 1,     ///< bit i: row i stores
  positions = 2,  ///< a list of the rows that store
};

/// The parts of a block that passed parse_values. Offsets are from the block's first byte.
struct value_layout {
  value_scheme scheme = value_scheme::raw;
  value_step step = value_step::none;
  value_repeats repeats = value_repeats::none;
  bool wide = false;          ///< numbers are 64-bit sums; else sums of 32 bits beside `base`
  std::uint8_t exponent = 0;  ///< of ten, of decimals
  std::uint8_t shift = 0;     ///< zero bits cut off the low end of patterns
  bool sign_low = false;      ///< a pattern's lowest bit is its sign
  std::uint8_t width = 0;     ///< of the stream
  std::uint32_t rows = 0;
  std::uint32_t changes = 0;  ///< rows after the first that do not repeat
  std::uint32_t stored = 0;   ///< numbers in the stream: of the first row and of the changes
  std::uint64_t base = 0;
  std::uint64_t slope = 0;
  std::uint32_t repeats_at = 0;
  std::uint32_t stream_at = 0, stream_bytes = 0;
  std::uint32_t patches = 0, patches_at = 0, patch_bytes = 0;
  std::uint32_t exceptions = 0, exceptions_at = 0;
  std::uint32_t bytes = 0;
};

template <class V>
concept float_value = std::is_same_v<V, float> || std::is_same_v<V, double>;

/// The integers of the format; any other, char32_t for one, is a value of so many bytes.
template <class V>
concept integer_value = std::is_same_v<V, std::int32_t> || std::is_same_v<V, std::uint32_t> ||
                        std::is_same_v<V, std::int64_t> || std::is_same_v<V, std::uint64_t>;

/// The word in which the numbers of a value type are computed.
template <class V>
using value_word = std::conditional_t<sizeof(V) == 4, std::uint32_t, std::uint64_t>;

/// Bounds of decimals: below `most`, a value's integer is found and unique; what decodes beyond
/// `end` is corrupt, so that every conversion to a double is exact.
template <class V>
inline constexpr std::int64_t most_decimal =
    sizeof(V) == 4 ? std::int64_t{1} << 23 : std::int64_t{1} << 50;
inline constexpr std::int64_t end_decimal = std::int64_t{1} << 51;
/// The largest exponent of ten. See decimal_inverse.hpp.
inline constexpr std::uint32_t most_exponent = 21;

[[nodiscard]] MILLRACE_HD constexpr double power_of_ten(std::uint32_t exponent) noexcept {
  double power = 1;  // exact up to 10^22
  for (std::uint32_t i = 0; i < exponent; ++i) { power *= 10; }
  return power;
}

template <class W>
[[nodiscard]] MILLRACE_HD constexpr W to_zigzag(W number) noexcept {
  return static_cast<W>(number << 1) ^ static_cast<W>(W{0} - (number >> (sizeof(W) * 8 - 1)));
}
template <class W>
[[nodiscard]] MILLRACE_HD constexpr W from_zigzag(W number) noexcept {
  return static_cast<W>(number >> 1) ^ static_cast<W>(W{0} - (number & 1));
}

/// Set bits of four words.
[[nodiscard]] MILLRACE_HD constexpr std::uint32_t count_bits(
    std::uint64_t const (&word)[4]) noexcept {
  std::uint64_t sum = 0;  // of each byte
  for (std::uint64_t each : word) {
    each -= each >> 1 & 0x5555555555555555;
    each = (each & 0x3333333333333333) + (each >> 2 & 0x3333333333333333);
    sum += (each + (each >> 4)) & 0x0f0f0f0f0f0f0f0f;
  }
  // 16 bits each: all four words have up to 256 bits, one too many for a byte
  sum = (sum & 0x00ff00ff00ff00ff) + (sum >> 8 & 0x00ff00ff00ff00ff);
  return static_cast<std::uint32_t>(sum * 0x0001000100010001 >> 48);
}

namespace detail {

/// A number of the header that has `length` bytes, zigzag; false when the block has fewer.
MILLRACE_HD inline bool take_number(std::byte const* in, std::uint32_t bytes, std::uint32_t& at,
                                    std::uint32_t length, std::uint64_t& number) noexcept {
  if (length > bytes - at) { return false; }
  if (bytes - at >= 8 && length < 8) {  // without a loop
    std::memcpy(&number, in + at, 8);
    number &= low_mask64(8 * length);
  } else {
    number = load_bytes(in + at, length);
  }
  number = from_zigzag(number);
  at += length;
  return true;
}

/// Whether `count` positions from `at` on rise, from `least` to below `end`.
[[nodiscard]] MILLRACE_HD inline bool rising(std::byte const* positions, std::uint32_t count,
                                             std::uint32_t least, std::uint32_t end) noexcept {
  for (std::uint32_t i = 0; i < count; ++i) {
    auto const position = static_cast<std::uint32_t>(positions[i]);
    if (position < least) { return false; }
    least = position + 1;
  }
  return least <= end;
}

/// The map of changes of a block with a bitmap; false when it has bits that it may not.
MILLRACE_HD inline bool load_bitmap(std::byte const* from, std::uint32_t rows,
                                    std::uint64_t (&map)[4]) noexcept {
  std::uint32_t const bytes = (rows + 7) / 8;
  for (std::uint64_t& word : map) { word = 0; }
  std::memcpy(map, from, bytes);
  bool beyond = (map[0] & 1) != 0;
  if (rows % 64 != 0) { beyond |= map[rows / 64] >> (rows % 64) != 0; }
  return !beyond;
}

/// The numbers' part of a block: from its form byte at `at` to its patches. False when malformed.
template <class V>
MILLRACE_HD bool parse_numbers(std::byte const* in, std::uint32_t bytes, std::uint32_t& at,
                               value_layout& found) noexcept {
  if (bytes - at < 2) { return false; }
  auto const form = static_cast<std::uint32_t>(in[at]);
  auto const width = static_cast<std::uint32_t>(in[at + 1]);
  at += 2;
  found.step = static_cast<value_step>(form & 3);
  found.repeats = static_cast<value_repeats>(form >> 2 & 3);
  found.wide = (width & 128) != 0;
  found.width = static_cast<std::uint8_t>(width & 127);
  std::uint32_t const length = form >> 5 == 7 ? 8 : form >> 5;
  bool const decimal =
      found.scheme != value_scheme::integer && found.scheme != value_scheme::pattern;
  bool const fits =
      found.wide ? sizeof(V) == 8 && (found.width <= 57 || found.width == 64) : found.width <= 32;
  if (!fits || (form >> 2 & 3) == 3 || length > sizeof(V)) { return false; }
  if (found.step == value_step::flip && (decimal || (sizeof(V) == 8 && !found.wide))) {
    return false;
  }
  if (!take_number(in, bytes, at, length, found.base)) { return false; }
  if (decimal) {
    auto const base = static_cast<std::int64_t>(found.base);
    constexpr std::int64_t end = end_decimal - (std::int64_t{1} << 31);  // sums stay below
    if (!found.wide && (base <= -end || base >= end)) { return false; }
  }
  if (found.step == value_step::ramp) {
    if (at == bytes) { return false; }
    auto const slope_length = static_cast<std::uint32_t>(in[at++]);
    if (slope_length > sizeof(V)) { return false; }
    if (!take_number(in, bytes, at, slope_length, found.slope)) { return false; }
  }
  found.changes = found.rows - 1;
  if (found.repeats == value_repeats::bitmap) {
    std::uint32_t const map_bytes = (found.rows + 7) / 8;
    if (bytes - at < map_bytes) { return false; }
    std::uint64_t map[4];
    if (!load_bitmap(in + at, found.rows, map)) { return false; }
    found.changes = count_bits(map);
    found.repeats_at = at;
    at += map_bytes;
  } else if (found.repeats == value_repeats::positions) {
    if (at == bytes) { return false; }
    found.changes = static_cast<std::uint32_t>(in[at++]);
    if (bytes - at < found.changes || !rising(in + at, found.changes, 1, found.rows)) {
      return false;
    }
    found.repeats_at = at;
    at += found.changes;
  }
  found.stored = found.changes + 1;
  found.stream_at = at;
  found.stream_bytes = packed_bytes(found.stored, found.width);
  if (bytes - at < found.stream_bytes) { return false; }
  at += found.stream_bytes;
  std::uint32_t const spare = found.stored * found.width % 8;
  if (spare != 0 && static_cast<std::uint32_t>(in[at - 1]) >> spare != 0) { return false; }
  if ((form & 16) == 0) { return true; }
  if (bytes - at < 2) { return false; }
  found.patches = static_cast<std::uint32_t>(in[at]);
  found.patch_bytes = static_cast<std::uint32_t>(in[at + 1]);
  at += 2;
  std::uint32_t const most = found.wide ? 8 : 4;
  if (found.patches == 0 || found.patch_bytes == 0 || found.patch_bytes > most ||
      found.width >= 8 * most || bytes - at < found.patches * (1 + found.patch_bytes) ||
      !rising(in + at, found.patches, 0, found.stored)) {
    return false;
  }
  found.patches_at = at;
  at += found.patches * (1 + found.patch_bytes);
  return true;
}

template <class V>
MILLRACE_HD bool parse_block(std::byte const* in, std::uint32_t bytes,
                             value_layout& found) noexcept {
  auto const first = static_cast<std::uint32_t>(in[0]);
  std::uint32_t const parameter = first >> 3;
  std::uint32_t at = 1;
  found.scheme = static_cast<value_scheme>(first & 7);
  bool const decimal =
      found.scheme == value_scheme::decimal || found.scheme == value_scheme::decimal_except;
  if (parameter > (decimal ? most_exponent : 0)) { return false; }
  found.exponent = static_cast<std::uint8_t>(parameter);
  switch (found.scheme) {
    case value_scheme::raw: return bytes - 1 == found.rows * sizeof(V);
    case value_scheme::constant: return bytes - 1 == sizeof(V);
    case value_scheme::integer:
      if constexpr (!integer_value<V>) { return false; }
      return parse_numbers<V>(in, bytes, at, found) && at == bytes;
    case value_scheme::decimal:
    case value_scheme::decimal_except: {
      if constexpr (!float_value<V>) { return false; }
      if (!parse_numbers<V>(in, bytes, at, found)) { return false; }
      if (found.scheme == value_scheme::decimal) { return at == bytes; }
      if (at == bytes) { return false; }
      found.exceptions = static_cast<std::uint32_t>(in[at++]);
      found.exceptions_at = at;
      return bytes - at == found.exceptions * (1 + sizeof(V)) &&
             rising(in + at, found.exceptions, 0, found.rows);
    }
    case value_scheme::pattern: {
      if constexpr (!float_value<V>) { return false; }
      if (bytes < 2) { return false; }
      auto const shift = static_cast<std::uint32_t>(in[at++]);
      found.sign_low = (shift & 128) != 0;
      found.shift = static_cast<std::uint8_t>(shift & 127);
      if (found.shift >= sizeof(V) * 8) { return false; }
      return parse_numbers<V>(in, bytes, at, found) && at == bytes;
    }
    case value_scheme::planes: {
      if constexpr (float_value<V> || integer_value<V>) { return false; }
      std::uint32_t const map_bytes = (sizeof(V) + 7) / 8;
      if (bytes - 1 < map_bytes) { return false; }
      std::uint32_t same = 0;
      for (std::uint32_t b = 0; b < map_bytes * 8; ++b) {
        bool const set = (static_cast<std::uint32_t>(in[1 + b / 8]) >> (b % 8) & 1) != 0;
        if (set && b >= sizeof(V)) { return false; }
        same += set ? 1 : 0;
      }
      std::size_t const rest = std::size_t{same} + (sizeof(V) - same) * found.rows;
      return bytes - 1 - map_bytes == rest;
    }
  }
  return false;
}

/// parse_values without a result, whose copy would wait for what has just been written.
template <class V>
[[nodiscard]] MILLRACE_HD bool read_layout(std::byte const* in, std::size_t bytes, std::uint32_t n,
                                           value_layout& found) noexcept {
  constexpr std::size_t most = 1 + std::size_t{most_values} * (sizeof(V) + 32);
  if (n == 0 || n > most_values || bytes == 0 || bytes > most) { return false; }
  found.rows = n;
  found.bytes = static_cast<std::uint32_t>(bytes);
  return parse_block<V>(in, found.bytes, found);
}

}  // namespace detail

/// Reads what an encoded block says and checks all of it: decoding by the layout reads nothing
/// outside the block.
/// @param in    [bytes]
/// @param n     1 to 256, the rows of the block
/// @error errc::corrupt when the block is not well-formed or has not exactly `bytes` bytes
template <class V>
[[nodiscard]] MILLRACE_HD result<value_layout> parse_values(std::byte const* in, std::size_t bytes,
                                                            std::uint32_t n) noexcept {
  value_layout found;
  if (!detail::read_layout<V>(in, bytes, n, found)) { return core::fail(errc::corrupt); }
  return found;
}

/// Which stored number a row has: one for the first row and for each change up to it.
/// @param row less than layout.rows
[[nodiscard]] MILLRACE_HD inline std::uint32_t stored_of_row(std::byte const* in,
                                                             value_layout const& layout,
                                                             std::uint32_t row) noexcept {
  if (layout.repeats == value_repeats::none) { return row; }
  std::byte const* const from = in + layout.repeats_at;
  if (layout.repeats == value_repeats::positions) {
    std::uint32_t before = 0;
    while (before < layout.changes && static_cast<std::uint32_t>(from[before]) <= row) { ++before; }
    return before;
  }
  std::uint64_t map[4];
  static_cast<void>(detail::load_bitmap(from, layout.rows, map));
  for (std::uint32_t word = 0; word < 4; ++word) {
    if (row / 64 < word) { map[word] = 0; }
    if (row / 64 == word && row % 64 != 63) { map[word] &= low_mask64(row % 64 + 1); }
  }
  return count_bits(map);
}

/// Stored number j of a block: from its stream, with its patch.
/// @param j less than layout.stored
[[nodiscard]] MILLRACE_HD inline std::uint64_t stored_number(std::byte const* in,
                                                             value_layout const& layout,
                                                             std::uint32_t j) noexcept {
  std::uint64_t number = stream_at(in + layout.stream_at, layout.stream_bytes, layout.width, j);
  for (std::uint32_t i = 0; i < layout.patches; ++i) {
    if (static_cast<std::uint32_t>(in[layout.patches_at + i]) != j) { continue; }
    std::byte const* const high = in + layout.patches_at + layout.patches + i * layout.patch_bytes;
    number |= load_bytes(high, layout.patch_bytes) << layout.width;
  }
  return number;
}

/// The number that follows `before`.
template <class W>
[[nodiscard]] MILLRACE_HD W next_number(value_layout const& layout, W before, W stored) noexcept {
  switch (layout.step) {
    case value_step::none: return static_cast<W>(stored);
    case value_step::delta: return static_cast<W>(before + from_zigzag(stored));
    case value_step::flip: return static_cast<W>(before ^ stored);
    case value_step::ramp: return static_cast<W>(before + static_cast<W>(layout.slope) + stored);
  }
  return before;
}

/// The value of a number.
template <class V>
[[nodiscard]] MILLRACE_HD V value_of_number(value_layout const& layout, double power,
                                            std::uint64_t number) noexcept {
  if constexpr (integer_value<V>) {
    return static_cast<V>(number);
  } else {
    if (layout.scheme != value_scheme::pattern) {
      return static_cast<V>(static_cast<double>(static_cast<std::int64_t>(number)) / power);
    }
    using word = value_word<V>;
    auto bits = static_cast<word>(number);
    if (layout.sign_low) {
      bits = static_cast<word>(((bits >> 1) << layout.shift) | (bits << (sizeof(V) * 8 - 1)));
    } else {
      bits = static_cast<word>(bits << layout.shift);
    }
    V value;
    std::memcpy(&value, &bits, sizeof(V));
    return value;
  }
}

}  // namespace millrace::inline v0::delta
