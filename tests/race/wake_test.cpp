// SPDX-License-Identifier: Apache-2.0
#include "queue_bugs.hpp"
#include "queue_model.hpp"
#include "verdict.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <string>

// Workers that sleep as soon as a look at their lanes finds nothing.

namespace {

using A = race::access;
using race::parts;
namespace queue = millrace::queue;

template <class Access>
struct sleepy : race::explored<Access> {
  using backoff = race::sleepy_backoff;
};
template <class Access>
struct sleepy_pinned : sleepy<Access> {
  static constexpr auto claims = queue::claim_mode::pinned;
};
template <class Access>
struct sleepy_deferred : sleepy<Access> {
  static constexpr std::uint32_t publish_batch = 3;
};

/// A futex whose wakes never arrive.
struct deaf_parking : race::model_parking {
  static void wake(std::uint32_t&) noexcept {}
};
template <class Access>
struct sleepy_deaf : sleepy<Access> {
  using parking = deaf_parking;
};

template <class P>
race::report wake(typename parts<P>::shape shape, std::uint32_t messages,
                  race::options const& how = {}) {
  return race::explore(how, [=](race::run& run) {
    auto& q = run.make<parts<P>>(shape);
    run.thread("producer", [&q, messages] {
      for (std::uint32_t m = 0; m < messages; ++m) { (void)q.submit(m); }
      q.wait_until_done(q.owner().next() - 1);
      q.settle();
      q.crew().advance(queue::phase::closing);
    });
    for (std::uint32_t w = 0; w < shape.workers; ++w) {
      run.thread("worker " + std::to_string(w), [&q, w] { q.work(w); });
    }
    run.after([&q, messages] { q.check_all(messages); });
  });
}

template <class Policy>
void require_lost(std::string const& what) {
  require_found(wake<Policy>({.capacity = 2}, 2), race::failure_kind::deadlock, what);
}

}  // namespace

TEST_CASE("wake: a worker that sleeps is woken for every message and for the close") {
  require_proven(wake<sleepy<A>>({.capacity = 1}, 1), "1 worker, 1 message, capacity 1");
  require_proven(wake<sleepy<A>>({.capacity = 1}, 2), "1 worker, 2 messages, capacity 1");
  require_proven(wake<sleepy<A>>({.capacity = 2}, 2), "1 worker, 2 messages, capacity 2");
  require_proven(wake<sleepy_pinned<A>>({.capacity = 2}, 2), "1 worker, pinned, 2 messages");
}

TEST_CASE("wake: a message held back for company wakes too") {
  race::options const how = race::bounded_fresh(2);
  require_proven(wake<sleepy_deferred<A>>({.capacity = 2}, 2, how),
                 "1 worker, deferred, 2 messages");
}

TEST_CASE("wake: of two workers that sleep enough are woken") {
  race::options const how = race::bounded_fresh(1);
  require_proven(wake<sleepy<A>>({.capacity = 1, .workers = 2}, 1, how), "2 workers, 1 message");
}

TEST_CASE("wake: lost wake-ups are found") {
  using race::without_total_order;
  require_lost<sleepy<without_total_order<"slot.publish">>>("slot.publish below seq_cst");
  require_lost<sleepy<without_total_order<"crew.asleep">>>("crew.asleep below seq_cst");
  require_lost<sleepy<without_total_order<"slot.last_look">>>("slot.last_look below seq_cst");
  require_lost<sleepy_deferred<without_total_order<"lane.reserve">>>("lane.reserve below seq_cst");
  require_lost<sleepy_deferred<without_total_order<"lane.last_look">>>(
      "lane.last_look below seq_cst");
  // these lose the close
  require_lost<sleepy<without_total_order<"crew.advance">>>("crew.advance below seq_cst");
  require_lost<sleepy<without_total_order<"crew.sleeping">>>("crew.sleeping below seq_cst");
  require_lost<sleepy<without_total_order<"crew.sleep">>>("crew.sleep below seq_cst");
  require_lost<sleepy_deaf<A>>("wakes that do not arrive");
}
