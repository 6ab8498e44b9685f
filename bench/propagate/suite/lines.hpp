// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/propagate/suite/kairo.hpp"

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace millrace::bench::suite {

/// One input, a chain of nodes that add one, an effect at its end.
template <framework F>
class chain : public kairo_test<F> {
 public:
  explicit chain(std::size_t length) : length_(length), end_(head_) {
    for (std::size_t i = 0; i < length; ++i) {
      end_ = this->fw_.computed([](double v) { return v + 1; }, end_);
    }
    this->fw_.effect([this](double v) { seen_ = v; }, end_);
  }
  /// Changes the input; every node runs.
  void change() {
    value_ += 1;
    this->fw_.write(head_, value_);
    this->expect(seen_, value_ + static_cast<double>(length_), "the end of the chain");
  }

 private:
  std::size_t length_;
  double value_ = 0, seen_ = 0;
  cell_of<F> head_ = this->fw_.input(0.0);
  cell_of<F> end_;
};

/// One input, many nodes of it, the sum of all, an effect.
template <framework F>
class fanout : public kairo_test<F> {
 public:
  explicit fanout(std::size_t width) : width_(static_cast<double>(width)) {
    std::vector<cell_of<F>> all;
    for (std::size_t i = 0; i < width; ++i) {
      all.push_back(
          this->fw_.computed([i](double v) { return v + static_cast<double>(i); }, head_));
    }
    this->fw_.effect([this](double v) { seen_ = v; },
                     this->fw_.combined(sum_of_view{}, std::move(all)));
  }
  /// Changes the input; every node runs.
  void change() {
    value_ += 1;
    this->fw_.write(head_, value_);
    this->expect(seen_, width_ * value_ + width_ * (width_ - 1) / 2, "the sum");
  }

 private:
  double width_;
  double value_ = 0, seen_ = 0;
  cell_of<F> head_ = this->fw_.input(0.0);
};

/// An input and a node of it that nobody looks at.
template <framework F>
class unobserved : public kairo_test<F> {
 public:
  unobserved() {
    out_ = this->fw_.computed(
        [this](double v) {
          ++runs_;
          return v + 1;
        },
        head_);
  }
  void touch() {
    value_ += 1;
    this->fw_.write(head_, value_);
  }
  /// That nothing ran, and that who looks now sees the last value.
  void look() {
    this->expect_runs(runs_, 0, "the runs of what nobody looks at");
    this->expect(this->fw_.read(out_), value_ + 1, "the node");
  }

 private:
  std::size_t runs_ = 0;
  double value_ = 0;
  cell_of<F> head_ = this->fw_.input(0.0);
  cell_of<F> out_;
};

}  // namespace millrace::bench::suite
