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

/// One worker sees all producers' messages in the order of their numbers.
template <class Access>
struct in_order : race::tenfold<Access> {
  bool begun = false;
  queue::message_id next = 0;

  template <class Reply>
  queue::status operator()(queue::message_view<std::uint64_t> m,
                           queue::reply_writer<Reply>& out) noexcept {
    race::check(!begun || m.id() == next, "the worker takes one number after the other");
    begun = true;
    next = m.id() + 1;
    return race::tenfold<Access>::operator()(m, out);
  }
};

template <class Access>
struct records : explored<Access> {
  static constexpr auto order = queue::order_mode::total;
};
template <class Access>
struct records_in_order : records<Access> {
  using processor = in_order<Access>;
};
template <class Access>
struct marks : records<Access> {
  using reply = queue::no_reply;
  static constexpr auto completions = queue::completion_mode::none;
};
template <class Access>
struct marks_in_order : marks<Access> {
  using processor = in_order<Access>;
};
template <class Access>
struct credit : marks_in_order<Access> {
  static constexpr auto claims = queue::claim_mode::pinned;
};
template <class Access>
struct sleepy : records<Access> {
  using backoff = race::sleepy_backoff;
};

// A worker alone with the ring watches its next slot for a while when it found nothing.
template <class Shape>
race::options watching(Shape const& shape, race::options how = {}) {
  how.inner_rounds = shape.workers == 1 ? race::rounds_watched : 0;
  return how;
}

template <class P>
void add_workers(race::run& run, parts<P>& q, std::uint32_t workers) {
  for (std::uint32_t w = 0; w < workers; ++w) {
    run.thread("worker " + std::to_string(w), [&q, w] { q.work(w); });
  }
}

struct ends {
  std::uint32_t producers = 0;
};

/// Whether this is the last of the two producers.
[[nodiscard]] bool last_of_two(ends& e) {
  return A::fetch_add(e.producers, 1, millrace::core::acq_rel, "test.ends") == 1;
}

// Two producers share the ring; the last one to be answered closes.
template <class P>
race::report two_producers(typename parts<P>::shape shape, std::uint32_t messages,
                           race::options const& how = {}) {
  shape.lanes = 2;
  return race::explore(watching(shape, how), [=](race::run& run) {
    auto& q = run.make<parts<P>>(shape);
    auto& e = run.make<ends>();
    for (std::size_t p = 0; p < 2; ++p) {
      run.thread("producer " + std::to_string(p), [&q, &e, messages, p] {
        for (std::uint32_t m = 0; m < messages; ++m) { (void)q.submit(p * messages + m, p); }
        q.settle(p);
        if (last_of_two(e)) { q.crew().advance(queue::phase::closing); }
      });
    }
    add_workers(run, q, shape.workers);
    run.after([&q, messages] { q.check_all(2 * messages); });
  });
}

// Two producers submit a message each; the last one closes, and the answers are taken at the end.
template <class P>
race::report submit_and_close(typename parts<P>::shape shape, race::options const& how = {}) {
  shape.lanes = 2;
  return race::explore(watching(shape, how), [=](race::run& run) {
    auto& q = run.make<parts<P>>(shape);
    auto& e = run.make<ends>();
    for (std::size_t p = 0; p < 2; ++p) {
      run.thread("producer " + std::to_string(p), [&q, &e, p] {
        (void)q.submit(p, p);
        if (last_of_two(e)) { q.crew().advance(queue::phase::closing); }
      });
    }
    add_workers(run, q, shape.workers);
    run.after([&q] {
      (void)q.take_all(0);
      (void)q.take_all(1);
      q.check_all(2);
    });
  });
}

// One producer submits a batch, the other a single message.
template <class P>
race::report batch_beside_single(typename parts<P>::shape shape, race::options const& how = {}) {
  shape.lanes = 2;
  return race::explore(watching(shape, how), [=](race::run& run) {
    auto& q = run.make<parts<P>>(shape);
    auto& e = run.make<ends>();
    run.thread("batch", [&q, &e] {
      q.submit_batch(0, 2, 0);
      q.settle(0);
      if (last_of_two(e)) { q.crew().advance(queue::phase::closing); }
    });
    run.thread("single", [&q, &e] {
      (void)q.submit(2, 1);
      q.settle(1);
      if (last_of_two(e)) { q.crew().advance(queue::phase::closing); }
    });
    add_workers(run, q, shape.workers);
    run.after([&q] { q.check_all(3); });
  });
}

