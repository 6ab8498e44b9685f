// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/access.hpp>
#include <millrace/core/config.hpp>
#include <millrace/delta/change_set_ref.hpp>
#include <millrace/delta/compact.hpp>
#include <millrace/delta/dense.hpp>
#include <millrace/delta/key.hpp>
#include <millrace/delta/look_back.hpp>
#include <millrace/delta/team.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>

/// \file
/// What devices do between change sets and dense columns, as bodies that a host runs too.

namespace millrace::inline v0::delta {

namespace detail {

/// Changes to be combined into dense columns.
template <class C, change_key K, change_value... Vs>
struct apply_args {
  change_set_ref<K, Vs...> rows;
  dense_ref<Vs...> to;
  C combine;
  std::size_t* good;  ///< all rows, or the first whose key is no index, and then nothing is written
};

/// Row i; the first also looks whether all may be applied.
template <class C, class K, class... Vs>
MILLRACE_HD void apply_one(apply_args<C, K, Vs...> const& args, std::size_t i) noexcept {
  std::size_t const rows = args.rows.size(), size = args.to.size();
  bool const all = rows == 0 || static_cast<std::size_t>(args.rows.key(rows - 1)) < size;
  // Keys increase, so where the last is no index of the columns, their length is a key.
  if (i == 0) { *args.good = all ? rows : args.rows.lower_bound(static_cast<K>(size)); }
  if (!all || i >= rows) { return; }
  apply_row(args.rows, i, args.to, args.combine, std::index_sequence_for<Vs...>{});
}

/// Dense columns that teams compare. `states` and `next` are scratch memory, zero at first.
template <class C, change_key K, change_value... Vs>
struct diff_args {
  dense_ref<Vs const...> before, after;
  change_space<K, Vs...> out;
  C combine;
  std::size_t* size;      ///< rows that differ, of which those are written that there is room for
  std::uint64_t* states;  ///< [tiles]
  std::uint64_t* next;    ///< [1]
  std::size_t tiles;
};

inline constexpr std::uint32_t diff_rows_per_thread = 8;

/// What a team shares while it compares a tile.
template <team Team>
struct diff_space {
  compact_space<Team, diff_rows_per_thread> rows;
  look_back_space<Team> look_back;
  std::uint64_t tile;
};

/// One tile, the next that nobody has, by one team.
template <core::access_policy A, team Team, class C, class K, class... Vs>
MILLRACE_HD void diff_tile(diff_args<C, K, Vs...> const& args, diff_space<Team>& shared) noexcept {
  constexpr auto columns = std::index_sequence_for<Vs...>{};
  constexpr std::uint32_t most = decltype(shared.rows)::rows;
  std::size_t const tile = next_tile<A, Team>(*args.next, shared.tile);
  std::size_t const first = tile * most, left = args.before.size() - first;
  auto const rows = static_cast<std::uint32_t>(left < most ? left : most);
  mark_rows<Team>(rows, shared.rows, [&](std::uint32_t row) {
    return rows_differ(args.before, args.after, first + row, columns);
  });
  Team::sync();
  std::uint32_t const count = list_rows<Team>(shared.rows);
  tell_rows<A, Team>(args.states, tile, count, shared.look_back);
  Team::sync();
  std::size_t const begin = rows_before<A, Team>(args.states, tile, count, shared.look_back);
  Team::each([&](std::uint32_t rank) {
    for (std::uint32_t i = rank; i < count; i += Team::size) {
      if (begin + i >= args.out.capacity()) { break; }
      put_difference(args.before, args.after, first + shared.rows.list[i], args.out, begin + i,
                     args.combine, columns);
    }
    if (rank == 0 && tile + 1 == args.tiles) { *args.size = begin + count; }
  });
}

}  // namespace detail

}  // namespace millrace::inline v0::delta
