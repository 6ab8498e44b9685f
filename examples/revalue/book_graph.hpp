// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "block.hpp"
#include "book.hpp"
#include "desks.hpp"
#include "instruction_set.hpp"
#include <millrace/core/error.hpp>
#include <millrace/propagate/graph.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace revalue {

namespace propagate = millrace::propagate;

/// Value, delta, gamma, vega, theta and rho of one option, per unit of the underlying.
using measures = std::array<double, 6>;

[[nodiscard]] inline measures measures_of(value_block const& v, std::uint32_t lane) noexcept {
  return {v.value[lane], v.delta[lane], v.gamma[lane], v.vega[lane], v.theta[lane], v.rho[lane]};
}

namespace detail {

/// Adds risks up as a desk's tree does, so that the sum is the same to the last bit.
class tree_sum {
 public:
  explicit tree_sum(std::size_t leaves)
      : nodes_(risk_tree::size(static_cast<std::uint32_t>(leaves))) {}

  [[nodiscard]] risk operator()(propagate::values<risk> of) noexcept {
    for (std::size_t i = 0; i < of.size(); ++i) { nodes_[i] = of[i]; }
    risk_tree const tree{nodes_.data(), static_cast<std::uint32_t>(of.size())};
    tree.rebuild(solo{});
    return tree.root();
  }

 private:
  std::vector<risk> nodes_;
};

/// A node of a risk tree some levels up: which leaves are below it, and their sum as the tree has
/// it.
class branch {
 public:
  /// @param counts nodes of each level, from the leaves to that of the node
  branch(std::span<std::uint32_t const> counts, std::uint32_t node) {
    static_cast<void>(add(counts, node));
    nodes_.resize(leaves_.size());
  }
  [[nodiscard]] std::span<std::uint32_t const> leaves() const noexcept { return leaves_; }

  /// @param of as leaves()
  [[nodiscard]] risk operator()(propagate::values<risk> of) noexcept {
    for (std::size_t i = 0; i < of.size(); ++i) { nodes_[i] = of[i]; }
    for (auto const& [to, from] : additions_) { nodes_[to] = nodes_[to] + nodes_[from]; }
    return nodes_[0];
  }

 private:
  /// @return where the first leaf below the node is among leaves()
  std::size_t add(std::span<std::uint32_t const> counts, std::uint32_t node) {
    if (counts.size() == 1) {
      leaves_.push_back(node);
      return leaves_.size() - 1;
    }
    auto const below = counts.first(counts.size() - 1);
    std::size_t const first = add(below, node);
    if (std::uint32_t const other = node + counts.back(); other < below.back()) {
      std::size_t const second = add(below, other);
      additions_.push_back({first, second});
    }
    return first;
  }

  std::vector<std::uint32_t> leaves_;
  std::vector<std::array<std::size_t, 2>> additions_;
  std::vector<risk> nodes_;
};
/// Nodes of each level of a risk tree, from its leaves to as far from them as from the root.
[[nodiscard]] inline std::vector<std::uint32_t> lower_levels(std::uint32_t leaves) {
  std::vector<std::uint32_t> counts{leaves};
  for (int up = std::bit_width(leaves) / 2; up > 0; --up) {
    counts.push_back(counts.back() / 2 + counts.back() % 2);
  }
  return counts;
}

/// No price yet is no risk, and neither is a price that is none.
[[nodiscard]] inline millrace::result<market> market_at(double spot, double rate,
                                                        double dividend) noexcept {
  if (spot == 0) { return millrace::core::fail(millrace::errc::not_ready); }
  if (!(spot > 0 && std::isfinite(spot))) {
    return millrace::core::fail(millrace::errc::bad_argument);
  }
  return market::at(spot, rate, dividend);
}

/// Terms of a block from the rate, the dividend and the volatility of each of its options.
/// @error errc::bad_argument: a volatility; `native` is its number, from 1
struct block_terms_at {
  block_contracts const* contracts;
  option_block (*terms)(block_contracts const&, block_quotes const&) noexcept;

