// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

#include <doctest/doctest.h>

#include <array>
#include <type_traits>

using namespace queue_test;

namespace {

constexpr uint64_t age_ns = 1'500;

struct deferring : queue::default_consumer<uint64_t, gated> {
  using clock = still_clock;
  static constexpr std::uint32_t publish_batch = 4;
  static constexpr uint64_t publish_age_ns = age_ns;
};
struct deferring_pinned : deferring {
  static constexpr queue::claim_mode claims = queue::claim_mode::pinned;
};
struct deferring_spin : deferring {
  using backoff = queue::yield_backoff<1>;
};

struct gated_silent {
  gate* door = nullptr;
  queue::status operator()(queue::message_view<uint64_t> message,
                           queue::reply_writer<queue::no_reply>&) const noexcept {
    if (message.value() == door->held) {
      ++door->entered;
      while (!door->open) { core::yield_thread(); }
      ++door->left;
    }
    return queue::status::ok;
  }
};
template <queue::claim_mode Claims>
struct deferring_unanswered : queue::default_consumer<uint64_t, gated_silent> {
  using reply = queue::no_reply;
  using clock = still_clock;
  static constexpr queue::completion_mode completions = queue::completion_mode::none;
  static constexpr queue::claim_mode claims = Claims;
  static constexpr std::uint32_t publish_batch = 4;
};

/// Waits until the workers have looked at the time often enough to have passed every lane.
[[nodiscard]] bool looked_around() noexcept {
  uint64_t const before = still_clock::asked;
  return eventually([&]() noexcept { return still_clock::asked > before + 20; });
}

/// The same of workers that have nothing to do: where their backoff lets them sleep, who sleeps has
/// looked before, and looks again when it is woken.
template <class P>
[[nodiscard]] bool looked_around_idle() noexcept {
  if constexpr (std::is_same_v<typename P::backoff, queue::yield_backoff<1>>) {
    return looked_around();
  } else {
    uint64_t const before = still_clock::asked;
    auto const until = queue::within(std::chrono::milliseconds(50));
    while (still_clock::asked <= before + 20 && !until.expired(core::steady_clock{})) {
      core::yield_thread();
    }
    return true;
  }
}

/// Message 0 published because the lane was idle, and done; its result untaken, so that what
/// follows is held back.
template <class P>
[[nodiscard]] bool begin(queue::producer<P>& lane) noexcept {
  auto const id = lane.submit(0);
  return id && *id == 0 && lane.drain(soon());
}

}  // namespace

TEST_CASE("deferral: an idle lane publishes at once, time or no time") {
  gate door;
  auto consumer = launch<deferring>({.capacity = 8}, {&door});
  auto lane = open(consumer);
  for (uint64_t i = 0; i < 20; ++i) {
    auto const id = lane.submit(i);
    REQUIRE(id);
    bool const came = eventually([&]() noexcept { return lane.try_result(*id).has_value(); });
    REQUIRE(came);
  }
}

TEST_CASE_TEMPLATE("deferral: a silent producer's messages are done once they are old enough", P,
                   deferring, deferring_pinned, deferring_spin) {
  gate door;
  for (std::uint32_t const workers : {1u, 2u}) {
    auto consumer = launch<P>({.capacity = 8, .workers = workers}, {&door});
    auto lane = open(consumer);
    REQUIRE(begin(lane));
    for (uint64_t round = 0; round < 6; ++round) {  // the lane wraps
      auto const a = lane.submit(1), b = lane.submit(2);
      REQUIRE(a);
      REQUIRE(b);
      // a second worker that the last message did not go to has been dry for longer: it may look
      if (workers == 1 || P::claims == queue::claim_mode::pinned) {
        REQUIRE(looked_around());
        CHECK(code_of(lane.try_result(*a)) == errc::not_ready);
        still_clock::time_ns += age_ns - 1;
        REQUIRE(looked_around());
        CHECK(code_of(lane.try_result(*a)) == errc::not_ready);
        CHECK(code_of(lane.try_result(*b)) == errc::not_ready);
      }
      still_clock::time_ns += age_ns;
      // nobody flushes: the workers look behind the published messages
      result<queue::completion<uint64_t>> got_a, got_b;
      CHECK(eventually([&]() noexcept {
        still_clock::time_ns += age_ns;  // a worker may have looked for the first time only now
        return bool(got_b = lane.try_result(*b));
      }));
      CHECK(eventually([&]() noexcept { return bool(got_a = lane.try_result(*a)); }));
      CHECK(got_a->reply == answer_to(1));
      CHECK(got_b->reply == answer_to(2));
      lane.flush();
      // a fresh dry spell, and a message whose result stays untaken
      REQUIRE(lane.try_result(3 * round));
      REQUIRE(lane.submit(0));
      REQUIRE(lane.drain(soon()));
    }
  }
}

