// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/delta/change_set_ref.hpp>
#include <millrace/delta/combine.hpp>
#include <millrace/delta/key.hpp>

#include <cuda/std/tuple>

#include <cstddef>
#include <cstring>
#include <utility>

namespace millrace::inline v0::delta {

namespace detail {

/// Rows that are looked at together: mostly no two of them have a key in common.
inline constexpr std::size_t fold_block = 16;

template <class T>
MILLRACE_HD void move_block(T* column, std::size_t from, std::size_t to) noexcept {
  T held[fold_block];
  std::memcpy(static_cast<void*>(held), column + from, sizeof(held));
  std::memcpy(static_cast<void*>(column + to), held, sizeof(held));
}

template <class C, class K, class... Vs, std::size_t... Is>
[[nodiscard]] MILLRACE_HD std::size_t fold_rows(change_space<K, Vs...> const& rows,
                                                std::size_t done, std::size_t begin,
                                                std::size_t end, C const& combine,
                                                std::index_sequence<Is...>) noexcept {
  K* const keys = rows.keys();
  bool open = done != 0;
  K key = open ? keys[done - 1] : K{};
  cuda::std::tuple<Vs...> held{};
  if (open) { held = cuda::std::tuple<Vs...>(rows.template values<Is>()[done - 1]...); }
  for (std::size_t i = begin; i < end; ++i) {
    bool const same = open && keys[i] == key;
    key = keys[i];
    ((cuda::std::get<Is>(held) =
          same ? policy_of<Is>(combine)(cuda::std::get<Is>(held), rows.template values<Is>()[i])
               : rows.template values<Is>()[i]),
     ...);
    std::size_t const at = done - (same ? 1 : 0);
    keys[at] = key;
    (static_cast<void>(rows.template values<Is>()[at] = cuda::std::get<Is>(held)), ...);
    open = !(same && drops_row(combine, cuda::std::get<Is>(held)...));
    done = at + (open ? 1 : 0);
  }
  return done;
}

template <class C, class K, class... Vs, std::size_t... Is>
[[nodiscard]] MILLRACE_HD std::size_t fold_blocks(change_space<K, Vs...> const& rows,
                                                  std::size_t done, std::size_t begin,
                                                  std::size_t end, C const& combine,
                                                  std::index_sequence<Is...> columns) noexcept {
  K* const keys = rows.keys();
  for (std::size_t i = begin; i < end;) {
    std::size_t const count = end - i < fold_block ? end - i : fold_block;
    bool met = count < fold_block || done == 0 || keys[i] == keys[done - 1];
    if (!met) {
      std::size_t equal = 0;
      for (std::size_t k = 1; k < fold_block; ++k) { equal |= keys[i + k] == keys[i + k - 1]; }
      met = equal != 0;
    }
    if (met) {
      done = fold_rows(rows, done, i, i + count, combine, columns);
    } else {
      if (done != i) {
        move_block(keys, i, done);
        (move_block(rows.template values<Is>(), i, done), ...);
      }
      done += fold_block;
    }
    i += count;
  }
  return done;
}

}  // namespace detail

/// Folds neighbours of one key into one row, from left to right: ((a b) c) d, in place. A row that
/// the policy drops is gone, and the next of that key begins anew: what merging the rows one after
/// another would give.
/// @param rows  [0, done) folded before, with unique keys; [begin, end) sorted rows behind them,
///              done <= begin, which go on with the last folded key or a larger one
/// @return rows folded so far, [0, return)
/// @cost   O(end - begin)  @thread any, host or device
template <class C, change_key K, change_value... Vs>
  requires combine_policy<C, Vs...>
[[nodiscard]] MILLRACE_HD std::size_t fold_equal(change_space<K, Vs...> rows, std::size_t done,
                                                 std::size_t begin, std::size_t end,
                                                 C const& combine) noexcept {
  MILLRACE_ASSERT(done <= begin && begin <= end && end <= rows.capacity());
  return detail::fold_blocks(rows, done, begin, end, combine, std::index_sequence_for<Vs...>{});
}

}  // namespace millrace::inline v0::delta
