// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "numeric.hpp"
#include <millrace/core/config.hpp>

#include <cmath>

namespace revalue {

/// Options are kept and priced in blocks of this many, one vector register of doubles each field.
inline constexpr int block_width = 8;

/// What all options on one underlying share.
struct market {
  double spot = 0;
  double log_spot = 0;
  double inverse_spot = 0;
  double rate = 0;      ///< continuously compounded, per year
  double dividend = 0;  ///< continuous yield, per year

  /// @param spot  positive
  [[nodiscard]] MILLRACE_HD static market at(double spot, double rate, double dividend) noexcept {
    return {spot, logarithm(spot), 1.0 / spot, rate, dividend};
  }
};

/// What pricing needs to know of eight European options, one column a field. All of it is fixed
/// while only the spot moves, so that a tick costs no logarithm and no square root.
struct alignas(64) option_block {
  double sign[block_width];               ///< +1 call, -1 put
  double weight[block_width];             ///< signed quantity; 0 while it does not count
  double log_strike[block_width];         ///< ln K
  double strike_value[block_width];       ///< K e^(-rT)
  double dividend_discount[block_width];  ///< e^(-qT)
  double years[block_width];              ///< T, held constant during a run
  double root_years[block_width];         ///< sqrt T
  double deviation[block_width];          ///< vol sqrt T
  double inverse_deviation[block_width];  ///< 1 / (vol sqrt T)
  double shift[block_width];              ///< (r - q) sqrt T / vol + vol sqrt T / 2
  double decay[block_width];              ///< vol / (2 sqrt T)
  double volatility[block_width];         ///< as last set; pricing does not read it
  double quantity[block_width];           ///< signed; becomes the weight with the first volatility
};

/// Price and greeks of eight options, per unit of the underlying. Vega and rho are per 1.00 of
/// volatility and rate, theta is per year.
struct alignas(64) value_block {
  double value[block_width];
  double delta[block_width];
  double gamma[block_width];
  double vega[block_width];
  double theta[block_width];
  double rho[block_width];
};

/// Sets what depends on the volatility in one lane, which counts from now on.
/// @param vol  positive
MILLRACE_HD inline void set_volatility(option_block& o, int lane, double vol, double rate,
                                       double dividend) noexcept {
  double const deviation = vol * o.root_years[lane];
  double const drift = (rate - dividend) * o.years[lane];
  o.deviation[lane] = deviation;
  o.inverse_deviation[lane] = 1.0 / deviation;
  o.shift[lane] = fused(0.5, deviation, drift / deviation);
  o.decay[lane] = 0.5 * vol / o.root_years[lane];
  o.volatility[lane] = vol;
  o.weight[lane] = o.quantity[lane];
}

/// whole * Φ(x), from the upper tail density * ratio that |x| cuts off.
[[nodiscard]] MILLRACE_HD inline double tail_or_rest(double x, double whole, double density,
                                                     double ratio) noexcept {
  double const step = std::copysign(0.5, x) + 0.5;
  return fused(std::copysign(density, -x), ratio, whole * step);
}

/// Black, Scholes and Merton's price and greeks of one lane; the one body behind every path.
///
/// With d1, d2 as usual, A = S e^(-qT) and B = K e^(-rT): A φ(d1) = B φ(d2), so one exponential
/// serves both normal integrals, each being a density times Mills' ratio.
/// @error absolute error of the price below 1e-14 A; densities vanish beyond 37.5 deviations
/// @cost  one exponential, two divisions, no branch
/// @source Black and Scholes 1973; Merton 1973
MILLRACE_HD inline void price_lane(option_block const& o, market const& m, value_block& out,
                                   int lane) noexcept {
  constexpr double inverse_root_two_pi = 0.3989422804014327;
  double const sign = o.sign[lane];
  double const strike = o.strike_value[lane];
  double const forward = m.spot * o.dividend_discount[lane];

  double const d1 =
      fused(m.log_spot - o.log_strike[lane], o.inverse_deviation[lane], o.shift[lane]);
  double const d2 = d1 - o.deviation[lane];
  double const size1 = magnitude_within(d1, 37.5);
  double const size2 = magnitude_within(d2, 37.5);
  double const density = forward * inverse_root_two_pi * exponential(-0.5 * size1 * size1);
  double const ratio1 = mills_ratio(size1);
  double const ratio2 = mills_ratio(size2);

  double const spot_leg = sign * tail_or_rest(sign * d1, forward, density, ratio1);
  double const cash_leg = sign * tail_or_rest(sign * d2, strike, density, ratio2);
  out.value[lane] = spot_leg - cash_leg;
  out.delta[lane] = spot_leg * m.inverse_spot;
  out.gamma[lane] = density * o.inverse_deviation[lane] * m.inverse_spot * m.inverse_spot;
  out.vega[lane] = density * o.root_years[lane];
  out.theta[lane] = fused(-density, o.decay[lane], fused(m.dividend, spot_leg, -m.rate * cash_leg));
  out.rho[lane] = o.years[lane] * cash_leg;
}

}  // namespace revalue
