// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/core/isa.hpp>
#include <millrace/delta/simd/value_lanes_avx2.hpp>
#include <millrace/delta/simd/value_lanes_avx512.hpp>
#include <millrace/delta/value_decode.hpp>
#include <millrace/delta/value_encode.hpp>
#include <millrace/delta/value_layout.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

/// \file
/// Blocks of at most 256 values as bytes, exact bit for bit: decimals as integers, integers as
/// steps or a frame of reference, rows that repeat their predecessor by a map, constants once.
/// docs/design/delta-format-values.md is the specification.

namespace millrace::inline v0::delta {

namespace detail {

/// Decodes a checked block by the widest of the instruction sets up to `which`.
template <class V>
[[nodiscard]] bool decode_with(std::byte const* in, value_layout const& layout, V* out,
                               core::isa which) noexcept {
#if defined(__x86_64__)
  if constexpr (float_value<V> || integer_value<V>) {
    bool const numbers = layout.scheme != value_scheme::raw &&
                         layout.scheme != value_scheme::constant && layout.rows >= 16;
    core::isa const has = core::usable_isa(which);
    if (numbers && has == core::isa::avx512) {
      return detail::avx512::values::decode_numbers(in, layout, out);
    }
    if (numbers && has == core::isa::avx2) {
      return detail::avx2::values::decode_numbers(in, layout, out);
    }
  }
#endif
  static_cast<void>(which);
  return decode_value_block(in, layout, out);
}

}  // namespace detail

/// Bytes that `n` values never exceed when encoded.
template <class V>
[[nodiscard]] MILLRACE_HD constexpr std::size_t max_value_bytes(std::uint32_t n) noexcept {
  return 1 + std::size_t{n} * sizeof(V);
}

/// Encodes values in the smallest scheme. The bytes do not depend on the instruction set.
/// @tparam V float, double, a fixed-width integer of 4 or 8 bytes, or anything trivially copyable
/// @param in  [n] values, any bits
/// @param n   1 to 256
/// @param out [max_value_bytes<V>(n)], not overlapping `in`
/// @return bytes written; 0 when n is not from 1 to 256
/// @cost O(n), several passes, 8 KiB of stack   @thread any
template <class V>
[[nodiscard]] std::size_t encode_values(V const* in, std::uint32_t n, std::byte* out,
                                        core::isa = core::best_isa()) noexcept {
  static_assert(std::is_trivially_copyable_v<V>, "values are written as their bytes");
  if (n == 0 || n > most_values) { return 0; }
  if constexpr (float_value<V>) {
    return detail::encode_floats(in, n, out, detail::integers_by_row{});
  } else if constexpr (integer_value<V>) {
    return detail::encode_integers(in, n, out);
  } else {
    return detail::encode_planes(in, n, out);
  }
}

/// Decodes what encode_values wrote, and nothing else: whatever the bytes are, it reads no byte
/// outside them and writes nothing but the n values.
/// @param in    [bytes]
/// @param bytes exactly those of one block
/// @param out   [n], not overlapping `in`
/// @param n     1 to 256, the rows that were encoded
/// @error errc::corrupt when the block is not well-formed; `out` may have been written
/// @cost O(n), one pass or two, 6 KiB of stack   @thread any
template <class V>
[[nodiscard]] result<void> decode_values(std::byte const* in, std::size_t bytes, V* out,
                                         std::uint32_t n,
                                         core::isa which = core::best_isa()) noexcept {
  static_assert(std::is_trivially_copyable_v<V>, "values are written as their bytes");
  value_layout layout;
  if (!detail::read_layout<V>(in, bytes, n, layout) ||
      !detail::decode_with(in, layout, out, which)) {
    return core::fail(errc::corrupt);
  }
  return {};
}

}  // namespace millrace::inline v0::delta
