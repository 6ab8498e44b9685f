// SPDX-License-Identifier: Apache-2.0
#include "queue_bugs.hpp"
#include "queue_model.hpp"
#include "verdict.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <initializer_list>
#include <string>

// Workers that end their epochs while a producer submits and the handle closes, parks or stops. Who
// brings them back does it as the keeper does: once they have left, and if the phase says so still.

namespace {

using A = race::access;
using race::bounded_fresh;
using race::explored;
using race::parts;
namespace queue = millrace::queue;
namespace core = millrace::core;
using queue::phase;

template <class Access>
struct of_one : explored<Access> {
  static constexpr queue::residency stay = {.messages = 1};
};
template <class Access>
struct of_one_pinned : of_one<Access> {
  static constexpr auto claims = queue::claim_mode::pinned;
};
template <class Access>
struct of_two : explored<Access> {
  static constexpr queue::residency stay = {.messages = 2};
};
template <class Access>
struct sleepy : of_one<Access> {
  using backoff = race::sleepy_backoff;
};

enum class call : std::uint8_t { close, park_then_close, stop };

// A worker's thread goes round: it is the keeper too, once the worker has left.
template <class P>
void stay_for_epochs(parts<P>& q) {
  for (;;) {
    q.work(0);
    race::begin_round();
    phase now = q.crew().phase();
    while (now == phase::parking) {
      race::pause();
      now = q.crew().phase();
    }
    if (now != phase::turning && now != phase::recalling) { return; }
    q.crew().reset();
    // a park, a close or a stop may come between the look and the move
    for (;;) {
      now = q.crew().phase();
      bool const more = now == phase::turning || now == phase::recalling || now == phase::parking;
      if (!more) { return; }
      if (now == phase::parking) {
        race::pause();
        continue;
      }
      if (q.crew().move(now, now == phase::turning ? phase::running : phase::closing)) { break; }
    }
  }
}

template <class P>
race::report epochs(call how_ended, std::uint32_t messages, race::options how = {}) {
  how.inner_rounds = race::rounds_watched;
  return race::explore(how, [=](race::run& run) {
    auto& q = run.make<parts<P>>(typename parts<P>::shape{.capacity = 2});
    auto& sent = run.make<std::uint32_t>();
    run.thread("producer", [&q, &sent, how_ended, messages] {
      for (std::uint32_t m = 0; m < messages; ++m) { (void)q.submit(m); }
      A::store(sent, 1U, core::release, "test.sent");
      if (how_ended != call::stop) { q.settle(); }
    });
    run.thread("worker", [&q] { stay_for_epochs(q); });
    run.thread("handle", [&q, &sent, how_ended] {
      if (how_ended == call::park_then_close) { (void)q.crew().hear_park(); }
      race::begin_round();
      while (how_ended != call::stop && A::load(sent, core::acquire, "test.sent") == 0) {
        race::pause();
      }
      if (how_ended == call::stop) {
        q.crew().hear_stop(phase::stopping);
      } else {
        phase const now = q.crew().hear_close(false);
        race::check(now == phase::closing || now == phase::recalling, "the close is heard");
      }
    });
    run.after([&q, how_ended, messages] {
      phase const now = q.crew().phase();
      race::check(now == (how_ended == call::stop ? phase::stopping : phase::closing),
                  "the last call counts");
      if (how_ended != call::stop) { q.check_all(messages); }
      for (std::uint32_t m = 0; m < messages; ++m) {
        race::check(q.notes().times[m] <= 1, "nothing is done twice");
      }
    });
  });
}

// Two workers count for one epoch; whoever sees its end first ends it, and both leave.
template <class P>
race::report together(std::uint32_t messages, race::options how = {}) {
  how.inner_rounds = race::rounds_watched;
  return race::explore(how, [=](race::run& run) {
    auto& q = run.make<parts<P>>(typename parts<P>::shape{.capacity = 2, .workers = 2});
    for (std::uint32_t m = 0; m < messages; ++m) { (void)q.submit(m); }
    run.thread("worker 0", [&q] { q.work(0); });
    run.thread("worker 1", [&q] { q.work(1); });
    run.thread("handle", [&q] { (void)q.crew().hear_park(); });
    run.after([&q] {
      race::check(q.crew().phase() == phase::parking, "a park counts more than an epoch's end");
      race::check(q.notes().times[0] <= 1 && q.notes().times[1] <= 1, "nothing is done twice");
    });
  });
}

}  // namespace

TEST_CASE("epochs: a close beside the end of one leaves nothing undone") {
  require_proven(epochs<of_one<A>>(call::close, 2, bounded_fresh(2)), "close, 2 messages");
  require_proven(epochs<of_one_pinned<A>>(call::close, 1, bounded_fresh(3)), "close, pinned");
  require_proven(epochs<of_two<A>>(call::close, 2, bounded_fresh(2)), "close, epochs of 2");
  require_proven(epochs<sleepy<A>>(call::close, 1, bounded_fresh(2)), "close, sleeping");
}

TEST_CASE("epochs: a park beside the end of one, and a close after it, are heard") {
  require_proven(epochs<of_one<A>>(call::park_then_close, 1, bounded_fresh(2)), "park and close");
  require_proven(epochs<of_two<A>>(call::park_then_close, 2, bounded_fresh(2)),
                 "park and close, epochs of 2");
  require_proven(together<of_two<A>>(2, bounded_fresh(2)), "two workers and a park");
}

TEST_CASE("epochs: a stop beside the end of one stays a stop") {
  require_proven(epochs<of_one<A>>(call::stop, 1, bounded_fresh(2)), "stop");
}

TEST_CASE("epochs: planted bugs are found") {
  using torn = race::torn_exchange<"crew.move">;
  std::initializer_list<race::failure_kind> const bad_end{
      race::failure_kind::check, race::failure_kind::deadlock, race::failure_kind::endless};
  require_found(epochs<of_one<torn>>(call::close, 1, bounded_fresh(2)), bad_end,
                "a close that is overwritten");
  require_found(epochs<of_one<torn>>(call::stop, 1, bounded_fresh(2)), bad_end,
                "a stop that is overwritten");
  require_found(together<of_two<torn>>(2, bounded_fresh(2)), race::failure_kind::check,
                "a park that is overwritten");
}
