// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "numeric.hpp"
#include <millrace/core/rng.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

namespace revalue {

/// One European option that a desk holds.
struct contract {
  std::string id;
  std::uint16_t desk = 0;
  bool call = true;
  double strike = 0;      ///< positive
  double years = 0;       ///< positive; held constant during a run
  double volatility = 0;  ///< per year; 0: not known before the first quote
  double quantity = 0;    ///< signed units of the underlying
};

/// Desks and what they hold on one underlying.
struct book {
  std::vector<std::string> desks;
  std::vector<contract> contracts;
  double rate = 0;      ///< continuously compounded, per year
  double dividend = 0;  ///< continuous yield, per year
};

/// The most desks that a book may have.
inline constexpr std::size_t most_desks = 256;

/// The desks of generated books.
inline constexpr std::array<char const*, 8> generated_desks{
    "flow",       "overwriting", "tail-hedge", "dispersion",
    "structured", "volatility",  "macro",      "market-making"};

/// What a generated desk trades: how far from the money and from today, and which side.
struct desk_style {
  double lowest;        ///< strike / reference
  double highest;       ///< strike / reference
  double shortest;      ///< years
  double longest;       ///< years
  double call_share;    ///< of the contracts
  double bought_share;  ///< of the contracts
};
inline constexpr std::array<desk_style, 8> desk_styles{{{0.85, 1.15, 0.02, 0.50, 0.50, 0.45},
                                                        {1.00, 1.60, 0.08, 1.00, 0.95, 0.05},
                                                        {0.40, 0.90, 0.25, 2.00, 0.02, 0.90},
                                                        {0.80, 1.25, 0.08, 1.00, 0.50, 0.60},
                                                        {0.50, 2.20, 1.00, 5.00, 0.60, 0.30},
                                                        {0.70, 1.40, 0.04, 1.50, 0.50, 0.50},
                                                        {0.60, 2.00, 0.25, 3.00, 0.45, 0.70},
                                                        {0.75, 1.30, 0.02, 2.00, 0.50, 0.50}}};

/// Uniform in [low, high), from the generator's upper 53 bits: the same on every machine.
template <millrace::core::rng Rng>
[[nodiscard]] double uniform(Rng& rng, double low, double high) noexcept {
  return fused(static_cast<double>(rng.next() >> 11) * 0x1p-53, high - low, low);
}

/// A volatility smile: higher for short times and low strikes.
[[nodiscard]] inline double smile(double moneyness, double years) noexcept {
  double const m = logarithm(moneyness) / std::sqrt(years + 0.25);
  double const level = 0.16 + 0.05 / (1.0 + 4.0 * years);
  return std::clamp(fused(m, fused(0.06, m, -0.11), level), 0.06, 0.90);
}

/// A book of `count` options whose strikes lie around `reference`: the same for the same arguments.
/// @param reference  positive
[[nodiscard]] inline book generate_book(std::size_t count, double reference, double rate,
                                        double dividend) {
  book out;
  out.desks.assign(generated_desks.begin(), generated_desks.end());
  out.rate = rate;
  out.dividend = dividend;
  out.contracts.reserve(count);
  millrace::core::splitmix_rng rng(20'000);
  // strikes in steps of a round number near a five-hundredth of the reference
  double step = 0.01;
  for (double next = step; next <= reference / 250; next *= 10) { step = next; }
  for (std::size_t i = 0; i < count; ++i) {
    std::size_t const desk = i % generated_desks.size();
    desk_style const& style = desk_styles[desk];
    contract c;
    c.desk = static_cast<std::uint16_t>(desk);
    double const raw = reference * uniform(rng, style.lowest, style.highest);
    c.strike = std::max(step, std::floor(raw / step + 0.5) * step);
    c.years = std::floor(fused(uniform(rng, style.shortest, style.longest), 365, 1)) / 365;
    c.call = uniform(rng, 0, 1) < style.call_share;
    double const lots = 1 + std::floor(uniform(rng, 0, 50));
    c.quantity = (uniform(rng, 0, 1) < style.bought_share ? 100 : -100) * lots;
    c.volatility = smile(c.strike / reference, c.years);
    c.id.assign(1, c.call ? 'C' : 'P').append(std::to_string(i));
    out.contracts.push_back(std::move(c));
  }
  return out;
}

}  // namespace revalue
