// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/access.hpp>
#include <millrace/core/config.hpp>
#include <millrace/core/platform.hpp>
#include <millrace/delta/team.hpp>

#include <cstddef>
#include <cstdint>

namespace millrace::inline v0::delta {

namespace detail {

/// What is known of the rows that a tile writes, in one word: nothing (0), how many they are, or
/// how many all tiles up to it write. One word, so that relaxed accesses tell all of it.
struct tile_rows {
  static constexpr std::uint64_t own = 1, all = 2;
  [[nodiscard]] static MILLRACE_HD constexpr std::uint64_t word(std::uint64_t rows,
                                                                std::uint64_t kind) noexcept {
    return rows << 2 | kind;
  }
};

/// Words of shared memory for rows_before.
template <class Team>
struct look_back_space {
  static constexpr std::uint32_t window = Team::size < 32 ? Team::size : 32;
  std::uint64_t seen[window];
  std::uint64_t before;
  std::uint32_t done;
};

/// The next tile that no team has, for this one. Not the team's own number: a tile waits for those
/// before it, so they must have begun.
/// @param shared the team's own
template <core::access_policy A, class Team>
[[nodiscard]] MILLRACE_HD std::size_t next_tile(std::uint64_t& next,
                                                std::uint64_t& shared) noexcept {
  Team::each([&](std::uint32_t rank) {
    if (rank == 0) {
      shared = A::fetch_add(next, std::uint64_t{1}, core::relaxed, "look_back.next");
    }
  });
  Team::sync();
  return shared;
}

/// Tells the tiles behind `tile` how many rows it writes itself; then comes a barrier, and
/// rows_before.
/// @param states [tiles] zero before the first tile
/// @param own    rows of this tile, below 2^62
template <core::access_policy A, class Team>
MILLRACE_HD void tell_rows(std::uint64_t* states, std::size_t tile, std::uint64_t own,
                           look_back_space<Team>& shared) noexcept {
  Team::each([&](std::uint32_t rank) {
    if (rank != 0) { return; }
    auto const kind = tile == 0 ? tile_rows::all : tile_rows::own;
    A::store(states[tile], tile_rows::word(own, kind), core::relaxed, "look_back.own");
    shared.before = 0;
    shared.done = tile == 0 ? 1 : 0;
  });
}

/// How many rows the tiles before `tile` write. Waits for them; see next_tile. Integers: the sum
/// does not depend on who came first.
/// @return the same in every member; `shared` is free again after the next barrier
/// @source Merrill, Garland, "Single-pass Parallel Prefix Scan with Decoupled Look-back", 2016
template <core::access_policy A, class Team>
[[nodiscard]] MILLRACE_HD std::uint64_t rows_before(std::uint64_t* states, std::size_t tile,
                                                    std::uint64_t own,
                                                    look_back_space<Team>& shared) noexcept {
  constexpr std::uint32_t window = look_back_space<Team>::window;
  for (std::size_t end = tile; shared.done == 0; end -= end < window ? end : window) {
    Team::each([&](std::uint32_t rank) {
      if (rank >= window) { return; }
      std::uint64_t word = tile_rows::word(0, tile_rows::all);  // before the first tile
      if (rank < end) {
        std::uint64_t const& state = states[end - 1 - rank];
        while ((word = A::load(state, core::relaxed, "look_back.seen")) == 0) { core::relax(); }
      }
      shared.seen[rank] = word;
    });
    Team::sync();
    Team::each([&](std::uint32_t rank) {
      if (rank != 0) { return; }
      std::uint64_t sum = 0;
      bool open = true;
      for (std::uint32_t i = 0; i < window; ++i) {
        sum += open ? shared.seen[i] >> 2 : 0;
        open = open && (shared.seen[i] & tile_rows::all) == 0;
      }
      shared.before += sum;
      shared.done = open ? 0 : 1;
    });
    Team::sync();
  }
  std::uint64_t const before = shared.before;
  Team::each([&](std::uint32_t rank) {
    if (rank == 0 && tile != 0) {
      A::store(states[tile], tile_rows::word(before + own, tile_rows::all), core::relaxed,
               "look_back.all");
    }
  });
  return before;
}

}  // namespace detail

}  // namespace millrace::inline v0::delta
