// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "unit/delta/runs.hpp"
#include <millrace/delta/combine.hpp>
#include <millrace/delta/merge_scalar.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace millrace_test {

/// One merge of two runs by `merge(integral_constant<keep>, older, newer, out, combine)`, against
/// the reference.
template <delta::keep Keep, class Merge, class C, class K, class... Vs, class Newer>
void one_merge(Merge const& merge, delta::change_set_ref<K, Vs...> older, Newer newer,
               C const& combine) {
  auto const want = merged<Keep>(older, newer, combine);
  table<K, Vs...> got(older.size() + newer.size());
  std::size_t const size =
      merge(std::integral_constant<delta::keep, Keep>{}, older, newer, got.space(), combine);
  CAPTURE(static_cast<int>(Keep));
  CAPTURE(older.size());
  CAPTURE(newer.size());
  REQUIRE(size == want.size());
  REQUIRE(same(got.ref().slice(0, size), want.ref()));
}

/// How the keys of two runs lie to each other: gaps, alike, apart, alternating, in stretches.
template <class K, class... Vs>
[[nodiscard]] std::vector<std::pair<table<K, Vs...>, table<K, Vs...>>> pairs_of_runs(
    std::size_t n, std::size_t m, std::uint64_t seed) {
  auto const from = [&](std::size_t size, std::uint64_t offset, auto key) {
    auto run = random_run<K, Vs...>(size, 1, seed + offset);
    for (std::size_t i = 0; i < size; ++i) { run.key(i) = static_cast<K>(key(i)); }
    return run;
  };
  std::vector<std::pair<table<K, Vs...>, table<K, Vs...>>> all;
  all.emplace_back(random_run<K, Vs...>(n, 4, seed, 1, true),
                   random_run<K, Vs...>(m, 4, seed + 1, 3, true));
  all.emplace_back(random_run<K, Vs...>(n, 60, seed), random_run<K, Vs...>(m, 60, seed + 1));
  auto const alike = [](std::size_t i) { return i; };
  all.emplace_back(from(n, 0, alike), from(m, 1, alike));
  all.emplace_back(from(n, 0, alike), from(m, 1, [n](std::size_t i) { return n + i; }));
  all.emplace_back(from(n, 0, [m](std::size_t i) { return m + i; }), from(m, 1, alike));
  all.emplace_back(from(n, 0, [](std::size_t i) { return 2 * i; }),
                   from(m, 1, [](std::size_t i) { return 2 * i + 1; }));
  all.emplace_back(from(n, 0, [](std::size_t i) { return i / 100 * 200 + i % 100; }),
                   from(m, 1, [](std::size_t i) { return i / 100 * 200 + 90 + i % 100; }));
  return all;
}

/// Every kind of pass over runs whose sizes lie about multiples of `border`, against the reference.
template <class Merge>
void every_merge(Merge const& merge, std::size_t border) {
  std::vector<std::pair<std::size_t, std::size_t>> sizes = {{0, 0}, {0, 1}, {1, 0}, {1, 1}, {5, 2}};
  for (std::size_t const rows : {border - 1, border, border + 1, 2 * border, 3 * border + 2}) {
    sizes.emplace_back(rows, 0);
    sizes.emplace_back(0, rows);
    sizes.emplace_back(rows / 2, rows - rows / 2);
    sizes.emplace_back(rows, rows);
    sizes.emplace_back(rows, rows / 7);
  }
  std::uint64_t seed = border;
  for (auto const& [n, m] : sizes) {
    seed += 2;
    for (auto const& [a, b] : pairs_of_runs<std::uint32_t, float>(n, m, seed)) {
      one_merge<delta::keep::either>(merge, a.ref(), b.ref(), delta::add{});
      one_merge<delta::keep::all>(merge, a.ref(), b.ref(), delta::last_writer{});
    }
    for (auto const& [a, b] : pairs_of_runs<std::uint64_t, double>(n, m, seed)) {
      one_merge<delta::keep::either>(merge, a.ref(), b.ref(), delta::maximum{});
      one_merge<delta::keep::both>(merge, a.ref(), b.ref(), delta::add{});
      delta::change_set_ref<std::uint64_t> const keys(b.ref().keys().data(), b.size());
      one_merge<delta::keep::older_only>(merge, a.ref(), keys, delta::last_writer{});
    }
    // Rows that cancel out; in every second pair of equal keys.
    for (auto& [a, b] : pairs_of_runs<std::uint64_t, std::int32_t, quote>(n, m, seed)) {
      without_zeros(a);
      without_zeros(b);
      for (std::size_t i = 0; i < std::min(a.size(), b.size()); i += 2) {
        b.value(i) = a.value(i) == std::numeric_limits<std::int32_t>::min() ? 1 : -a.value(i);
        a.value(i) = -b.value(i);
      }
      delta::by_column<delta::count, delta::last_writer> const policy;
      one_merge<delta::keep::either>(merge, std::as_const(a).ref(), std::as_const(b).ref(), policy);
      one_merge<delta::keep::both>(merge, std::as_const(a).ref(), std::as_const(b).ref(), policy);
    }
  }
  // Runs that hold equal keys themselves keep their order.
  table<std::uint32_t, float> a(4 * border), b(2 * border);
  for (std::size_t i = 0; i < a.size(); ++i) { a.key(i) = static_cast<std::uint32_t>(i / 50); }
  for (std::size_t i = 0; i < b.size(); ++i) { b.key(i) = static_cast<std::uint32_t>(i / 90); }
  std::iota(std::get<0>(a.columns).begin(), std::get<0>(a.columns).end(), 0.f);
  std::iota(std::get<0>(b.columns).begin(), std::get<0>(b.columns).end(), 1e6f);
  one_merge<delta::keep::all>(merge, a.ref(), b.ref(), delta::last_writer{});
}

}  // namespace millrace_test
