// SPDX-License-Identifier: Apache-2.0
#include "queue_bugs.hpp"
#include "queue_model.hpp"
#include "verdict.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <string>

namespace {

using A = race::access;
using race::explored;
using race::parts;
namespace queue = millrace::queue;

template <class Access>
struct records : explored<Access> {};
template <class Access>
struct pinned : explored<Access> {
  static constexpr auto claims = queue::claim_mode::pinned;
};
template <class Access>
struct no_records : explored<Access> {
  using reply = queue::no_reply;
  static constexpr auto completions = queue::completion_mode::none;
};
template <class Access>
struct credit : no_records<Access> {
  static constexpr auto claims = queue::claim_mode::pinned;
};
template <class Access>
struct deferred : explored<Access> {
  static constexpr std::uint32_t publish_batch = 3;
};
template <class Access>
struct deferred_credit : credit<Access> {
  static constexpr std::uint32_t publish_batch = 3;
};

// A worker alone with one lane watches its next slot for a while when it found nothing.
template <class Shape>
race::options watching(Shape const& shape, race::options how = {}) {
  how.inner_rounds = shape.lanes == 1 && shape.workers == 1 ? race::rounds_watched : 0;
  return how;
}

// The order of the threads' numbers in what the tests below report.
template <class P>
void add_workers(race::run& run, parts<P>& q, std::uint32_t workers) {
  for (std::uint32_t w = 0; w < workers; ++w) {
    run.thread("worker " + std::to_string(w), [&q, w] { q.work(w); });
  }
}

// One producer submits `messages` one by one, takes the answers, and closes.
template <class P>
race::report submit_each(typename parts<P>::shape shape, std::uint32_t messages) {
  return race::explore(watching(shape), [=](race::run& run) {
    auto& q = run.make<parts<P>>(shape);
    run.thread("producer", [&q, messages] {
      for (std::uint32_t m = 0; m < messages; ++m) { (void)q.submit(m); }
      q.settle();
      q.crew().advance(queue::phase::closing);
    });
    add_workers(run, q, shape.workers);
    run.after([&q, messages] { q.check_all(messages); });
  });
}

// The same in batches that become visible together.
template <class P>
race::report submit_batches(typename parts<P>::shape shape, std::uint32_t batches,
                            std::uint32_t size) {
  return race::explore(watching(shape), [=](race::run& run) {
    auto& q = run.make<parts<P>>(shape);
    run.thread("producer", [&q, batches, size] {
      for (std::uint32_t b = 0; b < batches; ++b) { q.submit_batch(b * size, size); }
      q.settle();
      q.crew().advance(queue::phase::closing);
    });
    add_workers(run, q, shape.workers);
    run.after([&q, batches, size] { q.check_all(batches * size); });
  });
}

// Two producers, each with its lane.
template <class P>
race::report two_producers(typename parts<P>::shape shape, std::uint32_t messages,
                           race::options const& how = {}) {
  shape.lanes = 2;
  return race::explore(watching(shape, how), [=](race::run& run) {
    auto& q = run.make<parts<P>>(shape);
    struct ends {
      std::uint32_t producers = 0;
    };
    auto& e = run.make<ends>();
    for (std::size_t l = 0; l < 2; ++l) {
      run.thread("producer " + std::to_string(l), [&q, &e, messages, l] {
        for (std::uint32_t m = 0; m < messages; ++m) { (void)q.submit(l * messages + m, l); }
        q.settle(l);
        if (A::fetch_add(e.producers, 1, millrace::core::acq_rel, "test.ends") == 1) {
          q.crew().advance(queue::phase::closing);
        }
      });
    }
    add_workers(run, q, shape.workers);
    run.after([&q, messages] { q.check_all(2 * messages); });
  });
}

// The producer submits and closes at once: what is published must be done before the workers leave.
template <class P>
race::report close_behind(typename parts<P>::shape shape, std::uint32_t messages) {
  return race::explore(watching(shape), [=](race::run& run) {
    race::late_phase::looks = {};
    auto& q = run.make<parts<P>>(shape);
    run.thread("producer", [&q, messages] {
      for (std::uint32_t m = 0; m < messages; ++m) { (void)q.submit(m); }
      q.owner().publish();
      q.crew().advance(queue::phase::closing);
    });
    add_workers(run, q, shape.workers);
    run.after([&q, messages] {
      (void)q.take_all();
      q.check_all(messages);
    });
  });
}

// A third thread closes or stops the consumer while the producer submits and waits: every message
// is either processed or reported as unprocessed, never both, never neither.
template <class P>
race::report end_beside(typename parts<P>::shape shape, std::uint32_t messages, queue::phase how) {
  return race::explore(watching(shape), [=](race::run& run) {
    auto& q = run.make<parts<P>>(shape);
    run.thread("producer", [&q, messages] {
      for (std::uint32_t m = 0; m < messages; ++m) { (void)q.try_submit(m); }
      q.settle();
    });
    run.thread("handle", [&q, how, workers = shape.workers] {
      q.crew().advance(how);
      q.join(workers);
      q.crew().advance(queue::phase::stopped);
    });
    add_workers(run, q, shape.workers);
    run.after([&q] { q.check_told(); });
  });
}

// The producer is silent after its last submit, which it held back for company.
template <class P>
race::report fall_silent(typename parts<P>::shape shape, std::uint32_t messages,
                         race::options const& how = {}) {
  return race::explore(watching(shape, how), [=](race::run& run) {
    auto& q = run.make<parts<P>>(shape);
    run.thread("producer", [&q, messages] {
      queue::message_id last = 0;
      for (std::uint32_t m = 0; m < messages; ++m) { last = q.submit(m); }
      q.wait_until_done(last);
      q.settle();
      q.crew().advance(queue::phase::closing);
    });
    add_workers(run, q, shape.workers);
    run.after([&q, messages] { q.check_all(messages); });
  });
}

}  // namespace

