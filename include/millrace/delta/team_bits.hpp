// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/delta/bit_rows.hpp>
#include <millrace/delta/bit_stream.hpp>
#include <millrace/delta/team.hpp>
#include <millrace/delta/value_layout.hpp>

#include <cstdint>
#include <cstring>

/// \file
/// What the 32 members of a warp use while they decode a block: room that they share, bits out of
/// the block's words, a vote and a prefix sum.

namespace millrace::inline v0::delta {

namespace detail {

/// What a warp shares while it decodes a block.
template <team Team>
struct decode_space {
  static_assert(Team::size == 32);
  std::uint64_t numbers[block_rows + 32];  ///< by place(): keys, then numbers of a column
  std::uint32_t words[32];
  std::uint32_t good;
  alignas(value_layout) unsigned char layout[sizeof(value_layout)];
};

/// Where number i is, so that neither eight neighbours a member nor one in turn meet in a bank.
[[nodiscard]] MILLRACE_HD constexpr std::uint32_t place(std::uint32_t i) noexcept {
  return i + i / 8;
}

/// `width` bits, at most 64, from bit `first` on; touches the words that hold them only.
[[nodiscard]] MILLRACE_HD inline std::uint64_t bits_at(std::uint32_t const* words,
                                                       std::uint32_t first,
                                                       std::uint32_t width) noexcept {
  if (width == 0) { return 0; }
  std::uint32_t const word = first / 32, shift = first % 32;
  std::uint64_t bits = words[word];
  if (shift + width > 32) { bits |= std::uint64_t{words[word + 1]} << 32; }
  bits >>= shift;
  if (shift + width > 64) { bits |= std::uint64_t{words[word + 2]} << (64 - shift); }
  return bits & low_mask64(width);
}
[[nodiscard]] MILLRACE_HD inline std::byte byte_at(std::uint32_t const* words,
                                                   std::uint32_t i) noexcept {
  return static_cast<std::byte>(words[i / 4] >> (8 * (i % 4)));
}
/// The value whose bytes begin at byte `i`.
template <class V>
[[nodiscard]] MILLRACE_HD V value_at(std::uint32_t const* words, std::uint32_t i) noexcept {
  V value;
  if constexpr (sizeof(V) == 4 || sizeof(V) == 8) {
    auto const bits = static_cast<value_word<V>>(bits_at(words, 8 * i, 8 * sizeof(V)));
    std::memcpy(static_cast<void*>(&value), &bits, sizeof(V));
  } else {
    unsigned char bytes[sizeof(V)];
    for (std::uint32_t b = 0; b < sizeof(V); ++b) {
      bytes[b] = static_cast<unsigned char>(byte_at(words, i + b));
    }
    std::memcpy(static_cast<void*>(&value), bytes, sizeof(V));
  }
  return value;
}

/// Whether all members say yes.
template <team Team, class Yes>
[[nodiscard]] MILLRACE_HD bool all_good(Yes const& yes, decode_space<Team>& shared) noexcept {
  Team::each([&](std::uint32_t rank) { shared.words[rank] = yes[rank]; });
  Team::sync();
  Team::each([&](std::uint32_t rank) {
    if (rank != 0) { return; }
    std::uint32_t all = 1;
    for (std::uint32_t i = 0; i < 32; ++i) { all &= shared.words[i]; }
    shared.good = all;
  });
  Team::sync();
  return shared.good != 0;
}

/// Replaces each member's value by what `op` makes of those of lower rank; 0 is neutral.
template <team Team, class T, class Op>
MILLRACE_HD void exclusive_scan(typename Team::template local<T>& values, Op const& op) noexcept {
  auto sums = values;
  for (std::uint32_t distance = 1; distance < 32; distance *= 2) {
    auto const below = Team::from_below(sums, distance);
    Team::each([&](std::uint32_t rank) { sums[rank] = op(sums[rank], below[rank]); });
  }
  values = Team::from_below(sums, 1);
}

}  // namespace detail

}  // namespace millrace::inline v0::delta
