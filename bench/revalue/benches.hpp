// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/harness/session.hpp"
#include "examples/revalue/book.hpp"
#include "examples/revalue/desks.hpp"

#include <array>
#include <optional>
#include <vector>

namespace millrace::bench {

/// The book of every bench here: the example's, around the first of its closes.
inline constexpr std::size_t book_size = 20'000;
inline constexpr double first_spot = 1455.22;
[[nodiscard]] inline revalue::book default_book() {
  return revalue::generate_book(book_size, first_spot, 0.01, 0.015);
}

/// Value and greeks of one option.
using measures = std::array<double, 6>;

/// Prices contracts with QuantLib's BlackCalculator, one constructed for each option and spot.
class quantlib_book {
 public:
  explicit quantlib_book(revalue::book const& of);
  /// Whether this program was built with QuantLib.
  [[nodiscard]] static bool there() noexcept;
  /// Fills `out` [contracts].
  void price(double spot, std::vector<measures>& out) const;

 private:
  /// What does not change with the spot, so that the calculator is given all it needs.
  struct terms {
    bool call;
    double strike;
    double years;
    double growth;  ///< forward / spot
    double discount;
    double deviation;
  };
  std::vector<terms> terms_;
};

/// The rows `revalue.pipeline.*`.
void run_pipelines(session& work);

}  // namespace millrace::bench
