// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "examples/revalue/book.hpp"

#include <array>

namespace revalue::test {

/// Value, delta, gamma, vega, theta and rho of one unit of a contract, by QuantLib.
[[nodiscard]] std::array<double, 6> quantlib_measures(contract const& of, double spot, double rate,
                                                      double dividend, double volatility);

}  // namespace revalue::test
