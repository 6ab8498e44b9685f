// SPDX-License-Identifier: Apache-2.0
#include <millrace/core/clock.hpp>
#include <millrace/core/rng.hpp>
#include <millrace/recover/deadline.hpp>
#include <millrace/recover/retry.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <type_traits>
#include <vector>

namespace core = millrace::core;
using millrace::errc;
using millrace::recover::deadline;
using millrace::recover::jitter;
using millrace::recover::retry;
using millrace::recover::retry_policy;

static_assert(std::is_trivially_copyable_v<retry>);

namespace {
constexpr std::uint64_t most = ~std::uint64_t{0};

template <class Rng>
std::vector<std::uint64_t> delays(retry_policy policy, Rng rng) {
  core::manual_clock clock;
  auto r = retry::make(policy);
  REQUIRE(r);
  std::vector<std::uint64_t> out;
  while (auto const delay = r->next(clock, rng)) {
    out.push_back(*delay);
    clock.advance(*delay);
  }
  CHECK(r->next(clock, rng).error().code == errc::exhausted);
  CHECK(r->failed_attempts() == policy.max_attempts);
  return out;
}
}  // namespace

TEST_CASE("retry: without jitter the delay doubles up to the cap") {
  retry_policy const policy{.base_ns = 10, .cap_ns = 65, .max_attempts = 6, .spread = jitter::none};
  CHECK(delays(policy, core::null_rng{}) == std::vector<std::uint64_t>{10, 20, 40, 65, 65});
}

TEST_CASE("retry: full jitter draws between nothing and what no jitter would give") {
  retry_policy const policy{.base_ns = 10, .cap_ns = 65, .max_attempts = 6};
  CHECK(delays(policy, core::null_rng{}) == std::vector<std::uint64_t>{0, 0, 0, 0, 0});
  CHECK(delays(policy, core::counting_rng(most, 0)) ==
        std::vector<std::uint64_t>{10, 20, 40, 65, 65});
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    auto const drawn = delays(policy, core::splitmix_rng(seed));
    std::uint64_t const limits[] = {10, 20, 40, 65, 65};
    for (std::size_t i = 0; i < drawn.size(); ++i) { CHECK(drawn[i] <= limits[i]); }
  }
}

TEST_CASE("retry: decorrelated jitter stays between the base and thrice the delay before") {
  retry_policy const policy{
      .base_ns = 10, .cap_ns = 1000, .max_attempts = 40, .spread = jitter::decorrelated};
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    std::uint64_t before = 10;
    for (std::uint64_t const delay : delays(policy, core::xoshiro_rng(seed))) {
      CHECK(delay >= 10);
      CHECK(delay <= 1000);
      CHECK(delay <= 3 * before);
      before = delay;
    }
  }
  retry_policy const short_policy{
      .base_ns = 10, .cap_ns = 100, .max_attempts = 5, .spread = jitter::decorrelated};
  CHECK(delays(short_policy, core::counting_rng(most, 0)) ==
        std::vector<std::uint64_t>{30, 90, 100, 100});
}

TEST_CASE("retry: equal seeds give equal delays, different seeds spread") {
  retry_policy const policy{.max_attempts = 10};
  CHECK(delays(policy, core::splitmix_rng(1)) == delays(policy, core::splitmix_rng(1)));
  CHECK(delays(policy, core::splitmix_rng(1)) != delays(policy, core::splitmix_rng(2)));
}

TEST_CASE("retry: one attempt leaves none") {
  CHECK(delays({.max_attempts = 1}, core::null_rng{}).empty());
}

TEST_CASE("retry: the largest cap does not overflow") {
  std::uint64_t const cap = std::uint64_t{1} << 62;
  for (auto const spread : {jitter::none, jitter::full, jitter::decorrelated}) {
    retry_policy const policy{
        .base_ns = cap - 1, .cap_ns = cap, .max_attempts = 4, .spread = spread};
    for (std::uint64_t const delay : delays(policy, core::counting_rng(most, 0))) {
      CHECK(delay >= cap - 1);
      CHECK(delay <= cap);
    }
  }
}

TEST_CASE("retry: an attempt that could not begin before the deadline is not made") {
  core::manual_clock clock(1000);
  core::null_rng rng;
  retry_policy const policy{
      .base_ns = 10, .cap_ns = 100, .max_attempts = 100, .spread = jitter::none};
  auto r = retry::make(policy, deadline::after(clock, 35));
  REQUIRE(r);
  CHECK(r->next(clock, rng) == std::uint64_t{10});
  clock.advance(10);
  CHECK(r->next(clock, rng) == std::uint64_t{20});
  clock.advance(20);
  CHECK(r->next(clock, rng).error().code == errc::deadline_passed);
  CHECK(r->next(clock, rng).error().code == errc::deadline_passed);
  CHECK(r->failed_attempts() == 3);
}

TEST_CASE("retry: a deadline that has passed ends it even when the delay would be nothing") {
  core::manual_clock clock(1000);
  core::null_rng rng;
  auto r = retry::make({}, deadline::at(1000));
  REQUIRE(r);
  CHECK(r->next(clock, rng).error().code == errc::deadline_passed);
}

TEST_CASE("retry: reset begins again with the first delay") {
  core::manual_clock clock;
  core::null_rng rng;
  auto r = retry::make({.base_ns = 10, .cap_ns = 100, .max_attempts = 3, .spread = jitter::none});
  REQUIRE(r);
  CHECK(r->next(clock, rng) == std::uint64_t{10});
  CHECK(r->next(clock, rng) == std::uint64_t{20});
  CHECK_FALSE(r->next(clock, rng));
  r->reset();
  CHECK(r->failed_attempts() == 0);
  CHECK(r->next(clock, rng) == std::uint64_t{10});
}

TEST_CASE("retry: a policy outside its limits is refused by the number of the member") {
  auto const refused = [](retry_policy policy, int member) {
    auto const made = retry::make(policy);
    return !made && made.error().code == errc::bad_argument && made.error().native == member;
  };
  CHECK(refused({.base_ns = 0}, 1));
  CHECK(refused({.base_ns = 10, .cap_ns = 9}, 2));
  CHECK(refused({.cap_ns = most}, 2));
  CHECK(refused({.max_attempts = 0}, 3));
  CHECK(refused({.spread = static_cast<jitter>(3)}, 4));
}
