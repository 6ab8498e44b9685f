// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/book/default_book.hpp"

#include <memory>
#include <vector>

/// \file
/// The book in QuantLib, where it is installed.

namespace millrace::bench {

/// Whether this program was built with QuantLib.
[[nodiscard]] bool has_quantlib() noexcept;

/// Prices contracts with QuantLib's BlackCalculator, one constructed for each option and spot.
class quantlib_book {
 public:
  explicit quantlib_book(revalue::book const& of);
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

/// The book as QuantLib's users build it: a quote for the spot and one for each volatility, a
/// process, an engine and an option for each contract, and lazy objects that sum over desks and
/// the firm. A quote marks what depends on it, and what is asked for next is computed.
class quantlib_graph {
 public:
  explicit quantlib_graph(revalue::book const& of);
  quantlib_graph(quantlib_graph const&) = delete;
  quantlib_graph& operator=(quantlib_graph const&) = delete;
  ~quantlib_graph();

  void write_spot(double spot);
  void write_volatility(std::size_t contract, double volatility);
  /// The firm's risk, and with it those of all desks and all options.
  [[nodiscard]] measures firm() const;
  [[nodiscard]] measures desk(std::size_t number) const;
  [[nodiscard]] measures option(std::size_t contract) const;

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace millrace::bench
