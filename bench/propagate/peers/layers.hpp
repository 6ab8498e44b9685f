// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/propagate/suite/static_layers.hpp"

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

/// \file
/// Hand-written engines for one layered graph: flat columns, no more than the task needs. Each
/// takes a batch of changed inputs and returns how many functions it ran.

namespace millrace::bench::peers {

/// Who reads a cell, as offsets into one list; and the values. A node and its parents are in one
/// record: whoever runs it reads one line for them.
class flat_layers {
 public:
  explicit flat_layers(suite::layered_graph const& of)
      : width_(of.width), layers_(of.layers), values_(of.inputs), first_reader_(of.cells() + 1) {
    values_.resize(of.cells());
    nodes_.reserve(of.nodes());
    for (std::size_t i = 0; i < of.nodes(); ++i) {
      nodes_.push_back({of.function[i], of.left[i], of.right[i]});
      values_[i + width_] = of.function[i](values_[of.left[i]], values_[of.right[i]]);
      ++first_reader_[of.left[i] + 1];
      if (of.right[i] != of.left[i]) { ++first_reader_[of.right[i] + 1]; }
    }
    for (std::size_t i = 0; i < of.cells(); ++i) { first_reader_[i + 1] += first_reader_[i]; }
    readers_.resize(first_reader_.back());
    auto next = first_reader_;
    for (std::size_t i = 0; i < of.nodes(); ++i) {
      auto const cell = static_cast<std::uint32_t>(i + width_);
      readers_[next[of.left[i]]++] = cell;
      if (of.right[i] != of.left[i]) { readers_[next[of.right[i]]++] = cell; }
    }
  }

  /// Whether every value is the answer's.
  [[nodiscard]] bool agrees(std::vector<double> const& answer) const noexcept {
    return values_ == answer;
  }

 protected:
  struct node {
    suite::layer_function function;
    std::uint32_t left, right;
  };

  /// Runs the function of a cell above the inputs; whether its value is another.
  bool run(std::size_t cell) noexcept {
    node const& n = nodes_[cell - width_];
    double const now = n.function(values_[n.left], values_[n.right]);
    return std::exchange(values_[cell], now) != now;
  }
  /// Runs cells of one layer, and `mark` for each reader of one that changed. What a cell needs is
  /// fetched while those before it run: first its record, then, by that, the values and the
  /// readers.
  template <class Mark>
  void run_all(std::uint32_t const* cells, std::size_t count, Mark&& mark) noexcept {
    static constexpr std::size_t far = 24, close = 12;
    for (std::size_t i = 0; i < count + far; ++i) {
      if (i < count) {
        __builtin_prefetch(&nodes_[cells[i] - width_]);
        __builtin_prefetch(&values_[cells[i]], 1);
        __builtin_prefetch(&first_reader_[cells[i]]);
      }
      if (i >= close && i - close < count) {
        std::size_t const cell = cells[i - close];
        node const& n = nodes_[cell - width_];
        __builtin_prefetch(&values_[n.left]);
        __builtin_prefetch(&values_[n.right]);
        __builtin_prefetch(&readers_[first_reader_[cell]]);
      }
      if (i >= far && run(cells[i - far])) { each_reader(cells[i - far], mark); }
    }
  }
  template <class F>
  void each_reader(std::size_t cell, F&& f) noexcept {
    for (std::uint32_t i = first_reader_[cell]; i < first_reader_[cell + 1]; ++i) {
      f(readers_[i]);
    }
  }

  std::size_t width_, layers_;
  std::vector<double> values_;
  std::vector<node> nodes_;
  std::vector<std::uint32_t> first_reader_, readers_;
};

/// A bit for each cell that is to run, swept once from the first to the last: cells are numbered in
/// an order in which they can run.
class bitmap_sweep : public flat_layers {
 public:
  static constexpr std::string_view name = "raw.bitmap_sweep";

  explicit bitmap_sweep(suite::layered_graph const& of)
      : flat_layers(of), dirty_(of.cells() / 64 + 1), due_(of.width) {}

  [[gnu::noinline]] std::size_t apply(std::vector<suite::input_change> const& changes) noexcept {
    for (auto const& [input, value] : changes) {
      if (std::exchange(values_[input], value) != value) {
        each_reader(input, [this](std::uint32_t r) { mark(r); });
      }
    }
    std::size_t runs = 0;
    for (std::size_t layer = 1; layer <= layers_; ++layer) {
      std::size_t const due = take(layer * width_, (layer + 1) * width_);
      runs += due;
      run_all(due_.data(), due, [this](std::uint32_t r) { mark(r); });
    }
    return runs;
  }

 private:
  void mark(std::uint32_t cell) noexcept { dirty_[cell / 64] |= std::uint64_t{1} << (cell % 64); }
  /// Moves the bits of these cells into the list.
  std::size_t take(std::size_t begin, std::size_t end) noexcept {
    std::size_t count = 0;
    for (std::size_t at = begin / 64; at * 64 < end; ++at) {
      std::uint64_t mine = dirty_[at];
      if (at * 64 < begin) { mine &= ~std::uint64_t{} << (begin % 64); }
      if (end - at * 64 < 64) { mine &= ~(~std::uint64_t{} << (end % 64)); }
      if (mine == 0) { continue; }
      dirty_[at] &= ~mine;
      for (; mine != 0; mine &= mine - 1) {
        due_[count++] = static_cast<std::uint32_t>(at * 64) +
                        static_cast<std::uint32_t>(std::countr_zero(mine));
      }
    }
    return count;
  }

  std::vector<std::uint64_t> dirty_;
  std::vector<std::uint32_t> due_;  ///< of one layer
};

/// A list for each layer of what is to run there; a byte for each cell keeps it from being listed
/// twice.
class work_lists : public flat_layers {
 public:
  static constexpr std::string_view name = "raw.work_lists";

  explicit work_lists(suite::layered_graph const& of)
      : flat_layers(of), listed_(of.cells()), now_(of.width), next_(of.width) {}

  [[gnu::noinline]] std::size_t apply(std::vector<suite::input_change> const& changes) noexcept {
    std::size_t count = 0, runs = 0;
    for (auto const& [input, value] : changes) {
      if (std::exchange(values_[input], value) != value) {
        each_reader(input, [&](std::uint32_t r) { count = list(r, count); });
      }
    }
    while (count != 0) {
      std::swap(now_, next_);
      std::size_t const due = std::exchange(count, 0);
      runs += due;
      for (std::size_t i = 0; i < due; ++i) { listed_[now_[i]] = 0; }
      run_all(now_.data(), due, [&](std::uint32_t r) { count = list(r, count); });
    }
    return runs;
  }

 private:
  std::size_t list(std::uint32_t cell, std::size_t count) noexcept {
    if (!std::exchange(listed_[cell], std::uint8_t{1})) { next_[count++] = cell; }
    return count;
  }

  std::vector<std::uint8_t> listed_;
  std::vector<std::uint32_t> now_, next_;
};

/// Every function, in order.
class recompute_all : public flat_layers {
 public:
  static constexpr std::string_view name = "raw.recompute_all";

  using flat_layers::flat_layers;

  [[gnu::noinline]] std::size_t apply(std::vector<suite::input_change> const& changes) noexcept {
    for (auto const& [input, value] : changes) { values_[input] = value; }
    double* out = values_.data() + width_;
    double const* const values = values_.data();
    for (node const& n : nodes_) { *out++ = n.function(values[n.left], values[n.right]); }
    return nodes_.size();
  }
};

}  // namespace millrace::bench::peers
