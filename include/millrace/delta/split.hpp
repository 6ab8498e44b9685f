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

/// Whether `row` of older is among the first `diagonal` of both, older's first among equal keys.
template <class K, class Index>
[[nodiscard]] MILLRACE_HD constexpr bool is_before(K const* older, K const* newer, Index diagonal,
                                                   Index row) noexcept {
  return older[row] <= newer[diagonal - 1 - row];
}

/// How many of older's rows are among the first `diagonal` of both; `first` to `last` of them.
template <class K, class Index>
[[nodiscard]] MILLRACE_HD constexpr Index older_rows_within(K const* older, K const* newer,
                                                            Index diagonal, Index first,
                                                            Index last) noexcept {
  while (first < last) {
    Index const middle = first + (last - first) / 2;
    // by arithmetic: a branch would be guessed wrong every other time
    auto const before = static_cast<Index>(is_before(older, newer, diagonal, middle));
    first += (middle + 1 - first) & (Index{0} - before);
    last -= (last - middle) & (before - 1);
  }
  return first;
}

/// The same where nothing is known but the rows of both.
template <class K, class Index>
[[nodiscard]] MILLRACE_HD constexpr Index older_rows(K const* older, Index n, K const* newer,
                                                     Index m, Index diagonal) noexcept {
  return older_rows_within(older, newer, diagonal, diagonal > m ? diagonal - m : Index{0},
                           diagonal < n ? diagonal : n);
}

/// The same by strides that double from a guess: few cache lines where the guess is good.
template <class K, class Index>
[[nodiscard]] MILLRACE_HD constexpr Index older_rows_near(K const* older, Index n, K const* newer,
                                                          Index m, Index diagonal,
                                                          Index guess) noexcept {
  Index first = diagonal > m ? diagonal - m : 0, last = diagonal < n ? diagonal : n;
  if (guess < first || guess >= last) {
    return older_rows_within(older, newer, diagonal, first, last);
  }
  Index stride = 64;
  bool const up = is_before(older, newer, diagonal, guess);
  (up ? first : last) = guess + up;
  while (last - first > stride) {
    Index const at = up ? first + stride - 1 : last - stride;
    bool const before = is_before(older, newer, diagonal, at);
    (before ? first : last) = at + before;
    if (before != up) { break; }
    stride *= 2;
  }
  return older_rows_within(older, newer, diagonal, first, last);
}

/// The cut behind so many of older's rows, one row of newer further where it would part a pair.
template <class K>
[[nodiscard]] MILLRACE_HD constexpr split_point cut_at(K const* older, K const* newer,
                                                       std::size_t m, std::size_t diagonal,
                                                       std::size_t olders) noexcept {
  split_point cut{olders, diagonal - olders};
  if (cut.older > 0 && cut.newer < m && older[cut.older - 1] == newer[cut.newer]) { ++cut.newer; }
  return cut;
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
  return detail::cut_at(a, b, m, diagonal, detail::older_rows(a, n, b, m, diagonal));
}

/// The same, sought from a cut near by. @param near_older rows of the older run before the cut,
/// about; any number is right
/// @cost O(log of how far the guess is off), and not a cache line from all over the runs
template <change_key K, change_value... Vs, change_value... Ws>
[[nodiscard]] MILLRACE_HD split_point split(change_set_ref<K, Vs...> older,
                                            change_set_ref<K, Ws...> newer, std::size_t diagonal,
                                            std::size_t near_older) noexcept {
  std::size_t const n = older.size(), m = newer.size();
  if (diagonal >= n + m) { return {n, m}; }
  K const* const a = older.keys().data();
  K const* const b = newer.keys().data();
  return detail::cut_at(a, b, m, diagonal,
                        detail::older_rows_near(a, n, b, m, diagonal, near_older));
}

}  // namespace millrace::inline v0::delta
