// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/propagate/suite/findings.hpp"
#include "bench/propagate/suite/framework.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

/// \file
/// The tests of kairo whose dependencies never change. Each builds its graph in its constructor,
/// and `iterate` is one iteration with its checks; `problem` is what was wrong first.
///
/// - `needs_dynamic`: only for frameworks that have it.
/// - `iterations`: in a trial of some milliseconds.
/// - `runs`: how often functions run in an iteration, effects included.
/// @source milomg/js-reactivity-benchmark, kairo

namespace millrace::bench::suite {

/// What the tests have in common: the cells, and what was found.
template <framework F>
class kairo_test {
 public:
  kairo_test() = default;
  kairo_test(kairo_test const&) = delete;
  kairo_test& operator=(kairo_test const&) = delete;

  [[nodiscard]] std::string const& problem() const noexcept { return found_.problem(); }

 protected:
  /// Counts of runs are the suite's in engines that promise it.
  void expect_runs(std::size_t got, std::size_t want, char const* what) {
    if constexpr (F::exact_runs) { found_.expect_runs(got, want, what); }
  }
  void expect(double got, double want, char const* what) { found_.expect(got, want, what); }

  F fw_;
  findings found_;
};

/// A hundred steps that no compiler leaves out.
inline void busy() noexcept {
  int steps = 0;
  for (int i = 0; i < 100; ++i) { asm volatile("" : "+r"(steps)); }
}

/// What hangs below a node whose value stays never runs.
template <framework F>
class avoidable : public kairo_test<F> {
 public:
  static constexpr std::string_view name = "avoidable";
  static constexpr bool needs_dynamic = false;
  static constexpr double paths = 1;
  static constexpr int iterations = 150;
  static constexpr std::size_t runs = 2 * 1001;

  avoidable() {
    auto& fw = this->fw_;
    auto const c1 = fw.computed([](double h) { return h; }, head_);
    auto const c2 = fw.computed([](double) { return 0.0; }, c1);
    auto const c3 = fw.computed(
        [this](double v) {
          ++below_;
          busy();
          return v + 1;
        },
        c2);
    auto const c4 = fw.computed([](double v) { return v + 2; }, c3);
    c5_ = fw.computed([](double v) { return v + 3; }, c4);
    fw.effect(
        [this](double) {
          ++below_;
          busy();
        },
        c5_);
  }
  void iterate() {
    auto& fw = this->fw_;
    fw.write(head_, 1.0);
    this->expect(fw.read(c5_), 6, "c5");
    for (int i = 0; i < 1000; ++i) {
      fw.write(head_, static_cast<double>(i));
      this->expect(fw.read(c5_), 6, "c5");
    }
    this->expect_runs(below_, 2, "the runs below the cutoff");
  }

 private:
  std::size_t below_ = 0;
  cell_of<F> head_ = this->fw_.input(0.0);
  cell_of<F> c5_;
};

/// One input, fifty branches of two nodes and an effect.
template <framework F>
class broad : public kairo_test<F> {
 public:
  static constexpr std::string_view name = "broad";
  static constexpr bool needs_dynamic = false;
  static constexpr double paths = 1;
  static constexpr int iterations = 40;
  static constexpr std::size_t runs = 51 * 150;

  broad() {
    auto& fw = this->fw_;
    for (int i = 0; i < 50; ++i) {
      auto const c = fw.computed([i](double h) { return h + i; }, head_);
      last_ = fw.computed([](double v) { return v + 1; }, c);
      fw.effect([this](double) { ++effects_; }, last_);
    }
  }
  void iterate() {
    auto& fw = this->fw_;
    fw.write(head_, 1.0);
    effects_ = 0;
    for (int i = 0; i < 50; ++i) {
      fw.write(head_, static_cast<double>(i));
      this->expect(fw.read(last_), i + 50, "the last branch");
    }
    this->expect_runs(effects_, 2500, "the number of effects");
  }

 private:
  std::size_t effects_ = 0;
  cell_of<F> head_ = this->fw_.input(0.0);
  cell_of<F> last_;
};

/// A chain of fifty.
template <framework F>
class deep : public kairo_test<F> {
 public:
  static constexpr std::string_view name = "deep";
  static constexpr bool needs_dynamic = false;
  static constexpr double paths = 1;
  static constexpr int iterations = 150;
  static constexpr std::size_t runs = 51 * 51;

  deep() {
    auto& fw = this->fw_;
    end_ = head_;
    for (int i = 0; i < 50; ++i) {
      end_ = fw.computed([](double v) { return v + 1; }, end_);
    }
    fw.effect([this](double) { ++effects_; }, end_);
  }
  void iterate() {
    auto& fw = this->fw_;
    fw.write(head_, 1.0);
    effects_ = 0;
    for (int i = 0; i < 50; ++i) {
      fw.write(head_, static_cast<double>(i));
      this->expect(fw.read(end_), i + 50, "the end of the chain");
    }
    this->expect_runs(effects_, 50, "the number of effects");
  }

