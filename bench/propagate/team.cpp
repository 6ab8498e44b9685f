// SPDX-License-Identifier: Apache-2.0
// What it costs to share two tasks between two threads, against pools that wait in other ways.
#include "bench/propagate/team.hpp"

#include "bench/propagate/peers/sources.hpp"
#include <millrace/core/error.hpp>
#include <millrace/propagate/team.hpp>

#include <barrier>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

namespace millrace::bench {
namespace {

class team_of_two {
 public:
  void run(fork_body const& body) {
    team_.run(2, [&body](std::uint32_t task, std::uint32_t) noexcept { body(task); });
  }

 private:
  using team = propagate::basic_team<team_beside>;
  team team_ = core::value_or_throw(team::make(2));
};

/// The caller by itself.
class one_thread {
 public:
  void run(fork_body const& body) {
    body(0);
    body(1);
  }
};

/// Both threads meet before the tasks and after them.
class barrier_pair {
 public:
  barrier_pair() = default;
  barrier_pair(barrier_pair const&) = delete;
  barrier_pair& operator=(barrier_pair const&) = delete;
  ~barrier_pair() {
    body_ = nullptr;
    both_.arrive_and_wait();
    other_.join();
  }
  void run(fork_body const& body) {
    body_ = &body;
    both_.arrive_and_wait();
    body(0);
    both_.arrive_and_wait();
  }

 private:
  fork_body const* body_ = nullptr;
  std::barrier<> both_{2};
  std::thread other_{[this] {
    for (;;) {
      both_.arrive_and_wait();
      if (body_ == nullptr) { return; }
      (*body_)(1);
      both_.arrive_and_wait();
    }
  }};
};

/// A pool of one thread, with a mutex and two condition variables.
class condition_pair {
 public:
  condition_pair() = default;
  condition_pair(condition_pair const&) = delete;
  condition_pair& operator=(condition_pair const&) = delete;
  ~condition_pair() {
    tell(nullptr);
    other_.join();
  }
  void run(fork_body const& body) {
    tell(&body);
    body(0);
    std::unique_lock hold(lock_);
    ended_.wait(hold, [this] { return !busy_; });
  }

 private:
  void tell(fork_body const* body) {
    {
      std::lock_guard const hold(lock_);
      body_ = body;
      busy_ = true;
    }
    begun_.notify_one();
  }
  void serve() {
    std::unique_lock hold(lock_);
    for (;;) {
      begun_.wait(hold, [this] { return busy_; });
      if (body_ == nullptr) { return; }
      hold.unlock();
      (*body_)(1);
      hold.lock();
      busy_ = false;
      ended_.notify_one();
    }
  }

  std::mutex lock_;
  std::condition_variable begun_, ended_;
  fork_body const* body_ = nullptr;
  bool busy_ = false;
  std::thread other_{[this] { serve(); }};
};

template <class Pool>
[[nodiscard]] contender forked_by(std::string name, double task_ns) {
  return forked(std::move(name), task_ns, [] { return std::make_unique<Pool>(); });
}

}  // namespace

void run_teams(session& out) {
  struct {
    char const* bench;
    double task_ns;
  } const rows[] = {{"propagate.team.fork", 0}, {"propagate.team.fork.5us", 5'000}};
  for (auto const& each : rows) {
    if (!out.wants(each.bench)) { continue; }
    comparison row{.bench = each.bench,
                   .unit = "ns",
                   .ours = forked_by<team_of_two>("team", each.task_ns),
                   .peers = {forked_by<one_thread>("one_thread", each.task_ns),
                             forked_by<barrier_pair>("std.barrier", each.task_ns),
                             forked_by<condition_pair>("std.condition_variable", each.task_ns)},
                   .placed = true};
#if defined(MILLRACE_BENCH_TBB)
    row.peers.push_back(tbb_fork(each.task_ns));
#endif
    out.run(row);
    unpin();
  }
}

}  // namespace millrace::bench
