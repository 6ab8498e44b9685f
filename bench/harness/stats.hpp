// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

namespace millrace::bench {

/// Which way a figure improves: a time falls, a rate rises.
enum class better { lower, higher };

/// The middle of the values; the mean of the two middle ones when their number is even.
/// @return 0 for no values    @cost O(n), copies
[[nodiscard]] inline double median(std::span<double const> values) {
  if (values.empty()) { return 0; }
  std::vector<double> copy(values.begin(), values.end());
  auto const middle = copy.begin() + static_cast<std::ptrdiff_t>(copy.size() / 2);
  std::nth_element(copy.begin(), middle, copy.end());
  if (copy.size() % 2 == 1) { return *middle; }
  return (*std::max_element(copy.begin(), middle) + *middle) / 2;
}

/// Median absolute deviation from the median: a spread that single disturbed runs do not move.
[[nodiscard]] inline double mad(std::span<double const> values) {
  double const centre = median(values);
  std::vector<double> distance;
  distance.reserve(values.size());
  for (double v : values) { distance.push_back(std::abs(v - centre)); }
  return median(distance);
}

/// How many times better `ours` is than `peer`: above 1 is a win, whichever way the unit improves.
[[nodiscard]] constexpr double times_better(double ours, double peer, better way) noexcept {
  return way == better::lower ? peer / ours : ours / peer;
}

/// The ratio of interleaved runs: `times_better` of each round, then the median over the rounds.
/// What disturbs the machine for longer than a round disturbs both sides of a quotient alike.
/// @param ours  [n] one value a round
/// @param peer  [n] the same rounds
[[nodiscard]] inline double ratio_of_rounds(std::span<double const> ours,
                                            std::span<double const> peer, better way) {
  std::vector<double> quotients;
  for (std::size_t i = 0; i < std::min(ours.size(), peer.size()); ++i) {
    quotients.push_back(times_better(ours[i], peer[i], way));
  }
  return median(quotients);
}

}  // namespace millrace::bench
