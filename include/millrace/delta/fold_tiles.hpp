// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/access.hpp>
#include <millrace/core/config.hpp>
#include <millrace/delta/change_set_ref.hpp>
#include <millrace/delta/combine.hpp>
#include <millrace/delta/compact.hpp>
#include <millrace/delta/key.hpp>
#include <millrace/delta/look_back.hpp>
#include <millrace/delta/team.hpp>

#include <cuda/std/tuple>

#include <cstddef>
#include <cstdint>
#include <utility>

/// \file
/// Makes one row of all rows of a key, in the order in which they came: ((a b) c) d. Rows lie where
/// they came; their sorted keys and the order that sorts them are given. A tile's rows of one key
/// are folded by one thread, or, where there are many, or they go on behind the tile, by one of a
/// team for which the others fetch.

namespace millrace::inline v0::delta {

namespace detail {

/// Rows that teams fold. `states` and `next` are scratch memory, zero at first.
template <class C, change_key K, change_value... Vs>
struct fold_args {
  change_set_ref<K, Vs...> rows;  ///< as they came
  K const* keys;                  ///< [rows.size()] sorted
  std::uint32_t const* order;     ///< [rows.size()] where keys[i] came; increases among equal keys
  change_space<K, Vs...> out;     ///< as many
  C combine;
  std::size_t* size;
  std::uint64_t* states;  ///< [tiles]
  std::uint64_t* next;    ///< [1]
  std::size_t tiles;
};

inline constexpr std::uint32_t fold_rows_per_thread = 8;

/// One key's rows so far. `open`: there is a row; else the policy dropped it, or none has come.
template <change_value... Vs>
struct folded {
  cuda::std::tuple<Vs...> values;
  bool open;
};

template <class C, class... Vs, std::size_t... Is>
MILLRACE_HD void fold_in(folded<Vs...>& sum, cuda::std::tuple<Vs...> const& row, C const& combine,
                         std::index_sequence<Is...>) noexcept {
  if (!sum.open) {
    sum.values = row;
    sum.open = true;
    return;
  }
  static_cast<void>(row);
  (static_cast<void>(cuda::std::get<Is>(sum.values) = policy_of<Is>(combine)(
                         cuda::std::get<Is>(sum.values), cuda::std::get<Is>(row))),
   ...);
  sum.open = !drops_row(combine, cuda::std::get<Is>(sum.values)...);
}

/// What a team shares while it folds a tile.
template <team Team, change_value... Vs>
struct fold_space {
  using row = cuda::std::tuple<Vs...>;
  static constexpr std::size_t fits = 8192 / sizeof(row);
  /// Rows that are fetched at a time for the one that folds them.
  static constexpr std::uint32_t batch = fits < 1            ? 1
                                         : fits < Team::size ? static_cast<std::uint32_t>(fits)
                                                             : Team::size;
  /// Rows of a key from which on it is the team's.
  static constexpr std::uint32_t many = 32;