TEST_CASE("lane: every message is processed once and answered to its producer") {
  for (std::uint32_t c = 1; c <= 3; ++c) {
    require_proven(submit_each<records<A>>({.capacity = c}, 4),
                   "1 worker, 4 messages, capacity " + std::to_string(c));
    require_proven(submit_each<pinned<A>>({.capacity = c}, 4),
                   "1 worker, pinned, 4 messages, capacity " + std::to_string(c));
    require_proven(submit_each<no_records<A>>({.capacity = c}, 4),
                   "1 worker, no replies, 4 messages, capacity " + std::to_string(c));
    require_proven(submit_each<credit<A>>({.capacity = c}, 4),
                   "1 worker, credit, 4 messages, capacity " + std::to_string(c));
  }
}

TEST_CASE("lane: two workers share one lane") {
  for (std::uint32_t c = 1; c <= 3; ++c) {
    require_proven(submit_each<records<A>>({.capacity = c, .workers = 2}, 2),
                   "2 workers, 2 messages, capacity " + std::to_string(c));
  }
  if (race::long_tier()) {
    require_proven(submit_each<records<A>>({.capacity = 1, .workers = 2}, 3),
                   "2 workers, 3 messages, capacity 1");
    require_proven(submit_each<records<A>>({.capacity = 2, .workers = 2}, 3),
                   "2 workers, 3 messages, capacity 2");
  }
  require_proven(submit_each<no_records<A>>({.capacity = 2, .workers = 2}, 2),
                 "2 workers, no replies, 2 messages, capacity 2");
}

TEST_CASE("lane: two producers have a lane each") {
  require_proven(two_producers<records<A>>({.capacity = 1}, 1), "2 producers, 1 worker");
  require_proven(two_producers<credit<A>>({.capacity = 1}, 1), "2 producers, 1 worker, credit");
  require_proven(two_producers<pinned<A>>({.capacity = 1, .workers = 2}, 1),
                 "2 producers, 2 workers, pinned");
}

TEST_CASE("lane: a batch becomes visible together and in order") {
  require_proven(submit_batches<records<A>>({.capacity = 2}, 2, 2),
                 "1 worker, 2 batches of 2, capacity 2");
  require_proven(submit_batches<records<A>>({.capacity = 3}, 2, 2),
                 "1 worker, 2 batches of 2, capacity 3");
  require_proven(submit_batches<records<A>>({.capacity = 3, .workers = 2}, 1, 2),
                 "2 workers, 1 batch of 2, capacity 3");
  if (race::long_tier()) {
    require_proven(submit_batches<records<A>>({.capacity = 3, .workers = 2}, 1, 3),
                   "2 workers, 1 batch of 3, capacity 3");
  }
  require_proven(submit_batches<credit<A>>({.capacity = 3}, 2, 3),
                 "1 worker, credit, 2 batches of 3, capacity 3");
}

