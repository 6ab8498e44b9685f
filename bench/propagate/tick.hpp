// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/harness/session.hpp"

namespace millrace::bench {

/// The rows `propagate.tick` and `propagate.tick.option`: a quote of the underlying, which touches
/// all of the default book, and the volatility of one of its options.
void run_ticks(session& out);

}  // namespace millrace::bench