  compact_space<Team, fold_rows_per_thread> rows;
  look_back_space<Team> look_back;
  std::uint64_t tile;
  std::uint16_t heads[decltype(rows)::rows + 1];  ///< first rows of keys, then the tile's end
  std::uint16_t crowds[decltype(rows)::rows / many + 2];
  std::uint32_t crowd_count;
  std::uint32_t fetched;
  alignas(row) unsigned char batch_rows[batch * sizeof(row)];
  alignas(folded<Vs...>) unsigned char sum[sizeof(folded<Vs...>)];
};

template <class C, class K, class... Vs, std::size_t... Is>
[[nodiscard]] MILLRACE_HD cuda::std::tuple<Vs...> row_of(fold_args<C, K, Vs...> const& args,
                                                         std::size_t i,
                                                         std::index_sequence<Is...>) noexcept {
  [[maybe_unused]] std::size_t const at = args.order[i];
  return cuda::std::tuple<Vs...>(args.rows.template value<Is>(at)...);
}

/// The rows [first, last), by one thread.
template <class C, class K, class... Vs>
[[nodiscard]] MILLRACE_HD folded<Vs...> fold_few(fold_args<C, K, Vs...> const& args,
                                                 std::size_t first, std::size_t last) noexcept {
  constexpr auto columns = std::index_sequence_for<Vs...>{};
  folded<Vs...> sum{{}, false};
  for (std::size_t i = first; i < last; ++i) {
    fold_in(sum, row_of(args, i, columns), args.combine, columns);
  }
  return sum;
}

/// The rows from `first` on that have its key, by a team; then done(sum) in its first member.
template <team Team, class C, class K, class... Vs, class Done>
MILLRACE_HD void fold_crowd(fold_args<C, K, Vs...> const& args, std::size_t first,
                            fold_space<Team, Vs...>& shared, Done const& done) noexcept {
  using space = fold_space<Team, Vs...>;
  constexpr auto columns = std::index_sequence_for<Vs...>{};
  auto* const batch = reinterpret_cast<typename space::row*>(shared.batch_rows);
  auto* const sum = reinterpret_cast<folded<Vs...>*>(shared.sum);
  K const key = args.keys[first];
  std::size_t const size = args.rows.size();
  Team::each([&](std::uint32_t rank) {
    if (rank == 0) {
      *sum = folded<Vs...>{{}, false};
      shared.fetched = space::batch;
    }
  });
  Team::sync();
  // A batch that is not full is the last.
  for (std::size_t i = first; shared.fetched == space::batch; i += space::batch) {
    Team::each([&](std::uint32_t rank) {
      if (rank < space::batch && i + rank < size && args.keys[i + rank] == key) {
        batch[rank] = row_of(args, i + rank, columns);
      }
    });
    Team::sync();
    Team::each([&](std::uint32_t rank) {
      if (rank != 0) { return; }
      folded<Vs...> here = *sum;
      std::uint32_t row = 0;
      for (; row < space::batch && i + row < size && args.keys[i + row] == key; ++row) {
        fold_in(here, batch[row], args.combine, columns);
      }
      *sum = here;
      shared.fetched = row;
    });
    Team::sync();
  }
  Team::each([&](std::uint32_t rank) {
    if (rank == 0) { done(*sum); }
  });
  Team::sync();
}

/// Every key whose first row is in the tile: done(number of the key in the tile, its sum), by
/// whichever member.
template <core::access_policy Within, team Team, class C, class K, class... Vs, class Done>
MILLRACE_HD void fold_keys(fold_args<C, K, Vs...> const& args, std::size_t first,
                           std::uint32_t keys, fold_space<Team, Vs...>& shared,
                           Done const& done) noexcept {
  Team::each([&](std::uint32_t rank) {
    if (rank == 0) { shared.crowd_count = 0; }
  });
  Team::sync();
  Team::each([&](std::uint32_t rank) {
    for (std::uint32_t key = rank; key < keys; key += Team::size) {
      std::size_t const begin = first + shared.heads[key], end = first + shared.heads[key + 1];
      if (key + 1 == keys || end - begin > fold_space<Team, Vs...>::many) {
        std::uint32_t const at =
            Within::fetch_add(shared.crowd_count, 1u, core::relaxed, "fold_keys.crowd");
        shared.crowds[at] = static_cast<std::uint16_t>(key);
      } else {
        done(key, fold_few(args, begin, end));
      }
    }
  });
  Team::sync();
  std::uint32_t const crowds = shared.crowd_count;
  for (std::uint32_t i = 0; i < crowds; ++i) {
    std::uint32_t const key = shared.crowds[i];
    fold_crowd<Team>(args, first + shared.heads[key], shared,
                     [&](folded<Vs...> const& sum) { done(key, sum); });
  }
}

template <class K, class... Vs, std::size_t... Is>
MILLRACE_HD void put_folded(change_space<K, Vs...> const& out, std::size_t o, K key,
                            folded<Vs...> const& sum, std::index_sequence<Is...>) noexcept {
  out.put(o, key, cuda::std::get<Is>(sum.values)...);
}

/// One tile, the next that nobody has, by one team. `Within` is for what its members share, `A` for
/// what teams do.
template <core::access_policy A, core::access_policy Within, team Team, class C, class K,
          class... Vs>
MILLRACE_HD void fold_tile(fold_args<C, K, Vs...> const& args,
                           fold_space<Team, Vs...>& shared) noexcept {
  constexpr auto columns = std::index_sequence_for<Vs...>{};
  constexpr std::uint32_t most = decltype(shared.rows)::rows;
  std::size_t const tile = next_tile<A, Team>(*args.next, shared.tile);
  std::size_t const first = tile * most, left = args.rows.size() - first;
  auto const rows = static_cast<std::uint32_t>(left < most ? left : most);
  mark_rows<Team>(rows, shared.rows, [&](std::uint32_t row) {
    std::size_t const i = first + row;
    return i == 0 || args.keys[i - 1] != args.keys[i];
  });
  Team::sync();
  std::uint32_t const keys = list_rows<Team>(shared.rows);
  Team::sync();
  Team::each([&](std::uint32_t rank) {
    for (std::uint32_t i = rank; i < keys; i += Team::size) {
      shared.heads[i] = shared.rows.list[i];
    }
    if (rank == 0) { shared.heads[keys] = static_cast<std::uint16_t>(rows); }
  });
  Team::sync();
  std::uint32_t count = keys;
  if constexpr (may_drop<C, Vs...>) {
    // Which keys keep a row is known when they are folded; where it goes, when all are. So they are
    // folded twice.
    Team::each([&](std::uint32_t rank) {
      for (std::uint32_t i = rank; i < most; i += Team::size) { shared.rows.marks[i] = 0; }
    });
    fold_keys<Within, Team>(args, first, keys, shared, [&](std::uint32_t key, auto const& sum) {
      shared.rows.marks[key] = sum.open ? 1 : 0;
    });
    Team::sync();
    count = list_rows<Team>(shared.rows);
  }
  tell_rows<A, Team>(args.states, tile, count, shared.look_back);
  Team::sync();
  std::size_t const begin = rows_before<A, Team>(args.states, tile, count, shared.look_back);
  if constexpr (may_drop<C, Vs...>) {
    // list[i] is the i-th key that stays; a key's place is found in it.
    fold_keys<Within, Team>(args, first, keys, shared, [&](std::uint32_t key, auto const& sum) {
      if (!sum.open) { return; }
      std::uint32_t low = 0, high = count - 1;
      while (low < high) {
        std::uint32_t const middle = (low + high) / 2;
        shared.rows.list[middle] < key ? low = middle + 1 : high = middle;
      }
      put_folded(args.out, begin + low, args.keys[first + shared.heads[key]], sum, columns);
    });
  } else {
    fold_keys<Within, Team>(args, first, keys, shared, [&](std::uint32_t key, auto const& sum) {
      put_folded(args.out, begin + key, args.keys[first + shared.heads[key]], sum, columns);
    });
  }
  Team::each([&](std::uint32_t rank) {
    if (rank == 0 && tile + 1 == args.tiles) { *args.size = begin + count; }
  });
}

}  // namespace detail

}  // namespace millrace::inline v0::delta
