// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "unit/delta/runs.hpp"
#include <millrace/core/rng.hpp>
#include <millrace/delta/combine.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <tuple>
#include <utility>
#include <vector>

namespace millrace_test {

/// Where rows came, sorted by key and then by arrival.
template <class K, class... Vs>
[[nodiscard]] std::vector<std::uint32_t> order_of(delta::change_set_ref<K, Vs...> rows) {
  std::vector<std::uint32_t> order(rows.size());
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(),
                   [&](auto a, auto b) { return rows.key(a) < rows.key(b); });
  return order;
}

template <class K, class... Vs>
[[nodiscard]] table<K, Vs...> first_rows(table<K, Vs...> rows, std::size_t size) {
  rows.keys.resize(size);
  std::apply([size](auto&... columns) { (columns.resize(size), ...); }, rows.columns);
  return rows;
}

/// What merging rows one after another gives: the reference of every consolidation.
template <class C, class K, class... Vs>
[[nodiscard]] table<K, Vs...> folded_rows(delta::change_set_ref<K, Vs...> rows, C const& combine) {
  table<K, Vs...> all, key, next;
  auto const order = order_of(rows);
  for (std::size_t i = 0; i < order.size();) {
    key = table<K, Vs...>();
    std::size_t end = i;
    for (; end < order.size() && rows.key(order[end]) == rows.key(order[i]); ++end) {
      key = merged<delta::keep::either>(key.ref(), rows.slice(order[end], 1), combine);
    }
    i = end;
    if (key.size() == 0) { continue; }
    std::apply([&](auto const& k, auto const&... values) { all.push(k, values...); },
               std::apply([](auto const&... columns) { return std::tuple(columns[0]...); },
                          std::tuple_cat(std::tie(key.keys), key.columns)));
  }
  return all;
}

/// Rows in no order, whose keys are below `range`; integers cancel out now and then.
template <class K, class... Vs>
[[nodiscard]] table<K, Vs...> unsorted_rows(std::size_t size, std::uint64_t range,
                                            std::uint64_t seed) {
  auto rows = random_run<K, Vs...>(size, 1, seed);
  millrace::core::splitmix_rng chance(seed + 7);
  K const top = std::numeric_limits<K>::max();
  for (std::size_t i = 0; i < size; ++i) {
    rows.key(i) = static_cast<K>(chance.next() % 5 == 0 ? top - chance.next() % range / 2
                                                        : chance.next() % range);
  }
  if constexpr (std::is_integral_v<std::tuple_element_t<0, std::tuple<Vs...>>>) {
    for (std::size_t i = 0; i < size; ++i) { rows.value(i) = chance.next() % 2 == 0 ? 1 : -1; }
  }
  return rows;
}

template <class Fold, class C, class K, class... Vs>
void one_fold(Fold const& fold, delta::change_set_ref<K, Vs...> rows, C const& combine) {
  auto const want = folded_rows(rows, combine);
  auto const got = fold(rows, combine);
  CAPTURE(rows.size());
  REQUIRE(got.size() == want.size());
  REQUIRE(same(got.ref(), want.ref()));
}

/// Consolidations of rows whose number lies about multiples of `border`: few to a key, hundreds,
/// all of one key, none twice; against the reference.
template <class Fold>
void every_fold(Fold const& fold, std::size_t border) {
  for (std::size_t const size : {std::size_t{0}, std::size_t{1}, std::size_t{2}, border - 1, border,
                                 border + 1, 3 * border, 5 * border + 3}) {
    for (std::uint64_t const range : {std::uint64_t{1}, std::uint64_t{7}, size / 40 + 1,
                                      size / 3 + 1, std::uint64_t{1} << 30}) {
      auto const floats = unsorted_rows<std::uint32_t, float>(size, range, size + range);
      one_fold(fold, floats.ref(), delta::add{});
      auto const wide = unsorted_rows<std::uint64_t, std::int32_t, quote>(size, range, size);
      one_fold(fold, wide.ref(), delta::by_column<delta::count, delta::last_writer>{});
    }
  }
}

}  // namespace millrace_test
