// SPDX-License-Identifier: Apache-2.0
#include "queue_bugs.hpp"
#include "queue_model.hpp"
#include "verdict.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <string>

// Producers that cancel messages beside the workers that take them.

namespace {

using A = race::access;
using race::parts;
namespace queue = millrace::queue;

template <class Access>
struct revocable : race::explored<Access> {
  static constexpr bool cancellable = true;
};
template <class Access>
struct revocable_pinned : revocable<Access> {
  static constexpr auto claims = queue::claim_mode::pinned;
};
template <class Access>
struct revocable_dropping : revocable<Access> {
  static constexpr auto overflow = queue::overflow_mode::drop_oldest;
};

/// Looks at the cancel word when the message is done, and not before.
template <class Access>
struct asks_afterwards : race::tenfold<Access> {
  queue::status operator()(queue::message_view<std::uint64_t> m,
                           queue::reply_writer<std::uint64_t>& out) const noexcept {
    queue::status const done = race::tenfold<Access>::operator()(m, out);
    bool const unwanted = Access::load(*this->notes->cancel_word, millrace::core::relaxed,
                                       "slot.cancelled_late") == m.id();
    return unwanted ? queue::status::cancelled : done;
  }
};
template <class Access>
struct revocable_late : revocable<Access> {
  using processor = asks_afterwards<Access>;
};

// Every second message is cancelled as soon as it is submitted. Whatever the worker does meanwhile,
// each message is processed or cancelled, the completion says which, and the others are processed.
template <class P>
race::report cancel_each_second(typename parts<P>::shape shape, std::uint32_t messages) {
  race::options how;
  how.inner_rounds = shape.workers == 1 ? race::rounds_watched : 0;
  return race::explore(how, [=](race::run& run) {
    auto& q = run.make<parts<P>>(shape);
    run.thread("producer", [&q, messages] {
      for (std::uint32_t m = 0; m < messages; ++m) {
        queue::message_id const id = q.submit(m);
        if (m % 2 == 0) { q.cancel(id); }
      }
      q.settle();
      q.crew().advance(queue::phase::closing);
    });
    for (std::uint32_t w = 0; w < shape.workers; ++w) {
      run.thread("worker " + std::to_string(w), [&q, w] { q.work(w); });
    }
    run.after([&q] { q.check_told(); });
  });
}

// The last message is cancelled, and then moved by one that displaces another.
template <class P>
race::report cancel_then_displace(typename parts<P>::shape shape) {
  return race::explore({}, [=](race::run& run) {
    auto& q = run.make<parts<P>>(shape);
    run.thread("producer", [&q, &shape] {
      for (std::uint32_t m = 0; m < shape.capacity; ++m) { (void)q.try_displace(m); }
      q.cancel(shape.capacity - 1);
      (void)q.try_displace(shape.capacity);
      q.crew().advance(queue::phase::closing);
    });
    run.thread("worker", [&q] { q.work(0); });
    run.after([&q] {
      (void)q.take_all();
      q.check_told();
    });
  });
}

}  // namespace

TEST_CASE("cancel: a message is processed or cancelled, and its completion says which") {
  for (std::uint32_t c = 1; c <= 2; ++c) {
    require_proven(cancel_each_second<revocable<A>>({.capacity = c}, 3),
                   "1 worker, 3 messages, capacity " + std::to_string(c));
    require_proven(cancel_each_second<revocable_pinned<A>>({.capacity = c}, 3),
                   "1 worker, pinned, 3 messages, capacity " + std::to_string(c));
  }
  require_proven(cancel_each_second<revocable<A>>({.capacity = 2, .workers = 2}, 2),
                 "2 workers, 2 messages, capacity 2");
}

TEST_CASE("cancel: a cancelled message that moves up takes its request along") {
  require_proven(cancel_then_displace<revocable_dropping<A>>({.capacity = 2}),
                 "1 worker, 3 messages, capacity 2");
}

TEST_CASE("cancel: planted mistakes are found") {
  using race::failure_kind;
  require_found(cancel_each_second<revocable<race::misread<"slot.cancelled", 1>>>({}, 3),
                failure_kind::check, "a request compared with the next lap");
  require_found(cancel_each_second<revocable_late<race::misread<"slot.cancelled", 100>>>({}, 2),
                failure_kind::check, "the request looked at after the functor");
}