TEST_CASE_TEMPLATE("deferral: what came during a message is as old as that message's end", P,
                   deferring, deferring_pinned, deferring_spin) {
  gate door;
  door.held = 9;
  auto consumer = launch<P>({.capacity = 8}, {&door});
  auto lane = open(consumer);
  REQUIRE(begin(lane));
  REQUIRE(lane.try_result(0));
  REQUIRE(looked_around_idle<P>());
  still_clock::time_ns += 10 * age_ns;  // the lane has been dry for long
  REQUIRE(looked_around_idle<P>());
  REQUIRE(lane.submit(9));
  REQUIRE(eventually([&]() noexcept { return door.entered == 1; }));
  auto const a = lane.submit(1);
  REQUIRE(a);
  door.open = true;
  REQUIRE(eventually([&]() noexcept { return lane.try_result(1).has_value(); }));
  REQUIRE(looked_around());
  CHECK(code_of(lane.try_result(*a)) == errc::not_ready);
  still_clock::time_ns += age_ns;
  bool const came = eventually([&]() noexcept { return lane.try_result(*a).has_value(); });
  CHECK(came);
}

TEST_CASE_TEMPLATE("deferral: without completions old messages are done as well", P,
                   deferring_unanswered<queue::claim_mode::shared>,
                   deferring_unanswered<queue::claim_mode::pinned>) {
  gate door;
  door.held = 1;
  auto consumer = launch<P>({.capacity = 5, .workers = 2}, {&door});
  auto lane = open(consumer);
  uint64_t expected = 0;
  for (int round = 0; round < 7; ++round) {
    door.open = false;
    std::uint32_t const entered = door.entered;
    REQUIRE(lane.submit(1));  // idle: published; it keeps the lane from being idle
    REQUIRE(eventually([&]() noexcept { return door.entered == entered + 1; }));
    REQUIRE(lane.submit(7));
    REQUIRE(lane.submit(8));
    door.open = true;
    expected += 3;
    CHECK(eventually([&]() noexcept {
      still_clock::time_ns += 100;
      return consumer.stats().processed == expected;
    }));
    CHECK(eventually([&]() noexcept { return lane.room() == 5; }));
  }
  auto const undone = consumer.stop(soon());
  REQUIRE(undone);
  CHECK(*undone == 0);
}

TEST_CASE("deferral: as many messages as the policy says are published together") {
  gate door;
  auto consumer = launch<deferring>({.capacity = 16}, {&door});
  auto lane = open(consumer);
  REQUIRE(begin(lane));
  for (uint64_t i = 1; i <= 3; ++i) { REQUIRE(lane.submit(i)); }
  REQUIRE(looked_around());
  CHECK(code_of(lane.try_result(1)) == errc::not_ready);
  REQUIRE(lane.submit(4));
  for (uint64_t i = 1; i <= 4; ++i) {
    bool const came = eventually([&]() noexcept { return lane.try_result(i).has_value(); });
    CHECK(came);
  }
}

TEST_CASE("deferral: a lane smaller than the batch publishes when it is full") {
  gate door;
  for (std::uint32_t const capacity : {1u, 2u, 3u}) {
    door.held = ~uint64_t{0};
    auto consumer = launch<deferring>({.capacity = capacity}, {&door});
    auto lane = open(consumer);
    for (uint64_t i = 0; i < 5 * capacity; ++i) {
      auto const id = lane.submit(i);
      if (!id) {
        REQUIRE(id.error().code == errc::full);
        REQUIRE(lane.drain(soon()));
        CHECK(lane.poll([](auto const&) noexcept {}) == capacity);
        REQUIRE(lane.submit(i));
      }
    }
  }
}

