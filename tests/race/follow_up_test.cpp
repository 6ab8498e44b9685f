// SPDX-License-Identifier: Apache-2.0
#include "queue_bugs.hpp"
#include "queue_model.hpp"
#include "verdict.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <string>

// Functors that leave further messages to their workers.

namespace {

using A = race::access;
using race::parts;
namespace queue = millrace::queue;

using more = queue::follow_up<std::uint64_t>;

/// The first message that follows from another: message v leaves v + 2 and v + 4.
constexpr std::uint64_t first_left = 2;

/// Leaves two messages where the ring holds one, and does the other itself.
template <class Access>
struct leaving : race::tenfold<Access> {
  queue::status operator()(queue::message_view<std::uint64_t> m,
                           queue::reply_writer<std::uint64_t>& out, more& rest) const noexcept {
    if (m.value() < first_left) {
      race::check(rest.submit(m.value() + 2), "an empty ring has room");
      race::check(!rest.submit(m.value() + 4), "a full ring has none");
      note(m.value() + 4);
    }
    return race::tenfold<Access>::operator()(m, out);
  }

 private:
  void note(std::uint64_t value) const noexcept {
    std::uint32_t& times = this->notes->times[value];
    Access::write(&times, sizeof(times), "functor");
    ++times;
  }
};
template <class Access>
struct leaves : race::explored<Access> {
  using processor = leaving<Access>;
  static constexpr std::uint32_t follow_ups = 1;
};
template <class Access>
struct leaves_pinned : leaves<Access> {
  static constexpr auto claims = queue::claim_mode::pinned;
};
template <class Access>
struct leaves_sleepy : leaves<Access> {
  using backoff = race::sleepy_backoff;
};

/// Keeps what it should leave until the next message comes.
template <class Access>
struct keeping_back : race::tenfold<Access> {
  std::uint64_t kept = 0;
  queue::status operator()(queue::message_view<std::uint64_t> m,
                           queue::reply_writer<std::uint64_t>& out, more& rest) noexcept {
    if (kept != 0) { (void)rest.submit(kept); }
    kept = m.value() < first_left ? m.value() + 2 : 0;
    return race::tenfold<Access>::operator()(m, out);
  }
};
template <class Access>
struct keeps_back : leaves<Access> {
  using processor = keeping_back<Access>;
};

[[nodiscard]] race::options watching(std::uint32_t workers) {
  race::options how;
  how.inner_rounds = workers == 1 ? race::rounds_watched : 0;
  return how;
}

// Messages, and a close behind them: all that follows is done before the workers leave.
template <class P>
race::report close_behind(typename parts<P>::shape shape, std::uint32_t messages) {
  return race::explore(watching(shape.workers), [=](race::run& run) {
    auto& q = run.make<parts<P>>(shape);
    run.thread("producer", [&q, messages] {
      for (std::uint32_t m = 0; m < messages; ++m) { (void)q.submit(m); }
      q.crew().advance(queue::phase::closing);
    });
    for (std::uint32_t w = 0; w < shape.workers; ++w) {
      run.thread("worker " + std::to_string(w), [&q, w] { q.work(w); });
    }
    run.after([&q, messages] {
      (void)q.take_all();
      for (std::uint32_t m = 0; m < messages; ++m) {
        race::check(q.notes().times[m] == 1, "what was sent is done once");
        race::check(q.notes().times[m + 2] == 1, "what was left is done once");
      }
    });
  });
}

// The producer takes an answer and waits for what follows from it, as a drain does; then it looks
// at what the functor did there.
template <class P>
race::report drain_after_one() {
  return race::explore(watching(1), [=](race::run& run) {
    auto& q = run.make<parts<P>>(typename parts<P>::shape{});
    run.thread("producer", [&q] {
      (void)q.submit(0);
      q.settle();
      auto const& words = q.words(0);
      std::uint64_t const end =
          P::access::load(words.followed, millrace::core::relaxed, "worker.follows");
      race::check(end == 1, "an answer tells what follows from it");
      race::begin_round();
      while (P::access::load(words.follow_done, millrace::core::acquire, "worker.follows_done") <
             end) {
        race::pause();
      }
      P::access::read(&q.notes().times[2], sizeof(std::uint32_t), "test.read");
      race::check(q.notes().times[2] == 1, "a drain ends behind what follows");
      q.crew().advance(queue::phase::closing);
    });
    run.thread("worker", [&q] { q.work(0); });
  });
}

// A stop beside the worker: what is sent or left is done, or counted as left undone.
template <class P>
race::report stop_beside(std::uint32_t messages) {
  return race::explore(watching(1), [=](race::run& run) {
    auto& q = run.make<parts<P>>(typename parts<P>::shape{.capacity = 2});
    run.thread("producer", [&q, messages] {
      for (std::uint32_t m = 0; m < messages; ++m) { (void)q.try_submit(m); }
    });
    run.thread("handle", [&q] { q.crew().advance(queue::phase::stopping); });
    run.thread("worker", [&q] { q.work(0); });
    run.after([&q] {
      std::uint64_t done = 0, left = 0;
      for (std::uint32_t v = 0; v < 2; ++v) {
        done += q.notes().times[v] + q.notes().times[v + 2];
        left += q.notes().times[v];
      }
      race::check(q.words(0).processed == done, "what is done is counted");
      race::check(q.words(0).followed == left, "what was left is counted");
      race::check(q.words(0).follow_done == done - left, "what was left and done is counted");
    });
  });
}

}  // namespace

TEST_CASE("follow-up: a close behind messages waits for what follows from them") {
  require_proven(close_behind<leaves<A>>({.capacity = 1}, 2), "1 worker, capacity 1");
  require_proven(close_behind<leaves_pinned<A>>({.capacity = 2}, 2), "1 worker, pinned");
  require_proven(close_behind<leaves_sleepy<A>>({.capacity = 1}, 1), "1 sleepy worker");
  require_proven(close_behind<leaves<A>>({.capacity = 2, .workers = 2}, 1), "2 workers");
}

TEST_CASE("follow-up: whoever has an answer can wait for what follows from it") {
  require_proven(drain_after_one<leaves<A>>(), "drain");
}

TEST_CASE("follow-up: a stop counts what it leaves undone") {
  require_proven(stop_beside<leaves<A>>(2), "stop beside 2 messages");
}

TEST_CASE("follow-up: planted mistakes are found") {
  using race::failure_kind;
  require_found(close_behind<keeps_back<A>>({.capacity = 2}, 1), failure_kind::check,
                "a follow-up kept until the next message, and lost on a close");
  require_found(drain_after_one<leaves<race::weakened<"worker.follow_done">>>(),
                failure_kind::data_race, "done follow-ups told with relaxed");
  require_found(drain_after_one<leaves<race::dropped<"worker.followed">>>(), failure_kind::check,
                "an answer before what follows from it is told");
  require_found(drain_after_one<leaves<race::dropped<"worker.follow_done">>>(),
                failure_kind::deadlock, "done follow-ups that nobody is told of");
  require_found(drain_after_one<leaves<race::weakened<"record.publish">>>(),
                failure_kind::data_race, "an answer told with relaxed");
}
