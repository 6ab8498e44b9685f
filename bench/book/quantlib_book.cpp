// SPDX-License-Identifier: Apache-2.0
#include "bench/book/quantlib.hpp"

#include <cmath>
#include <ql/pricingengines/blackcalculator.hpp>

namespace millrace::bench {

quantlib_book::quantlib_book(revalue::book const& of) {
  terms_.reserve(of.contracts.size());
  for (revalue::contract const& c : of.contracts) {
    double const discount = std::exp(-of.rate * c.years);
    terms_.push_back({c.call, c.strike, c.years, std::exp((of.rate - of.dividend) * c.years),
                      discount, c.volatility * std::sqrt(c.years)});
  }
}

bool has_quantlib() noexcept { return true; }

void quantlib_book::price(double spot, std::vector<measures>& out) const {
  for (std::size_t i = 0; i < terms_.size(); ++i) {
    terms const& t = terms_[i];
    QuantLib::BlackCalculator const black(t.call ? QuantLib::Option::Call : QuantLib::Option::Put,
                                          t.strike, spot * t.growth, t.deviation, t.discount);
    out[i] = {black.value(),       black.delta(spot),          black.gamma(spot),
              black.vega(t.years), black.theta(spot, t.years), black.rho(t.years)};
  }
}

}  // namespace millrace::bench
