// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstddef>
#include <string_view>
#include <vector>

namespace millrace::bench::suite {

/// What the suite needs of an engine: an adapter of a few lines. Its object owns every cell; its
/// destructor frees all.
///
/// - `cell<T>`: a copyable handle of a cell that holds a `T`.
/// - `input(value)`: a cell that is written from outside.
/// - `computed(fn, cells...)`: `fn(values...)` of exactly these cells, always.
/// - `combined(fn, vector of cells)`: `fn(view)`, where `view[i]` is the value of cell i and
///   `view.size()` their number; exactly these cells, always. One cell may be there many times.
/// - `dynamic<R>(fn)`: `fn(read)`, where `read(cell)` is its value; depends on what the run read.
/// Only
///   of engines whose `has_dynamic` is set.
/// - `effect(fn, cells...)`: runs `fn(values...)` once at the start, and after each change of one.
/// - `dynamic_effect(fn)`: the same with `fn(read)`, of engines that have it.
/// - `batch(fn)`: `fn(write)`, where `write(cell, value)` sets an input; what the writes change is
///   propagated once, at the end. `write(cell, value)` is a batch of one.
/// - `read(cell)`: the value, as of the last batch.
/// - `exact_runs`: no function runs that need not, nor twice in a batch. An engine that promises
/// less
///   is held to the values alone.
/// - `most_paths`, `deepest`: how many ways from an input to a cell, and how long a chain, the
/// engine
///   bears; 0 is any number. It is left out of a test that has more.
/// - `write_all(vector of inputs, vector of values)`, optional, with `input_of<T>`: a batch of
/// them.
/// - `keep(vector of cells)`, optional: these stay up to date though no effect reads them.
///
/// A cell whose value came out as it was (`==`) changes nothing after it.
template <class F>
concept framework = requires(F fw, typename F::template cell<double> c,
                             std::vector<typename F::template cell<double>> many) {
  requires std::copyable<typename F::template cell<double>>;
  requires std::default_initializable<F>;
  { F::name } -> std::convertible_to<std::string_view>;
  { F::has_dynamic } -> std::convertible_to<bool>;
  { F::exact_runs } -> std::convertible_to<bool>;
  { F::most_paths } -> std::convertible_to<double>;
  { F::deepest } -> std::convertible_to<std::size_t>;
  { fw.input(1.0) } -> std::same_as<typename F::template cell<double>>;
  {
    fw.computed([](double a, double b) { return a + b; }, c, c)
  } -> std::same_as<typename F::template cell<double>>;
  {
    fw.combined([](auto const& view) -> double { return view[view.size() - 1]; }, many)
  } -> std::same_as<typename F::template cell<double>>;
  fw.effect([](double) {}, c);
  fw.batch([](auto&&) {});
  fw.write(c, 2.0);
  { fw.read(c) } -> std::same_as<double>;
};

/// Whether a framework bears a graph.
template <framework F>
[[nodiscard]] constexpr bool bears(double paths, std::size_t depth, bool changing = false) {
  return (F::most_paths == 0 || paths <= F::most_paths) &&
         (F::deepest == 0 || depth <= F::deepest) && (F::has_dynamic || !changing);
}

/// The handle of a framework's cell.
template <class F, class T = double>
using cell_of = typename F::template cell<T>;

}  // namespace millrace::bench::suite
