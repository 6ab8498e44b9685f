// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "numeric.hpp"
#include "update.hpp"
#include <millrace/core/config.hpp>

#include <cmath>

namespace revalue {

/// A volatility, or why there is none.
struct implied {
  double volatility = 0;
  revalue::outcome outcome = revalue::outcome::applied;
};

/// Mills' ratio for any |x| <= 37.
[[nodiscard]] MILLRACE_HD inline double mills_ratio_signed(double x) noexcept {
  constexpr double root_two_pi = 2.5066282746310005;
  double const upper = mills_ratio(magnitude_within(x, 38.0));
  return x < 0 ? fused(root_two_pi, exponential(0.5 * x * x), -upper) : upper;
}

/// The total deviation vol sqrt T at which an out-of-the-money option is worth `target`.
///
/// In units of the geometric mean of A = S e^(-qT) and B = K e^(-rT), with y = |ln(A/B)|,
/// h = y / s and t = s / 2, the option is worth φ(h) e^(-t²/2) (M(h - t) - M(h + t)) and misses
/// its upper bound e^(-y/2) by the same with M(t - h) + M(t + h), M being Mills' ratio. The
/// logarithm of whichever of the two is smaller is solved for s by Halley's method inside a
/// bracket, so that the least time values and those next to the bound are as easy as the rest.
/// @param y       |ln(A/B)|
/// @param target  value / sqrt(AB), inside (0, ceiling)
/// @param ceiling e^(-y/2)
/// @source Jäckel, "Let's be rational", Wilmott 2015, for the choice of objective
[[nodiscard]] MILLRACE_HD inline double total_deviation(double y, double target,
                                                        double ceiling) noexcept {
  constexpr double root_two_pi = 2.5066282746310005;
  constexpr double log_root_two_pi = 0.91893853320467274;
  constexpr double most = 74;  // beyond it the missing part is below 1e-290
  bool const upper = target > 0.5 * ceiling;
  double const log_target = logarithm(upper ? ceiling - target : target);

  // value <= e^(-h²/2) and value <= s / sqrt(2 pi) bound s from below; M is known up to 37.5.
  double low = product(root_two_pi, target);
  double const tail = -2 * logarithm(target);
  double const from_tail = tail > 0 ? y / std::sqrt(tail) : 0;
  double const from_range = y / 37.0;
  low = low > from_tail ? low : from_tail;
  low = low > from_range ? low : from_range;
  double high = most;
  if (!(low < high) || !(target < ceiling)) { return high; }

  double s = low;
  for (int step = 0; step < 100; ++step) {
    double const h = y / s;
    double const t = 0.5 * s;
    double const near = mills_ratio_signed(upper ? t - h : h - t);
    double const far = mills_ratio_signed(h + t);
    double const sum = upper ? near + far : near - far;
    double const ratio = sum > 1e-300 ? sum : 1e-300;  // a difference may cancel to nothing
    double const miss =
        fused(-0.5, fused(h, h, t * t), logarithm(ratio) - log_root_two_pi) - log_target;
    (miss < 0) == upper ? high = s : low = s;

    // slope and curvature of the logarithm: f' = ±1 / ratio, f'' / f' = h²/s - s/4 - f'.
    double const newton = product(upper ? -miss : miss, ratio);
    if (std::fabs(newton) <= 1e-15 * s) { break; }
    double const slope = upper ? -1.0 / ratio : 1.0 / ratio;
    double const bend = fused(-0.5 * newton, fused(h, h / s, -0.25 * s) - slope, 1.0);
    double next = s - (bend > 0.5 ? newton / bend : newton);
    if (!(next > low && next < high)) { next = 0.5 * (low + high); }
    if (next == s) { break; }
    s = next;
  }
  return s;
}

/// Whether a mid lies inside the model's no-arbitrage bounds, or which it does not respect: all
/// that decides whether it implies a volatility.
/// @param sign, forward_value, strike_value  as for implied_volatility
[[nodiscard]] MILLRACE_HD inline outcome within_bounds(double mid, double sign,
                                                       double forward_value,
                                                       double strike_value) noexcept {
  double const in_the_money = sign * (forward_value - strike_value);
  double const least = in_the_money > 0 ? in_the_money : 0.0;
  double const greatest = sign > 0 ? forward_value : strike_value;
  if (!(mid > least)) { return outcome::below_bound; }
  return mid < greatest ? outcome::applied : outcome::above_bound;
}

/// The volatility at which Black-Scholes-Merton gives `mid`.
/// @param sign           +1 call, -1 put
/// @param forward_value  S e^(-qT), positive
/// @param strike_value   K e^(-rT), positive
/// @param root_years     sqrt T, positive
/// @return the volatility, or the bound that the mid does not respect
[[nodiscard]] MILLRACE_HD inline implied implied_volatility(double mid, double sign,
                                                            double forward_value,
                                                            double strike_value,
                                                            double root_years) noexcept {
  outcome const verdict = within_bounds(mid, sign, forward_value, strike_value);
  if (verdict != outcome::applied) { return {0, verdict}; }
  double const in_the_money = sign * (forward_value - strike_value);
  double const least = in_the_money > 0 ? in_the_money : 0.0;

  // By parity the time value is an out-of-the-money option's whole value.
  double const unit = std::sqrt(forward_value) * std::sqrt(strike_value);
  double const smaller = forward_value < strike_value ? forward_value : strike_value;
  double const y = std::fabs(logarithm(forward_value / strike_value));
  double const ceiling = smaller / unit;
  double const target = (mid - least) / unit;
  return {total_deviation(y, target, ceiling) / root_years, outcome::applied};
}

}  // namespace revalue
