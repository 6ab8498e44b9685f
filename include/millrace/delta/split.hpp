// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/delta/change_set_ref.hpp>
#include <millrace/delta/key.hpp>

#include <cstddef>

namespace millrace::inline v0::delta {

/// Where two runs are cut, so that what lies before is merged apart from what lies behind.
struct split_point {
  std::size_t older = 0;  ///< rows of the older run before the cut
  std::size_t newer = 0;  ///< rows of the newer run before the cut

  /// Input rows before the cut.
  [[nodiscard]] MILLRACE_HD constexpr std::size_t rows() const noexcept { return older + newer; }
  [[nodiscard]] friend MILLRACE_HD constexpr bool operator==(split_point a,
                                                             split_point b) noexcept {
    return a.older == b.older && a.newer == b.newer;
  }
};

namespace detail {

/// How many of older's rows are among the first `diagonal` of both, older's first among equal keys.
template <class K, class Index>
[[nodiscard]] MILLRACE_HD constexpr Index older_rows(K const* older, Index n, K const* newer,
                                                     Index m, Index diagonal) noexcept {
  // The fewest rows of older such that the next one is above the last of newer's.
  Index first = diagonal > m ? diagonal - m : 0, last = diagonal < n ? diagonal : n;
  while (first < last) {
    Index const middle = first + (last - first) / 2;
    // by arithmetic: a branch would be guessed wrong every other time
    auto const before = static_cast<Index>(older[middle] <= newer[diagonal - 1 - middle]);
    first += (middle + 1 - first) & (Index{0} - before);
    last -= (last - middle) & (before - 1);
  }
  return first;
}

}  // namespace detail

/// Cuts two runs by merge path: every key before the cut is below every key behind it, and a key
/// that both runs have has both of its rows on one side. About `diagonal` rows lie before the cut:
/// exactly, or one more where the cut would part such a pair; all of them when there are no more.
/// @param older, newer runs of unique, increasing keys; values are not looked at
/// @cost  O(log min(diagonal, older.size(), newer.size()))  @thread any, host or device
/// @source Green, McColl, Bader, "GPU Merge Path", ICS 2012
template <change_key K, change_value... Vs, change_value... Ws>
[[nodiscard]] MILLRACE_HD split_point split(change_set_ref<K, Vs...> older,
                                            change_set_ref<K, Ws...> newer,
                                            std::size_t diagonal) noexcept {
  std::size_t const n = older.size(), m = newer.size();
  if (diagonal >= n + m) { return {n, m}; }
  K const* const a = older.keys().data();
  K const* const b = newer.keys().data();
  std::size_t const first = detail::older_rows(a, n, b, m, diagonal);
  split_point cut{first, diagonal - first};
  if (cut.older > 0 && cut.newer < m && a[cut.older - 1] == b[cut.newer]) { ++cut.newer; }
  return cut;
}

}  // namespace millrace::inline v0::delta
