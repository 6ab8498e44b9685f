// SPDX-License-Identifier: Apache-2.0
#include "queue_bugs.hpp"
#include "queue_model.hpp"
#include "verdict.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <string>

// Producers that drop their oldest messages beside workers that claim them.

namespace {

using A = race::access;
using race::parts;
namespace queue = millrace::queue;

template <class Access>
struct dropping : race::explored<Access> {
  static constexpr auto overflow = queue::overflow_mode::drop_oldest;
};
template <class Access>
struct dropping_deferred : dropping<Access> {
  static constexpr std::uint32_t publish_batch = 3;
};
template <class Access>
struct dropping_sleepy : dropping<Access> {
  using backoff = race::sleepy_backoff;
};

// One producer submits batches whatever the lane holds, and closes behind them. Every message that
// was accepted is answered or dropped, never both; the newest is never dropped.
template <class P>
race::report overrun(typename parts<P>::shape shape, std::uint32_t batches, std::uint32_t size = 1,
                     race::options const& how = {}) {
  return race::explore(how, [=](race::run& run) {
    race::late_phase::looks = {};
    auto& q = run.make<parts<P>>(shape);
    run.thread("producer", [&q, batches, size] {
      for (std::uint32_t b = 0; b < batches; ++b) { (void)q.try_displace(b * size, size); }
      q.crew().advance(queue::phase::closing);
    });
    for (std::uint32_t w = 0; w < shape.workers; ++w) {
      run.thread("worker " + std::to_string(w), [&q, w] { q.work(w); });
    }
    run.after([&q] {
      (void)q.take_all();
      q.check_told();
      race::check(q.unprocessed() == 0, "what was accepted before a close is done");
    });
  });
}

// The same with the close beside the producer: a lane that its producer holds is not dry.
template <class P>
race::report close_beside(typename parts<P>::shape shape, std::uint32_t messages) {
  return race::explore({}, [=](race::run& run) {
    auto& q = run.make<parts<P>>(shape);
    // published before any thread runs: whoever closes, they are done or dropped
    for (std::uint32_t m = 0; m < shape.capacity; ++m) { (void)q.try_displace(m); }
    run.thread("producer", [&q, &shape, messages] {
      for (std::uint32_t m = 0; m < messages; ++m) { (void)q.try_displace(shape.capacity + m); }
    });
    run.thread("handle", [&q] { q.crew().advance(queue::phase::closing); });
    for (std::uint32_t w = 0; w < shape.workers; ++w) {
      run.thread("worker " + std::to_string(w), [&q, w] { q.work(w); });
    }
    run.after([&q] {
      (void)q.take_all();
      q.check_told();
      race::check(q.unprocessed() == 0, "what was published before a close is done or dropped");
    });
  });
}

}  // namespace

TEST_CASE("overflow: a dropped message is never processed, and every other one is") {
  require_proven(overrun<dropping<A>>({.capacity = 1}, 3), "1 worker, 3 messages, capacity 1");
  require_proven(overrun<dropping<A>>({.capacity = 2}, 4), "1 worker, 4 messages, capacity 2");
  require_proven(overrun<dropping<A>>({.capacity = 3}, 2, 2),
                 "1 worker, 2 batches of 2, capacity 3");
  require_proven(overrun<dropping<A>>({.capacity = 1, .workers = 2}, 2),
                 "2 workers, 2 messages, capacity 1");
  race::options const how = race::bounded(2);
  require_proven(overrun<dropping<A>>({.capacity = 2, .workers = 2}, 3, 1, how),
                 "2 workers, 3 messages, capacity 2");
}

TEST_CASE("overflow: messages held back and numbers that wrap are dropped alike") {
  require_proven(overrun<dropping_deferred<A>>({.capacity = 2}, 3),
                 "1 worker, deferred, 3 messages, capacity 2");
  for (std::uint64_t const first : {std::uint64_t{0xffff'fffe}, ~std::uint64_t{0} - 1}) {
    require_proven(overrun<dropping<A>>({.capacity = 2, .first = first}, 4),
                   "1 worker, 4 messages from " + std::to_string(first));
  }
}

TEST_CASE("overflow: a worker that sleeps misses no message that moved") {
  race::options const how = race::bounded(3);
  require_proven(overrun<dropping_sleepy<A>>({.capacity = 1}, 3, 1, how),
                 "1 sleepy worker, 3 messages, capacity 1");
}

TEST_CASE("overflow: a close beside a producer that holds its lane loses nothing") {
  require_proven(close_beside<dropping<A>>({.capacity = 1}, 1), "1 worker, close beside 1");
  require_proven(close_beside<dropping<A>>({.capacity = 2}, 1), "1 worker, close beside 1 of 2");
}

TEST_CASE("overflow: planted mistakes are found") {
  using race::failure_kind;
  require_found(overrun<dropping<race::unclaimed<"lane.withhold">>>({.capacity = 2}, 4),
                failure_kind::data_race, "messages dropped without claiming them");
  require_found(overrun<dropping<race::torn_exchange<"lane.withhold">>>({.capacity = 2}, 4),
                failure_kind::data_race, "producer and worker win one claim");
  require_found(overrun<dropping<race::weakened<"lane.put_back">>>({.capacity = 2}, 4),
                failure_kind::data_race, "messages put back with relaxed");
  require_found(overrun<dropping<race::weakened<"lane.claim">>>({.capacity = 2}, 4),
                failure_kind::data_race, "a claim that acquires nothing");
  require_found(overrun<dropping<race::dropped<"lane.put_back">>>({.capacity = 1}, 2),
                failure_kind::deadlock, "messages that are never put back");
  require_found(close_beside<dropping<race::blind_to_withheld>>({.capacity = 1}, 1),
                failure_kind::check, "a lane in its producer's hands taken for dry");
}
