// SPDX-License-Identifier: Apache-2.0
#include "examples/revalue/implied_vol.hpp"

#include "sample.hpp"
#include <millrace/core/rng.hpp>

#include <doctest/doctest.h>

using namespace revalue;
using revalue::test::lone_option;

namespace {

struct random_case {
  double spot, strike, years, rate, dividend, sign, forward, bound;

  explicit random_case(millrace::core::splitmix_rng& rng) {
    spot = uniform(rng, 50, 2000);
    strike = rng.next() % 5 == 0 ? spot : spot * exponential(uniform(rng, -2, 2));
    years = exponential(uniform(rng, -7.6, 1.6));
    rate = uniform(rng, 0, 0.1);
    dividend = uniform(rng, 0, 0.05);
    sign = rng.next() % 2 == 0 ? 1 : -1;
    forward = spot * exponential(-dividend * years);
    bound = strike * exponential(-rate * years);
  }
  [[nodiscard]] double least() const { return std::fmax(0, sign * (forward - bound)); }
  [[nodiscard]] double greatest() const { return sign > 0 ? forward : bound; }
  [[nodiscard]] implied solve(double mid) const {
    return implied_volatility(mid, sign, forward, bound, std::sqrt(years));
  }
  [[nodiscard]] double reprice(double vol) const {
    return lone_option(sign > 0, strike, years, vol, rate, dividend).price(spot);
  }
};

}  // namespace

TEST_CASE("implied_volatility: reprices every mid inside the bounds, next to them too") {
  millrace::core::splitmix_rng rng(11);
  double worst = 0;
  for (int i = 0; i < 60'000; ++i) {
    random_case const c(rng);
    double const room = c.greatest() - c.least();
    double const sliver = exponential(uniform(rng, -34, logarithm(room)));
    double const mid = i % 3 == 0   ? c.least() + sliver
                       : i % 3 == 1 ? c.greatest() - sliver
                                    : c.least() + uniform(rng, 0, room);
    if (!(mid > c.least() && mid < c.greatest())) { continue; }
    implied const found = c.solve(mid);
    REQUIRE(found.outcome == outcome::applied);
    REQUIRE(found.volatility > 0);
    worst = std::fmax(worst, std::fabs(c.reprice(found.volatility) - mid));
  }
  CHECK(worst < 1e-9);
}

TEST_CASE("implied_volatility: finds the volatility that made the price") {
  millrace::core::splitmix_rng rng(12);
  for (int i = 0; i < 20'000; ++i) {
    random_case const c(rng);
    double const vol = exponential(uniform(rng, -3, 0.7));
    double const mid = c.reprice(vol);
    // only where the price depends on the volatility enough to tell
    lone_option option(c.sign > 0, c.strike, c.years, vol, c.rate, c.dividend);
    static_cast<void>(option.price(c.spot));
    if (option.values.vega[0] < 1e-4 * c.spot) { continue; }
    implied const found = c.solve(mid);
    REQUIRE(found.outcome == outcome::applied);
    CHECK(found.volatility == doctest::Approx(vol).epsilon(1e-9));
  }
}

TEST_CASE("implied_volatility: names the bound that a mid does not respect") {
  auto const call = [](double mid) { return implied_volatility(mid, 1, 100, 80, 1).outcome; };
  auto const put = [](double mid) { return implied_volatility(mid, -1, 100, 80, 1).outcome; };
  CHECK(call(20) == outcome::below_bound);
  CHECK(call(20.0001) == outcome::applied);
  CHECK(call(99.9999) == outcome::applied);
  CHECK(call(100) == outcome::above_bound);
  CHECK(put(0) == outcome::below_bound);
  CHECK(put(1e-6) == outcome::applied);
  CHECK(put(80) == outcome::above_bound);
  CHECK(call(-1) == outcome::below_bound);
}
