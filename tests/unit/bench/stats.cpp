// SPDX-License-Identifier: Apache-2.0
#include "bench/harness/stats.hpp"

#include <doctest/doctest.h>

#include <vector>

namespace bench = millrace::bench;

TEST_CASE("stats: the median is the middle value, or the mean of the two middle ones") {
  CHECK(bench::median(std::vector<double>{}) == 0);
  CHECK(bench::median(std::vector{7.0}) == 7);
  CHECK(bench::median(std::vector{9.0, 1.0, 5.0}) == 5);
  CHECK(bench::median(std::vector{4.0, 1.0, 3.0, 2.0}) == 2.5);
  CHECK(bench::median(std::vector{2.0, 2.0, 2.0, 8.0}) == 2);
}

TEST_CASE("stats: the spread is the median distance from the median and ignores one wild run") {
  CHECK(bench::mad(std::vector{1.0, 2.0, 3.0, 4.0, 5.0}) == 1);
  CHECK(bench::mad(std::vector{1.0, 2.0, 3.0, 4.0, 5000.0}) == 1);
  CHECK(bench::mad(std::vector{3.0, 3.0, 3.0}) == 0);
}

TEST_CASE("stats: above one is a win for a time that is lower and for a rate that is higher") {
  CHECK(bench::times_better(100, 150, bench::better::lower) == 1.5);
  CHECK(bench::times_better(150, 100, bench::better::higher) == 1.5);
  CHECK(bench::times_better(200, 100, bench::better::lower) == 0.5);
}

TEST_CASE("stats: the ratio is taken in each round, so that a machine slow for a while cancels") {
  // from round 3 on everything takes ten times as long
  std::vector const ours{10.0, 10.0, 100.0, 100.0, 100.0};
  std::vector const peer{12.0, 12.0, 120.0, 120.0, 120.0};
  CHECK(bench::ratio_of_rounds(ours, peer, bench::better::lower) == doctest::Approx(1.2));
  // the quotient of the medians would be 0.12: the slow spell met ours in one round more
  std::vector const unlucky{10.0, 100.0, 100.0};
  std::vector const lucky{12.0, 120.0, 12.0};
  CHECK(bench::ratio_of_rounds(unlucky, lucky, bench::better::lower) == doctest::Approx(1.2));
}