 private:
  std::size_t effects_ = 0;
  cell_of<F> head_ = this->fw_.input(0.0);
  cell_of<F> end_;
};

/// The sum of all that a view shows.
struct sum_of_view {
  double operator()(auto const& view) const {
    double sum = 0;
    for (std::size_t i = 0; i < view.size(); ++i) { sum += view[i]; }
    return sum;
  }
};

/// Five nodes of one input, and their sum.
template <framework F>
class diamond : public kairo_test<F> {
 public:
  static constexpr std::string_view name = "diamond";
  static constexpr bool needs_dynamic = false;
  static constexpr double paths = 5;
  static constexpr int iterations = 100;
  static constexpr std::size_t runs = 501 * 7;

  diamond() {
    auto& fw = this->fw_;
    std::vector<cell_of<F>> sides;
    for (int i = 0; i < 5; ++i) {
      sides.push_back(fw.computed([](double h) { return h + 1; }, head_));
    }
    sum_ = fw.combined(sum_of_view{}, sides);
    fw.effect([this](double) { ++effects_; }, sum_);
  }
  void iterate() {
    auto& fw = this->fw_;
    fw.write(head_, 1.0);
    this->expect(fw.read(sum_), 10, "the sum");
    effects_ = 0;
    for (int i = 0; i < 500; ++i) {
      fw.write(head_, static_cast<double>(i));
      this->expect(fw.read(sum_), (i + 1) * 5, "the sum");
    }
    this->expect_runs(effects_, 500, "the number of effects");
  }

 private:
  std::size_t effects_ = 0;
  cell_of<F> head_ = this->fw_.input(0.0);
  cell_of<F> sum_;
};

/// A chain of ten, and the sum of the input and the first nine links; nobody looks at the last one.
template <framework F>
class triangle : public kairo_test<F> {
 public:
  static constexpr std::string_view name = "triangle";
  static constexpr bool needs_dynamic = false;
  static constexpr double paths = 10;
  static constexpr int iterations = 150;
  static constexpr std::size_t runs = 101 * 11;

  triangle() {
    auto& fw = this->fw_;
    std::vector<cell_of<F>> links;
    cell_of<F> link = head_;
    for (int i = 0; i < 10; ++i) {
      links.push_back(link);
      bool const last = i == 9;
      link = fw.computed(
          [this, last](double v) {
            unseen_ += last ? 1 : 0;
            return v + 1;
          },
          link);
    }
    sum_ = fw.combined(sum_of_view{}, links);
    fw.effect([this](double) { ++effects_; }, sum_);
  }
  void iterate() {
    auto& fw = this->fw_;
    fw.write(head_, 1.0);
    this->expect(fw.read(sum_), 55, "the sum");
    effects_ = 0;
    for (int i = 0; i < 100; ++i) {
      fw.write(head_, static_cast<double>(i));
      this->expect(fw.read(sum_), 45 + 10 * i, "the sum");
    }
    this->expect_runs(effects_, 100, "the number of effects");
    this->expect_runs(unseen_, 0, "the runs of the link that nobody looks at");
  }

 private:
  std::size_t effects_ = 0, unseen_ = 0;
  cell_of<F> head_ = this->fw_.input(0.0);
  cell_of<F> sum_;
};

/// One node that reads one input thirty times.
template <framework F>
class repeated : public kairo_test<F> {
 public:
  static constexpr std::string_view name = "repeated";
  static constexpr bool needs_dynamic = false;
  static constexpr double paths = 30;
  static constexpr int iterations = 500;
  static constexpr std::size_t runs = 101 * 2;

  repeated() {
    auto& fw = this->fw_;
    sum_ = fw.combined(sum_of_view{}, std::vector<cell_of<F>>(30, head_));
    fw.effect([this](double) { ++effects_; }, sum_);
  }
  void iterate() {
    auto& fw = this->fw_;
    fw.write(head_, 1.0);
    this->expect(fw.read(sum_), 30, "the sum");
    effects_ = 0;
    for (int i = 0; i < 100; ++i) {
      fw.write(head_, static_cast<double>(i));
      this->expect(fw.read(sum_), 30 * i, "the sum");
    }
    this->expect_runs(effects_, 100, "the number of effects");
  }

 private:
  std::size_t effects_ = 0;
  cell_of<F> head_ = this->fw_.input(0.0);
  cell_of<F> sum_;
};

}  // namespace millrace::bench::suite
