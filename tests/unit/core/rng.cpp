// SPDX-License-Identifier: Apache-2.0
#include <millrace/core/rng.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <initializer_list>

namespace core = millrace::core;

TEST_CASE("splitmix_rng: gives the published sequence for seed 1234567") {
  core::splitmix_rng g(1234567);
  CHECK(g.next() == 6457827717110365317u);
  CHECK(g.next() == 3203168211198807973u);
  CHECK(g.next() == 9817491932198370423u);
  CHECK(g.next() == 4593380528125082431u);
}

TEST_CASE("xoshiro_rng: equal seeds repeat each other, different ones do not") {
  core::xoshiro_rng a(7), b(7), c(8);
  bool apart = false;
  for (int i = 0; i < 100; ++i) {
    std::uint64_t const value = a.next();
    REQUIRE(value == b.next());
    apart = apart || value != c.next();
  }
  CHECK(apart);
  CHECK(core::xoshiro_rng::seeded().next() != core::xoshiro_rng::seeded().next());
}

TEST_CASE("xoshiro_rng: every bit is set about half the time") {
  core::xoshiro_rng g(42);
  int ones[64] = {};
  for (int i = 0; i < 4096; ++i) {
    std::uint64_t const value = g.next();
    for (int bit = 0; bit < 64; ++bit) { ones[bit] += static_cast<int>((value >> bit) & 1u); }
  }
  for (int const n : ones) {
    CHECK(n > 1800);
    CHECK(n < 2300);
  }
}

TEST_CASE("counting_rng and null_rng: every draw is known") {
  core::counting_rng g(10, 5);
  CHECK(g.next() == 10);
  CHECK(g.next() == 15);
  CHECK(core::null_rng::next() == 0);
}

TEST_CASE("below: stays below its bound and reaches both ends") {
  core::counting_rng lowest(0, 0);
  core::counting_rng highest(~std::uint64_t{0}, 0);
  for (std::uint64_t const bound :
       {std::uint64_t{1}, std::uint64_t{2}, std::uint64_t{1000}, (std::uint64_t{1} << 32) + 1,
        std::uint64_t{1} << 63, ~std::uint64_t{0}}) {
    CHECK(core::below(lowest, bound) == 0);
    CHECK(core::below(highest, bound) == bound - 1);
  }
  CHECK(core::below(highest, 0) == 0);
}

TEST_CASE("below: equals the high word of the product") {
  core::splitmix_rng g(3);
  for (int i = 0; i < 1000; ++i) {
    std::uint64_t const draw = g.next(), bound = g.next();
    core::counting_rng fixed(draw, 0);
    __extension__ using wide = unsigned __int128;
    REQUIRE(core::below(fixed, bound) == static_cast<std::uint64_t>((wide{draw} * bound) >> 64));
  }
}
