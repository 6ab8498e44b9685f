// SPDX-License-Identifier: Apache-2.0
// The bodies that teams run, by threads that run at once: what ThreadSanitizer looks at.
#include "unit/delta/runs.hpp"
#include "unit/delta/sorted_folds.hpp"
#include "unit/delta/thread_team.hpp"
#include <millrace/core/access.hpp>
#include <millrace/delta/block_merge.hpp>
#include <millrace/delta/dense.hpp>
#include <millrace/delta/dense_tiles.hpp>
#include <millrace/delta/fold_tiles.hpp>
#include <millrace/delta/merge_tiles.hpp>

#include <cuda/atomic>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <numeric>
#include <vector>

using namespace millrace_test;
using delta::keep;

namespace team_test {

using shared_words = millrace::core::direct_access<cuda::thread_scope_system>;

[[nodiscard]] delta::dense_ref<float const, std::uint64_t const> dense(
    table<std::uint32_t, float, std::uint64_t> const& rows) {
  return delta::dense_ref<float const, std::uint64_t const>(
      rows.size(), rows.ref().values<0>().data(), rows.ref().values<1>().data());
}

/// exclusive_sum of a team against std::exclusive_scan.
template <class Team>
void sums() {
  typename Team::template local<std::uint32_t> values;
  std::uint32_t shared[delta::detail::sum_words<Team>];
  std::vector<std::uint32_t> want(Team::size);
  std::uint32_t all = 0;
  for (std::uint32_t i = 0; i < Team::size; ++i) {
    values[i] = i * 7 % 13;
    want[i] = all;
    all += values[i];
  }
  CHECK(delta::detail::exclusive_sum<Team>(values, shared) == all);
  for (std::uint32_t i = 0; i < Team::size; ++i) { CHECK(values[i] == want[i]); }
}

}  // namespace team_test
using namespace team_test;

TEST_CASE("team: the sums of those before a member, in teams of every kind of size") {
  sums<delta::stepped_team<1>>();
  sums<delta::stepped_team<31>>();
  sums<delta::stepped_team<32>>();
  sums<delta::stepped_team<33>>();
  sums<delta::stepped_team<256>>();
}

TEST_CASE("block_merge: members that run at once meet at every barrier they need") {
  using team = thread_team<4>;
  using space = delta::merge_space<team, std::uint32_t, 4>;
  auto const a = random_run<std::uint32_t, float>(200, 3, 1);
  auto const b = random_run<std::uint32_t, float>(150, 4, 2);
  auto const want = merged<keep::either>(a.ref(), b.ref(), delta::add{});
  table<std::uint32_t, float> got(350);
  auto const shared = std::make_unique<space>();
  std::size_t sizes[4] = {};
  team::run([&] {
    std::size_t const size =
        delta::block_merge<team>(a.ref(), b.ref(), got.space(), delta::add{}, *shared);
    team::each([&](std::uint32_t rank) { sizes[rank] = size; });
  });
  for (std::size_t const size : sizes) { CHECK(size == want.size()); }
  CHECK(same(got.ref().slice(0, want.size()), want.ref()));
}

TEST_CASE("merge_tiles: members that run at once meet at every barrier they need") {
  using team = thread_team<4>;
  auto const a = random_run<std::uint64_t, double>(100, 3, 1);
  auto const b = random_run<std::uint64_t, double>(150, 4, 2);
  auto const want = merged<keep::either>(a.ref(), b.ref(), delta::add{});
  table<std::uint64_t, double> got(250);
  constexpr std::size_t stride = delta::merge_space<team, std::uint64_t>::stride;
  std::size_t const tiles = delta::detail::tiles_of(250, stride);
  REQUIRE(tiles == 9);
  std::size_t size = 0;
  std::uint64_t next = 0;
  std::vector<delta::split_point> cuts(tiles + 1);
  std::vector<std::uint64_t> states(tiles);
  delta::detail::merge_tiles_args<keep::either, delta::add, decltype(a.ref()), std::uint64_t,
                                  double>
      args{a.ref(),     b.ref(),       got.space(), {},    &size,
           cuts.data(), states.data(), &next,       tiles, stride};
  for (std::size_t i = 0; i <= tiles; ++i) { delta::detail::prepare_tile(args, i); }
  auto const shared =
      std::make_unique<std::vector<delta::detail::merge_tile_space<team, std::uint64_t>>>(tiles);
  team::run([&] {  // each tile in its own space, as each block has one
    for (auto& space : *shared) { delta::detail::merge_tile<shared_words, team>(args, space); }
  });
  CHECK(size == want.size());
  CHECK(same(got.ref().slice(0, want.size()), want.ref()));
}

TEST_CASE("fold_tiles: members that run at once meet at every barrier they need") {
  using team = thread_team<4>;
  delta::by_column<delta::count, delta::add> const policy;
  for (std::uint64_t const range : {3u, 40u, 400u}) {
    auto const rows = unsorted_rows<std::uint32_t, std::int32_t, float>(200, range, range);
    auto const want = folded_rows(rows.ref(), policy);
    constexpr std::size_t tiles = (200 + 31) / 32;
    static_assert(team::size * delta::detail::fold_rows_per_thread == 32);
    auto const order = order_of(rows.ref());
    std::vector<std::uint32_t> keys;
    for (std::uint32_t const i : order) { keys.push_back(rows.ref().key(i)); }
    table<std::uint32_t, std::int32_t, float> got(200);
    std::vector<std::uint64_t> states(tiles, 0);
    std::size_t size = 0;
    std::uint64_t next = 0;
    delta::detail::fold_args<decltype(policy), std::uint32_t, std::int32_t, float> const args{
        rows.ref(), keys.data(),   order.data(), got.space(), policy,
        &size,      states.data(), &next,        tiles};
    std::vector<delta::detail::fold_space<team, std::int32_t, float>> spaces(tiles);
    team::run([&] {
      for (auto& space : spaces) {
        delta::detail::fold_tile<shared_words, shared_words, team>(args, space);
      }
    });
    REQUIRE(size == want.size());
    CHECK(same(first_rows(got, size).ref(), want.ref()));
  }
}

TEST_CASE("dense_tiles: members that run at once meet at every barrier they need") {
  using team = thread_team<4>;
  auto const a = random_run<std::uint32_t, float, std::uint64_t>(200, 1, 1);
  auto b = a;
  for (std::size_t i = 0; i < 200; i += 1 + i % 3) { b.value<1>(i) ^= i + 1; }
  auto const before = dense(a), after = dense(b);
  table<std::uint32_t, float, std::uint64_t> want(200), got(200);
  auto const wanted = delta::diff(before, after, want.space(), delta::exclusive_or{});
  REQUIRE(wanted);
  std::vector<std::uint64_t> states(7, 0);
  std::size_t size = 0;
  std::uint64_t next = 0;
  delta::detail::diff_args<delta::exclusive_or, std::uint32_t, float, std::uint64_t> const args{
      before, after, got.space(), {}, &size, states.data(), &next, 7};
  std::vector<delta::detail::diff_space<team>> spaces(7);
  team::run([&] {
    for (auto& space : spaces) { delta::detail::diff_tile<shared_words, team>(args, space); }
  });
  CHECK(size == *wanted);
  CHECK(same(got.ref().slice(0, size), want.ref().slice(0, size)));
}
