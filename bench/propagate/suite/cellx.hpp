// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/propagate/suite/findings.hpp"
#include "bench/propagate/suite/framework.hpp"

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

namespace millrace::bench::suite {

/// Layers of four cells over four inputs, with an effect on each cell; one batch changes all
/// inputs. What it ends in, and how many cells change, is found by plain loops as well.
/// @source milomg/js-reactivity-benchmark, cellx
template <framework F>
class cellx {
 public:
  using four = std::array<double, 4>;

  explicit cellx(std::size_t layers) : layers_(layers) {
    for (std::size_t i = 0; i < 4; ++i) { inputs_[i] = fw_.input(before[i]); }
    last_ = inputs_;
    for (std::size_t i = 0; i < layers; ++i) {
      auto const [a, b, c, d] = last_;
      last_[0] = fw_.computed([this](double y) { return counted(y); }, b);
      last_[1] = fw_.computed([this](double x, double z) { return counted(x - z); }, a, c);
      last_[2] = fw_.computed([this](double y, double w) { return counted(y + w); }, b, d);
      last_[3] = fw_.computed([this](double z) { return counted(z); }, c);
      for (auto const& each : last_) {
        fw_.effect([this](double) { ++effects_; }, each);
      }
    }
    found_.expect_runs(runs_ * (F::exact_runs ? 1u : 0u), F::exact_runs ? 4 * layers : 0,
                       "the first runs");
    runs_ = effects_ = 0;
  }
  cellx(cellx const&) = delete;
  cellx& operator=(cellx const&) = delete;

  /// Reads four cells, changes four inputs, reads four cells: what is timed.
  void change() {
    for (std::size_t i = 0; i < 4; ++i) { seen_before_[i] = fw_.read(last_[i]); }
    fw_.batch([this](auto&& write) {
      for (std::size_t i = 0; i < 4; ++i) { write(inputs_[i], after[i]); }
    });
    for (std::size_t i = 0; i < 4; ++i) { seen_after_[i] = fw_.read(last_[i]); }
  }
  /// Looks at what `change` saw.
  /// @return what was wrong first; empty when nothing was
  [[nodiscard]] std::string problem() {
    four x = before, y = after;
    std::size_t runs = 0, effects = 0;
    for (std::size_t i = 0; i < layers_; ++i) {
      std::array<bool, 4> const differs{x[0] != y[0], x[1] != y[1], x[2] != y[2], x[3] != y[3]};
      runs += differs[1] + (differs[0] || differs[2]) + (differs[1] || differs[3]) + differs[2];
      x = layer(x);
      y = layer(y);
      for (std::size_t k = 0; k < 4; ++k) { effects += x[k] != y[k]; }
    }
    if (layers_ == 1000) {
      found_.expect(x == four{-3, -6, -2, 2} && y == four{-2, -4, 2, 3}, 1, "the suite's own end");
    }
    for (std::size_t i = 0; i < 4; ++i) {
      found_.expect(seen_before_[i], x[i], "a last cell before");
      found_.expect(seen_after_[i], y[i], "a last cell after");
    }
    if constexpr (F::exact_runs) {
      found_.expect_runs(runs_, runs, "the number of runs");
      found_.expect_runs(effects_, effects, "the number of effects");
    }
    return found_.problem();
  }

 private:
  static constexpr four before{1, 2, 3, 4}, after{4, 3, 2, 1};

  [[nodiscard]] static four layer(four const& v) noexcept {
    return {v[1], v[0] - v[2], v[1] + v[3], v[2]};
  }
  double counted(double v) noexcept {
    ++runs_;
    return v;
  }

  F fw_;
  std::size_t layers_;
  std::size_t runs_ = 0, effects_ = 0;
  std::array<cell_of<F>, 4> inputs_, last_;
  four seen_before_{}, seen_after_{};
  findings found_;
};

}  // namespace millrace::bench::suite
