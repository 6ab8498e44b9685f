// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/access.hpp>
#include <millrace/core/config.hpp>
#include <millrace/delta/block_merge.hpp>
#include <millrace/delta/change_set_ref.hpp>
#include <millrace/delta/key.hpp>
#include <millrace/delta/look_back.hpp>
#include <millrace/delta/merge_scalar.hpp>
#include <millrace/delta/split.hpp>
#include <millrace/delta/team.hpp>

#include <cstddef>
#include <cstdint>

/// \file
/// A merge of any size by as many teams as there are tiles, in one pass over the rows: every row is
/// read once and written once, where it belongs.

namespace millrace::inline v0::delta {

namespace detail {

/// A merge that teams share. `cuts`, `states` and `next` are scratch memory.
template <keep Keep, class C, class Newer, change_key K, change_value... Vs>
struct merge_tiles_args {
  change_set_ref<K, Vs...> older;
  Newer newer;
  change_space<K, Vs...> out;
  C combine;
  std::size_t* size;      ///< rows written
  split_point* cuts;      ///< [tiles + 1]
  std::uint64_t* states;  ///< [tiles]
  std::uint64_t* next;    ///< [1] the first tile that nobody has
  std::size_t tiles;
  std::size_t stride;  ///< rows of both inputs from one cut to the next
};

/// What a team shares while it merges a tile.
template <team Team, change_key K>
struct merge_tile_space {
  merge_space<Team, K> rows;
  look_back_space<Team> look_back;
  std::uint64_t tile;
};

/// Before the tiles: cut `i` of tiles + 1, and what they begin with.
template <keep Keep, class C, class Newer, class K, class... Vs>
MILLRACE_HD void prepare_tile(merge_tiles_args<Keep, C, Newer, K, Vs...> const& args,
                              std::size_t i) noexcept {
  if (i > args.tiles) { return; }
  std::size_t const rows = args.older.size() + args.newer.size();
  std::size_t const diagonal = i < args.tiles ? i * args.stride : rows;
  args.cuts[i] = cut_pass<Keep>(args.older, args.newer, diagonal);
  if (i < args.tiles) { args.states[i] = 0; }
  if (i == 0) {
    *args.next = 0;
    *args.size = 0;
  }
}

/// One tile, the next that nobody has, by one team.
template <core::access_policy A, team Team, keep Keep, class C, class Newer, class K, class... Vs>
MILLRACE_HD void merge_tile(merge_tiles_args<Keep, C, Newer, K, Vs...> const& args,
                            merge_tile_space<Team, K>& shared) noexcept {
  std::size_t const tile = next_tile<A, Team>(*args.next, shared.tile);
  split_point const from = args.cuts[tile], to = args.cuts[tile + 1];
  auto const a = args.older.slice(from.older, to.older - from.older);
  auto const b = args.newer.slice(from.newer, to.newer - from.newer);
  std::uint32_t const count = plan_step<Team, Keep>(a, b, args.combine, shared.rows);
  if constexpr (Keep != keep::all) {
    tell_rows<A, Team>(args.states, tile, count, shared.look_back);
  }
  Team::sync();
  using space = merge_space<Team, K>;
  planned_rows<Team, Keep, Newer, C, space, K, Vs...> rows(a, b, args.combine, shared.rows, count);
  std::size_t before = from.rows();
  if constexpr (Keep != keep::all) {
    before = rows_before<A, Team>(args.states, tile, count, shared.look_back);
  }
  rows.write(args.out.from(before));
  Team::each([&](std::uint32_t rank) {
    if (rank == 0 && tile + 1 == args.tiles) { *args.size = before + count; }
  });
}

}  // namespace detail

}  // namespace millrace::inline v0::delta
