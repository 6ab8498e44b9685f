// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/book/default_book.hpp"
#include "examples/revalue/book.hpp"

#include <cmath>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

/// \file
/// What a book is worth by the textbook, with the C library's erfc: the answer that every contender
/// is held to.

namespace millrace::bench {

/// Black, Scholes and Merton's price and greeks.
[[nodiscard]] inline measures textbook(revalue::contract const& c, double volatility, double spot,
                                       double rate, double dividend) {
  auto const normal = [](double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); };
  double const sign = c.call ? 1 : -1;
  double const root = std::sqrt(c.years), deviation = volatility * root;
  double const forward = spot * std::exp(-dividend * c.years);
  double const strike = c.strike * std::exp(-rate * c.years);
  double const d1 = std::log(forward / strike) / deviation + 0.5 * deviation;
  double const d2 = d1 - deviation;
  double const density = forward * std::exp(-0.5 * d1 * d1) * 0.3989422804014327;
  double const spot_leg = sign * forward * normal(sign * d1);
  double const cash_leg = sign * strike * normal(sign * d2);
  return {spot_leg - cash_leg,
          spot_leg / spot,
          density / (deviation * spot * spot),
          density * root,
          dividend * spot_leg - rate * cash_leg - density * volatility / (2 * root),
          c.years * cash_leg};
}

/// A book by the textbook: its options, and what desks and the firm hold of them.
class book_answer {
 public:
  /// @param volatilities [contracts]
  book_answer(revalue::book const& of, std::vector<double> const& volatilities, double spot)
      : spot_{spot}, desks_(of.desks.size()) {
    options_.reserve(of.contracts.size());
    for (std::size_t i = 0; i < of.contracts.size(); ++i) {
      revalue::contract const& c = of.contracts[i];
      options_.push_back(textbook(c, volatilities[i], spot, of.rate, of.dividend));
      desks_[c.desk].add(options_[i], c.quantity, spot);
      firm_.add(options_[i], c.quantity, spot);
    }
  }

  /// Where a side disagrees, in words; empty where it does not. Sums may be apart by as much as
  /// their options.
  /// @param option, desk  give the measures of a contract and of a desk, by number
  template <class Option, class Desk>
  [[nodiscard]] std::string disagreement_with(Option option, Desk desk,
                                              measures const& firm) const {
    for (std::size_t i = 0; i < options_.size(); ++i) {
      std::string found = disagreement(i, option(i), options_[i], spot_);
      if (!found.empty()) { return found; }
    }
    for (std::size_t d = 0; d < desks_.size(); ++d) {
      std::string found = desks_[d].disagreement_with(desk(d));
      if (!found.empty()) { return "desk " + std::to_string(d) + ", " + found; }
    }
    std::string found = firm_.disagreement_with(firm);
    return found.empty() ? found : "the firm, " + found;
  }

 private:
  struct total {
    measures sum{};
    measures allowed{};

    void add(measures const& one, double quantity, double spot) {
      for (std::size_t m = 0; m < one.size(); ++m) {
        sum[m] += quantity * one[m];
        allowed[m] += std::fabs(quantity) * tolerance_of(m, one[m], spot);
      }
    }
    [[nodiscard]] std::string disagreement_with(measures const& found) const {
      for (std::size_t m = 0; m < sum.size(); ++m) {
        if (!(std::fabs(found[m] - sum[m]) <= allowed[m])) {
          return "measure " + std::to_string(m) + ": " + number(found[m]) + ", by the textbook " +
                 number(sum[m]);
        }
      }
      return {};
    }
  };

  double spot_;
  std::vector<measures> options_;
  std::vector<total> desks_;
  total firm_;
};

}  // namespace millrace::bench
