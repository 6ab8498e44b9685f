// SPDX-License-Identifier: Apache-2.0
#include "interop/quantlib_book.hpp"

#include <cmath>
#include <ql/pricingengines/blackcalculator.hpp>

namespace revalue::test {

std::array<double, 6> quantlib_measures(contract const& of, double spot, double rate,
                                        double dividend, double volatility) {
  double const forward = spot * std::exp((rate - dividend) * of.years);
  QuantLib::BlackCalculator const black(of.call ? QuantLib::Option::Call : QuantLib::Option::Put,
                                        of.strike, forward, volatility * std::sqrt(of.years),
                                        std::exp(-rate * of.years));
  return {black.value(),        black.delta(spot),           black.gamma(spot),
          black.vega(of.years), black.theta(spot, of.years), black.rho(of.years)};
}

}  // namespace revalue::test