TEST_CASE("lane: numbers wrap around") {
  // the sequence numbers' 32 bits, and the 64 bits of the message numbers
  for (std::uint64_t const first : {std::uint64_t{0xffff'fffe}, ~std::uint64_t{0} - 1}) {
    require_proven(submit_each<records<A>>({.capacity = 2, .first = first}, 4),
                   "1 worker, 4 messages from " + std::to_string(first));
    require_proven(submit_each<credit<A>>({.capacity = 3, .first = first}, 4),
                   "1 worker, credit, 4 messages from " + std::to_string(first));
    require_proven(submit_each<records<A>>({.capacity = 1, .workers = 2, .first = first}, 2),
                   "2 workers, 2 messages from " + std::to_string(first));
  }
}

TEST_CASE("lane: what was published before a close is done") {
  require_proven(close_behind<records<A>>({.capacity = 2}, 2), "1 worker, close behind 2");
  require_proven(close_behind<credit<A>>({.capacity = 2}, 2), "1 worker, credit, close behind 2");
  require_proven(close_behind<deferred<A>>({.capacity = 2}, 2),
                 "1 worker, deferred, close behind 2");
  require_proven(close_behind<records<A>>({.capacity = 2, .workers = 2}, 2),
                 "2 workers, close behind 2");
}

TEST_CASE("lane: a close or a stop beside the producer leaves no message untold") {
  for (queue::phase const how : {queue::phase::closing, queue::phase::stopping}) {
    std::string const name = how == queue::phase::closing ? "close" : "stop";
    require_proven(end_beside<records<A>>({.capacity = 2}, 2, how),
                   "1 worker, " + name + " beside 2 messages");
    require_proven(end_beside<deferred<A>>({.capacity = 2}, 2, how),
                   "1 worker, deferred, " + name + " beside 2 messages");
    require_proven(end_beside<records<A>>({.capacity = 1, .workers = 2}, 1, how),
                   "2 workers, " + name + " beside 1 message");
  }
}

TEST_CASE("lane: messages held back for company are done although the producer falls silent") {
  require_proven(fall_silent<deferred<A>>({.capacity = 3}, 3), "1 worker, silent after 3");
  require_proven(fall_silent<deferred_credit<A>>({.capacity = 3}, 3),
                 "1 worker, credit, silent after 3");
  race::options const how = race::bounded(1);
  require_proven(fall_silent<deferred<A>>({.capacity = 2, .workers = 2}, 2, how),
                 "2 workers, silent after 2");
}

TEST_CASE("lane: two producers and two workers hold out against random schedules") {
  race::options how;
  how.random = race::long_tier() ? 1'000'000 : 20'000;
  how.depth = 4;
  require_clean(two_producers<records<A>>({.capacity = 2, .workers = 2}, 3, how),
                "2 producers, 2 workers, 6 messages");
  require_clean(two_producers<deferred<A>>({.capacity = 2, .workers = 2}, 3, how),
                "2 producers, 2 workers, deferred, 6 messages");
}

TEST_CASE("lane: a relaxed order at any publishing place is found") {
  using race::weakened;
  auto const found = [](race::report const& r, char const* site) {
    require_found(r, race::failure_kind::data_race, std::string("relaxed ") + site);
  };
  found(submit_each<records<weakened<"slot.publish">>>({.capacity = 2}, 3), "slot.publish");
  found(submit_each<records<weakened<"slot.take">>>({.capacity = 2}, 3), "slot.take");
  found(submit_each<records<weakened<"record.publish">>>({.capacity = 2}, 3), "record.publish");
  found(submit_each<records<weakened<"record.take">>>({.capacity = 2}, 3), "record.take");
  found(submit_each<credit<weakened<"lane.credit">>>({.capacity = 2}, 3), "lane.credit");
  found(submit_each<credit<weakened<"lane.take_credit">>>({.capacity = 2}, 3), "lane.take_credit");
  // one worker would do with a relaxed store here; a second one does not come by the first slot
  found(submit_batches<records<weakened<"slot.publish_rest">>>({.capacity = 2, .workers = 2}, 1, 2),
        "slot.publish_rest");
  found(fall_silent<deferred<weakened<"lane.reserve">>>({.capacity = 3}, 3), "lane.reserve");
  found(fall_silent<deferred<weakened<"lane.look_behind">>>({.capacity = 3}, 3),
        "lane.look_behind");
}

TEST_CASE("lane: planted mistakes in the protocol are found") {
  require_found(
      submit_each<records<race::torn_exchange<"lane.claim">>>({.capacity = 2, .workers = 2}, 2),
      race::failure_kind::data_race, "two workers win one claim");
  require_found(submit_each<records<race::shifted<"slot.publish", 1>>>({.capacity = 2}, 2),
                race::failure_kind::deadlock, "slot numbers off by one");
  require_found(submit_each<records<race::shifted<"record.publish", 2>>>({.capacity = 2}, 2),
                race::failure_kind::deadlock, "record numbers off by a lap");
  require_found(submit_each<credit<race::shifted<"lane.credit", 1>>>({.capacity = 2}, 4),
                race::failure_kind::deadlock, "credit for a message that is not done");
  require_found(fall_silent<deferred<race::dropped<"lane.reserve">>>({.capacity = 3}, 3),
                race::failure_kind::deadlock, "a reservation nobody sees");
  require_found(submit_each<credit<race::late_own<"slot.own", "lane.credit">>>({.capacity = 2}, 4),
                race::failure_kind::data_race, "a slot's lines taken over after its credit");
  require_found(
      submit_each<records<race::late_own<"record.own", "slot.publish">>>({.capacity = 2}, 4),
      race::failure_kind::data_race, "a record's lines taken over after its slot went");
  require_found(close_behind<records<race::late_phase>>({.capacity = 2}, 2),
                race::failure_kind::check, "the phase read after the failed poll");
}
