// SPDX-License-Identifier: Apache-2.0
#include "unit/delta/runs.hpp"
#include "unit/delta/team_merges.hpp"
#include <millrace/delta/block_merge.hpp>
#include <millrace/delta/team.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <memory>

using namespace millrace_test;
using delta::keep;
using delta::stepped_team;

namespace block_merge_test {

/// block_merge by this team equals the reference.
template <class Team, std::uint32_t Rows>
struct by_block {
  template <keep Keep, class C, class Newer, class K, class... Vs>
  std::size_t operator()(std::integral_constant<keep, Keep>, delta::change_set_ref<K, Vs...> older,
                         Newer newer, delta::change_space<K, Vs...> out, C const& combine) const {
    auto const shared = std::make_unique<delta::merge_space<Team, K, Rows>>();
    return delta::block_merge<Team, Keep>(older, newer, out, combine, *shared);
  }
};

}  // namespace block_merge_test
using namespace block_merge_test;

TEST_CASE("block_merge: is what the reference gives, whatever the team and the sizes") {
  every_merge(by_block<stepped_team<1>, 4>{}, 3);
  every_merge(by_block<stepped_team<2>, 4>{}, 7);
  every_merge(by_block<stepped_team<33>, 4>{}, 131);
  every_merge(by_block<stepped_team<64>, 8>{}, 511);
}

TEST_CASE("block_merge: a block of a device's size, over several steps") {
  every_merge(by_block<stepped_team<256>, 12>{}, 3071);
}

TEST_CASE("block_merge: the smallest members, so that every pair meets a border") {
  auto const a = random_run<std::uint32_t, float>(300, 1, 1);
  auto const shared = std::make_unique<delta::merge_space<stepped_team<7>, std::uint32_t, 4>>();
  for (std::size_t n = 0; n <= 60; ++n) {
    for (std::size_t m = 0; m <= 60; ++m) {
      auto const older = a.ref().slice(0, n), newer = a.ref().slice(n / 2, m);
      auto const want = merged<keep::either>(older, newer, delta::add{});
      table<std::uint32_t, float> got(n + m);
      std::size_t const size =
          delta::block_merge<stepped_team<7>>(older, newer, got.space(), delta::add{}, *shared);
      REQUIRE(same(got.ref().slice(0, size), want.ref()));
    }
  }
}