TEST_CASE("deferral: flush, wait, drain, a batch and the end of a producer publish") {
  gate door;
  auto consumer = launch<deferring>({.capacity = 16}, {&door});
  auto lane = open(consumer);
  auto const comes = [&](queue::message_id id) {
    return eventually([&]() noexcept { return lane.try_result(id).has_value(); });
  };
  REQUIRE(begin(lane));
  REQUIRE(lane.submit(1));
  lane.flush();
  CHECK(comes(1));
  REQUIRE(lane.submit(2));
  CHECK(lane.wait(2, soon()));
  REQUIRE(lane.submit(3));
  CHECK(lane.drain(soon()));
  CHECK(comes(3));
  REQUIRE(lane.submit(4));
  std::array<uint64_t, 2> const two{5, 6};
  REQUIRE(lane.submit_batch(two));
  CHECK(comes(4));
  CHECK(comes(6));
  CHECK(comes(5));
  REQUIRE(lane.submit(7));
  uint64_t const before = consumer.stats().processed;
  lane.close();
  CHECK(eventually([&]() noexcept { return consumer.stats().processed >= before + 1; }));
}

TEST_CASE("deferral: messages done by age count as accepted") {
  gate door;
  auto consumer = launch<deferring>({.capacity = 8}, {&door});
  auto lane = open(consumer);
  REQUIRE(begin(lane));
  REQUIRE(lane.submit(1));
  REQUIRE(lane.submit(2));
  CHECK(eventually([&]() noexcept {
    still_clock::time_ns += 100;
    return consumer.stats().processed == 3;
  }));
  CHECK(consumer.stats().accepted == 3);
  auto const undone = consumer.stop(soon());
  REQUIRE(undone);
  CHECK(*undone == 0);
}

TEST_CASE("deferral: messages done by age, then more than fit behind them") {
  gate door;
  for (uint64_t first = 0; first < 8; ++first) {  // every place in the lane
    auto consumer = launch<deferring>({.capacity = 4}, {&door});
    auto lane = open(consumer);
    queue::message_id next = 0;
    for (uint64_t i = 0; i < first; ++i) {
      REQUIRE(lane.submit(i));
      REQUIRE(lane.wait(next++, soon()));
    }
    queue::message_id const oldest = next++;
    REQUIRE(lane.submit(100));
    REQUIRE(lane.drain(soon()));
    REQUIRE(lane.submit(101));
    REQUIRE(lane.submit(102));
    for (int i = 0; i < 2; ++i) {
      queue::message_id const id = next++;
      bool const came = eventually([&]() noexcept {
        still_clock::time_ns += 100;
        return lane.try_result(id).has_value();
      });
      REQUIRE(came);
    }
    REQUIRE(lane.try_result(oldest));
    CHECK(lane.room() == 4);
    // the whole lane again, while the producer has not yet told of the two
    auto const id = lane.submit_batch(4, [](std::uint32_t i, uint64_t& m) noexcept { m = i; });
    REQUIRE(id);
    for (uint64_t i = 0; i < 4; ++i) {
      auto const got = lane.wait(*id + i, soon());
      REQUIRE(got);
      CHECK(got->reply == answer_to(i));
    }
  }
}

TEST_CASE("deferral: what was accepted before a close is done, published or not") {
  gate door;
  auto consumer = launch<deferring>({.capacity = 8}, {&door});
  auto lane = open(consumer);
  REQUIRE(begin(lane));
  REQUIRE(lane.submit(1));
  REQUIRE(lane.submit(2));
  consumer.close();  // and time stands still
  CHECK(eventually([&]() noexcept { return consumer.stats().exited == 1; }));
  CHECK(lane.try_result(1));
  CHECK(lane.try_result(2));
}

TEST_CASE("deferral: what a stop leaves undone is reported, published or not") {
  gate door;
  door.held = 1;
  auto consumer = launch<deferring>({.capacity = 8}, {&door});
  auto lane = open(consumer);
  REQUIRE(lane.submit(1));
  REQUIRE(eventually([&]() noexcept { return door.entered == 1; }));
  REQUIRE(lane.submit(2));
  REQUIRE(lane.submit(3));
  CHECK(code_of(consumer.stop(now())) == errc::deadline_passed);
  door.open = true;
  auto const undone = consumer.stop(soon());
  REQUIRE(undone);
  CHECK(*undone == 2);
  CHECK(lane.try_result(0)->status == queue::status::ok);
  CHECK(lane.try_result(1)->status == queue::status::unprocessed);
  CHECK(lane.try_result(2)->status == queue::status::unprocessed);
}
