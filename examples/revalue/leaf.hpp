// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "desk.hpp"
#include "pricing.hpp"
#include "risk.hpp"
#include <millrace/core/config.hpp>

#include <cstdint>

/// \file
/// The options of one leaf of a desk's risk tree as values: what they are, what pricing needs of
/// them at some rates and volatilities, and what they are worth at some spot.

namespace revalue {

/// What pricing needs to know, at some rates and volatilities.
struct leaf_terms {
  option_block blocks[leaf_blocks];
};

/// Options, whatever the market says.
struct leaf_contracts {
  leaf_terms like;  ///< of which what rates and volatilities decide is not read
  double strike[leaf_options];
};

/// What some quotes say of a leaf.
struct leaf_quotes {
  double rate;                      ///< continuously compounded, per year
  double dividend;                  ///< continuous yield, per year
  double volatility[leaf_options];  ///< per year; 0: not known, the option weighs nothing
};

/// What options are worth, one by one and all together.
struct priced_leaf {
  risk total;
  value_block values[leaf_blocks];
};

[[nodiscard]] MILLRACE_HD inline leaf_terms terms_of(leaf_contracts const& of,
                                                     leaf_quotes const& at) noexcept {
  leaf_terms out = of.like;
  for (std::uint32_t b = 0; b < leaf_blocks; ++b) {
    option_block& o = out.blocks[b];
    for (int lane = 0; lane < block_width; ++lane) {
      std::uint32_t const i = b * block_width + static_cast<std::uint32_t>(lane);
      bool const known = at.volatility[i] > 0;
      o.strike_value[lane] = of.strike[i] * exponential(-at.rate * o.years[lane]);
      o.dividend_discount[lane] = exponential(-at.dividend * o.years[lane]);
      set_volatility(o, lane, known ? at.volatility[i] : 0.2, at.rate, at.dividend);
      o.weight[lane] = known ? o.quantity[lane] : 0;
      o.volatility[lane] = at.volatility[i];
    }
  }
  return out;
}

[[nodiscard]] MILLRACE_HD inline priced_leaf price_leaf(leaf_terms const& of,
                                                        market const& at) noexcept {
  priced_leaf out;
  price_blocks(of.blocks, out.values, leaf_blocks, at);
  out.total = risk_of(of.blocks, out.values);
  return out;
}

}  // namespace revalue
