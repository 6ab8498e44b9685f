// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/delta/decimal.hpp>
#include <millrace/delta/value_layout.hpp>
#include <millrace/delta/value_plan.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

/// \file
/// The encoders of a block of values, by kind of value; value_codec.hpp has the entry points.

namespace millrace::inline v0::delta::detail {

/// The integers of a block of decimals under one exponent; rows that are none are exceptions and
/// repeat their predecessor's integer.
template <class V>
struct decimal_block {
  number_block<value_word<V>> numbers;
  std::uint32_t exceptions = 0;
  std::uint8_t exception[most_values];

  /// Bytes of the block, or all ones when too many rows are exceptions.
  /// @param integers whether a row is a decimal, and its integer: found for each exponent anew
  template <class Integers>
  std::uint32_t plan(V const* in, std::uint32_t n, std::uint32_t exponent,
                     Integers integers) noexcept {
    std::int64_t found[most_values];
    std::uint64_t fits[4] = {};
    integers(in, n, power_of_ten(exponent), found, fits);
    exceptions = 0;
    std::uint32_t first = 0;
    while (first < n && (fits[first / 64] >> (first % 64) & 1) == 0) { ++first; }
    if (first == n) { return ~std::uint32_t{0}; }
    std::int64_t last = found[first];
    for (std::uint32_t i = 0; i < n; ++i) {
      if ((fits[i / 64] >> (i % 64) & 1) != 0) {
        last = found[i];
      } else {
        exception[exceptions++] = static_cast<std::uint8_t>(i);
      }
      numbers.number[i] = static_cast<value_word<V>>(last);
    }
    if (exceptions > n / 4 + 1) { return ~std::uint32_t{0}; }
    std::uint32_t const list =
        exceptions == 0 ? 0 : 1 + exceptions * (1 + static_cast<std::uint32_t>(sizeof(V)));
    return 1 + numbers.plan(n, true, false) + list;
  }

