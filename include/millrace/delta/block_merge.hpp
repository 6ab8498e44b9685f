// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/delta/change_set_ref.hpp>
#include <millrace/delta/combine.hpp>
#include <millrace/delta/key.hpp>
#include <millrace/delta/merge_scalar.hpp>
#include <millrace/delta/split.hpp>
#include <millrace/delta/team.hpp>

#include <cuda/std/tuple>

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

namespace millrace::inline v0::delta {

namespace detail {

/// Where a pass of this kind is cut after `diagonal` rows: between any two rows when it keeps all
/// of them, else as `split` does.
template <keep Keep, class Older, class Newer>
[[nodiscard]] MILLRACE_HD split_point cut_pass(Older const& older, Newer const& newer,
                                               std::size_t diagonal) noexcept {
  if constexpr (Keep == keep::all) {
    std::size_t const first =
        older_rows(older.keys().data(), older.size(), newer.keys().data(), newer.size(), diagonal);
    return {first, diagonal - first};
  } else {
    return split(older, newer, diagonal);
  }
}

}  // namespace detail

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
  std::uint32_t older = older_rows(keys, n, keys + n, m, first), newer = first - older;
  if (Keep != keep::all && older > 0 && newer < m && keys[older - 1] == keys[n + newer]) {
    ++newer;  // it went with the last row of the member before
  }
  K a = older < n ? keys[older] : K{0}, b = newer < m ? keys[n + newer] : K{0};
  std::uint32_t kept = 0;
  unrolled<Rows>([&](std::uint32_t row) {
    std::uint32_t code = row_code::none;
    if (older + newer < last) {
      bool const has_a = older < n, has_b = newer < m;
      bool const takes_a = has_a && (!has_b || a <= b);
      bool const both = Keep != keep::all && has_a && has_b && a == b;
      std::uint32_t const i = older, j = newer;
      if (takes_a) {
        ++older;
        if (older < n) { a = keys[older]; }
      }
      if (!takes_a || both) {
        ++newer;
        if (newer < m) { b = keys[n + newer]; }
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

/// Rows of each member whose values are on the way together: as many as registers hold.
template <std::uint32_t Rows, class... Vs>
inline constexpr std::uint32_t rows_in_flight = [] {
  constexpr std::size_t bytes = 96 / (std::size_t{1} + ... + sizeof(Vs)) / 4 * 4;
  return bytes < 4 ? 4u : bytes > Rows ? Rows : static_cast<std::uint32_t>(bytes);
}();

template <std::uint32_t Rows, class... Vs>
struct row_values {
  cuda::std::tuple<Vs...> row[Rows];
};

/// Column I of planned rows first, first + Team::size and so on: all of their loads are on the way
/// before the first value is looked at.
template <class Team, std::size_t I, keep Keep, class C, class Older, class Newer, class Space,
          class Values>
MILLRACE_HD void gather_column(Older const& older, Newer const& newer, std::uint32_t first,
                               std::uint32_t count, C const& combine, Space const& shared,
                               Values& to) noexcept {
  using V = typename Older::template value_type<I>;
  constexpr std::uint32_t rows = std::extent_v<decltype(to.row)>;
  auto const n = static_cast<std::uint32_t>(older.size());
  V const* const a = older.template values<I>().data();
  if constexpr (Keep == keep::older_only) {
    unrolled<rows>([&](std::uint32_t i) {
      std::uint32_t const o = first + i * Team::size;
      if (o < count) { cuda::std::get<I>(to.row[i]) = a[shared.codes[o] & 0xFFFF]; }
    });
  } else {
    V const* const b = newer.template values<I>().data();
    V partners[rows];
    unrolled<rows>([&](std::uint32_t i) {
      std::uint32_t const o = first + i * Team::size;
      if (o >= count) { return; }
      std::uint32_t const row = shared.codes[o] & 0xFFFF, partner = shared.codes[o] >> 16;
      cuda::std::get<I>(to.row[i]) = *(row < n ? a + row : b + (row - n));
      if (Keep != keep::all && partner != row_code::alone) { partners[i] = b[partner - n]; }
    });
    if constexpr (Keep != keep::all) {
      unrolled<rows>([&](std::uint32_t i) {
        std::uint32_t const o = first + i * Team::size;
        if (o >= count || shared.codes[o] >> 16 == row_code::alone) { return; }
        V& value = cuda::std::get<I>(to.row[i]);
        value = policy_of<I>(combine)(value, partners[i]);
      });
    } else {
      static_cast<void>(combine);
      static_cast<void>(partners);
    }
  }
}

/// The second half of a step, in two: fetches the values of the rows that stay, then writes them.
/// What comes between them, such as the wait for where to write, costs no time of its own.
template <class Team, keep Keep, class Newer, class C, class Space, class K, class... Vs>
class planned_rows {
  static constexpr std::uint32_t rows = rows_in_flight<Space::rows_per_thread, Vs...>;
  static constexpr auto columns = std::index_sequence_for<Vs...>{};

 public:
  MILLRACE_HD planned_rows(change_set_ref<K, Vs...> const& older, Newer const& newer,
                           C const& combine, Space const& shared, std::uint32_t count) noexcept
      : older_{older}, newer_{newer}, combine_{combine}, shared_{shared}, count_{count} {
    Team::each([&](std::uint32_t rank) { gather(rank, values_[rank], columns); });
  }
  MILLRACE_HD void write(change_space<K, Vs...> const& out) noexcept {
    Team::each([&](std::uint32_t rank) {
      put(rank, values_[rank], out, columns);
      if constexpr (rows < Space::rows_per_thread) {
        for (std::uint32_t first = rank + rows * Team::size; first < count_;
             first += rows * Team::size) {
          gather(first, values_[rank], columns);
          put(first, values_[rank], out, columns);
        }
      }
    });
  }

 private:
  using values = row_values<rows, Vs...>;

  template <std::size_t... Is>
  MILLRACE_HD void gather(std::uint32_t first, values& to,
                          std::index_sequence<Is...>) const noexcept {
    static_cast<void>(first);
    static_cast<void>(to);
    (gather_column<Team, Is, Keep>(older_, newer_, first, count_, combine_, shared_, to), ...);
  }
  template <std::size_t... Is>
  MILLRACE_HD void put(std::uint32_t first, values const& from, change_space<K, Vs...> const& out,
                       std::index_sequence<Is...>) const noexcept {
    static_cast<void>(from);
    unrolled<rows>([&](std::uint32_t i) {
      std::uint32_t const o = first + i * Team::size;
      if (o >= count_) { return; }
      out.put(o, shared_.keys[shared_.codes[o] & 0xFFFF], cuda::std::get<Is>(from.row[i])...);
    });
  }

  change_set_ref<K, Vs...> older_;
  Newer newer_;
  C const& combine_;
  Space const& shared_;
  std::uint32_t count_;
  typename Team::template local<values> values_;
};

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
    K keys[rows] = {};
    unrolled<rows>([&](std::uint32_t i) {
      std::uint32_t const o = rank + i * Team::size;
      if (o < n + m) { keys[i] = o < n ? a[o] : b[o - n]; }
    });
    unrolled<rows>([&](std::uint32_t i) {
      std::uint32_t const o = rank + i * Team::size;
      if (o < n + m) { shared.keys[o] = keys[i]; }
    });
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
  split_point from;
  for (std::size_t done = 0; done < n + m;) {
    done = done + shared.stride < n + m ? done + shared.stride : n + m;
    split_point const to = detail::cut_pass<Keep>(older, newer, done);
    auto const a = older.slice(from.older, to.older - from.older);
    auto const b = newer.slice(from.newer, to.newer - from.newer);
    std::uint32_t const count = detail::plan_step<Team, Keep>(a, b, combine, shared);
    Team::sync();
    using space = merge_space<Team, K, Rows>;
    detail::planned_rows<Team, Keep, Newer, C, space, K, Vs...>(a, b, combine, shared, count)
        .write(out.from(written));
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
