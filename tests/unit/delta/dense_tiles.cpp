// SPDX-License-Identifier: Apache-2.0
// also compiled as CUDA
#include "unit/delta/runs.hpp"
#include <millrace/core/access.hpp>
#include <millrace/core/rng.hpp>
#include <millrace/delta/dense.hpp>
#include <millrace/delta/dense_tiles.hpp>

#include <cuda/atomic>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

using namespace millrace_test;
using delta::stepped_team;

namespace dense_tiles_test {

using shared_words = millrace::core::direct_access<cuda::thread_scope_system>;

struct columns {
  std::vector<float> first;
  std::vector<std::uint64_t> second;

  [[nodiscard]] delta::dense_ref<float const, std::uint64_t const> ref() const {
    return delta::dense_ref<float const, std::uint64_t const>(first.size(), first.data(),
                                                              second.data());
  }
};

/// Two tables that differ in about one row of `every`, in either column.
std::pair<columns, columns> two(std::size_t size, std::uint64_t every) {
  millrace::core::splitmix_rng chance(size + every);
  columns a{std::vector<float>(size), std::vector<std::uint64_t>(size)};
  for (std::size_t i = 0; i < size; ++i) {
    a.first[i] = awkward<float>(chance);
    a.second[i] = chance.next();
  }
  columns b = a;
  for (std::size_t i = 0; i < size; ++i) {
    if (chance.next() % every != 0) { continue; }
    if (chance.next() % 2 == 0) {
      b.first[i] = -b.first[i];
    } else {
      b.second[i] ^= std::uint64_t{1} << (chance.next() % 64);
    }
  }
  return {a, b};
}

/// The team's changes, as far as there is room for them, and how many there are.
template <class Team>
std::size_t diff(columns const& a, columns const& b,
                 delta::change_space<std::uint32_t, float, std::uint64_t> out) {
  using policy = delta::exclusive_or;
  constexpr std::size_t rows = Team::size * delta::detail::diff_rows_per_thread;
  std::size_t const tiles = (a.first.size() + rows - 1) / rows;
  std::vector<std::uint64_t> states(tiles, 0);
  std::size_t size = tiles == 0 ? 0 : 77;
  std::uint64_t next = 0;
  delta::detail::diff_args<policy, std::uint32_t, float, std::uint64_t> const args{
      a.ref(), b.ref(), out, {}, &size, states.data(), &next, tiles};
  auto const shared = std::make_unique<delta::detail::diff_space<Team>>();
  for (std::size_t i = 0; i < tiles; ++i) {
    delta::detail::diff_tile<shared_words, Team>(args, *shared);
  }
  return size;
}

}  // namespace dense_tiles_test
using namespace dense_tiles_test;

TEST_CASE("dense_tiles: changes between two tables are those that a host finds") {
  for (std::size_t const size : {0u, 1u, 255u, 256u, 257u, 2047u, 2048u, 2049u, 9000u}) {
    for (std::uint64_t const every : {1u, 2u, 50u, 100'000u}) {
      auto const [a, b] = two(size, every);
      table<std::uint32_t, float, std::uint64_t> want(size), got(size);
      auto const wanted = delta::diff(a.ref(), b.ref(), want.space(), delta::exclusive_or{});
      REQUIRE(wanted);
      CHECK(dense_tiles_test::diff<stepped_team<1>>(a, b, got.space()) == *wanted);
      CHECK(same(got.ref().slice(0, *wanted), want.ref().slice(0, *wanted)));
      CHECK(dense_tiles_test::diff<stepped_team<256>>(a, b, got.space()) == *wanted);
      CHECK(same(got.ref().slice(0, *wanted), want.ref().slice(0, *wanted)));
    }
  }
}

TEST_CASE("dense_tiles: room that is too short is filled, and how much is needed is said") {
  auto const [a, b] = two(5000, 3);
  table<std::uint32_t, float, std::uint64_t> want(5000), got(700);
  auto const wanted = delta::diff(a.ref(), b.ref(), want.space(), delta::exclusive_or{});
  REQUIRE(wanted);
  REQUIRE(*wanted > 700);
  CHECK(dense_tiles_test::diff<stepped_team<32>>(a, b, got.space()) == *wanted);
  CHECK(same(got.ref(), want.ref().slice(0, 700)));
}

TEST_CASE("dense_tiles: changes are applied as by a host, all of them or none") {
  auto const rows = random_run<std::uint32_t, float>(500, 4, 3);
  std::size_t const end = rows.keys.back() + std::size_t{1};
  for (std::size_t const length : {end, end + 5, end - 1, end / 2, std::size_t{0}}) {
    std::vector<float> want(length, 1.5f), got = want;
    auto const host =
        delta::apply(rows.ref(), delta::dense_ref<float>(length, want.data()), delta::add{});
    std::size_t good = 77;
    delta::detail::apply_args<delta::add, std::uint32_t, float> const args{
        rows.ref(), delta::dense_ref<float>(length, got.data()), {}, &good};
    for (std::size_t i = 0; i < 600; ++i) { delta::detail::apply_one(args, i); }
    CHECK(good == (host ? 500u : static_cast<std::size_t>(host.error().native)));
    bool const alike =
        length == 0 || std::memcmp(got.data(), want.data(), length * sizeof(float)) == 0;
    CHECK(alike);
  }
}
