// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/delta/change_set_ref.hpp>
#include <millrace/delta/combine.hpp>
#include <millrace/delta/key.hpp>
#include <millrace/delta/merge_scalar.hpp>
#include <millrace/delta/team.hpp>

#include <cuda/std/tuple>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace millrace::inline v0::delta {

/// Where a merge of two sorted runs stands: how many rows of each are behind it.
template <class Index>
struct merge_cut {
  Index older = 0, newer = 0;
};

/// Where the merge stands after `rows` rows, older's first among equal keys. Two rows that become
/// one are never parted: when the cut would fall between them, it is one row further on.
/// @cost O(log(min(n, m, rows)))
/// @source Green, McColl, Bader, "GPU Merge Path", ICS 2012
template <keep Keep, class K, class Index>
[[nodiscard]] MILLRACE_HD merge_cut<Index> cut_merge(K const* older, Index n, K const* newer,
                                                     Index m, Index rows) noexcept {
  Index first = rows > m ? rows - m : 0, last = rows < n ? rows : n;
  while (first < last) {
    Index const middle = first + (last - first) / 2;
    bool const behind = older[middle] <= newer[rows - 1 - middle];
    first = behind ? middle + 1 : first;
    last = behind ? last : middle;
  }
  Index second = rows - first;
  if constexpr (Keep != keep::all) {
    if (first > 0 && second < m && older[first - 1] == newer[second]) { ++second; }
  }
  return {first, second};
}

/// How a team merges: how many rows each member has in a step. More rows share the cost of finding
/// one's place; fewer leave room for more teams beside each other.
template <class K>
inline constexpr std::uint32_t merge_rows_per_thread = sizeof(K) == 4 ? 12 : 8;

/// What the members of a team share while they merge: on a device, shared memory.
template <team Team, change_key K, std::uint32_t RowsPerThread = merge_rows_per_thread<K>>
struct merge_space {
  static_assert(RowsPerThread % 4 == 0 && Team::size * RowsPerThread < 0xFFFF,
                "merge_space: rows are numbered in 16 bits, and moved by fours");
  static constexpr std::uint32_t rows_per_thread = RowsPerThread;
  /// Rows of both runs that one step takes at most.
  static constexpr std::uint32_t capacity = Team::size * RowsPerThread;
  /// From where one step begins to where the next one does; a cut may be one row further on.
  static constexpr std::uint32_t stride = capacity - 1;

  K keys[capacity];
  std::uint32_t codes[capacity];
  std::uint32_t sums[detail::sum_words<Team>];
};

