// SPDX-License-Identifier: Apache-2.0
// also compiled as CUDA
#include "examples/revalue/numeric.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

using namespace revalue;

TEST_CASE("exponential: agrees with the library's over its whole range") {
  double worst = 0;
  for (double x = -708; x < 709; x += 0.0137) {
    worst = std::fmax(worst, std::fabs(exponential(x) / std::exp(x) - 1));
  }
  CHECK(worst < 4e-16);
  CHECK(exponential(0) == 1.0);
}

TEST_CASE("logarithm: agrees with the library's for small, large and nearly one") {
  double worst = 0;
  for (double x = 1e-300; x < 1e300; x *= 1.37) {
    worst = std::fmax(worst, std::fabs(logarithm(x) / std::log(x) - 1));
  }
  for (double x = 0.5; x < 2; x += 0.00017) {
    worst = std::fmax(worst, std::fabs(logarithm(x) - std::log(x)) / std::fabs(std::log(x)));
  }
  CHECK(worst < 5e-16);
  CHECK(logarithm(1) == 0.0);
}

TEST_CASE("mills_ratio: agrees with erfc where that can be had") {
  double worst = 0;
  for (double x = 0; x < 26; x += 0.0031) {
    auto const y = static_cast<long double>(x);
    long double const root_half = 0.70710678118654752440084436210484903928L;
    long double const root_half_pi = 1.25331413731550025120788264240552262650L;
    long double const wanted = root_half_pi * std::erfc(y * root_half) * std::exp(0.5L * y * y);
    worst = std::fmax(worst, static_cast<double>(std::fabs(mills_ratio(x) / wanted - 1)));
  }
  CHECK(worst < 1.2e-15);
}

TEST_CASE("mills_ratio: lies between its classic bounds far out") {
  for (double x = 20; x <= 38; x += 0.01) {
    CHECK(mills_ratio(x) < 1 / x);
    CHECK(mills_ratio(x) > x / (x * x + 1));
  }
}

TEST_CASE("magnitude_within: is the smaller magnitude, and the limit for what is no number") {
  CHECK(magnitude_within(-3, 5) == 3);
  CHECK(magnitude_within(7, 5) == 5);
  CHECK(magnitude_within(-0.0, 5) == 0);
  CHECK(magnitude_within(std::numeric_limits<double>::infinity(), 5) == 5);
  CHECK(magnitude_within(std::numeric_limits<double>::quiet_NaN(), 5) == 5);
}