  [[nodiscard]] millrace::result<option_block> operator()(
      propagate::values<double> quotes) const noexcept {
    block_quotes at{quotes[0], quotes[1], {}};
    for (std::size_t i = 2; i < quotes.size(); ++i) {
      if (!(quotes[i] >= 0 && std::isfinite(quotes[i]))) {
        return millrace::core::fail(millrace::errc::bad_argument, static_cast<std::int32_t>(i - 1));
      }
      at.volatility[i - 2] = quotes[i];
    }
    return terms(*contracts, at);
  }
};

/// A leaf of a desk's risk tree from its blocks.
struct leaf_sum {
  risk (*sum)(priced_block const* const*, std::uint32_t) noexcept;

  [[nodiscard]] risk operator()(propagate::values<priced_block> of) const noexcept {
    priced_block const* blocks[leaf_blocks];
    for (std::size_t i = 0; i < of.size(); ++i) { blocks[i] = &of[i]; }
    return sum(blocks, static_cast<std::uint32_t>(of.size()));
  }
};

}  // namespace detail

/// A book as a graph of cells: quotes are its inputs, and what depends on them is right after each
/// write or batch, as long as somebody observes it.
///
///     spot, rate, dividend ──────────> market ──┐
///     rate, dividend, volatilities ──> terms ───┴──> block ──> leaf ──> branch ──> desk ──> firm
///
/// Terms and blocks hold eight options, which are priced at once: with one option a cell the graph
/// would cost more than the pricing. Leaves, of four blocks, are those of a desk's risk tree, whose
/// nodes halfway up are cells too: one leaf adds up about twice the root of what there are. The
/// numbers are those of `apply`, bit for bit.
/// The spot is 0 until the first price, and risks fail with errc::not_ready. A quote that is no
/// price, or no volatility, makes what depends on it fail with errc::bad_argument until the next.
/// @thread one at a time
class book_graph {
 public:
  /// @param of at least one desk
  /// @throws std::bad_alloc; std::runtime_error: memory is missing in the graph
  /// @cost   as of `desks`, which lays the options out
  explicit book_graph(book const& of, instruction_set const& with = best_instruction_set())
      : graph_(must(propagate::graph::make())) {
    desks const laid_out(of);
    places_.assign(laid_out.places().begin(), laid_out.places().end());
    spot_ = must(graph_.input(0.0));
    rate_ = must(graph_.input(of.rate));
    dividend_ = must(graph_.input(of.dividend));
    market_ = must(graph_.computed(detail::market_at, spot_, rate_, dividend_));
    std::vector<std::vector<std::size_t>> held(of.desks.size());  // contracts, by their place
    for (std::size_t i = 0; i < of.contracts.size(); ++i) {
      held[of.contracts[i].desk].push_back(i);
    }
    volatilities_.resize(of.contracts.size());
    for (auto const& mine : held) {  // those of a block side by side: they are read at once
      for (std::size_t i : mine) {
        volatilities_[i] = must(graph_.input(of.contracts[i].volatility));
      }
    }
    std::size_t blocks = 0;
    for (auto const& mine : held) { blocks += blocks_of(mine.size()); }
    contracts_.resize(blocks);
    for (std::size_t d = 0; d < held.size(); ++d) {
      add_desk(of, laid_out.refs()[d], held[d], with);
    }
    firm_ = must(graph_.combined(detail::tree_sum(desks_.size()),
                                 cuda::std::span<propagate::cell<risk> const>(desks_)));
  }

  /// What is written, observed and read here is the graph's.
  [[nodiscard]] propagate::graph& graph() noexcept { return graph_; }
  /// Gives the graph away, to a store for one: cells are known here as before, but graph() and
  /// read() must not be called any more. The functions read contracts that stay here, so this
  /// outlives them.
  [[nodiscard]] propagate::graph release() noexcept { return std::move(graph_); }

  [[nodiscard]] propagate::input<double> spot() const noexcept { return spot_; }
  [[nodiscard]] propagate::input<double> rate() const noexcept { return rate_; }
  [[nodiscard]] propagate::input<double> dividend() const noexcept { return dividend_; }
  [[nodiscard]] propagate::input<double> volatility(std::size_t contract) const noexcept {
    return volatilities_[contract];
  }