namespace detail {

/// A row to be written: in the low half the place of its key and value among the step's rows,
/// older's before newer's, in the high half that of the newer row that it becomes one with.
struct row_code {
  static constexpr std::uint32_t alone = 0xFFFF, none = 0xFFFF'FFFF;
  [[nodiscard]] static MILLRACE_HD constexpr std::uint32_t of(
      std::uint32_t row, std::uint32_t partner = alone) noexcept {
    return row | partner << 16;
  }
};

template <std::uint32_t Rows>
struct row_codes {
  std::uint32_t code[Rows];
};

/// One member's part of a step: its rows in order, each with what becomes of it.
/// @param keys  older's n, then newer's m
/// @param drops drops(row of older, row of newer): whether their combination is no row
/// @return rows that stay
template <keep Keep, class K, std::uint32_t Rows, class Drops>
[[nodiscard]] MILLRACE_HD std::uint32_t plan_rows(K const* keys, std::uint32_t n, std::uint32_t m,
                                                  std::uint32_t rank, row_codes<Rows>& plan,
                                                  Drops const& drops) noexcept {
  std::uint32_t const all = n + m, first = rank * Rows < all ? rank * Rows : all;
  std::uint32_t const last = first + Rows < all ? first + Rows : all;
  auto at = cut_merge<Keep, K, std::uint32_t>(keys, n, keys + n, m, first);
  K a = at.older < n ? keys[at.older] : K{0}, b = at.newer < m ? keys[n + at.newer] : K{0};
  std::uint32_t kept = 0;
  unrolled<Rows>([&](std::uint32_t row) {
    std::uint32_t code = row_code::none;
    if (at.older + at.newer < last) {
      bool const has_a = at.older < n, has_b = at.newer < m;
      bool const takes_a = has_a && (!has_b || a <= b);
      bool const both = Keep != keep::all && has_a && has_b && a == b;
      std::uint32_t const i = at.older, j = at.newer;
      if (takes_a) {
        ++at.older;
        if (at.older < n) { a = keys[at.older]; }
      }
      if (!takes_a || both) {
        ++at.newer;
        if (at.newer < m) { b = keys[n + at.newer]; }
      }
      if (both) {
        if (Keep != keep::older_only && !drops(i, j)) { code = row_code::of(i, n + j); }
      } else if (takes_a) {
        if (Keep != keep::both) { code = row_code::of(i); }
      } else if (Keep == keep::either || Keep == keep::all) {
        code = row_code::of(n + j);
      }
    }
    kept += code != row_code::none ? 1 : 0;
    plan.code[row] = code;
  });
  return kept;
}

template <class C, class K, class... Vs, std::size_t... Is>
[[nodiscard]] MILLRACE_HD bool combination_dropped(change_set_ref<K, Vs...> const& older,
                                                   std::size_t i,
                                                   change_set_ref<K, Vs...> const& newer,
                                                   std::size_t j, C const& combine,
                                                   std::index_sequence<Is...>) noexcept {
  return drops_row(
      combine, policy_of<Is>(combine)(older.template value<Is>(i), newer.template value<Is>(j))...);
}

/// Column I of a planned row.
template <std::size_t I, keep Keep, class C, class Older, class Newer>
[[nodiscard]] MILLRACE_HD auto planned_value(Older const& older, Newer const& newer,
                                             std::uint32_t code, C const& combine) noexcept {
  using V = typename Older::template value_type<I>;
  auto const n = static_cast<std::uint32_t>(older.size());
  std::uint32_t const row = code & 0xFFFF;
  if constexpr (Keep == keep::older_only) {
    return V(older.template value<I>(row));
  } else {
    V const* const from = row < n ? older.template values<I>().data() + row
                                  : newer.template values<I>().data() + (row - n);
    V value = *from;
    if constexpr (Keep == keep::either || Keep == keep::both) {
      if (code >> 16 != row_code::alone) {
        value = policy_of<I>(combine)(value, newer.template value<I>((code >> 16) - n));
      }
    }
    return value;
  }
}

template <class Team, keep Keep, class C, class Space, class Older, class Newer, class Out,
          std::size_t... Is>
MILLRACE_HD void write_planned(Older const& older, Newer const& newer, Out const& out,
                               std::uint32_t count, C const& combine, Space const& shared,
                               std::index_sequence<Is...>) noexcept {
  using row = decltype(older[0]);
  Team::each([&](std::uint32_t rank) {
    // By fours: all of their loads are on the way before the first is stored.
    for (std::uint32_t first = rank; first < count; first += 4 * Team::size) {
      row rows[4];
      unrolled<4>([&](std::uint32_t i) {
        std::uint32_t const o = first + i * Team::size;
        if (o >= count) { return; }
        std::uint32_t const code = shared.codes[o];
        rows[i] = row(shared.keys[code & 0xFFFF],
                      planned_value<Is, Keep>(older, newer, code, combine)...);
      });
      unrolled<4>([&](std::uint32_t i) {
        std::uint32_t const o = first + i * Team::size;
        if (o >= count) { return; }
        out.put(o, cuda::std::get<0>(rows[i]), cuda::std::get<Is + 1>(rows[i])...);
      });
    }
  });
}

/// The first half of a step: finds which rows stay, and where each of them goes.
/// @param older, newer the step's rows, at most capacity together, between two cuts
/// @return rows that stay, the same in every member; the codes are there after the next barrier
template <class Team, keep Keep, class C, class Space, change_key K, class Newer,
          change_value... Vs>
[[nodiscard]] MILLRACE_HD std::uint32_t plan_step(change_set_ref<K, Vs...> const& older,
                                                  Newer const& newer, C const& combine,
                                                  Space& shared) noexcept {
  constexpr std::uint32_t rows = Space::rows_per_thread;
  auto const n = static_cast<std::uint32_t>(older.size());
  auto const m = static_cast<std::uint32_t>(newer.size());
  K const* const a = older.keys().data();
  K const* const b = newer.keys().data();
  Team::each([&](std::uint32_t rank) {
    for (std::uint32_t first = rank; first < n + m; first += 4 * Team::size) {
      K keys[4] = {};
      unrolled<4>([&](std::uint32_t i) {
        std::uint32_t const o = first + i * Team::size;
        if (o < n + m) { keys[i] = o < n ? a[o] : b[o - n]; }
      });
      unrolled<4>([&](std::uint32_t i) {
        std::uint32_t const o = first + i * Team::size;
        if (o < n + m) { shared.keys[o] = keys[i]; }
      });
    }
  });
  Team::sync();
  typename Team::template local<row_codes<rows>> plans;
  typename Team::template local<std::uint32_t> places;
  Team::each([&](std::uint32_t rank) {
    auto const drops = [&](std::uint32_t i, std::uint32_t j) {
      if constexpr (may_drop<C, Vs...> && (Keep == keep::either || Keep == keep::both)) {
        return combination_dropped(older, i, newer, j, combine, std::index_sequence_for<Vs...>{});
      } else {
        static_cast<void>(i);
        static_cast<void>(j);
        return false;
      }
    };
    places[rank] = plan_rows<Keep>(shared.keys, n, m, rank, plans[rank], drops);
  });
  std::uint32_t const count = exclusive_sum<Team>(places, shared.sums);
  Team::each([&](std::uint32_t rank) {
    std::uint32_t o = places[rank];
    unrolled<rows>([&](std::uint32_t row) {
      std::uint32_t const code = plans[rank].code[row];
      if (code != row_code::none) { shared.codes[o++] = code; }
    });
  });
  return count;
}

}  // namespace detail

