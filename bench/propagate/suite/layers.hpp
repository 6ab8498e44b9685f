// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/propagate/suite/framework.hpp"
#include "bench/propagate/suite/static_layers.hpp"

#include <cstddef>
#include <utility>
#include <vector>

namespace millrace::bench::suite {

/// The layered graph in a framework, kept up to date to its last layer. With `Counted` it counts
/// its runs, which costs time.
template <framework F, bool Counted>
class layers {
 public:
  explicit layers(layered_graph const& of) : width_(of.width) {
    cells_.reserve(of.cells());
    for (double const value : of.inputs) { cells_.push_back(fw_.input(value)); }
    for (std::size_t i = 0; i < of.nodes(); ++i) {
      cells_.push_back(node(of.function[i], cells_[of.left[i]], cells_[of.right[i]]));
    }
    std::vector<cell_of<F>> last(cells_.end() - static_cast<std::ptrdiff_t>(width_), cells_.end());
    if constexpr (requires { fw_.keep(last); }) {
      fw_.keep(last);
    } else {
      for (auto const& each : last) {
        fw_.effect([](double) {}, each);
      }
    }
    runs_ = 0;
  }
  layers(layers const&) = delete;
  layers& operator=(layers const&) = delete;

  /// Propagates one batch.
  /// @return how many nodes ran; 0 where they are not counted
  [[gnu::noinline]] std::size_t apply(std::vector<input_change> const& changes) {
    if constexpr (requires { typename F::template input_of<double>; }) {
      std::vector<typename F::template input_of<double>> to;
      std::vector<double> values;
      to.reserve(changes.size());
      values.reserve(changes.size());
      for (auto const& [input, value] : changes) {
        to.emplace_back(cells_[input].id());
        values.push_back(value);
      }
      fw_.write_all(to, values);
    } else {
      fw_.batch([&](auto&& write) {
        for (auto const& [input, value] : changes) { write(cells_[input], value); }
      });
    }
    return std::exchange(runs_, 0);
  }
  /// Whether every value is the answer's.
  [[nodiscard]] bool agrees(std::vector<double> const& answer) {
    for (std::size_t i = 0; i < cells_.size(); ++i) {
      if (fw_.read(cells_[i]) != answer[i]) { return false; }
    }
    return true;
  }

 private:
  [[nodiscard]] cell_of<F> node(layer_function f, cell_of<F> left, cell_of<F> right) {
    if constexpr (Counted) {
      return fw_.computed(
          [this, f](double a, double b) {
            ++runs_;
            return f(a, b);
          },
          left, right);
    } else {
      return fw_.computed([f](double a, double b) { return f(a, b); }, left, right);
    }
  }

  F fw_;
  std::size_t width_;
  std::size_t runs_ = 0;
  std::vector<cell_of<F>> cells_;
};

}  // namespace millrace::bench::suite
