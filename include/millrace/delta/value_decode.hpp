// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/delta/value_layout.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>

/// \file
/// Decoding of a checked block of values one after the other: the reference that every other path
/// equals bit for bit, on host and device.

namespace millrace::inline v0::delta {

namespace detail {

/// Rows that store, asked in order of the rows.
class changes_of {
 public:
  MILLRACE_HD changes_of(std::byte const* in, value_layout const& layout) noexcept
      : kind_(layout.repeats), left_(layout.changes), from_(in + layout.repeats_at) {}

  /// Whether this row differs from its predecessor. Each row from 1 on once, in order.
  [[nodiscard]] MILLRACE_HD bool at(std::uint32_t row) noexcept {
    if (kind_ == value_repeats::none) { return true; }
    if (kind_ == value_repeats::bitmap) {
      return (static_cast<std::uint32_t>(from_[row / 8]) >> (row % 8) & 1) != 0;
    }
    if (left_ == 0 || static_cast<std::uint32_t>(*from_) != row) { return false; }
    --left_;
    ++from_;
    return true;
  }

 private:
  value_repeats kind_;
  std::uint32_t left_;
  std::byte const* from_;
};

/// The numbers of a block in order, with the patches merged in.
class stored_in_order {
 public:
  MILLRACE_HD stored_in_order(std::byte const* in, value_layout const& layout) noexcept
      : stream_(in + layout.stream_at),
        bytes_(layout.stream_bytes),
        width_(layout.width),
        patches_(layout.patches),
        patch_bytes_(layout.patch_bytes),
        positions_(in + layout.patches_at) {}

  [[nodiscard]] MILLRACE_HD std::uint64_t next() noexcept {
    std::uint64_t number = stream_at(stream_, bytes_, width_, at_);
    if (patch_ < patches_ && static_cast<std::uint32_t>(positions_[patch_]) == at_) {
      number |= load_bytes(positions_ + patches_ + patch_ * patch_bytes_, patch_bytes_) << width_;
      ++patch_;
    }
    ++at_;
    return number;
  }

 private:
  std::byte const* stream_;
  std::uint32_t bytes_, width_, patches_, patch_bytes_;
  std::byte const* positions_;
  std::uint32_t at_ = 0, patch_ = 0;
};

/// A block of numbers. False when one of them is no decimal's.
template <class V>
[[nodiscard]] MILLRACE_HD bool decode_numbers(std::byte const* in, value_layout const& layout,
                                              V* out) noexcept {
  using word = value_word<V>;
  double const power = power_of_ten(layout.exponent);
  bool const decimal =
      layout.scheme != value_scheme::integer && layout.scheme != value_scheme::pattern;
  bool const narrow = sizeof(V) == 8 && !layout.wide;
  changes_of changes(in, layout);
  stored_in_order stored(in, layout);
  // the frame, or what comes before the first row's number
  word const frame = narrow ? word{0} : static_cast<word>(layout.base);
  word sum = frame;
  bool whole = true;
  for (std::uint32_t row = 0; row < layout.rows; ++row) {
    if (row != 0 && !changes.at(row)) {
      out[row] = out[row - 1];
      continue;
    }
    auto const stored_here = stored.next();
    if (layout.step == value_step::none) {
      sum = static_cast<word>(frame + static_cast<word>(stored_here));
    } else if (narrow) {
      sum = next_number(layout, static_cast<std::uint32_t>(sum),
                        static_cast<std::uint32_t>(stored_here));
    } else {
      sum = next_number(layout, sum, static_cast<word>(stored_here));
    }
    std::uint64_t number = sum;
    if (narrow || sizeof(V) == 4) {
      number = static_cast<std::uint64_t>(
          std::int64_t{static_cast<std::int32_t>(static_cast<std::uint32_t>(sum))});
    }
    if (narrow) { number += layout.base; }
    if (decimal) {
      auto const signed_number = static_cast<std::int64_t>(number);
      whole &= signed_number >= -end_decimal && signed_number < end_decimal;
    }
    out[row] = value_of_number<V>(layout, power, number);
  }
  std::byte const* const positions = in + layout.exceptions_at;
  for (std::uint32_t i = 0; i < layout.exceptions; ++i) {
    std::memcpy(out + static_cast<std::uint32_t>(positions[i]),
                positions + layout.exceptions + i * sizeof(V), sizeof(V));
  }
  return whole;
}

template <class V>
MILLRACE_HD void decode_planes(std::byte const* in, value_layout const& layout, V* out) noexcept {
  std::byte const* const map = in + 1;
  std::byte const* same = map + (sizeof(V) + 7) / 8;
  std::byte const* plane = same;
  for (std::uint32_t b = 0; b < sizeof(V); ++b) {
    plane += static_cast<std::uint32_t>(map[b / 8]) >> (b % 8) & 1;
  }
  auto* const bytes = reinterpret_cast<std::byte*>(out);
  for (std::uint32_t b = 0; b < sizeof(V); ++b) {
    bool const constant = (static_cast<std::uint32_t>(map[b / 8]) >> (b % 8) & 1) != 0;
    for (std::uint32_t row = 0; row < layout.rows; ++row) {
      bytes[row * sizeof(V) + b] = constant ? *same : plane[row];
    }
    constant ? ++same : plane += layout.rows;
  }
}

}  // namespace detail

/// Decodes a block whose layout parse_values gave, value by value. On a device one thread does it.
/// @param in     [layout.bytes]
/// @param out    [layout.rows]
/// @return whether the numbers were ones that an encoder writes; if not, `out` has been written
/// @cost O(rows), no allocation   @thread any
template <class V>
[[nodiscard]] MILLRACE_HD bool decode_value_block(std::byte const* in, value_layout const& layout,
                                                  V* out) noexcept {
  switch (layout.scheme) {
    case value_scheme::raw: std::memcpy(out, in + 1, layout.rows * sizeof(V)); return true;
    case value_scheme::constant:
      for (std::uint32_t row = 0; row < layout.rows; ++row) {
        std::memcpy(out + row, in + 1, sizeof(V));
      }
      return true;
    case value_scheme::planes: detail::decode_planes(in, layout, out); return true;
    default: break;
  }
  if constexpr (float_value<V> || integer_value<V>) {
    return detail::decode_numbers(in, layout, out);
  } else {
    return false;
  }
}

}  // namespace millrace::inline v0::delta
