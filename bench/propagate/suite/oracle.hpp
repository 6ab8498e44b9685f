// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/propagate/suite/framework.hpp"

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace millrace::bench::suite {

/// The suite's reference: three colours, the simplest thing that runs each function as often as it
/// must be run. A write colours what reads the cell `dirty`, and what is after that `check`;
/// whoever is read, or is an effect, first makes sure of its dependencies in the order in which it
/// read them, and runs when one of them changed. Recursive, with lists that are searched: for small
/// graphs.
class oracle {
  enum class colour : std::uint8_t { clean, check, dirty };

  struct node {
    std::vector<node*> reads, readers;
    colour now = colour::dirty;
    bool is_effect = false;

    node() = default;
    node(node const&) = delete;
    node& operator=(node const&) = delete;
    virtual ~node() = default;
    /// Runs the function; whether the value is another.
    virtual bool run(oracle&) { return false; }
  };
  template <class T>
  struct holder : node {
    T value{};
  };
  /// A node with a function of the oracle: what it reads is noted.
  template <class R, class Fn>
  struct function : holder<R> {
    Fn fn;
    explicit function(Fn f) : fn(std::move(f)) {}
    bool run(oracle& all) override {
      R next = fn(all);
      bool const changed = !(next == this->value);
      this->value = std::move(next);
      return changed;
    }
  };

 public:
  static constexpr std::string_view name = "oracle";
  static constexpr bool has_dynamic = true;
  static constexpr bool exact_runs = true;
  static constexpr double most_paths = 0;
  static constexpr std::size_t deepest = 10'000;

  template <class T>
  struct cell {
    holder<T>* at = nullptr;
  };

  template <class T>
  [[nodiscard]] cell<T> input(T value) {
    auto made = std::make_unique<holder<T>>();
    made->value = std::move(value);
    made->now = colour::clean;
    cell<T> const out{made.get()};
    nodes_.push_back(std::move(made));
    return out;
  }
  template <class Fn, class... Ts>
  [[nodiscard]] auto computed(Fn fn, cell<Ts>... of) {
    using value = std::invoke_result_t<Fn&, Ts const&...>;
    return add<value>([fn, of...](oracle& all) mutable { return fn(all.get(of)...); });
  }
  template <class Fn, class T>
  [[nodiscard]] auto combined(Fn fn, std::vector<cell<T>> of) {
    struct view {
      std::vector<cell<T>> const* cells;
      [[nodiscard]] std::size_t size() const noexcept { return cells->size(); }
      T const& operator[](std::size_t i) const { return (*cells)[i].at->value; }
    };
    using value = std::invoke_result_t<Fn&, view const&>;
    return add<value>([fn, of = std::move(of)](oracle& all) mutable {
      for (auto const& each : of) { (void)all.get(each); }
      return fn(view{&of});
    });
  }
  template <class R, class Fn>
  [[nodiscard]] cell<R> dynamic(Fn fn) {
    return add<R>([fn](oracle& all) mutable -> R {
      return fn([&all]<class T>(cell<T> c) -> T const& { return all.get(c); });
    });
  }
  template <class Fn, class... Ts>
  void effect(Fn fn, cell<Ts>... of) {
    start(add<char>([fn, of...](oracle& all) mutable {
      fn(all.get(of)...);
      return char{};
    }));
  }
  template <class Fn>
  void dynamic_effect(Fn fn) {
    start(add<char>([fn](oracle& all) mutable {
      fn([&all]<class T>(cell<T> c) -> T const& { return all.get(c); });
      return char{};
    }));
  }
  template <class Fn>
  void batch(Fn&& fn) {
    fn([this]<class T>(cell<T> c, std::type_identity_t<T> value) {
      this->set(c, std::move(value));
    });
    flush();
  }
  template <class T>
  void write(cell<T> c, std::type_identity_t<T> value) {
    set(c, std::move(value));
    flush();
  }
  template <class T>
  [[nodiscard]] T read(cell<T> c) {
    update(*c.at);
    return c.at->value;
  }

 private:
  template <class R, class Fn>
  cell<R> add(Fn fn) {
    auto made = std::make_unique<function<R, Fn>>(std::move(fn));
    cell<R> const out{made.get()};
    nodes_.push_back(std::move(made));
    return out;
  }
  void start(cell<char> effect) {
    effect.at->is_effect = true;
    update(*effect.at);
  }
  /// The value, noted as read by the node that runs.
  template <class T>
  T const& get(cell<T> c) {
    running_->reads.push_back(c.at);
    c.at->readers.push_back(running_);
    update(*c.at);
    return c.at->value;
  }
  template <class T>
  void set(cell<T> c, T value) {
    if (c.at->value == value) { return; }
    c.at->value = std::move(value);
    for (node* const each : c.at->readers) { stain(*each, colour::dirty); }
  }
  void stain(node& n, colour with) {
    bool const seen = n.now != colour::clean;
    n.now = std::max(n.now, with);
    if (seen) { return; }
    if (n.is_effect) { due_.push_back(&n); }
    for (node* const each : n.readers) { stain(*each, colour::check); }
  }
  void update(node& n) {
    for (std::size_t i = 0; n.now == colour::check && i < n.reads.size(); ++i) {
      update(*n.reads[i]);
    }
    if (n.now == colour::dirty) {
      for (node* const each : n.reads) { std::erase(each->readers, &n); }
      n.reads.clear();
      node* const outer = std::exchange(running_, &n);
      bool const changed = n.run(*this);
      running_ = outer;
      if (changed) {
        for (node* const each : n.readers) { each->now = colour::dirty; }
      }
    }
    n.now = colour::clean;
  }
  void flush() {
    for (std::size_t i = 0; i < due_.size(); ++i) { update(*due_[i]); }
    due_.clear();
  }

  std::vector<std::unique_ptr<node>> nodes_;
  std::vector<node*> due_;
  node* running_ = nullptr;
};
static_assert(framework<oracle>);

}  // namespace millrace::bench::suite
