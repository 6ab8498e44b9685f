// SPDX-License-Identifier: Apache-2.0
// Messages whose bytes lie in the lane's arena: who may touch the bytes when.
#include "queue_bugs.hpp"
#include "queue_model.hpp"
#include "verdict.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <string>

namespace {

using A = race::access;
using race::parts;
namespace queue = millrace::queue;

template <class Access>
struct records : queue::default_consumer<queue::slab_bytes<64>, race::tenfold<Access>> {
  using access = Access;
  using backoff = race::marking_backoff;
  using parking = race::model_parking;
  using clock = race::still_clock;
  static constexpr std::uint64_t publish_age_ns = 0;
};
template <class Access>
struct pinned : records<Access> {
  static constexpr auto claims = queue::claim_mode::pinned;
};
template <class Access>
struct no_records : records<Access> {
  using reply = queue::no_reply;
  static constexpr auto completions = queue::completion_mode::none;
};
template <class Access>
struct credit : no_records<Access> {
  static constexpr auto claims = queue::claim_mode::pinned;
};
template <class Access>
struct deferred : records<Access> {
  static constexpr std::uint32_t publish_batch = 3;
};

// Every message of these tests takes one block of the arena.
constexpr std::size_t block = 64;

// Submits each message, or all at a time; takes the answers, and closes.
template <class P>
race::report submit_all(typename parts<P>::shape shape, std::uint32_t messages,
                        std::uint32_t batch = 1) {
  race::options how;
  how.inner_rounds = shape.workers == 1 ? race::rounds_watched : 0;
  return race::explore(how, [=](race::run& run) {
    auto& q = run.make<parts<P>>(shape);
    race::known_lane::is(q.lane());
    run.thread("producer", [&q, messages, batch] {
      for (std::uint32_t m = 0; m < messages; m += batch) {
        batch == 1 ? (void)q.submit(m) : q.submit_batch(m, batch);
      }
      q.settle();
      q.crew().advance(queue::phase::closing);
    });
    for (std::uint32_t w = 0; w < shape.workers; ++w) {
      run.thread("worker " + std::to_string(w), [&q, w] { q.work(w); });
    }
    run.after([&q, messages] { q.check_all(messages); });
  });
}

// A race for the bytes, not for a slot or a record.
[[nodiscard]] std::string shape_of(std::uint32_t capacity, std::size_t blocks) {
  return "capacity " + std::to_string(capacity) + ", blocks " + std::to_string(blocks);
}

/// The bug was found where the bytes lie.
void require_raced(race::report const& r, std::string const& what) {
  if (require_found(r, race::failure_kind::data_race, what)) {
    CHECK_MESSAGE(r.text().find("slab.") != std::string::npos, r.text());
  }
}

}  // namespace

TEST_CASE("descriptor: a block goes to the next message after the last one's completion") {
  for (std::uint32_t capacity = 1; capacity <= 2; ++capacity) {
    for (std::size_t blocks = 1; blocks <= 2; ++blocks) {
      std::string const what = shape_of(capacity, blocks);
      std::size_t const arena = blocks * block;
      require_proven(submit_all<records<A>>({.capacity = capacity, .arena_bytes = arena}, 3),
                     "1 worker, 3 messages, " + what);
      require_proven(submit_all<pinned<A>>({.capacity = capacity, .arena_bytes = arena}, 3),
                     "1 worker, pinned, 3 messages, " + what);
      require_proven(submit_all<no_records<A>>({.capacity = capacity, .arena_bytes = arena}, 3),
                     "1 worker, no replies, 3 messages, " + what);
      require_proven(submit_all<credit<A>>({.capacity = capacity, .arena_bytes = arena}, 3),
                     "1 worker, credit, 3 messages, " + what);
      require_proven(submit_all<deferred<A>>({.capacity = capacity, .arena_bytes = arena}, 3),
                     "1 worker, deferred, 3 messages, " + what);
    }
  }
}

TEST_CASE("descriptor: two workers share a lane and its arena") {
  for (std::uint32_t capacity = 1; capacity <= 2; ++capacity) {
    require_proven(
        submit_all<records<A>>({.capacity = capacity, .workers = 2, .arena_bytes = block}, 2),
        "2 workers, 2 messages, " + shape_of(capacity, 1));
  }
  require_proven(submit_all<no_records<A>>({.capacity = 2, .workers = 2, .arena_bytes = block}, 2),
                 "2 workers, no replies, 2 messages, " + shape_of(2, 1));
}

TEST_CASE("descriptor: a batch's bytes are all there when the first slot is published") {
  require_proven(submit_all<records<A>>({.capacity = 2, .arena_bytes = 2 * block}, 4, 2),
                 "1 worker, 2 batches of 2, " + shape_of(2, 2));
  require_proven(submit_all<credit<A>>({.capacity = 2, .arena_bytes = 3 * block}, 4, 2),
                 "1 worker, credit, 2 batches of 2, " + shape_of(2, 3));
}

TEST_CASE("descriptor: numbers and the arena wrap around") {
  for (std::uint64_t const first : {std::uint64_t{0xffff'fffe}, ~std::uint64_t{0} - 1}) {
    require_proven(
        submit_all<records<A>>({.capacity = 2, .first = first, .arena_bytes = 2 * block}, 4),
        "1 worker, 4 messages from " + std::to_string(first));
    require_proven(submit_all<credit<A>>({.capacity = 2, .first = first, .arena_bytes = block}, 4),
                   "1 worker, credit, 4 messages from " + std::to_string(first));
  }
}

TEST_CASE("descriptor: a relaxed order that guards the bytes is found") {
  using race::weakened;
  auto const found = [](race::report const& r, char const* site) {
    require_raced(r, std::string("relaxed ") + site);
  };
  found(
      submit_all<no_records<weakened<"record.publish">>>({.capacity = 2, .arena_bytes = block}, 2),
      "record.publish");
  found(submit_all<no_records<weakened<"record.take">>>({.capacity = 2, .arena_bytes = block}, 2),
        "record.take");
  found(submit_all<credit<weakened<"lane.credit">>>({.capacity = 2, .arena_bytes = block}, 2),
        "lane.credit");
  found(submit_all<credit<weakened<"lane.take_credit">>>({.capacity = 2, .arena_bytes = block}, 2),
        "lane.take_credit");
}

TEST_CASE("descriptor: planted mistakes about the bytes are found") {
  require_raced(submit_all<no_records<race::claimed_is_done>>(
                    {.capacity = 2, .workers = 2, .arena_bytes = block}, 2),
                "a block freed at the claim");
  require_raced(
      submit_all<no_records<race::early_answer>>({.capacity = 2, .arena_bytes = block}, 2),
      "a record published before the bytes are read");
  require_raced(submit_all<records<race::late_bytes>>({.capacity = 2, .arena_bytes = block}, 2),
                "a slot published before the bytes are written");
}
