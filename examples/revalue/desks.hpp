// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "book.hpp"
#include "desk.hpp"
#include "state_memory.hpp"

#include <cmath>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace revalue {

/// Where a contract of the book lies: its desk, and its place there.
struct place {
  std::uint16_t desk = 0;
  std::uint32_t option = 0;
};

/// The memory of all desks of a book, on the host. Refs to it dangle when it is gone.
class desks {
 public:
  /// Lays the book out in blocks, in memory of `in`, which the run takes its own from too.
  /// @throws std::bad_alloc   @cost O(contracts) logarithms and exponentials
  explicit desks(book const& from, state_memory in = {})
      : memory_(std::move(in)), places_(column_of<place>(from.contracts.size(), memory_)) {
    std::vector<std::uint32_t> counts(from.desks.size());
    for (std::size_t i = 0; i < from.contracts.size(); ++i) {
      std::uint16_t const desk = from.contracts[i].desk;
      places_[i] = {desk, counts[desk]++};
    }
    std::vector<std::size_t> first_block(counts.size());
    std::vector<std::size_t> first_node(counts.size());
    std::size_t blocks = 0;
    std::size_t nodes = 0;
    for (std::size_t d = 0; d < counts.size(); ++d) {
      first_block[d] = blocks;
      first_node[d] = nodes;
      blocks += blocks_of(counts[d]);
      nodes += risk_tree::size(blocks_of(counts[d]) / leaf_blocks);
    }
    options_ = column_of<option_block>(blocks, memory_);
    values_ = column_of<value_block>(blocks, memory_);
    nodes_ = column_of<risk>(nodes, memory_);
    states_ = column_of<desk_state>(counts.size(), memory_);
    refs_ = column_of<desk_ref>(counts.size(), memory_);
    for (option_block& block : options_) { clear(block, from); }
    for (std::size_t d = 0; d < counts.size(); ++d) {
      states_[d].now.rate = from.rate;
      states_[d].now.dividend = from.dividend;
      std::uint32_t const mine = blocks_of(counts[d]);
      refs_[d] = {options_.data() + first_block[d],
                  values_.data() + first_block[d],
                  risk_tree{nodes_.data() + first_node[d], mine / leaf_blocks},
                  states_.data() + d,
                  mine,
                  counts[d]};
    }
    for (std::size_t i = 0; i < from.contracts.size(); ++i) { enter(from, i); }
  }
  desks(desks const&) = delete;
  desks& operator=(desks const&) = delete;

  [[nodiscard]] state_memory const& memory() const noexcept { return memory_; }
  [[nodiscard]] std::span<desk_ref const> refs() const noexcept { return refs_; }
  /// [contracts]
  [[nodiscard]] std::span<place const> places() const noexcept { return places_; }

  [[nodiscard]] std::span<option_block> options() noexcept { return options_; }
  [[nodiscard]] std::span<value_block> values() noexcept { return values_; }
  [[nodiscard]] std::span<risk> nodes() noexcept { return nodes_; }
  [[nodiscard]] std::span<desk_state> states() noexcept { return states_; }

 private:
  /// A desk without options has a leaf that weighs nothing.
  [[nodiscard]] static std::uint32_t blocks_of(std::uint32_t count) noexcept {
    return count == 0 ? leaf_blocks : (count + leaf_options - 1) / leaf_options * leaf_blocks;
  }

  /// Lanes without an option hold one of a year at strike 1 that weighs nothing.
  static void clear(option_block& block, book const& from) noexcept {
    for (int lane = 0; lane < block_width; ++lane) {
      terms(block, lane, true, 1, 1, from);
      set_volatility(block, lane, 0.2, from.rate, from.dividend);
    }
  }

  static void terms(option_block& block, int lane, bool call, double strike, double years,
                    book const& from) noexcept {
    block.sign[lane] = call ? 1 : -1;
    block.log_strike[lane] = logarithm(strike);
    block.strike_value[lane] = strike * exponential(-from.rate * years);
    block.dividend_discount[lane] = exponential(-from.dividend * years);
    block.years[lane] = years;
    block.root_years[lane] = std::sqrt(years);
    block.quantity[lane] = 0;
    block.weight[lane] = 0;
  }

  void enter(book const& from, std::size_t i) noexcept {
    contract const& c = from.contracts[i];
    option_block& block = refs_[c.desk].options[places_[i].option / block_width];
    int const lane = static_cast<int>(places_[i].option % block_width);
    terms(block, lane, c.call, c.strike, c.years, from);
    bool const known = c.volatility > 0;
    block.quantity[lane] = known ? c.quantity : 0;
    set_volatility(block, lane, known ? c.volatility : 0.2, from.rate, from.dividend);
    block.quantity[lane] = c.quantity;
    if (!known) { block.volatility[lane] = 0; }
  }

  state_memory memory_;
  column<option_block> options_;
  column<value_block> values_;
  column<risk> nodes_;
  column<desk_state> states_;
  column<desk_ref> refs_;
  column<place> places_;
};

}  // namespace revalue
