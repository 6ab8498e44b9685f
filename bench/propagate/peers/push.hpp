// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/propagate/suite/framework.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace millrace::bench::peers {

/// What one writes by hand when dependencies never change: nodes are `std::function`s with lists of
/// their readers, due nodes hang in one list for each height, and heights run in order. A value
/// that stays ends it. Nothing finds out what a function reads, and no edge ever goes.
///
/// Edges are laid when an effect, or a read, first needs a node: what nobody looks at never runs.
class push {
  struct node {
    std::function<bool()> run;  ///< whether the value is another now
    std::vector<node*> readers;
    node* next_due = nullptr;
    std::uint32_t height = 0;
    bool due = false;
    bool live = false;
    std::vector<node*> reads;

    node() = default;
    node(node const&) = delete;
    node& operator=(node const&) = delete;
    virtual ~node() = default;
  };
  template <class T>
  struct holder final : node {
    T value{};
  };

 public:
  static constexpr std::string_view name = "raw.push";
  static constexpr bool has_dynamic = false;
  static constexpr bool exact_runs = true;
  static constexpr double most_paths = 0;
  static constexpr std::size_t deepest = 0;

  template <class T>
  struct cell {
    holder<T>* at = nullptr;
  };

  template <class T>
  [[nodiscard]] cell<T> input(T value) {
    cell<T> const made = add<T>();
    made.at->value = std::move(value);
    made.at->live = true;
    return made;
  }
  template <class Fn, class... Ts>
  [[nodiscard]] auto computed(Fn fn, cell<Ts>... of) {
    using value = std::invoke_result_t<Fn&, Ts const&...>;
    cell<value> const made = add<value>();
    made.at->run = [fn = std::move(fn), out = made.at, of...]() mutable {
      return settle(*out, fn(std::as_const(of.at->value)...));
    };
    depend(*made.at, {of.at...});
    return made;
  }
  template <class Fn, class T>
  [[nodiscard]] auto combined(Fn fn, std::vector<cell<T>> const& of) {
    struct view {
      T const* const* values;
      std::size_t count;
      [[nodiscard]] std::size_t size() const noexcept { return count; }
      T const& operator[](std::size_t i) const noexcept { return *values[i]; }
    };
    using value = std::invoke_result_t<Fn&, view const&>;
    cell<value> const made = add<value>();
    std::vector<T const*> values;
    std::vector<node*> reads;
    for (cell<T> const each : of) {
      values.push_back(&each.at->value);
      reads.push_back(each.at);
    }
    made.at->run = [fn = std::move(fn), out = made.at, values = std::move(values)]() mutable {
      return settle(*out, fn(view{values.data(), values.size()}));
    };
    depend(*made.at, std::move(reads));
    return made;
  }
  template <class Fn, class... Ts>
  void effect(Fn fn, cell<Ts>... of) {
    cell<char> const made = add<char>();
    made.at->run = [fn = std::move(fn), of...]() mutable {
      fn(std::as_const(of.at->value)...);
      return false;
    };
    depend(*made.at, {of.at...});
    enliven(*made.at);
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
    if (!c.at->live) [[unlikely]] { enliven(*c.at); }
    return c.at->value;
  }

 private:
  template <class T>
  cell<T> add() {
    auto made = std::make_unique<holder<T>>();
    cell<T> const out{made.get()};
    nodes_.push_back(std::move(made));
    return out;
  }
  template <class T>
  static bool settle(holder<T>& out, T&& next) {
    if (next == out.value) { return false; }
    out.value = std::move(next);
    return true;
  }
  static void depend(node& n, std::vector<node*> reads) {
    for (node* const each : reads) { n.height = std::max(n.height, each->height + 1); }
    n.reads = std::move(reads);
  }
  /// Lays the edges of a node and of all that it needs, and runs them, lower ones first.
  void enliven(node& last) {
    std::vector<node*> found{&last};
    last.live = true;
    for (std::size_t i = 0; i < found.size(); ++i) {
      for (node* const each : found[i]->reads) {
        // one edge, however often it reads it
        if (each->readers.empty() || each->readers.back() != found[i]) {
          each->readers.push_back(found[i]);
        }
        if (!std::exchange(each->live, true)) { found.push_back(each); }
      }
    }
    std::stable_sort(found.begin(), found.end(),
                     [](node const* a, node const* b) { return a->height < b->height; });
    for (node* const each : found) { each->run(); }
    due_.resize(std::max<std::size_t>(due_.size(), last.height + 1));
  }
  void put(node& n) noexcept {
    if (std::exchange(n.due, true)) { return; }
    n.next_due = std::exchange(due_[n.height], &n);
    highest_ = std::max(highest_, n.height);
    lowest_ = std::min(lowest_, n.height);
  }
  template <class T>
  void set(cell<T> c, T value) {
    if (c.at->value == value) { return; }
    c.at->value = std::move(value);
    for (node* const each : c.at->readers) { put(*each); }
  }
  void flush() {
    for (std::uint32_t height = lowest_; height <= highest_; ++height) {
      while (node* const n = due_[height]) {
        due_[height] = n->next_due;
        n->due = false;
        if (!n->run()) { continue; }
        for (node* const each : n->readers) { put(*each); }
      }
    }
    highest_ = 0;
    lowest_ = none;
  }

  static constexpr std::uint32_t none = ~std::uint32_t{};

  std::vector<std::unique_ptr<node>> nodes_;
  std::vector<node*> due_;  ///< of each height
  std::uint32_t lowest_ = none, highest_ = 0;
};
static_assert(suite::framework<push>);

}  // namespace millrace::bench::peers
