// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/propagate/suite/kairo.hpp"

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

/// \file
/// The tests of kairo that turn on dependencies: many on one node, and such as come and go.

namespace millrace::bench::suite {

/// A hundred inputs in one map, a hundred nodes that take one of it each.
template <framework F>
class mux : public kairo_test<F> {
 public:
  static constexpr std::string_view name = "mux";
  static constexpr bool needs_dynamic = false;
  static constexpr double paths = 1;
  static constexpr int iterations = 300;
  static constexpr std::size_t width = 100;
  static constexpr std::size_t runs = 18 * (1 + width + 2);
  using map = std::array<double, width>;

  mux() {
    auto& fw = this->fw_;
    for (std::size_t i = 0; i < width; ++i) { heads_.push_back(fw.input(0.0)); }
    auto const all = fw.combined(
        [](auto const& view) {
          map of{};
          for (std::size_t i = 0; i < width; ++i) { of[i] = view[i]; }
          return of;
        },
        heads_);
    for (std::size_t i = 0; i < width; ++i) {
      auto const split = fw.computed([i](map const& of) { return of[i]; }, all);
      out_.push_back(fw.computed(
          [this](double v) {
            ++branches_;
            return v + 1;
          },
          split));
      fw.effect([this](double) { ++effects_; }, out_.back());
    }
  }
  void iterate() {
    auto& fw = this->fw_;
    effects_ = 0;
    branches_ = 0;
    for (std::size_t i = 0; i < 10; ++i) {
      auto const value = static_cast<double>(i);
      fw.write(heads_[i], value);
      this->expect(fw.read(out_[i]), value + 1, "a branch");
    }
    for (std::size_t i = 0; i < 10; ++i) {
      auto const value = static_cast<double>(2 * i);
      fw.write(heads_[i], value);
      this->expect(fw.read(out_[i]), value + 1, "a branch");
    }
    // head 0 keeps its 0
    this->expect_runs(effects_, 18, "the number of effects");
    this->expect_runs(branches_, 18, "the runs after the split");
  }

 private:
  std::size_t effects_ = 0, branches_ = 0;
  std::vector<cell_of<F>> heads_, out_;
};

/// One node that takes another side with each write.
template <framework F>
class unstable : public kairo_test<F> {
 public:
  static constexpr std::string_view name = "unstable";
  static constexpr bool needs_dynamic = true;
  static constexpr double paths = 41;
  static constexpr int iterations = 100;
  static constexpr std::size_t runs = 101 * 3;

  unstable() {
    auto& fw = this->fw_;
    auto const head = head_;
    auto const twice = fw.computed(
        [this](double h) {
          ++sides_;
          return 2 * h;
        },
        head);
    auto const inverse = fw.computed(
        [this](double h) {
          ++sides_;
          return -h;
        },
        head);
    current_ = fw.template dynamic<double>([head, twice, inverse](auto&& read) {
      double sum = 0;
      for (int i = 0; i < 20; ++i) {
        bool const odd = static_cast<std::int64_t>(read(head)) % 2 != 0;
        sum += odd ? read(twice) : read(inverse);
      }
      return sum;
    });
    fw.effect([this](double) { ++effects_; }, current_);
  }
  void iterate() {
    auto& fw = this->fw_;
    fw.write(head_, 1.0);
    this->expect(fw.read(current_), 40, "the sum");
    effects_ = 0;
    sides_ = 0;
    for (int i = 0; i < 100; ++i) {
      fw.write(head_, static_cast<double>(i));
      this->expect(fw.read(current_), i % 2 != 0 ? 40 * i : -20 * i, "the sum");
    }
    this->expect_runs(effects_, 100, "the number of effects");
    this->expect_runs(sides_, 100, "the runs of the two sides");
  }