  [[nodiscard]] propagate::cell<risk> firm_risk() const noexcept { return firm_; }
  /// By the number of the desk.
  [[nodiscard]] std::span<propagate::cell<risk> const> desk_risks() const noexcept {
    return desks_;
  }
  /// All blocks, desk after desk.
  [[nodiscard]] std::span<propagate::cell<priced_block> const> blocks() const noexcept {
    return blocks_;
  }
  /// Where one contract is priced.
  struct option_place {
    propagate::cell<priced_block> block;
    std::uint32_t lane;
  };
  [[nodiscard]] option_place option(std::size_t contract) const noexcept {
    place const at = places_[contract];
    return {blocks_[first_block_[at.desk] + at.option / block_width], at.option % block_width};
  }
  /// What one contract is worth.
  /// @error as graph().read
  [[nodiscard]] millrace::result<measures> read(std::size_t contract) noexcept {
    auto const [cell, lane] = option(contract);
    auto const block = graph_.read(cell);
    if (!block) { return cuda::std::unexpected(block.error()); }
    return measures_of(block->values, lane);
  }

 private:
  template <class T>
  [[nodiscard]] static T must(millrace::result<T> made) {
    return millrace::core::value_or_throw(std::move(made));
  }

  /// A desk without options has one that weighs nothing.
  [[nodiscard]] static std::size_t blocks_of(std::size_t options) noexcept {
    return std::max<std::size_t>(1, (options + block_width - 1) / block_width);
  }
  /// A desk stands right behind its leaves, whose sums are near then.
  void add_desk(book const& of, desk_ref const& desk, std::vector<std::size_t> const& held,
                instruction_set const& with) {
    std::size_t const first = blocks_.size(), count = blocks_of(held.size());
    first_block_.push_back(first);
    std::vector<propagate::cell<option_block>> terms;
    for (std::size_t b = 0; b < count; ++b) {
      block_contracts& contracts = contracts_[first + b];
      contracts.like = desk.options[b];
      std::vector<propagate::cell<double>> quotes{rate_, dividend_};
      for (std::size_t i = 0; i < block_width; ++i) {
        std::size_t const option = b * block_width + i;
        bool const is_one = option < held.size();
        contracts.strike[i] = is_one ? of.contracts[held[option]].strike : 1;
        if (is_one) { quotes.push_back(volatilities_[held[option]]); }
      }
      terms.push_back(
          must(graph_.combined(detail::block_terms_at{&contracts, with.terms},
                               cuda::std::span<propagate::cell<double> const>(quotes))));
    }
    for (auto const& each : terms) {
      blocks_.push_back(must(graph_.computed(
          [price = with.price_block](option_block const& options, market const& at) noexcept {
            return price(options, at);
          },
          each, market_)));
    }
    cuda::std::span<propagate::cell<priced_block> const> const mine(blocks_.data() + first, count);
    std::vector<propagate::cell<risk>> leaves;
    for (std::size_t b = 0; b < count; b += leaf_blocks) {
      leaves.push_back(
          must(graph_.combined(detail::leaf_sum{with.sum_leaf},
                               mine.subspan(b, std::min<std::size_t>(leaf_blocks, count - b)))));
    }
    std::vector<propagate::cell<risk>> const branches = branches_of(leaves);
    desks_.push_back(must(graph_.combined(detail::tree_sum(branches.size()),
                                          cuda::std::span<propagate::cell<risk> const>(branches))));
  }
  [[nodiscard]] std::vector<propagate::cell<risk>> branches_of(
      std::vector<propagate::cell<risk>> const& leaves) {
    auto const levels = detail::lower_levels(static_cast<std::uint32_t>(leaves.size()));
    std::vector<propagate::cell<risk>> out;
    for (std::uint32_t node = 0; node < levels.back(); ++node) {
      detail::branch sum(levels, node);
      std::vector<propagate::cell<risk>> below;
      for (std::uint32_t leaf : sum.leaves()) { below.push_back(leaves[leaf]); }
      out.push_back(must(
          graph_.combined(std::move(sum), cuda::std::span<propagate::cell<risk> const>(below))));
    }
    return out;
  }

  std::vector<block_contracts> contracts_;  // what functions read; as many as blocks from the start
  propagate::graph graph_;
  propagate::input<double> spot_;
  propagate::input<double> rate_;
  propagate::input<double> dividend_;
  propagate::cell<market> market_;
  std::vector<propagate::input<double>> volatilities_;  // by contract
  std::vector<place> places_;                           // by contract
  std::vector<std::size_t> first_block_;                // by desk
  std::vector<propagate::cell<priced_block>> blocks_;
  std::vector<propagate::cell<risk>> desks_;
  propagate::cell<risk> firm_;
};

}  // namespace revalue
