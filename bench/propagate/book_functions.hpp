// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/book/default_book.hpp"
#include "examples/revalue/book.hpp"
#include "examples/revalue/desks.hpp"
#include "examples/revalue/instruction_set.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace millrace::bench {

/// A book without a graph: the functions of its cells are called desk by desk, as by the workers of
/// a queue, for what a quote changes and nothing else.
/// @thread one at a time
class book_functions {
 public:
  explicit book_functions(revalue::book const& of)
      : desks_(of),
        firm_(revalue::risk_tree::size(static_cast<std::uint32_t>(of.desks.size()))),
        tree_{firm_.data(), static_cast<std::uint32_t>(of.desks.size())} {}

  void write_spot(double spot) {
    for (std::uint16_t d = 0; d < tree_.leaves; ++d) {
      apply(d, revalue::update_kind::spot, spot, 0);
    }
    tree_.rebuild(revalue::solo{});
  }
  void write_volatility(std::size_t contract, double volatility) {
    revalue::place const at = desks_.places()[contract];
    apply(at.desk, revalue::update_kind::volatility, volatility, at.option);
    tree_.refresh(at.desk);
  }
  [[nodiscard]] measures option(std::size_t contract) const {
    revalue::place const at = desks_.places()[contract];
    revalue::value_block const& v = desks_.refs()[at.desk].values[at.option / revalue::block_width];
    std::uint32_t const i = at.option % revalue::block_width;
    return {v.value[i], v.delta[i], v.gamma[i], v.vega[i], v.theta[i], v.rho[i]};
  }
  [[nodiscard]] std::size_t option_count() const noexcept { return desks_.places().size(); }
  [[nodiscard]] std::size_t desk_count() const noexcept { return tree_.leaves; }
  [[nodiscard]] std::size_t desk_of(std::size_t contract) const noexcept {
    return desks_.places()[contract].desk;
  }
  [[nodiscard]] revalue::risk const& desk_risk(std::size_t number) const { return firm_[number]; }
  [[nodiscard]] revalue::risk const& firm_risk() const { return tree_.root(); }

 private:
  void apply(std::uint16_t desk, revalue::update_kind kind, double price, std::uint32_t option) {
    static_cast<void>(with_.apply(desks_.refs()[desk], {price, 0, 0, option, desk, kind}));
    firm_[desk] = desks_.refs()[desk].tree.root();
  }

  revalue::instruction_set with_ = revalue::best_instruction_set();
  revalue::desks desks_;
  std::vector<revalue::risk> firm_;  // a tree, whose leaves are desks
  revalue::risk_tree tree_;
};

}  // namespace millrace::bench
