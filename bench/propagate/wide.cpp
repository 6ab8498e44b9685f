// SPDX-License-Identifier: Apache-2.0
// Levels of 4,096 functions of 100 ns, each of two neighbours of the level before.
#include "bench/propagate/wide.hpp"

#include "bench/harness/comparison.hpp"
#include "bench/harness/threads.hpp"
#include "bench/propagate/mixing.hpp"
#include "bench/propagate/team.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace millrace::bench {
namespace {

constexpr std::size_t levels = 8, width = 4'096;
constexpr double function_ns = 100;
constexpr int passes = 3;  // in a trial, by one thread and by two in turn

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

/// How often two threads do the passes in the time in which one does one: `alone(pass)` and
/// `both(pass)` in turn.
template <class Alone, class Both>
[[nodiscard]] double scaling(Alone&& alone, Both&& both) {
  std::int64_t ns[2] = {};
  std::uint64_t pass = 0;
  alone(++pass);  // what came between had the caches
  both(++pass);
  for (int i = 0; i < passes; ++i) {
    std::int64_t const start = now_ns();
    alone(++pass);
    std::int64_t const middle = now_ns();
    both(++pass);
    ns[0] += middle - start;
    ns[1] += now_ns() - middle;
  }
  return static_cast<double>(ns[0]) / static_cast<double>(ns[1]);
}
constexpr std::uint64_t last_pass = 2 + 2 * passes;

/// What the machine gives: two threads that each run half of the functions on arrays of their own,
/// against one that runs all.
[[nodiscard]] measured unshared_trial() {
  mixing const function = mixing_of(function_ns);
  levels_alone left(function, 0, width / 2), right(function, width / 2, width / 2);
  auto const other = beside([&] {
    return std::make_unique<second_thread>([&right](std::uint64_t pass) { right.run(pass); });
  });
  double const times = scaling(
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
    again.run(last_pass);
    if (again.values() != half->values()) { return {0, "a value is wrong"}; }
  }
  return {times, {}};
}

}  // namespace

void run_wide(session& out) {
  if (!out.wants("propagate.wide.2t")) { return; }
  comparison const row{.bench = "propagate.wide.2t",
                       .unit = "x",
                       .way = better::higher,
                       .ours = guarded("control.unshared", unshared_trial),
                       .peers = {},
                       .placed = true};
  out.run(row);
  unpin();
}

}  // namespace millrace::bench
