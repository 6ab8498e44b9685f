// SPDX-License-Identifier: Apache-2.0
// Levels of 4,096 functions of 100 ns, each of two neighbours of the level before.
#include "bench/propagate/wide.hpp"

#include "bench/harness/comparison.hpp"
#include "bench/harness/threads.hpp"
#include "bench/propagate/mixing.hpp"
#include "bench/propagate/must.hpp"
#include "bench/propagate/team.hpp"
#include <millrace/core/error.hpp>
#include <millrace/propagate/graph.hpp>
#include <millrace/propagate/team.hpp>

#include <cuda/std/span>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace millrace::bench {
namespace {

namespace propagate = millrace::propagate;

constexpr std::size_t levels = 8, width = 4'096;
constexpr double function_ns = 100;
constexpr int passes = 7;  // in a trial, by one thread and by two in turn

/// The i-th input of a pass.
[[nodiscard]] constexpr std::uint64_t input_of(std::size_t i, std::uint64_t pass) noexcept {
  return pass << 32 | i;
}

/// `count` neighbouring cells of each level, which depend on nobody else.
class levels_alone {
 public:
  levels_alone(mixing function, std::size_t first, std::size_t count)
      : function_{function}, first_{first}, now_(count), next_(count) {}

  void run(std::uint64_t pass) noexcept {
    std::size_t const count = now_.size();
    for (std::size_t i = 0; i < count; ++i) { now_[i] = input_of(first_ + i, pass); }
    for (std::size_t l = 0; l < levels; ++l) {
      for (std::size_t i = 0; i + 1 < count; ++i) { next_[i] = function_(now_[i], now_[i + 1]); }
      next_[count - 1] = function_(now_[count - 1], now_[0]);
      now_.swap(next_);
    }
  }
  [[nodiscard]] std::vector<std::uint64_t> const& values() const noexcept { return now_; }

 private:
  mixing function_;
  std::size_t first_;
  std::vector<std::uint64_t> now_, next_;
};

/// A thread that does one thing beside the caller, as soon as it is told: it never sleeps.
class second_thread {
 public:
  explicit second_thread(std::function<void(std::uint64_t)> what) : what_{std::move(what)} {}
  second_thread(second_thread const&) = delete;
  second_thread& operator=(second_thread const&) = delete;
  ~second_thread() {
    asked_.store(ended, std::memory_order_release);
    thread_.join();
  }
  void begin(std::uint64_t pass) noexcept { asked_.store(pass, std::memory_order_release); }
  void await(std::uint64_t pass) const noexcept {
    while (done_.load(std::memory_order_acquire) != pass) { relax(); }
  }

 private:
  static constexpr std::uint64_t ended = ~std::uint64_t{0};

