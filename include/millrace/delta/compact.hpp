// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/delta/team.hpp>

#include <cstdint>

namespace millrace::inline v0::delta {

namespace detail {

/// What a team shares while it lists the rows of a tile that have a mark.
template <team Team, std::uint32_t RowsPerThread>
struct compact_space {
  static constexpr std::uint32_t rows_per_thread = RowsPerThread;
  /// Rows of a tile.
  static constexpr std::uint32_t rows = Team::size * RowsPerThread;
  static_assert(rows < 0xFFFF, "compact_space: rows are numbered in 16 bits");

  std::uint8_t marks[rows];
  std::uint16_t list[rows];
  std::uint32_t sums[sum_words<Team>];
};

/// Marks rows of a tile, of which there are `count`, by `marked(row)`; neighbours ask for
/// neighbours. The marks are there after the next barrier.
template <team Team, std::uint32_t Rows, class Marked>
MILLRACE_HD void mark_rows(std::uint32_t count, compact_space<Team, Rows>& shared,
                           Marked const& marked) noexcept {
  Team::each([&](std::uint32_t rank) {
    bool is[Rows] = {};
    unrolled<Rows>([&](std::uint32_t i) {
      std::uint32_t const row = i * Team::size + rank;
      if (row < count) { is[i] = marked(row); }
    });
    unrolled<Rows>([&](std::uint32_t i) { shared.marks[i * Team::size + rank] = is[i] ? 1 : 0; });
  });
}

/// Lists the marked rows in their order.
/// @return how many, the same in every member; the list is there after the next barrier
template <team Team, std::uint32_t Rows>
[[nodiscard]] MILLRACE_HD std::uint32_t list_rows(compact_space<Team, Rows>& shared) noexcept {
  typename Team::template local<std::uint32_t> places;
  Team::each([&](std::uint32_t rank) {
    std::uint32_t marked = 0;
    unrolled<Rows>([&](std::uint32_t i) { marked += shared.marks[rank * Rows + i]; });
    places[rank] = marked;
  });
  std::uint32_t const count = exclusive_sum<Team>(places, shared.sums);
  Team::each([&](std::uint32_t rank) {
    std::uint32_t at = places[rank];
    unrolled<Rows>([&](std::uint32_t i) {
      std::uint32_t const row = rank * Rows + i;
      if (shared.marks[row] != 0) { shared.list[at++] = static_cast<std::uint16_t>(row); }
    });
  });
  return count;
}

}  // namespace detail

}  // namespace millrace::inline v0::delta
