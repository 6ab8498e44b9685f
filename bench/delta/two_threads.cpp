// SPDX-License-Identifier: Apache-2.0
#include "bench/delta/benches.hpp"
#include "bench/delta/inputs.hpp"
#include <millrace/delta/combine.hpp>
#include <millrace/delta/merge.hpp>
#include <millrace/delta/merge_parallel.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <thread>

namespace millrace::bench {
namespace {

using key = std::uint32_t;
using value = float;
using rows = delta::change_set_ref<key, value>;
using set = delta::change_set<key, value>;

/// The caller and a thread that waits on the pair's other processor. Tasks begin when both are
/// there, as they do on a pool of threads: starting one takes up to a scheduler's turn.
class pinned_pair {
 public:
  pinned_pair()
      : other_{[this](std::stop_token const& end) {
          pin_to(trial_cpus().worker);
          for (;;) {
            go_.store(1, std::memory_order_release);
            while (go_.load(std::memory_order_acquire) == 1) {
              if (end.stop_requested()) { return; }
              relax();
            }
            call_(1);
          }
        }} {
    pin_to(trial_cpus().producer);
    await();
  }

  template <class Task>
  void run(std::uint32_t, Task&& task) noexcept {
    call_ = std::ref(task);
    go_.store(2, std::memory_order_release);
    task(0);
    await();
  }

 private:
  void await() noexcept {
    while (go_.load(std::memory_order_acquire) != 1) { relax(); }
  }

  std::function<void(std::uint32_t)> call_;
  std::atomic<int> go_{0};  // 1: the other thread waits, 2: it is called
  std::jthread other_;
};

template <class Body>
[[nodiscard]] double seconds_of(Body&& body) {
  std::int64_t const start = now_ns();
  body();
  return static_cast<double>(now_ns() - start) * 1e-9;
}

struct inputs {
  two_runs<key, value> whole;
  std::array<two_runs<key, value>, 2> halves;
  set out, want;
  std::array<set, 2> half_out, half_want;

  explicit inputs(std::size_t size)
      : whole{size, 50},
        halves{two_runs<key, value>{size / 2, 50, 2}, two_runs<key, value>{size / 2, 50, 3}},
        out{touched<key, value>(2 * size)},
        want{reference(whole)},
        half_out{touched<key, value>(size), touched<key, value>(size)},
        half_want{reference(halves[0]), reference(halves[1])} {}

  [[nodiscard]] static set reference(two_runs<key, value> const& of) {
    set made = touched<key, value>(of.older.size() + of.newer.size());
    made.set_size(delta::merge_scalar<delta::keep::either>(of.older.ref(), of.newer.ref(),
                                                           made.space(), delta::add{}));
    return made;
  }
};

[[gnu::noinline]] std::size_t merge_one(two_runs<key, value> const& of, set const& out) {
  return delta::merge(of.older.ref(), of.newer.ref(), out.space(), delta::add{}).value_or(0);
}
[[gnu::noinline]] std::size_t merge_two(two_runs<key, value> const& of, set const& out,
                                        pinned_pair& threads) {
  return delta::merge_parallel(of.older.ref(), of.newer.ref(), out.space(), delta::add{}, 2,
                               threads)
      .value_or(0);
}

/// How many times faster two threads merge two runs than one.
[[nodiscard]] measured shared_trial(inputs const& in) {
  pin_to(trial_cpus().producer);
  std::size_t got = 0;
  double const one = seconds_of([&] { got = merge_one(in.whole, in.out); });
  if (!(in.out.space().filled(got) == in.want.ref())) { return {0, "one thread's rows are wrong"}; }
  // a row of each part, so that none passes by what one thread left there; to clear all would leave
  // the caches full of lines that two threads' time then writes back
  for (std::size_t row = 0; row < got; row += 1024) { in.out.space().keys()[row] = 0; }
  pinned_pair threads;
  double const two = seconds_of([&] { got = merge_two(in.whole, in.out, threads); });
  return {one / two, differs(in.out.space().filled(got), in.want.ref())};
}

/// The same for two threads that each merge runs of their own, half as long.
[[nodiscard]] measured unshared_trial(inputs const& in) {
  pin_to(trial_cpus().producer);
  std::array<std::size_t, 2> got{};
  double const one = seconds_of([&] { got[0] = merge_one(in.halves[0], in.half_out[0]); });
  pinned_pair threads;
  double const two = seconds_of([&] {
    threads.run(2, [&](std::uint32_t i) { got[i] = merge_one(in.halves[i], in.half_out[i]); });
  });
  std::string problem;
  for (std::size_t i = 0; i < 2; ++i) {
    problem += differs(in.half_out[i].space().filled(got[i]), in.half_want[i].ref());
  }
  return {2 * one / two, problem};
}

/// Rows of input a second of one thread that merges directly, or in parts as two threads would.
template <class Merge>
[[nodiscard]] measured rate_trial(inputs const& in, Merge const& merge) {
  pin_to(trial_cpus().producer);
  std::size_t got = 0;
  double const seconds = seconds_of([&] { got = merge(in.whole, in.out); });
  return {static_cast<double>(in.whole.older.size() + in.whole.newer.size()) / seconds,
          differs(in.out.space().filled(got), in.want.ref())};
}

/// The caller alone does what two threads would.
struct caller_alone {
  template <class Task>
  void run(std::uint32_t, Task&& task) noexcept {
    task(0);
  }
};
[[gnu::noinline]] std::size_t merge_in_parts(two_runs<key, value> const& of, set const& out) {
  return delta::merge_parallel(of.older.ref(), of.newer.ref(), out.space(), delta::add{}, 2,
                               caller_alone{})
      .value_or(0);
}

}  // namespace

void two_thread_benches(session& out) {
  constexpr char const* scaling = "delta.add.2t";
  constexpr char const* rate = "delta.add.2t.rate";
  if (!out.wants(scaling) && !out.wants(rate)) { return; }
  auto const in = std::make_shared<inputs>(10'000'000);
  out.run({.bench = scaling,
           .unit = "x of one thread",
           .way = better::higher,
           .ours = guarded("millrace", [in] { return shared_trial(*in); }),
           .peers = {guarded("raw.unshared", [in] { return unshared_trial(*in); })},
           .placed = true});
  out.run(
      {.bench = rate,
       .unit = "rows/s",
       .way = better::higher,
       .ours = guarded("millrace",
                       [in] {
                         pinned_pair threads;
                         return rate_trial(*in, [&](auto const& of, set const& to) {
                           return merge_two(of, to, threads);
                         });
                       }),
       .peers = {guarded("raw.one_thread", [in] { return rate_trial(*in, merge_one); }),
                 guarded("raw.one_thread.parts", [in] { return rate_trial(*in, merge_in_parts); })},
       .placed = true});
}

}  // namespace millrace::bench