// One producer submits and leaves without its result, or gives its number up; the other needs the
// slot.
template <class P>
race::report leave(typename parts<P>::shape shape, bool cancels, std::uint32_t others,
                   race::options const& how = {}) {
  shape.lanes = 2;
  return race::explore(watching(shape, how), [=](race::run& run) {
    auto& q = run.make<parts<P>>(shape);
    auto& e = run.make<ends>();
    run.thread("leaver", [&q, &e, cancels] {
      if (cancels) {
        q.wait_for_room(1, 0);
        (void)q.owner(0).payload();
        q.owner(0).cancel();
      } else {
        (void)q.submit(0, 0);
      }
      q.owner(0).abandon();
      if (last_of_two(e)) { q.crew().advance(queue::phase::closing); }
    });
    run.thread("stayer", [&q, &e, others] {
      for (std::uint32_t m = 1; m <= others; ++m) { (void)q.submit(m, 1); }
      q.settle(1);
      if (last_of_two(e)) { q.crew().advance(queue::phase::closing); }
    });
    add_workers(run, q, shape.workers);
    run.after([&q, cancels, others] {
      for (std::uint32_t m = 0; m <= others; ++m) {
        race::check(q.notes().times[m] == (m == 0 && cancels ? 0u : 1u),
                    "a message is processed once, one given up never");
      }
    });
  });
}

// One producer submits and closes while the other may have drawn an earlier number.
template <class P>
race::report close_behind(typename parts<P>::shape shape, race::options const& how = {}) {
  shape.lanes = 2;
  return race::explore(watching(shape, how), [=](race::run& run) {
    race::believes_in_nothing_more::answered = 0;
    auto& q = run.make<parts<P>>(shape);
    run.thread("submits", [&q] { (void)q.try_submit(0, 0); });
    run.thread("closes", [&q] {
      (void)q.submit(1, 1);
      q.crew().advance(queue::phase::closing);
    });
    add_workers(run, q, shape.workers);
    run.after([&q] {
      race::check(q.notes().times[1] == 1, "what was published before the close is done");
      (void)q.take_all(0);
      (void)q.take_all(1);
      if constexpr (parts<P>::answers) { q.check_told(); }
    });
  });
}

// The consumer's handle closes or stops while the producers submit.
template <class P>
race::report end_beside(typename parts<P>::shape shape, queue::phase how,
                        race::options const& bounds = {}) {
  shape.lanes = 2;
  return race::explore(watching(shape, bounds), [=](race::run& run) {
    auto& q = run.make<parts<P>>(shape);
    for (std::size_t p = 0; p < 2; ++p) {
      run.thread("producer " + std::to_string(p), [&q, p] {
        (void)q.try_submit(p, p);
        if (p == 0) { q.settle(p); }
      });
    }
    run.thread("handle", [&q, how, workers = shape.workers] {
      q.crew().advance(how);
      q.join(workers);
      q.crew().advance(queue::phase::stopped);
    });
    add_workers(run, q, shape.workers);
    run.after([&q] {
      (void)q.take_all(1);
      q.check_told();
    });
  });
}

}  // namespace

TEST_CASE("total: two producers' messages are one sequence, each done once") {
  for (std::uint32_t c = 1; c <= 2; ++c) {
    std::string const with = "2 producers, 1 worker, capacity " + std::to_string(c);
    require_proven(two_producers<records_in_order<A>>({.capacity = c}, 1), with);
    require_proven(two_producers<marks_in_order<A>>({.capacity = c}, 1), with + ", no records");
    require_proven(two_producers<credit<A>>({.capacity = c}, 1), with + ", credit");
  }
}

TEST_CASE("total: two producers and two workers share a ring") {
  for (std::uint32_t c = 1; c <= 2; ++c) {
    std::string const with = "2 producers, 2 workers, capacity " + std::to_string(c);
    require_proven(submit_and_close<marks<A>>({.capacity = c, .workers = 2}, race::bounded(1)),
                   with + ", no records");
  }
  require_proven(submit_and_close<records<A>>({.capacity = 2, .workers = 2}, race::bounded(1)),
                 "2 producers, 2 workers, capacity 2");
}

TEST_CASE("total: a batch draws its numbers at once") {
  require_proven(batch_beside_single<records_in_order<A>>({.capacity = 2}, race::bounded(1)),
                 "batch of 2 beside a single, capacity 2");
  require_proven(batch_beside_single<credit<A>>({.capacity = 3}, race::bounded(1)),
                 "batch of 2 beside a single, credit, capacity 3");
}

TEST_CASE("total: two producers and two workers hold out against random schedules") {
  race::options how;
  how.random = race::long_tier() ? 1'000'000 : 10'000;
  how.depth = 4;
  require_clean(two_producers<records<A>>({.capacity = 2, .workers = 2}, 3, how),
                "2 producers, 2 workers, 6 messages");
  require_clean(two_producers<marks<A>>({.capacity = 3, .workers = 2}, 3, how),
                "2 producers, 2 workers, no records, 6 messages");
}

