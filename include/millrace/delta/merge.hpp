// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/core/isa.hpp>
#include <millrace/delta/change_set_ref.hpp>
#include <millrace/delta/combine.hpp>
#include <millrace/delta/gallop.hpp>
#include <millrace/delta/key.hpp>
#include <millrace/delta/merge_scalar.hpp>
#include <millrace/delta/merge_simd.hpp>
#include <millrace/delta/overlap.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace millrace::inline v0::delta {

namespace detail {

/// The one pass of every two-way operation, its arguments checked.
template <keep Keep, class C, change_key K, class Newer, change_value... Vs>
[[nodiscard]] result<std::size_t> merge_checked(change_set_ref<K, Vs...> older, Newer newer,
                                                change_space<K, Vs...> out, C const& combine,
                                                core::isa which) noexcept {
  if (!has_room<Keep>(out, older, newer)) { return core::fail(errc::bad_argument, 3); }
  bool const more_newer = older.size() < newer.size();
  std::size_t const larger = more_newer ? newer.size() : older.size();
  std::size_t const smaller = more_newer ? older.size() : newer.size();
  return larger / gallop_ratio >= smaller ? merge_gallop<Keep>(older, newer, out, combine)
                                          : merge_by<Keep>(which, older, newer, out, combine);
}

}  // namespace detail

/// Merges two runs: the union of their keys, and where both have a key, one row that `combine`
/// makes of older's value and newer's, unless it drops it.
/// @param out  room for older.size() + newer.size() rows, sharing no bytes with the inputs
/// @param which the instruction set; the result is the same bits with every one of them
/// @return rows written; what lies behind them in `out` is undefined
/// @error  errc::bad_argument (3): out is too short or overlaps an input; nothing is written
/// @cost   O(n + m), one pass, no allocation; of runs of which one is 32 times as long as the
/// other,
///         O(m log(n / m)) comparisons and copies of blocks  @thread any; one caller per out
/// @source Green, McColl, Bader, "GPU Merge Path", ICS 2012; Batcher, "Sorting networks", 1968
template <class C, change_key K, change_value... Vs>
  requires combine_policy<C, Vs...>
[[nodiscard]] result<std::size_t> merge(change_set_ref<K, Vs...> older,
                                        change_set_ref<K, Vs...> newer, change_space<K, Vs...> out,
                                        C const& combine,
                                        core::isa which = core::best_isa()) noexcept {
  return detail::merge_checked<keep::either>(older, newer, out, combine, which);
}

/// The rows whose key both runs have, combined.
/// @param out room for the smaller run's rows; the rest as for merge
template <class C, change_key K, change_value... Vs>
  requires combine_policy<C, Vs...>
[[nodiscard]] result<std::size_t> intersect(change_set_ref<K, Vs...> older,
                                            change_set_ref<K, Vs...> newer,
                                            change_space<K, Vs...> out, C const& combine,
                                            core::isa which = core::best_isa()) noexcept {
  return detail::merge_checked<keep::both>(older, newer, out, combine, which);
}

/// The rows of `older` whose key `newer` lacks; newer's values are not looked at.
/// @param out room for older's rows; the rest as for merge
template <change_key K, change_value... Vs, change_value... Ws>
[[nodiscard]] result<std::size_t> subtract(change_set_ref<K, Vs...> older,
                                           change_set_ref<K, Ws...> newer,
                                           change_space<K, Vs...> out,
                                           core::isa which = core::best_isa()) noexcept {
  return detail::merge_checked<keep::older_only>(older, newer, out, last_writer{}, which);
}

/// Every row of both runs, equal keys side by side, older's first: what std::merge does. The inputs
/// may hold equal keys themselves.
/// @param out as for merge
template <change_key K, change_value... Vs>
[[nodiscard]] result<std::size_t> interleave(change_set_ref<K, Vs...> older,
                                             change_set_ref<K, Vs...> newer,
                                             change_space<K, Vs...> out,
                                             core::isa which = core::best_isa()) noexcept {
  return detail::merge_checked<keep::all>(older, newer, out, last_writer{}, which);
}

}  // namespace millrace::inline v0::delta
