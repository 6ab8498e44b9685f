// SPDX-License-Identifier: Apache-2.0
#include "bench/revalue/benches.hpp"

namespace millrace::bench {

quantlib_book::quantlib_book(revalue::book const&) {}
bool quantlib_book::there() noexcept { return false; }
void quantlib_book::price(double, std::vector<measures>&) const {}

}  // namespace millrace::bench
