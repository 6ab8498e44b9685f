// SPDX-License-Identifier: Apache-2.0
// also compiled as CUDA
#include "unit/delta/runs.hpp"
#include "unit/delta/team_merges.hpp"
#include <millrace/core/access.hpp>
#include <millrace/delta/merge_tiles.hpp>

#include <cuda/atomic>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>
#include <type_traits>
#include <vector>

using namespace millrace_test;
using delta::keep;
using delta::stepped_team;

namespace merge_tiles_test {

using shared_words = millrace::core::direct_access<cuda::thread_scope_system>;

/// What a launch does, in the host's threads: `blocks` of them take tiles until none is left.
template <class Team>
struct by_tiles {
  std::uint32_t blocks = 1;

  template <keep Keep, class C, class Newer, class K, class... Vs>
  std::size_t operator()(std::integral_constant<keep, Keep>, delta::change_set_ref<K, Vs...> older,
                         Newer newer, delta::change_space<K, Vs...> out, C const& combine) const {
    using space = delta::detail::merge_tile_space<Team, K>;
    constexpr std::size_t stride = delta::merge_space<Team, K>::stride;
    std::size_t const tiles = delta::detail::tiles_of(older.size() + newer.size(), stride);
    std::size_t size = 77;
    std::uint64_t next = 77;
    std::vector<delta::split_point> cuts(tiles + 1, {77, 77});
    std::vector<std::uint64_t> states(tiles, 77);
    delta::detail::merge_tiles_args<Keep, C, Newer, K, Vs...> const args{
        older, newer, out, combine, &size, cuts.data(), states.data(), &next, tiles, stride};
    for (std::size_t i = 0; i < tiles + 3; ++i) { delta::detail::prepare_tile(args, i); }
    std::vector<std::thread> threads;
    for (std::uint32_t block = 0; block < blocks; ++block) {
      threads.emplace_back([&, block] {
        auto const shared = std::make_unique<space>();
        for (std::size_t i = block; i < tiles; i += blocks) {
          delta::detail::merge_tile<shared_words, Team>(args, *shared);
        }
      });
    }
    for (auto& thread : threads) { thread.join(); }
    return size;
  }
};

}  // namespace merge_tiles_test
using namespace merge_tiles_test;

TEST_CASE("merge_tiles: teams that take tiles in turn give what the reference gives") {
  every_merge(by_tiles<stepped_team<1>>{}, 11);
  every_merge(by_tiles<stepped_team<3>>{}, 35);
  every_merge(by_tiles<stepped_team<256>>{}, 3071);
}

TEST_CASE("merge_tiles: teams that run at once give what the reference gives") {
  every_merge(by_tiles<stepped_team<5>>{3}, 59);
}

TEST_CASE("merge_tiles: the look-back goes over many windows") {
  auto const a = random_run<std::uint32_t, float>(20'000, 3, 1);
  auto const b = random_run<std::uint32_t, float>(15'000, 4, 2);
  one_merge<keep::either>(by_tiles<stepped_team<1>>{1}, a.ref(), b.ref(), delta::add{});
  one_merge<keep::either>(by_tiles<stepped_team<1>>{4}, a.ref(), b.ref(), delta::add{});
  one_merge<keep::both>(by_tiles<stepped_team<2>>{4}, a.ref(), b.ref(), delta::add{});
}

TEST_CASE("look_back: a team adds up what hundreds of tiles before it have told") {
  // None of them has told what lies before it but the first, or the 60th.
  using team = stepped_team<64>;
  for (std::size_t const known : {0u, 60u, 298u, 299u}) {
    std::vector<std::uint64_t> states(301, 0);
    std::uint64_t sum = 0;
    for (std::uint64_t tile = 0; tile < 300; ++tile) {
      sum += tile * tile;
      states[tile] = tile == known ? sum << 2 | 2 : (tile * tile) << 2 | 1;
    }
    for (std::size_t tile = 0; tile < known; ++tile) { states[tile] = 3; }  // never looked at
    if (known == 0) { states[0] = 2; }
    delta::detail::look_back_space<team> shared;
    delta::detail::tell_rows<shared_words, team>(states.data(), 300, 5, shared);
    CHECK(states[300] == (5u << 2 | 1));
    std::uint64_t const before =
        delta::detail::rows_before<shared_words, team>(states.data(), 300, 5, shared);
    CHECK(before == sum);
    CHECK(states[300] == ((sum + 5) << 2 | 2));
  }
}
