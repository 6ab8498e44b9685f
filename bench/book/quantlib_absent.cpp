// SPDX-License-Identifier: Apache-2.0
#include "bench/book/quantlib.hpp"

namespace millrace::bench {

bool has_quantlib() noexcept { return false; }

quantlib_book::quantlib_book(revalue::book const&) {}
void quantlib_book::price(double, std::vector<measures>&) const {}

struct quantlib_graph::state {};
quantlib_graph::quantlib_graph(revalue::book const&) {}
quantlib_graph::~quantlib_graph() = default;
void quantlib_graph::write_spot(double) {}
void quantlib_graph::write_volatility(std::size_t, double) {}
measures quantlib_graph::firm() const { return {}; }
measures quantlib_graph::desk(std::size_t) const { return {}; }
measures quantlib_graph::option(std::size_t) const { return {}; }

}  // namespace millrace::bench
