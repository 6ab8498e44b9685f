// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/delta/change_set_ref.hpp>
#include <millrace/delta/combine.hpp>
#include <millrace/delta/key.hpp>

#include <cuda/std/tuple>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace millrace::inline v0::delta {

/// Which keys of two sorted runs a pass keeps.
enum class keep : std::uint8_t {
  either,      ///< the union: rows of both combined, the others as they are
  both,        ///< the intersection: combined rows alone
  older_only,  ///< the difference: older's rows whose key newer lacks
  all,         ///< every row of both, equal keys side by side, older first
};

namespace detail {

template <class C, class K, class... Vs, std::size_t... Is>
[[nodiscard]] MILLRACE_HD bool put_combined(change_set_ref<K, Vs...> const& older, std::size_t i,
                                            [[maybe_unused]] change_set_ref<K, Vs...> const& newer,
                                            [[maybe_unused]] std::size_t j,
                                            change_space<K, Vs...> const& out, std::size_t o,
                                            C const& combine, std::index_sequence<Is...>) noexcept {
  [[maybe_unused]] cuda::std::tuple<Vs...> const row(
      policy_of<Is>(combine)(older.template value<Is>(i), newer.template value<Is>(j))...);
  if (drops_row(combine, cuda::std::get<Is>(row)...)) { return false; }
  out.put(o, older.key(i), cuda::std::get<Is>(row)...);
  return true;
}

template <class K, class... Vs, std::size_t... Is>
MILLRACE_HD void put_row(change_set_ref<K, Vs...> const& from, std::size_t i,
                         change_space<K, Vs...> const& out, std::size_t o,
                         std::index_sequence<Is...>) noexcept {
  out.put(o, from.key(i), from.template value<Is>(i)...);
}

}  // namespace detail

/// The reference that every other path equals bit for bit: one pass, one row at a time. `out` has
/// room for as many rows as `Keep` can give: older's and newer's together, or the smaller's, or
/// older's. Where newer's value columns are not older's (older_only), they are not looked at.
/// @return rows written  @cost O(n + m), no allocation  @thread any, host or device
template <keep Keep, class C, change_key K, class Newer, change_value... Vs>
MILLRACE_HD std::size_t merge_scalar(change_set_ref<K, Vs...> older, Newer newer,
                                     change_space<K, Vs...> out, C const& combine) noexcept {
  constexpr auto columns = std::index_sequence_for<Vs...>{};
  std::size_t i = 0, j = 0, o = 0;
  while (i < older.size() && j < newer.size()) {
    K const a = older.key(i), b = newer.key(j);
    if (a < b) {
      if constexpr (Keep != keep::both) { detail::put_row(older, i, out, o++, columns); }
      ++i;
    } else if (b < a) {
      if constexpr (Keep == keep::either || Keep == keep::all) {
        detail::put_row(newer, j, out, o++, columns);
      }
      ++j;
    } else if constexpr (Keep == keep::all) {
      detail::put_row(older, i++, out, o++, columns);
    } else {
      if constexpr (Keep != keep::older_only) {
        o += detail::put_combined(older, i, newer, j, out, o, combine, columns) ? 1 : 0;
      }
      ++i;
      ++j;
    }
  }
  if constexpr (Keep != keep::both) {
    for (; i < older.size(); ++i) { detail::put_row(older, i, out, o++, columns); }
  }
  if constexpr (Keep == keep::either || Keep == keep::all) {
    for (; j < newer.size(); ++j) { detail::put_row(newer, j, out, o++, columns); }
  }
  return o;
}

}  // namespace millrace::inline v0::delta