  std::function<void(std::uint64_t)> what_;
  alignas(128) std::atomic<std::uint64_t> asked_{0};
  alignas(128) std::atomic<std::uint64_t> done_{0};
  std::thread thread_{[this] {
    for (std::uint64_t last = 0;;) {
      std::uint64_t const pass = asked_.load(std::memory_order_acquire);
      if (pass == ended) { return; }
      if (pass == last) {
        relax();
        continue;
      }
      what_(pass);
      last = pass;
      done_.store(pass, std::memory_order_release);
    }
  }};
};

/// How many times as fast the passes are by two threads, `both(pass)`, as by one, `alone(pass)`:
/// in turn, the shortest of each, which nobody has interrupted.
template <class Alone, class Both>
[[nodiscard]] double scaling(std::uint64_t& pass, Alone&& alone, Both&& both) {
  alone(++pass);  // what came between had the caches
  both(++pass);
  std::int64_t ns[2] = {std::numeric_limits<std::int64_t>::max(),
                        std::numeric_limits<std::int64_t>::max()};
  for (int i = 0; i < passes; ++i) {
    std::int64_t const start = now_ns();
    alone(++pass);
    std::int64_t const middle = now_ns();
    both(++pass);
    ns[0] = std::min(ns[0], middle - start);
    ns[1] = std::min(ns[1], now_ns() - middle);
  }
  return static_cast<double>(ns[0]) / static_cast<double>(ns[1]);
}

struct on_two_processors : propagate::default_graph {
  using team = propagate::basic_team<team_beside>;
};

/// A graph of the levels, and a team that it uses in every second pass.
class graph_of_levels {
 public:
  explicit graph_of_levels(mixing function)
      : function_{function}, team_(beside([] { return must(team::make(2)); })) {
    std::vector<propagate::cell<std::uint64_t>> now, next;
    for (std::size_t i = 0; i < width; ++i) {
      inputs_.push_back(must(graph_.input(input_of(i, 0))));
      now.push_back(inputs_.back());
    }
    for (std::size_t l = 0; l < levels; ++l) {
      for (std::size_t i = 0; i < width; ++i) {
        next.push_back(must(graph_.computed(function, now[i], now[(i + 1) % width])));
      }
      now = std::exchange(next, {});
    }
    ends_ = now;
    must(graph_.keep(cuda::std::span<propagate::cell<std::uint64_t> const>(ends_)));
    // it has a plan when as many cells have run as there are, and knows later what takes long
    for (int i = 0; i < 40; ++i) { run_by(&team_, ++last_); }
  }
  [[nodiscard]] double times() {
    return scaling(
        last_, [this](std::uint64_t pass) { run_by(nullptr, pass); },
        [this](std::uint64_t pass) { run_by(&team_, pass); });
  }
  [[nodiscard]] std::string problem() {
    levels_alone again(function_, 0, width);
    again.run(last_);
    for (std::size_t i = 0; i < width; ++i) {
      if (must(graph_.read(ends_[i])) != again.values()[i]) { return "a value is wrong"; }
    }
    return {};
  }

 private:
  using graph = propagate::basic_graph<on_two_processors>;
  using team = on_two_processors::team;

  void run_by(team* with, std::uint64_t pass) {
    must(graph_.use(with));
    auto batch = must(graph_.begin());
    for (std::size_t i = 0; i < width; ++i) { must(batch.write(inputs_[i], input_of(i, pass))); }
    must(batch.commit());
  }

  mixing function_;
  team team_;
  graph graph_ = must(graph::make());
  std::vector<propagate::input<std::uint64_t>> inputs_;
  std::vector<propagate::cell<std::uint64_t>> ends_;
  std::uint64_t last_ = 0;
};

/// What the machine gives: two threads that each run half of the functions on arrays of their own,
/// against one that runs all.
[[nodiscard]] measured unshared_trial() {
  mixing const function = mixing_of(function_ns);
  levels_alone left(function, 0, width / 2), right(function, width / 2, width / 2);
  auto const other = beside([&] {
    return std::make_unique<second_thread>([&right](std::uint64_t pass) { right.run(pass); });
  });
  std::uint64_t last = 0;
  double const times = scaling(
      last,
      [&](std::uint64_t pass) {
        left.run(pass);
        right.run(pass);
      },
      [&](std::uint64_t pass) {
        other->begin(pass);
        left.run(pass);
        other->await(pass);
      });
  for (auto const* half : {&left, &right}) {
    levels_alone again(function, half == &left ? 0 : width / 2, width / 2);
    again.run(last);
    if (again.values() != half->values()) { return {0, "a value is wrong"}; }
  }
  return {times, {}};
}

}  // namespace

void run_wide(session& out) {
  if (!out.wants("propagate.wide.2t")) { return; }
  auto const kept = std::make_shared<std::unique_ptr<graph_of_levels>>();
  auto const ours = [kept]() -> measured {
    if (*kept == nullptr) { *kept = std::make_unique<graph_of_levels>(mixing_of(function_ns)); }
    double const times = (*kept)->times();
    return {times, (*kept)->problem()};
  };
  out.run({.bench = "propagate.wide.2t",
           .unit = "x",
           .way = better::higher,
           .ours = guarded("graph", ours),
           .peers = {guarded("control.unshared", unshared_trial)},
           .placed = true});
  unpin();
}

}  // namespace millrace::bench
