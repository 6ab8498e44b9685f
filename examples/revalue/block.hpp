// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "desk.hpp"
#include "pricing.hpp"
#include "risk.hpp"
#include <millrace/core/config.hpp>

#include <cstdint>

/// \file
/// Blocks of options as values: what they are, what pricing needs of them at some rates and
/// volatilities, what they are worth at some spot, and what a leaf of blocks comes to.

namespace revalue {

/// Options, whatever the market says.
struct block_contracts {
  option_block like;  ///< of which what rates and volatilities decide is not read
  double strike[block_width];
};

/// What some quotes say of a block.
struct block_quotes {
  double rate;                     ///< continuously compounded, per year
  double dividend;                 ///< continuous yield, per year
  double volatility[block_width];  ///< per year; 0: not known, the option weighs nothing
};

/// What options are worth, each for itself, and how much of it there is.
struct priced_block {
  value_block values;
  double weight[block_width];
};

[[nodiscard]] MILLRACE_HD inline option_block terms_of(block_contracts const& of,
                                                       block_quotes const& at) noexcept {
  option_block out = of.like;
  for (int lane = 0; lane < block_width; ++lane) {
    bool const known = at.volatility[lane] > 0;
    out.strike_value[lane] = of.strike[lane] * exponential(-at.rate * out.years[lane]);
    out.dividend_discount[lane] = exponential(-at.dividend * out.years[lane]);
    set_volatility(out, lane, known ? at.volatility[lane] : 0.2, at.rate, at.dividend);
    out.weight[lane] = known ? out.quantity[lane] : 0;
    out.volatility[lane] = at.volatility[lane];
  }
  return out;
}

[[nodiscard]] MILLRACE_HD inline priced_block priced(option_block const& of,
                                                     market const& at) noexcept {
  priced_block out;
  price_blocks(&of, &out.values, 1, at);
  for (int lane = 0; lane < block_width; ++lane) { out.weight[lane] = of.weight[lane]; }
  return out;
}

/// What the blocks of a leaf contribute to their desk. Those that a leaf has no options for may be
/// missing.
/// @param blocks [count]
/// @param count  up to leaf_blocks
[[nodiscard]] MILLRACE_HD inline risk risk_of(priced_block const* const* blocks,
                                              std::uint32_t count) noexcept {
  value_block sums{};
  for (std::uint32_t b = 0; b < count; ++b) {
    accumulate(blocks[b]->weight, blocks[b]->values, sums);
  }
  return total(sums);
}

}  // namespace revalue
