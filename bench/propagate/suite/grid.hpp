// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/propagate/suite/findings.hpp"
#include "bench/propagate/suite/framework.hpp"
#include "bench/propagate/suite/kairo.hpp"
#include "bench/propagate/suite/random.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace millrace::bench::suite {

/// One of the suite's drawn graphs, and what it comes to.
struct grid_shape {
  std::string_view name;
  std::size_t width;
  std::size_t layers;
  double still;         ///< how likely a node's dependencies never change
  std::size_t sources;  ///< of each node
  double read;          ///< which part of the last row is looked at
  std::size_t iterations;
  double sum;        ///< of what is looked at, after all iterations
  std::size_t runs;  ///< of nodes, in all iterations
  std::size_t
      bench_iterations;  ///< of a trial; more than `width`, or the second pass changes nothing

  /// How many ways there are from an input to a cell of the last row, at most.
  [[nodiscard]] double paths() const noexcept {
    return std::pow(static_cast<double>(sources), static_cast<double>(layers) - 2);
  }
};

inline constexpr std::array<grid_shape, 3> grid_shapes{{
    {"2-10x5", 10, 5, 1, 2, .2, 600'000, 19'199'968, 3'480'000, 20'000},
    {"6-10x10", 10, 10, .75, 6, .2, 15'000, 302'310'782'860, 1'155'000, 2'000},
    {"4-1000x12", 1000, 12, .95, 4, 1, 7'000, 29'355'933'696'000, 1'463'000, 2'000},
}};

/// Rows of nodes over a row of inputs. Each node adds up some of the row before; a dynamic one
/// leaves one of them out when its first is odd. An effect reads what is left of the last row.
/// @source milomg/js-reactivity-benchmark, dynamic graphs
template <framework F>
class grid {
 public:
  explicit grid(grid_shape const& shape) : shape_(shape) {
    for (std::size_t i = 0; i < shape.width; ++i) {
      inputs_.push_back(fw_.input(static_cast<double>(i)));
    }
    auto draw = seeded_by("seed");
    std::vector<cell_of<F>> row = inputs_;
    for (std::size_t layer = 1; layer < shape.layers; ++layer) {
      std::vector<cell_of<F>> next;
      for (std::size_t node = 0; node < shape.width; ++node) {
        std::vector<cell_of<F>> of;
        for (std::size_t i = 0; i < shape.sources; ++i) {
          of.push_back(row[(node + i) % shape.width]);
        }
        next.push_back(draw() < shape.still ? still_node(std::move(of))
                                            : changing_node(std::move(of)));
      }
      row = std::move(next);
    }
    leaves_ = std::move(row);
    auto pick = seeded_by("seed");
    auto const out = std::lround(static_cast<double>(shape.width) * (1 - shape.read));
    for (long i = 0; i < out; ++i) {
      auto const at = static_cast<std::ptrdiff_t>(pick() * static_cast<double>(leaves_.size()));
      leaves_.erase(leaves_.begin() + at);
    }
    fw_.effect([this](double sum) { seen_ = sum; }, fw_.combined(sum_of_view{}, leaves_));
  }
  grid(grid const&) = delete;
  grid& operator=(grid const&) = delete;

  /// Writes one input in each iteration, and reads the leaves.
  void pass(std::size_t iterations, std::size_t from = 0) {
    for (std::size_t i = from; i < iterations; ++i) {
      std::size_t const at = i % shape_.width;
      fw_.batch([&](auto&& write) { write(inputs_[at], static_cast<double>(i + at)); });
      double sum = 0;
      for (auto const& leaf : leaves_) { sum += fw_.read(leaf); }
      if (sum != seen_) { found_.expect(seen_, sum, "what the effect saw of the leaves"); }
    }
  }
  /// Brings the graph to where a pass leaves it: the last writes of each input are enough.
  void warm(std::size_t iterations) {
    pass(iterations, iterations - std::min(iterations, shape_.width));
    runs_ = 0;
  }
  /// The sum of the leaves.
  [[nodiscard]] double sum() {
    double sum = 0;
    for (auto const& leaf : leaves_) { sum += fw_.read(leaf); }
    return sum;
  }
  /// Runs of nodes since the last call.
  [[nodiscard]] std::size_t take_runs() noexcept { return std::exchange(runs_, 0); }
  [[nodiscard]] std::string const& problem() const noexcept { return found_.problem(); }

 private:
  [[nodiscard]] cell_of<F> still_node(std::vector<cell_of<F>> of) {
    return fw_.combined(
        [this](auto const& view) {
          ++runs_;
          double sum = 0;
          for (std::size_t i = 0; i < view.size(); ++i) { sum += view[i]; }
          return sum;
        },
        std::move(of));
  }
  [[nodiscard]] cell_of<F> changing_node(std::vector<cell_of<F>> of) {
    if constexpr (F::has_dynamic) {
      return fw_.template dynamic<double>([this, of = std::move(of)](auto&& read) {
        ++runs_;
        double sum = read(of[0]);
        // sums are whole and far below 2^53: their lowest bit is that of JavaScript's `sum & 1`
        auto const first = static_cast<std::uint64_t>(sum);
        std::size_t const left_out = first % 2 != 0 ? 1 + first % (of.size() - 1) : 0;
        for (std::size_t i = 1; i < of.size(); ++i) {
          if (i != left_out) { sum += read(of[i]); }
        }
        return sum;
      });
    } else {
      found_.expect(0, 1,
                    "an engine of static dependencies in a graph of dynamic ones: whether it can");
      return of[0];
    }
  }

  F fw_;
  grid_shape shape_;
  std::size_t runs_ = 0;
  double seen_ = 0;
  std::vector<cell_of<F>> inputs_, leaves_;
  findings found_;
};

}  // namespace millrace::bench::suite
