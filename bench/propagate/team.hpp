// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/harness/comparison.hpp"
#include "bench/harness/session.hpp"
#include "bench/harness/stats.hpp"
#include "bench/harness/threads.hpp"
#include "bench/propagate/mixing.hpp"
#include <millrace/propagate/team.hpp>

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace millrace::bench {

/// The rows `propagate.team.fork` and `propagate.team.fork.5us`: two tasks, nothing or 5
/// microseconds each, that two threads share.
void run_teams(session& out);

/// A task by its number, 0 or 1.
using fork_body = std::function<void(std::uint32_t)>;

/// Runs what makes threads so that these have the second processor of a trial, and leaves the
/// caller on the first.
template <class Make>
[[nodiscard]] auto beside(Make&& make) {
  pin_to(trial_cpus().worker);
  auto made = make();
  pin_to(trial_cpus().producer);
  return made;
}

/// A team that is made as `beside` does: it has both processors of a trial, though who makes it has
/// only one at that time.
struct team_beside : propagate::default_team {
  [[nodiscard]] static std::uint32_t processors() noexcept { return 2; }
};

/// A word that one thread writes.
struct alignas(128) own_count {
  std::uint64_t tasks = 0;
  std::uint64_t value = 0;
};

/// ns of a run of two tasks that last `task_ns` each. `make` gives a pool for each trial, whose
/// `run` calls a fork_body for both.
template <class Make>
[[nodiscard]] contender forked(std::string name, double task_ns, Make make) {
  return guarded(std::move(name), [task_ns, make]() -> measured {
    constexpr std::int64_t trial_ns = 5'000'000;
    auto const pool = beside(make);
    mixing const work = task_ns > 0 ? mixing_of(task_ns) : mixing{0};
    own_count done[2];
    fork_body const body = [&](std::uint32_t task) {
      done[task].value = work(done[task].value, task) | 1;
      ++done[task].tasks;
    };
    std::uint64_t runs = 0;
    for (; runs < 100; ++runs) { pool->run(body); }
    std::vector<double> blocks;  // of 16 runs: one that is interrupted does not count
    for (std::int64_t const end = now_ns() + trial_ns; now_ns() < end;) {
      std::int64_t const start = now_ns();
      for (int i = 0; i < 16; ++i, ++runs) { pool->run(body); }
      blocks.push_back(static_cast<double>(now_ns() - start) / 16);
    }
    bool const right = done[0].tasks == runs && done[1].tasks == runs;
    return {median(blocks), right ? "" : "a task was not done once in each run"};
  });
}

}  // namespace millrace::bench
