// SPDX-License-Identifier: Apache-2.0
#include "examples/revalue/instruction_set.hpp"
#include "sample.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <vector>

using namespace revalue;
using revalue::test::lone_option;

TEST_CASE("pricing: gives the textbook's price and greeks") {
  // Hull, Options, Futures, and Other Derivatives: S = 42, K = 40, r = 10 %, vol 20 %, half a year
  lone_option call(true, 40, 0.5, 0.2, 0.1, 0);
  lone_option put(false, 40, 0.5, 0.2, 0.1, 0);
  CHECK(call.price(42) == doctest::Approx(4.759422392871532).epsilon(1e-14));
  CHECK(put.price(42) == doctest::Approx(0.808599372900096).epsilon(1e-13));
  CHECK(call.values.delta[0] == doctest::Approx(0.7791312909426690).epsilon(1e-14));
  CHECK(put.values.delta[0] == doctest::Approx(-0.2208687090573310).epsilon(1e-13));
}

TEST_CASE("pricing: greeks are the price's differences") {
  double const h = 1e-5;
  for (bool const call : {true, false}) {
    for (double const strike : {60.0, 100.0, 150.0}) {
      double const s = 100, t = 0.7, v = 0.3, r = 0.03, q = 0.01;
      auto const price = [&](double spot, double years, double vol, double rate) {
        return lone_option(call, strike, years, vol, rate, q).price(spot);
      };
      lone_option option(call, strike, t, v, r, q);
      static_cast<void>(option.price(s));
      auto const slope = [&](double up, double down) { return (up - down) / (2 * h); };
      CHECK(option.values.delta[0] ==
            doctest::Approx(slope(price(s + h, t, v, r), price(s - h, t, v, r))).epsilon(1e-6));
      CHECK(option.values.vega[0] ==
            doctest::Approx(slope(price(s, t, v + h, r), price(s, t, v - h, r))).epsilon(1e-6));
      CHECK(option.values.rho[0] ==
            doctest::Approx(slope(price(s, t, v, r + h), price(s, t, v, r - h))).epsilon(1e-6));
      CHECK(option.values.theta[0] ==
            doctest::Approx(-slope(price(s, t + h, v, r), price(s, t - h, v, r))).epsilon(1e-6));
      double const k = 1e-3;
      double const bend = (price(s + k, t, v, r) - 2 * price(s, t, v, r) + price(s - k, t, v, r));
      CHECK(option.values.gamma[0] == doctest::Approx(bend / (k * k)).epsilon(1e-4));
    }
  }
}

TEST_CASE("pricing: a call less its put is the forward, however far the strike") {
  for (double strike = 1e-3; strike < 1e6; strike *= 1.9) {
    double const r = 0.02, q = 0.01, t = 1.5, s = 100;
    lone_option call(true, strike, t, 0.25, r, q);
    lone_option put(false, strike, t, 0.25, r, q);
    double const forward = s * exponential(-q * t) - strike * exponential(-r * t);
    CHECK(std::fabs(call.price(s) - put.price(s) - forward) <= 1e-14 * (s + strike));
    CHECK(call.price(s) >= 0);
    CHECK(put.price(s) >= 0);
  }
}

TEST_CASE("pricing: every instruction set gives the same bits") {
  book const from = generate_book(4'000, 1455.22, 0.03, 0.015);
  std::vector<value_block> first;
  for (instruction_set const& with : instruction_sets()) {
    desks on(from);
    for (double const spot : {3.0, 700.0, 1455.22, 3386.15, 1e5}) {
      auto const m = market::at(spot, from.rate, from.dividend);
      for (desk_ref const& desk : on.refs()) {
        with.price(desk.options, desk.values, desk.blocks, m);
      }
      std::vector<value_block> const found(on.values().begin(), on.values().end());
      if (spot == 1455.22 && first.empty()) { first = found; }
      if (spot == 1455.22) {
        CHECK_MESSAGE(
            std::memcmp(found.data(), first.data(), found.size() * sizeof(value_block)) == 0,
            with.name);
      }
      for (value_block const& v : found) {
        for (int i = 0; i < block_width; ++i) {
          REQUIRE(std::isfinite(v.value[i] + v.delta[i] + v.gamma[i] + v.vega[i] + v.theta[i] +
                                v.rho[i]));
        }
      }
    }
  }
}