  void write(V const* in, std::uint32_t exponent, std::uint32_t bytes, std::byte* out) noexcept {
    auto const scheme = exceptions == 0 ? value_scheme::decimal : value_scheme::decimal_except;
    out[0] = static_cast<std::byte>(static_cast<std::uint32_t>(scheme) | exponent << 3);
    numbers.write(out + 1);
    if (exceptions == 0) { return; }
    std::byte* at = out + bytes - exceptions * (1 + sizeof(V));
    at[-1] = static_cast<std::byte>(exceptions);
    std::memcpy(at, exception, exceptions);
    at += exceptions;
    for (std::uint32_t i = 0; i < exceptions; ++i, at += sizeof(V)) {
      std::memcpy(at, in + exception[i], sizeof(V));
    }
  }
};

/// Finds the integers of decimals row by row.
struct integers_by_row {
  template <class V>
  void operator()(V const* in, std::uint32_t n, double power, std::int64_t* found,
                  std::uint64_t (&fits)[4]) const noexcept {
    for (std::uint32_t i = 0; i < n; ++i) {
      bool const fit = decimal_integer(in[i], power, found[i]);
      fits[i / 64] |= std::uint64_t{fit} << (i % 64);
    }
  }
};

/// The bits of floats as numbers: without the zero bits at their low end, and with the sign lowest
/// where signs differ. Fills `numbers`; returns the byte that says so.
template <class V, class W>
[[nodiscard]] std::uint32_t take_patterns(V const* in, std::uint32_t n,
                                          number_block<W>& numbers) noexcept {
  constexpr std::uint32_t sign_at = sizeof(W) * 8 - 1;
  W any = 0, all = ~W{0};
  for (std::uint32_t i = 0; i < n; ++i) {
    numbers.number[i] = std::bit_cast<W>(in[i]);
    any |= numbers.number[i];
    all &= numbers.number[i];
  }
  bool const both = ((any ^ all) >> sign_at) != 0;
  W const magnitude = both ? static_cast<W>(any & ~(W{1} << sign_at)) : any;
  auto const shift = magnitude == 0 ? 0u : static_cast<std::uint32_t>(std::countr_zero(magnitude));
  for (std::uint32_t i = 0; i < n; ++i) {
    W const bits = numbers.number[i];
    auto const rest = static_cast<W>(bits & ~(W{1} << sign_at));
    numbers.number[i] = both ? static_cast<W>((rest >> shift) << 1 | bits >> sign_at)
                             : static_cast<W>(bits >> shift);
  }
  return shift | (both ? 128u : 0u);
}

inline std::uint32_t write_raw(void const* in, std::uint32_t bytes, std::byte* out) noexcept {
  out[0] = std::byte{static_cast<std::uint8_t>(value_scheme::raw)};
  std::memcpy(out + 1, in, bytes);
  return bytes + 1;
}

template <class V, class Integers>
[[nodiscard]] std::uint32_t encode_floats(V const* in, std::uint32_t n, std::byte* out,
                                          Integers integers) noexcept {
  std::uint32_t const raw = 1 + n * static_cast<std::uint32_t>(sizeof(V));
  exponent_choice const choice = choose_exponents(in, n);
  if (choice.any) {
    decimal_block<V> block;
    std::uint32_t exponent = choice.most;
    std::uint32_t bytes = block.plan(in, n, exponent, integers);
    // rows outside the sample may have more digits
    if (block.exceptions != 0) {
      std::uint32_t more = exponent;
      std::uint32_t const looked_at = std::min(block.exceptions, 8u);
      for (std::uint32_t i = 0; i < looked_at; ++i) {
        std::uint32_t const needed = decimal_exponent(in[block.exception[i]], exponent + 1);
        if (needed <= most_exponent) { more = std::max(more, needed); }
      }
      if (more != exponent) {
        std::uint32_t const then = block.plan(in, n, more, integers);
        exponent = then < bytes ? more : exponent;
        bytes = then < bytes ? then : block.plan(in, n, exponent, integers);
      }
    }
    if (choice.usual != choice.most) {
      std::uint32_t const then = block.plan(in, n, choice.usual, integers);
      exponent = then < bytes ? choice.usual : exponent;
      bytes = then < bytes ? then : block.plan(in, n, exponent, integers);
    }
    if (bytes < raw - raw / 8) {
      block.write(in, exponent, bytes, out);
      return bytes;
    }
  }
  number_block<value_word<V>> numbers;
  std::uint32_t const shift = take_patterns(in, n, numbers);
  std::uint32_t const bytes = 2 + numbers.plan(n, false, true);
  if (bytes >= raw) { return write_raw(in, raw - 1, out); }
  out[0] = std::byte{static_cast<std::uint8_t>(value_scheme::pattern)};
  out[1] = static_cast<std::byte>(shift);
  numbers.write(out + 2);
  return bytes;
}

template <class V>
[[nodiscard]] std::uint32_t encode_integers(V const* in, std::uint32_t n, std::byte* out) noexcept {
  std::uint32_t const raw = 1 + n * static_cast<std::uint32_t>(sizeof(V));
  number_block<value_word<V>> numbers;
  for (std::uint32_t i = 0; i < n; ++i) { numbers.number[i] = static_cast<value_word<V>>(in[i]); }
  std::uint32_t const bytes = 1 + numbers.plan(n, std::is_signed_v<V>, false);
  if (bytes >= raw) { return write_raw(in, raw - 1, out); }
  out[0] = std::byte{static_cast<std::uint8_t>(value_scheme::integer)};
  numbers.write(out + 1);
  return bytes;
}

/// Structs: a plane is a byte of all rows.
template <class V>
[[nodiscard]] std::uint32_t encode_planes(V const* in, std::uint32_t n, std::byte* out) noexcept {
  constexpr std::size_t size = sizeof(V), map_bytes = (size + 7) / 8;
  auto const* const bytes = reinterpret_cast<std::byte const*>(in);
  std::byte map[map_bytes] = {};
  std::size_t same = 0;
  for (std::size_t b = 0; b < size; ++b) {
    bool constant = true;
    for (std::uint32_t i = 1; i < n && constant; ++i) {
      constant = bytes[i * size + b] == bytes[b];
    }
    if (!constant) { continue; }
    map[b / 8] |= std::byte{1} << (b % 8);
    ++same;
  }
  std::size_t const raw = 1 + n * size;
  if (same == size && n > 1) {
    out[0] = std::byte{static_cast<std::uint8_t>(value_scheme::constant)};
    std::memcpy(out + 1, in, size);
    return static_cast<std::uint32_t>(1 + size);
  }
  std::size_t const whole = 1 + map_bytes + same + (size - same) * n;
  if (whole >= raw) { return write_raw(in, static_cast<std::uint32_t>(raw - 1), out); }
  out[0] = std::byte{static_cast<std::uint8_t>(value_scheme::planes)};
  std::memcpy(out + 1, map, map_bytes);
  std::byte* constants = out + 1 + map_bytes;
  std::byte* plane = constants + same;
  for (std::size_t b = 0; b < size; ++b) {
    if ((map[b / 8] >> (b % 8) & std::byte{1}) != std::byte{0}) {
      *constants++ = bytes[b];
      continue;
    }
    for (std::uint32_t i = 0; i < n; ++i) { *plane++ = bytes[i * size + b]; }
  }
  return static_cast<std::uint32_t>(whole);
}

}  // namespace millrace::inline v0::delta::detail
