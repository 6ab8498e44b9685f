// SPDX-License-Identifier: Apache-2.0
#include "examples/revalue/desks.hpp"
#include "examples/revalue/instruction_set.hpp"
#include "examples/revalue/underlying.hpp"
#include "interop/quantlib_book.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

using namespace revalue;

namespace {

/// The largest difference from QuantLib in units of what is allowed: 1e-10 of the price, 1e-7 of a
/// greek, or 1e-12 of the spot where that is more.
struct distance {
  double price = 0;
  double greeks = 0;
};

distance from_quantlib(desks& on, book const& of, double spot) {
  distance worst;
  for (std::size_t i = 0; i < of.contracts.size(); ++i) {
    contract const& c = of.contracts[i];
    auto const theirs = test::quantlib_measures(c, spot, of.rate, of.dividend, c.volatility);
    place const at = on.places()[i];
    value_block const& v = on.refs()[at.desk].values[at.option / block_width];
    std::uint32_t const lane = at.option % block_width;
    std::array<double, 6> const ours{v.value[lane], v.delta[lane], v.gamma[lane],
                                     v.vega[lane],  v.theta[lane], v.rho[lane]};
    for (std::size_t m = 0; m < ours.size(); ++m) {
      double const allowed = std::max((m == 0 ? 1e-10 : 1e-7) * std::fabs(theirs[m]), 1e-12 * spot);
      double& kind = m == 0 ? worst.price : worst.greeks;
      kind = std::max(kind, std::fabs(ours[m] - theirs[m]) / allowed);
    }
  }
  return worst;
}

}  // namespace

TEST_CASE("quantlib: prices and greeks of the whole default book agree, from crash to peak") {
  feed const closes = bundled_underlying();
  for (double const dividend : {0.0, 0.02}) {
    book const of = generate_book(20'000, closes.first_price(), 0.01, dividend);
    desks on(of);
    for (std::size_t day = 0; day < closes.events.size(); day += 300) {
      double const spot = closes.events[day].price;
      for (desk_ref const& desk : on.refs()) {
        best_instruction_set().price(desk.options, desk.values, desk.blocks,
                                     market::at(spot, of.rate, of.dividend));
      }
      distance const found = from_quantlib(on, of, spot);
      CAPTURE(spot);
      CHECK(found.price <= 1);
      CHECK(found.greeks <= 1);
    }
  }
}