/// What merge_scalar does, by a team whose members all call it: to be used within a kernel, one
/// that stays included. Every row is the same bits as merge_scalar's, whatever the team.
/// @param older, newer, out as for merge_scalar; out shares no bytes with the inputs
/// @param shared the team's own; free again when all have returned and passed a barrier
/// @return rows written, the same in every member; they are there after the next barrier
/// @cost O(n + m) in all and O(log n) a step for each member; reads and writes each row once
template <team Team, keep Keep, class C, change_key K, class Newer, change_value... Vs,
          std::uint32_t Rows>
MILLRACE_HD std::size_t block_merge(change_set_ref<K, Vs...> older, Newer newer,
                                    change_space<K, Vs...> out, C const& combine,
                                    merge_space<Team, K, Rows>& shared) noexcept {
  std::size_t const n = older.size(), m = newer.size();
  std::size_t written = 0;
  merge_cut<std::size_t> from;
  for (std::size_t done = 0; done < n + m;) {
    done = done + shared.stride < n + m ? done + shared.stride : n + m;
    auto const to =
        cut_merge<Keep, K, std::size_t>(older.keys().data(), n, newer.keys().data(), m, done);
    auto const a = older.slice(from.older, to.older - from.older);
    auto const b = newer.slice(from.newer, to.newer - from.newer);
    std::uint32_t const count = detail::plan_step<Team, Keep>(a, b, combine, shared);
    Team::sync();
    detail::write_planned<Team, Keep>(a, b, out.from(written), count, combine, shared,
                                      std::index_sequence_for<Vs...>{});
    Team::sync();  // the next step writes the keys and codes again
    written += count;
    from = to;
  }
  return written;
}

/// The union of two runs, `combine`d where both have a key, by a team: see merge, and block_merge.
template <team Team, class C, change_key K, change_value... Vs, std::uint32_t Rows>
  requires combine_policy<C, Vs...>
MILLRACE_HD std::size_t block_merge(change_set_ref<K, Vs...> older, change_set_ref<K, Vs...> newer,
                                    change_space<K, Vs...> out, C const& combine,
                                    merge_space<Team, K, Rows>& shared) noexcept {
  return block_merge<Team, keep::either>(older, newer, out, combine, shared);
}

}  // namespace millrace::inline v0::delta
