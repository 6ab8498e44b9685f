// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/propagate/suite/framework.hpp"
#include <millrace/propagate/graph.hpp>

#include <cuda/std/span>

#include <cstddef>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace millrace::bench::suite {

/// The module's graph. A failure that the suite does not expect ends the program.
class graph_engine {
 public:
  static constexpr std::string_view name = "millrace";
  static constexpr bool has_dynamic = true;
  static constexpr bool exact_runs = true;
  static constexpr double most_paths = 0;
  static constexpr std::size_t deepest = 0;

  template <class T>
  using cell = propagate::cell<T>;
  template <class T>
  using input_of = propagate::input<T>;

  template <class T>
  [[nodiscard]] cell<T> input(T value) {
    return core::value_or_throw(graph_.input(std::move(value)));
  }
  template <class Fn, class... Ts>
  [[nodiscard]] auto computed(Fn fn, cell<Ts>... of) {
    return core::value_or_throw(graph_.computed(std::move(fn), of...));
  }
  template <class Fn, class T>
  [[nodiscard]] auto combined(Fn fn, std::vector<cell<T>> const& of) {
    cuda::std::span<cell<T> const> const from(of.data(), of.size());
    return core::value_or_throw(graph_.combined(std::move(fn), from));
  }
  template <class R, class Fn>
  [[nodiscard]] cell<R> dynamic(Fn fn) {
    return core::value_or_throw(
        graph_.tracking([fn = std::move(fn)](auto& read) mutable -> R { return fn(read); }));
  }
  template <class Fn, class T>
  void effect(Fn fn, cell<T> of) {
    static_cast<void>(core::value_or_throw(graph_.observe(of, std::move(fn))));
  }
  template <class Fn, class... Ts>
    requires(sizeof...(Ts) > 1)
  void effect(Fn fn, cell<Ts>... of) {
    dynamic_effect([fn = std::move(fn), of...](auto& read) mutable { fn(read(of)...); });
  }
  template <class Fn>
  void dynamic_effect(Fn fn) {
    static_cast<void>(core::value_or_throw(
        graph_.observe([fn = std::move(fn)](auto& read) mutable { fn(read); })));
  }
  template <class T>
  void keep(std::vector<cell<T>> const& cells) {
    cuda::std::span<cell<T> const> const all(cells.data(), cells.size());
    static_cast<void>(core::value_or_throw(graph_.keep(all)));
  }
  template <class Fn>
  void batch(Fn&& fn) {
    auto open = core::value_or_throw(graph_.begin());
    fn([&open]<class T>(cell<T> to, std::type_identity_t<T> value) {
      core::value_or_throw(open.write(propagate::input<T>(to.id()), std::move(value)));
    });
    core::value_or_throw(open.commit());
  }
  /// A batch of many writes, from one list.
  template <class T>
  void write_all(std::vector<propagate::input<T>> const& to, std::vector<T> const& values) {
    auto open = core::value_or_throw(graph_.begin());
    cuda::std::span<propagate::input<T> const> const inputs(to.data(), to.size());
    core::value_or_throw(
        open.write_all(inputs, cuda::std::span<T const>(values.data(), values.size())));
    core::value_or_throw(open.commit());
  }
  template <class T>
  void write(cell<T> to, std::type_identity_t<T> value) {
    core::value_or_throw(graph_.write(propagate::input<T>(to.id()), std::move(value)));
  }
  template <class T>
  [[nodiscard]] T read(cell<T> of) {
    return core::value_or_throw(graph_.read(of));
  }

 private:
  propagate::graph graph_ = core::value_or_throw(propagate::graph::make());
};

}  // namespace millrace::bench::suite