TEST_CASE("total: numbers wrap around") {
  for (std::uint64_t const first :
       {std::uint64_t{0xffff'fffe}, std::uint64_t{0x7fff'fffe}, ~std::uint64_t{0} - 1}) {
    std::string const from = " from " + std::to_string(first);
    require_proven(two_producers<records<A>>({.capacity = 1, .first = first}, 1),
                   "2 producers, 1 worker" + from);
    require_proven(two_producers<marks<A>>({.capacity = 1, .first = first}, 1),
                   "2 producers, 1 worker, no records" + from);
    require_proven(two_producers<credit<A>>({.capacity = 1, .first = first}, 1),
                   "2 producers, 1 worker, credit" + from);
  }
}

TEST_CASE("total: a producer that leaves does not hold its slots") {
  require_proven(leave<records<A>>({.capacity = 1}, false, 1), "left with a message, capacity 1");
  require_proven(leave<records<A>>({.capacity = 1}, false, 2, race::bounded(1)),
                 "left with a message, 2 others, capacity 1");
  require_proven(leave<records<A>>({.capacity = 1}, true, 1), "gave a number up, capacity 1");
  require_proven(leave<marks<A>>({.capacity = 1}, true, 1),
                 "gave a number up, no records, capacity 1");
  require_proven(leave<credit<A>>({.capacity = 1}, true, 1), "gave a number up, credit");
}

TEST_CASE("total: a close does what was published, also behind numbers that are not") {
  require_proven(close_behind<records<A>>({.capacity = 2}), "close behind a gap, 1 worker");
  require_proven(close_behind<credit<A>>({.capacity = 2}), "close behind a gap, credit");
  require_proven(close_behind<marks<A>>({.capacity = 2, .workers = 2}, race::bounded(1)),
                 "close behind a gap, 2 workers");
  for (queue::phase const how : {queue::phase::closing, queue::phase::stopping}) {
    require_proven(
        end_beside<records<A>>({.capacity = 2}, how, race::bounded(1)),
        how == queue::phase::closing ? "close beside 2 producers" : "stop beside 2 producers");
  }
}

TEST_CASE("total: a sleeping worker wakes for whichever producer publishes") {
  require_proven(submit_and_close<sleepy<A>>({.capacity = 2}, race::bounded(1)),
                 "2 producers, 1 sleeping worker");
}

TEST_CASE("total: a relaxed order at any publishing place is found") {
  using race::weakened;
  auto const found = [](race::report const& r, char const* site) {
    require_found(r, race::failure_kind::data_race, std::string("relaxed ") + site);
  };
  found(two_producers<records<weakened<"slot.publish">>>({.capacity = 1}, 1), "slot.publish");
  found(two_producers<records<weakened<"slot.take">>>({.capacity = 1}, 1), "slot.take");
  found(two_producers<records<weakened<"slot.free">>>({.capacity = 1}, 1), "slot.free, producer");
  found(two_producers<marks<weakened<"slot.free">>>({.capacity = 1}, 1), "slot.free, worker");
  found(two_producers<records<weakened<"slot.look_free">>>({.capacity = 1}, 1), "slot.look_free");
  found(two_producers<records<weakened<"record.publish">>>({.capacity = 1}, 1), "record.publish");
  found(leave<records<weakened<"record.take">>>({.capacity = 1}, false, 1),
        "record.take, of a slot left behind");
  found(two_producers<credit<weakened<"lane.credit">>>({.capacity = 1}, 1), "lane.credit");
  found(two_producers<credit<weakened<"lane.take_credit">>>({.capacity = 1}, 1),
        "lane.take_credit");
}

TEST_CASE("total: planted mistakes in the protocol are found") {
  require_found(two_producers<records<race::torn_exchange<"ring.draw">>>({.capacity = 2}, 1),
                race::failure_kind::data_race, "two producers draw one number");
  require_found(two_producers<marks<race::freed_early<1>>>({.capacity = 1}, 1),
                race::failure_kind::data_race, "a slot freed before the functor returned");
  require_found(two_producers<marks<race::shifted<"slot.free", 1>>>({.capacity = 1}, 1),
                race::failure_kind::deadlock, "a slot freed for another lap");
  require_found(leave<records<race::dropped<"ring.leave">>>({.capacity = 1}, false, 1),
                race::failure_kind::deadlock, "a slot that nobody may use again");
  require_found(close_behind<records<race::believes_in_nothing_more>>({.capacity = 2}),
                race::failure_kind::check, "a worker that leaves before a gap is filled");
}
