// SPDX-License-Identifier: Apache-2.0
#include "queue_bugs.hpp"
#include "queue_model.hpp"
#include "verdict.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <string>

// Workers that park while a producer submits, and others that come in their place.

namespace {

using A = race::access;
using race::bounded_fresh;
using race::explored;
using race::parts;
namespace queue = millrace::queue;
namespace core = millrace::core;

template <class Access>
struct records : explored<Access> {};
template <class Access>
struct pinned : explored<Access> {
  static constexpr auto claims = queue::claim_mode::pinned;
};
template <class Access>
struct deferred : explored<Access> {
  static constexpr std::uint32_t publish_batch = 3;
};
template <class Access>
struct sleepy : explored<Access> {
  using backoff = race::sleepy_backoff;
};

struct flags {
  std::uint32_t again = 0;  // the second epoch may begin
  std::uint32_t done = 0;   // the producer has every answer
};

template <class Access>
void await(std::uint32_t const& word, char const* site) {
  race::begin_round();
  while (Access::load(word, core::acquire, site) == 0) { race::pause(); }
}

enum class mistake : std::uint8_t { none, forgets_place, does_not_wait };

// The handle parks the worker at any moment, waits until it has left, and brings another.
template <class P>
race::report park(typename parts<P>::shape shape, std::uint32_t messages, race::options how = {},
                  mistake wrong = mistake::none) {
  how.inner_rounds = race::rounds_watched;
  return race::explore(how, [=](race::run& run) {
    auto& q = run.make<parts<P>>(shape);
    auto& f = run.make<flags>();
    run.thread("producer", [&q, &f, messages] {
      for (std::uint32_t m = 0; m < messages; ++m) { (void)q.submit(m); }
      q.settle();
      A::store(f.done, 1U, core::release, "test.done");
    });
    run.thread("worker", [&q] { q.work(0); });
    run.thread("worker again", [&q, &f] {
      await<A>(f.again, "test.again");
      q.work(0);
    });
    run.thread("handle", [&q, &f, wrong] {
      q.crew().advance(queue::phase::parking);
      if (wrong != mistake::does_not_wait) { q.join(1); }
      if (wrong == mistake::forgets_place) { q.forget_cursors(); }
      q.crew().reset();
      q.crew().advance(queue::phase::running);
      A::store(f.again, 1U, core::release, "test.again");
      await<A>(f.done, "test.done");
      q.crew().advance(queue::phase::closing);
    });
    run.after([&q, messages] { q.check_all(messages); });
  });
}

}  // namespace

TEST_CASE("park: whoever comes after parked workers does what they left, and nothing again") {
  require_proven(park<records<A>>({.capacity = 1}, 1, bounded_fresh(3)), "1 message");
  require_proven(park<records<A>>({.capacity = 2}, 2, bounded_fresh(3)), "2 messages");
  require_proven(park<pinned<A>>({.capacity = 2}, 2, bounded_fresh(3)), "pinned, 2 messages");
  require_proven(park<deferred<A>>({.capacity = 2}, 2, bounded_fresh(2)), "deferred, 2 messages");
}

TEST_CASE("park: a worker that sleeps parks too") {
  require_proven(park<sleepy<A>>({.capacity = 1}, 1, bounded_fresh(2)), "sleeping, 1 message");
}

TEST_CASE("park: planted bugs are found") {
  require_found(park<pinned<A>>({.capacity = 2}, 2, bounded_fresh(2), mistake::does_not_wait),
                race::failure_kind::data_race, "the next worker comes before the first has left");
  require_found(park<pinned<A>>({.capacity = 3}, 2, bounded_fresh(2), mistake::forgets_place),
                race::failure_kind::check, "the place of the parked worker forgotten");
  require_found(
      park<sleepy<race::without_total_order<"crew.sleep">>>({.capacity = 1}, 1, bounded_fresh(1)),
      race::failure_kind::deadlock, "crew.sleep below seq_cst");
}
