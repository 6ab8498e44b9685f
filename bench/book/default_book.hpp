// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/harness/report.hpp"
#include "examples/revalue/book.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <string>

/// \file
/// The book that benches revalue, and when two prices of it are the same.

namespace millrace::bench {

/// The example's default book, around the first of its closes.
inline constexpr std::size_t book_size = 20'000;
inline constexpr double first_spot = 1455.22;
[[nodiscard]] inline revalue::book default_book() {
  return revalue::generate_book(book_size, first_spot, 0.01, 0.015);
}

/// Value, delta, gamma, vega, theta and rho of one option.
using measures = std::array<double, 6>;

/// How far two libraries may be apart: each rounds in its own way.
inline constexpr double value_tolerance = 1e-10;  ///< relative
inline constexpr double greek_tolerance = 1e-7;   ///< relative
inline constexpr double least_tolerance = 1e-12;  ///< of the spot: what is nearly nothing

/// How far a measure, by its place, may be from what the other side says.
[[nodiscard]] inline double tolerance_of(std::size_t measure, double other, double spot) {
  double const relative = measure == 0 ? value_tolerance : greek_tolerance;
  return std::max(relative * std::fabs(other), least_tolerance * spot);
}

/// Where two sides disagree about an option, in words; empty where they do not.
[[nodiscard]] inline std::string disagreement(std::size_t option, measures const& mine,
                                              measures const& other, double spot) {
  for (std::size_t m = 0; m < mine.size(); ++m) {
    if (!(std::fabs(mine[m] - other[m]) <= tolerance_of(m, other[m], spot))) {
      return "option " + std::to_string(option) + ", measure " + std::to_string(m) + ": " +
             number(mine[m]) + " here, " + number(other[m]) + " there";
    }
  }
  return {};
}

}  // namespace millrace::bench