 private:
  std::size_t effects_ = 0, sides_ = 0;
  cell_of<F> head_ = this->fw_.input(0.0);
  cell_of<F> current_;
};

/// fib(0) = fib(1) = 1, in the slow way.
[[nodiscard, gnu::noinline]] inline int slow_fib(int n) noexcept {
  return n < 2 ? 1 : slow_fib(n - 1) + slow_fib(n - 2);
}
/// A function that takes its time.
[[nodiscard]] inline double hard(double n) noexcept {
  int of = 16;
  asm volatile("" : "+r"(of));
  return n + slow_fib(of);
}
[[nodiscard]] inline double parity(double v) noexcept { return std::fmod(v, 2); }

/// Seven nodes with conditions between, and slow functions: an engine gains by what it leaves out.
template <framework F>
class mol : public kairo_test<F> {
 public:
  static constexpr std::string_view name = "mol";
  static constexpr bool needs_dynamic = true;
  static constexpr double paths = 20;
  static constexpr int iterations = 400;
  static constexpr std::size_t runs = 11;
  using five = std::array<double, 5>;

  mol() {
    auto& fw = this->fw_;
    auto const a = a_, b = b_;
    auto const c = fw.computed(
        [this](double x, double y) {
          ++runs_[0];
          return parity(x) + parity(y);
        },
        a, b);
    auto const d = fw.computed(
        [this](double x, double y) {
          ++runs_[1];
          five of{};
          for (std::size_t i = 0; i < of.size(); ++i) {
            of[i] = static_cast<double>(i) + parity(x) - parity(y);
          }
          return of;
        },
        a, b);
    auto const e = fw.computed(
        [this](double x, double y, five const& z) {
          ++runs_[2];
          return hard(x + y + z[0]);
        },
        c, a, d);
    auto const f = fw.template dynamic<double>([this, b, d](auto&& read) {
      ++runs_[3];
      double const first = read(d)[2];
      return hard(first != 0 ? first : read(b));
    });
    auto const g = fw.template dynamic<double>([this, c, d, e, f](auto&& read) {
      ++runs_[4];
      double const first = read(c);
      double const next = first != 0 ? first : parity(read(e));
      return first + next + read(d)[4] + read(f);
    });
    fw.effect(
        [this](double v) {
          ++runs_[5];
          seen_[0] = hard(v);
        },
        g);
    fw.effect(
        [this](double v) {
          ++runs_[6];
          seen_[1] = v;
        },
        g);
    fw.effect(
        [this](double v) {
          ++runs_[7];
          seen_[2] = hard(v);
        },
        f);
  }
  void iterate() {
    auto& fw = this->fw_;
    auto const a = a_, b = b_;
    runs_ = {};
    fw.batch([&](auto&& write) {
      write(b, 1.0);
      write(a, 1.0 + 2 * round_);
    });
    // hard adds fib(16) = 1597; c = 2, d[i] = i: f = 1599, g = c + c + 4 + f
    expect_seen(2 + 2 + 4 + 1599);
    fw.batch([&](auto&& write) {
      write(a, 2.0 + 2 * round_);
      write(b, 2.0);
    });
    // c = 0, e is read: a + 1597 is odd
    expect_seen(0 + 1 + 4 + 1599);
    // once c, d, g and its effects in each batch, e only in the second, which reads it. Before, all
    // inputs were 0, so that the first iteration runs e as often; f never again: d stays.
    static constexpr std::array<std::size_t, 8> want{2, 2, 1, 0, 2, 2, 2, 0};
    for (std::size_t i = 0; i < want.size(); ++i) { this->expect_runs(runs_[i], want[i], what[i]); }
    ++round_;
  }

 private:
  static constexpr std::array<char const*, 8> what{
      "the runs of c",        "the runs of d",
      "the runs of e",        "the runs of f",
      "the runs of g",        "the runs of the first effect",
      "the runs of the next", "the runs of the last effect"};

  void expect_seen(double g) {
    this->expect(seen_[0], g + 1597, "the first effect's");
    this->expect(seen_[1], g, "the second effect's");
    this->expect(seen_[2], 1599 + 1597, "the last effect's");
  }

  double round_ = 0;
  std::array<std::size_t, 8> runs_{};
  std::array<double, 3> seen_{};
  cell_of<F> a_ = this->fw_.input(0.0), b_ = this->fw_.input(0.0);
};

}  // namespace millrace::bench::suite
