// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/propagate/suite/random.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace millrace::bench::suite {

/// What a node of the layered graph computes. Each node has a pointer of its own.
using layer_function = double (*)(double, double) noexcept;

/// A large graph whose dependencies never change, as plain columns: `width` inputs, and layers of
/// as many nodes of two parents in the layer before. Cells are numbered layer by layer, inputs
/// first.
struct layered_graph {
  std::size_t width = 0;
  std::size_t layers = 0;                ///< of nodes, above the inputs
  std::vector<std::uint32_t> left;       ///< [layers * width] the parents' numbers
  std::vector<std::uint32_t> right;      ///< [layers * width]
  std::vector<layer_function> function;  ///< [layers * width]
  std::vector<double> inputs;            ///< [width] what they begin with

  [[nodiscard]] std::size_t nodes() const noexcept { return layers * width; }
  [[nodiscard]] std::size_t cells() const noexcept { return (layers + 1) * width; }
};

/// The functions, one a layer in turn. Two of them keep their value through many changes.
[[nodiscard]] inline layer_function function_of_layer(std::size_t layer) noexcept {
  static constexpr layer_function all[] = {
      [](double a, double b) noexcept { return 0.5 * (a + b); },
      [](double a, double b) noexcept { return a - 0.25 * b; },
      [](double a, double b) noexcept { return a < b ? b : a; },
      [](double a, double b) noexcept { return 0.75 * a + b; },
      [](double a, double b) noexcept { return a < b ? a : b; },
  };
  return all[layer % std::size(all)];
}

/// The first `count` of `width` numbers in a drawn order.
[[nodiscard]] inline std::vector<std::uint32_t> shuffled(small_fast_counter& draw,
                                                         std::size_t width, std::size_t count) {
  std::vector<std::uint32_t> all(width);
  for (std::size_t i = 0; i < width; ++i) { all[i] = static_cast<std::uint32_t>(i); }
  for (std::size_t i = 0; i < count; ++i) {
    std::swap(all[i], all[i + static_cast<std::size_t>(draw() * static_cast<double>(width - i))]);
  }
  all.resize(count);
  return all;
}

/// @param near  parents p and p + 1, round the end, of the layer before; else two drawn ones, so
/// that
///              every cell has two readers and none is left that nobody looks at
[[nodiscard]] inline layered_graph make_layers(bool near, std::size_t width, std::size_t layers) {
  layered_graph made;
  made.width = width;
  made.layers = layers;
  auto draw = seeded_by("layers");
  for (std::size_t i = 0; i < width; ++i) { made.inputs.push_back(draw() * 100); }
  for (std::size_t layer = 0; layer < layers; ++layer) {
    auto const first = shuffled(draw, width, near ? 0 : width);
    auto const second = shuffled(draw, width, near ? 0 : width);
    for (std::size_t p = 0; p < width; ++p) {
      std::size_t const left = near ? p : first[p], right = near ? (p + 1) % width : second[p];
      made.left.push_back(static_cast<std::uint32_t>(layer * width + left));
      made.right.push_back(static_cast<std::uint32_t>(layer * width + right));
      made.function.push_back(function_of_layer(layer));
    }
  }
  return made;
}

/// An input's new value.
struct input_change {
  std::uint32_t input;
  double value;
};

/// `count` different inputs, in no order, with values as in `make_layers`.
[[nodiscard]] inline std::vector<input_change> draw_changes(small_fast_counter& draw,
                                                            std::size_t width, std::size_t count) {
  std::vector<input_change> out;
  for (std::uint32_t const input : shuffled(draw, width, count)) {
    out.push_back({input, draw() * 100});
  }
  return out;
}

/// The plain answer: every value by its definition, and which nodes have to run.
class layered_answer {
 public:
  explicit layered_answer(layered_graph const& of) : of_(of), values_(of.inputs) {
    values_.resize(of.cells());
    changed_.resize(of.cells());
    (void)settle();
  }
  /// @return how many nodes have a parent whose value is another than before
  std::size_t apply(std::vector<input_change> const& changes) {
    std::fill(changed_.begin(), changed_.end(), std::uint8_t{0});
    for (auto const& [input, value] : changes) {
      changed_[input] = values_[input] != value;
      values_[input] = value;
    }
    return settle();
  }
  /// [cells] inputs first
  [[nodiscard]] std::vector<double> const& values() const noexcept { return values_; }

 private:
  std::size_t settle() {
    std::size_t runs = 0;
    for (std::size_t i = 0; i < of_.nodes(); ++i) {
      std::size_t const at = i + of_.width;
      double const now = of_.function[i](values_[of_.left[i]], values_[of_.right[i]]);
      runs += (changed_[of_.left[i]] | changed_[of_.right[i]]) != 0;
      changed_[at] = now != values_[at];
      values_[at] = now;
    }
    return runs;
  }

  layered_graph const& of_;
  std::vector<double> values_;
  std::vector<std::uint8_t> changed_;
};

}  // namespace millrace::bench::suite
