// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/delta/bit_stream.hpp>
#include <millrace/delta/team.hpp>
#include <millrace/delta/team_bits.hpp>
#include <millrace/delta/value_layout.hpp>

#include <cuda/std/bit>

#include <cstddef>
#include <cstdint>

/// \file
/// One column of a block, decoded by the 32 members of a warp: the same values, and the same
/// columns refused, as by decode_values.

namespace millrace::inline v0::delta {

namespace detail {

/// Which stored number each row has: how many of the rows 1 to `row` store.
class stored_before {
 public:
  /// @param words the block; the column begins at byte `at`
  MILLRACE_HD stored_before(std::uint32_t const* words, std::uint32_t at,
                            value_layout const& layout) noexcept
      : words_{words}, layout_{layout}, at_{at + layout.repeats_at} {}

  /// Of the rows row - row % 32 + 32, so that each is asked for once, upwards.
  [[nodiscard]] MILLRACE_HD std::uint32_t of(std::uint32_t row) noexcept {
    if (layout_.repeats == value_repeats::none) { return row; }
    if (layout_.repeats == value_repeats::bitmap) {
      std::uint32_t const begin = row / 32 * 32, left = (layout_.rows - begin + 7) / 8 * 8;
      auto const map =
          static_cast<std::uint32_t>(bits_at(words_, 8 * at_ + begin, left < 32 ? left : 32));
      std::uint32_t const up_to = map & (~std::uint32_t{0} >> (31 - row % 32));
      std::uint32_t const count = passed_ + popcount(up_to);
      passed_ += popcount(map);
      return count;
    }
    std::uint32_t first = 0, count = layout_.changes;
    while (count != 0) {
      std::uint32_t const half = count / 2;
      bool const behind = static_cast<std::uint32_t>(byte_at(words_, at_ + first + half)) <= row;
      first += behind ? half + 1 : 0;
      count = behind ? count - half - 1 : half;
    }
    return first;
  }

 private:
  [[nodiscard]] static MILLRACE_HD std::uint32_t popcount(std::uint32_t bits) noexcept {
    return static_cast<std::uint32_t>(cuda::std::popcount(bits));
  }

  std::uint32_t const* words_;
  value_layout const& layout_;
  std::uint32_t at_;
  std::uint32_t passed_ = 0;
};

/// The numbers of a column as they are stored, with their patches, into shared.numbers.
template <team Team>
MILLRACE_HD void fetch_numbers(std::uint32_t const* words, std::uint32_t at,
                               value_layout const& layout, decode_space<Team>& shared) noexcept {
  Team::each([&](std::uint32_t rank) {
    for (std::uint32_t i = rank; i < layout.stored; i += 32) {
      shared.numbers[place(i)] =
          bits_at(words, 8 * (at + layout.stream_at) + i * layout.width, layout.width);
    }
  });
  Team::sync();
  if (layout.patches == 0) { return; }
  Team::each([&](std::uint32_t rank) {
    std::uint32_t const positions = at + layout.patches_at, bytes = layout.patch_bytes;
    for (std::uint32_t i = rank; i < layout.patches; i += 32) {
      auto const to = static_cast<std::uint32_t>(byte_at(words, positions + i));
      std::uint64_t const high =
          bits_at(words, 8 * (positions + layout.patches + i * bytes), 8 * bytes);
      shared.numbers[place(to)] |= high << layout.width;
    }
  });
  Team::sync();
}

/// Replaces each stored number by the sum, or difference, of those up to it.
template <team Team>
MILLRACE_HD void sum_numbers(value_layout const& layout, bool narrow,
                             decode_space<Team>& shared) noexcept {
  bool const flip = layout.step == value_step::flip;
  auto const op = [flip](std::uint64_t a, std::uint64_t b) { return flip ? a ^ b : a + b; };
  auto const term = [&](std::uint32_t i) {
    std::uint64_t const stored = i < layout.stored ? shared.numbers[place(i)] : 0;
    if (layout.step != value_step::delta) { return stored; }
    // of 32 bits, the upper half is cut off in the end
    return narrow ? std::uint64_t{from_zigzag(static_cast<std::uint32_t>(stored))}
                  : from_zigzag(stored);
  };
  typename Team::template local<std::uint64_t> sums;
  Team::each([&](std::uint32_t rank) {
    std::uint64_t sum = 0;
    unrolled<8>([&](std::uint32_t i) { sum = op(sum, term(8 * rank + i)); });
    sums[rank] = sum;
  });
  exclusive_scan<Team, std::uint64_t>(sums, op);
  Team::each([&](std::uint32_t rank) {
    std::uint64_t sum = sums[rank];
    unrolled<8>([&](std::uint32_t i) {
      sum = op(sum, term(8 * rank + i));
      shared.numbers[place(8 * rank + i)] = sum;
    });
  });
  Team::sync();
}

/// A column of numbers. @return whether they are ones that an encoder writes
template <team Team, class V>
[[nodiscard]] MILLRACE_HD bool decode_numbers_of(std::uint32_t const* words, std::uint32_t at,
                                                 value_layout const& layout, V* out,
                                                 decode_space<Team>& shared) noexcept {
  bool const narrow = sizeof(V) == 4 || !layout.wide;
  bool const decimal =
      layout.scheme != value_scheme::integer && layout.scheme != value_scheme::pattern;
  bool const sums = layout.step != value_step::none;
  fetch_numbers<Team>(words, at, layout, shared);
  if (sums) { sum_numbers<Team>(layout, narrow, shared); }
  // of narrow numbers of 8 bytes the base is no part of the sum
  std::uint64_t const start = sizeof(V) == 8 && narrow ? 0 : layout.base;
  typename Team::template local<std::uint32_t> good;
  Team::each([&](std::uint32_t rank) {
    double const power = power_of_ten(layout.exponent);
    stored_before index(words, at, layout);
    bool whole = true;
    for (std::uint32_t row = rank; row < layout.rows; row += 32) {
      std::uint32_t const before = index.of(row);
      std::uint64_t const stored = shared.numbers[place(before)];
      std::uint64_t number = 0;
      switch (layout.step) {
        case value_step::flip: number = start ^ stored; break;
        case value_step::ramp: number = start + (before + 1) * layout.slope + stored; break;
        default: number = start + stored; break;
      }
      if (narrow) {
        number = static_cast<std::uint64_t>(
            std::int64_t{static_cast<std::int32_t>(static_cast<std::uint32_t>(number))});
      }
      if (sizeof(V) == 8 && narrow) { number += layout.base; }
      if (decimal) {
        auto const signed_number = static_cast<std::int64_t>(number);
        whole = whole && signed_number >= -end_decimal && signed_number < end_decimal;
      }
      out[row] = value_of_number<V>(layout, power, number);
    }
    good[rank] = whole ? 1 : 0;
  });
  bool const all = all_good<Team>(good, shared);
  Team::each([&](std::uint32_t rank) {
    std::uint32_t const positions = at + layout.exceptions_at;
    for (std::uint32_t i = rank; i < layout.exceptions; i += 32) {
      out[static_cast<std::uint32_t>(byte_at(words, positions + i))] = value_at<V>(
          words, positions + layout.exceptions + i * static_cast<std::uint32_t>(sizeof(V)));
    }
  });
  return all;
}

/// A column whose bytes stand in planes, each for all rows.
template <team Team, class V>
MILLRACE_HD void decode_planes_of(std::uint32_t const* words, std::uint32_t at,
                                  value_layout const& layout, V* out) noexcept {
  constexpr std::uint32_t size = sizeof(V);
  Team::each([&](std::uint32_t rank) {
    auto const constant = [&](std::uint32_t b) {
      return (static_cast<std::uint32_t>(byte_at(words, at + 1 + b / 8)) >> (b % 8) & 1) != 0;
    };
    std::uint32_t same = at + 1 + (size + 7) / 8, plane = same;
    for (std::uint32_t b = 0; b < size; ++b) { plane += constant(b) ? 1 : 0; }
    auto* const bytes = reinterpret_cast<std::byte*>(out);
    for (std::uint32_t b = 0; b < size; ++b) {
      bool const alike = constant(b);
      for (std::uint32_t row = rank; row < layout.rows; row += 32) {
        bytes[row * size + b] = byte_at(words, alike ? same : plane + row);
      }
      alike ? ++same : plane += layout.rows;
    }
  });
}

/// A column of a block, which has `bytes` bytes from byte `at` on.
/// @return whether it is as it should be; if not, `out` may have been written
template <team Team, class V>
[[nodiscard]] MILLRACE_HD bool decode_column(std::uint32_t const* words, std::uint32_t at,
                                             std::uint32_t bytes, std::uint32_t rows, V* out,
                                             decode_space<Team>& shared) noexcept {
  auto* const kept = reinterpret_cast<value_layout*>(shared.layout);
  Team::each([&](std::uint32_t rank) {
    if (rank != 0) { return; }
    auto const found = parse_values<V>(reinterpret_cast<std::byte const*>(words) + at, bytes, rows);
    shared.good = found.has_value() ? 1 : 0;
    if (found) { *kept = *found; }
  });
  Team::sync();
  if (shared.good == 0) { return false; }
  value_layout const& layout = *kept;
  switch (layout.scheme) {
    case value_scheme::raw:
    case value_scheme::constant:
      Team::each([&](std::uint32_t rank) {
        std::uint32_t const step = layout.scheme == value_scheme::raw ? sizeof(V) : 0;
        for (std::uint32_t row = rank; row < rows; row += 32) {
          out[row] = value_at<V>(words, at + 1 + row * step);
        }
      });
      return true;
    case value_scheme::planes: decode_planes_of<Team>(words, at, layout, out); return true;
    default: break;
  }
  if constexpr (float_value<V> || integer_value<V>) {
    return decode_numbers_of<Team>(words, at, layout, out, shared);
  } else {
    return false;
  }
}

}  // namespace detail

}  // namespace millrace::inline v0::delta
