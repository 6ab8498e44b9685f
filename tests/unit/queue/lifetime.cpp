// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <iterator>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

using namespace queue_test;

namespace {

/// The kernel's futex, counting who goes to sleep on it.
struct counted_parking {
  static inline std::atomic<std::uint32_t> parked{0};
  static void park(std::uint32_t& word, std::uint32_t expected, std::uint64_t timeout_ns) noexcept {
    ++parked;
    core::futex_parking::park(word, expected, timeout_ns);
  }
  static void wake(std::uint32_t& word) noexcept { core::futex_parking::wake(word); }
};

struct sleepy : gated_policy {
  using backoff = queue::blocking_backoff<1, 1>;
  using parking = counted_parking;
};
struct sleepy_pinned : sleepy {
  static constexpr queue::claim_mode claims = queue::claim_mode::pinned;
};
/// Wakes for no reason all the time.
struct restless : gated_policy {
  using backoff = queue::blocking_backoff<1, 1>;
  struct parking {
    static void park(std::uint32_t&, std::uint32_t, std::uint64_t) noexcept {
      core::yield_thread();
    }
    static void wake(std::uint32_t&) noexcept {}
  };
};

[[nodiscard]] bool sleeps_again(std::uint32_t before, std::uint32_t sleepers = 1) noexcept {
  return eventually([&]() noexcept { return counted_parking::parked >= before + sleepers; });
}

/// A consumer whose end waits 20 ms; a busy machine may need several attempts to start one.
[[nodiscard]] queue::consumer<gated_policy> launch_impatient(gated process) {
  for (;;) {
    auto made = queue::launch<gated_policy>(
        core::backend::host(), {.capacity = 4, .patience = std::chrono::milliseconds(20)}, process);
    if (made) { return std::move(*made); }
    if (made.error().code != errc::deadline_passed) {
      return core::value_or_throw(std::move(made));
    }
  }
}

[[nodiscard]] std::ptrdiff_t threads() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/task"),
                       std::filesystem::directory_iterator());
}

}  // namespace

TEST_CASE_TEMPLATE("lifetime: a sleeping worker wakes for a message", P, sleepy, sleepy_pinned,
                   restless) {
  gate door;
  for (std::uint32_t const workers : {1u, 3u}) {
    std::uint32_t before = counted_parking::parked;
    auto consumer = launch<P>({.lanes = 2, .capacity = 4, .workers = workers}, {&door});
    auto a = open(consumer), b = open(consumer);
    for (int i = 0; i < 20; ++i) {
      if (!std::is_same_v<P, restless>) { REQUIRE(sleeps_again(before)); }
      before = counted_parking::parked;
      auto& lane = i % 2 == 0 ? a : b;
      auto const id = lane.submit(5);
      REQUIRE(id);
      REQUIRE(lane.wait(*id, soon()));
    }
  }
}

TEST_CASE("lifetime: several messages wake several sleepers") {
  gate door;
  door.held = 5;
  std::uint32_t const before = counted_parking::parked;
  auto consumer = launch<sleepy>({.capacity = 4, .workers = 2}, {&door});
  auto lane = open(consumer);
  REQUIRE(sleeps_again(before, 2));
  auto const both = lane.submit_batch(2, [](std::uint32_t, uint64_t& m) noexcept { m = 5; });
  REQUIRE(both);
  // each message holds its worker: only two awake workers can both be inside
  CHECK(eventually([&]() noexcept { return door.entered == 2; }));
  door.open = true;
  CHECK(lane.drain(soon()));
}

TEST_CASE("lifetime: sleeping workers wake for a close, a stop and the end") {
  gate door;
  for (int how = 0; how < 3; ++how) {
    std::uint32_t const before = counted_parking::parked;
    std::optional consumer(launch<sleepy>({.capacity = 4, .workers = 2}, {&door}));
    REQUIRE(sleeps_again(before, 2));
    if (how == 0) {
      consumer->close();
      CHECK(eventually([&]() noexcept { return consumer->stats().exited == 2; }));
    } else if (how == 1) {
      CHECK(consumer->stop(soon()));
      CHECK(consumer->stats().exited == 2);
    }
    consumer.reset();
  }
}

TEST_CASE("lifetime: a closed consumer does what it was given and takes no more") {
  gate door;
  door.held = 0;
  auto consumer = launch<gated_policy>({.lanes = 2, .capacity = 8}, {&door});
  auto lane = open(consumer);
  for (uint64_t i = 0; i < 5; ++i) { REQUIRE(lane.submit(i)); }
  consumer.close();
  consumer.close();
  auto const fill = [](std::uint32_t, uint64_t&) noexcept {};
  CHECK(code_of(lane.submit(9)) == errc::closed);
  CHECK(code_of(lane.submit_batch(2, fill)) == errc::closed);
  CHECK(code_of(lane.reserve()) == errc::closed);
  CHECK(code_of(consumer.open_lane()) == errc::closed);
  door.open = true;
  REQUIRE(lane.drain(soon()));
  CHECK(eventually([&]() noexcept { return consumer.stats().exited == 1; }));
  for (uint64_t i = 0; i < 5; ++i) { CHECK(lane.try_result(i)->reply == answer_to(i)); }
  auto const undone = consumer.stop(soon());
  REQUIRE(undone);
  CHECK(*undone == 0);
}

TEST_CASE("lifetime: a reservation that was open at the close is still told apart") {
  gate door;
  auto consumer = launch<gated_policy>({.capacity = 2}, {&door});
  auto lane = open(consumer);
  auto const slot = lane.reserve();
  REQUIRE(slot);
  **slot = 3;
  auto const undone = consumer.stop(soon());
  REQUIRE(undone);
  CHECK(*undone == 0);
  auto const id = lane.commit();  // accepted before the stop, done by nobody
  if (id) {
    auto const got = lane.try_result(*id);
    REQUIRE(got);
    CHECK(got->status == queue::status::unprocessed);
  } else {
    CHECK(id.error().code == errc::closed);
  }
}

TEST_CASE("lifetime: what a stop leaves undone is reported, message by message") {
  gate door;
  door.held = 2;
  auto consumer = launch<gated_policy>({.capacity = 8}, {&door});
  auto lane = open(consumer);
  for (uint64_t i = 0; i < 7; ++i) { REQUIRE(lane.submit(i)); }
  REQUIRE(eventually([&]() noexcept { return door.entered == 1; }));
  auto const early = consumer.stop(now());
  CHECK(code_of(early) == errc::deadline_passed);
  CHECK(code_of(lane.try_result(6)) == errc::not_ready);  // a worker is still there
  door.open = true;
  auto const undone = consumer.stop(soon());
  REQUIRE(undone);
  REQUIRE(*undone <= 4);
  CHECK(consumer.stats().exited == 1);
  CHECK(code_of(lane.submit(9)) == errc::closed);
  CHECK(code_of(lane.drain(soon())) == (*undone == 0 ? errc::ok : errc::closed));
  std::uint32_t unprocessed = 0;
  for (uint64_t i = 0; i < 7; ++i) {
    auto const got = i % 2 == 0 ? lane.try_result(i) : lane.wait(i, soon());
    REQUIRE(got);
    bool const done = got->status == queue::status::ok;
    CHECK((done || got->status == queue::status::unprocessed));
    CHECK(got->reply == (done ? answer_to(i) : 0));
    unprocessed += done ? 0 : 1;
  }
  CHECK(unprocessed == *undone);
  CHECK(code_of(lane.try_result(0)) == errc::unknown_id);
  auto const again = consumer.stop(soon());
  REQUIRE(again);
  CHECK(*again == *undone);
}

TEST_CASE("lifetime: a consumer's drain ends when the workers left too early") {
  gate door;
  door.held = 1;
  auto consumer = launch<gated_policy>({.capacity = 8}, {&door});
  auto lane = open(consumer);
  REQUIRE(lane.submit(1));
  REQUIRE(eventually([&]() noexcept { return door.entered == 1; }));
  // claimed one by one: this one is still free when the stop comes
  REQUIRE(lane.submit(2));
  CHECK(code_of(consumer.stop(now())) == errc::deadline_passed);
  door.open = true;
  auto const undone = consumer.stop(soon());
  REQUIRE(undone);
  CHECK(code_of(consumer.drain(soon())) == (*undone == 0 ? errc::ok : errc::closed));
}

TEST_CASE("lifetime: poll after a stop gives the unprocessed ones too") {
  gate door;
  door.held = 0;
  auto consumer = launch<gated_policy>({.capacity = 4}, {&door});
  auto lane = open(consumer);
  REQUIRE(lane.submit(0));
  REQUIRE(eventually([&]() noexcept { return door.entered == 1; }));
  for (uint64_t i = 1; i < 4; ++i) { REQUIRE(lane.submit(i)); }
  CHECK(code_of(consumer.stop(now())) == errc::deadline_passed);
  door.open = true;
  REQUIRE(consumer.stop(soon()));
  uint64_t next = 0;
  CHECK(lane.poll([&](auto const& got) noexcept { next += got.id == next ? 1 : 0; }) == 4);
  CHECK(next == 4);
  CHECK(lane.in_flight() == 0);
}

TEST_CASE("lifetime: every lane has one producer at a time") {
  gate door;
  auto consumer = launch<gated_policy>({.lanes = 3, .capacity = 2}, {&door});
  std::vector<queue::producer<gated_policy>> lanes;
  for (int i = 0; i < 3; ++i) { lanes.push_back(open(consumer)); }
  CHECK(code_of(consumer.open_lane()) == errc::busy);
  lanes[1].close();
  auto again = open(consumer);
  CHECK(code_of(consumer.open_lane()) == errc::busy);
  lanes.clear();
  CHECK(consumer.open_lane());
}

TEST_CASE("lifetime: a lane's next producer counts on and never sees the results before it") {
  gate door;
  auto consumer = launch<gated_policy>({.capacity = 4}, {&door});
  for (uint64_t round = 0; round < 6; ++round) {
    auto lane = open(consumer);
    CHECK(lane.poll([](auto const&) noexcept {}) == 0);
    for (uint64_t old = 0; old < 3 * round; ++old) {
      CHECK(code_of(lane.try_result(old)) == errc::unknown_id);
    }
    for (uint64_t i = 0; i < 3; ++i) {
      result<queue::message_id> id;
      REQUIRE(eventually([&]() noexcept { return bool(id = lane.submit(i)); }));
      CHECK(*id == 3 * round + i);
    }
    CHECK(lane.wait(3 * round + 1, soon())->reply == answer_to(1));
    REQUIRE(lane.drain(soon()));  // two results are left behind
  }
  auto lane = open(consumer);
  CHECK(eventually([&]() noexcept { return lane.room() == 4; }));
}

TEST_CASE("lifetime: a lane left with work under way serves its next producer") {
  gate door;
  door.held = 0;
  auto consumer = launch<gated_policy>({.capacity = 4}, {&door});
  {
    auto first = open(consumer);
    REQUIRE(first.submit(0));
    REQUIRE(first.submit(1));
  }
  auto second = open(consumer);
  CHECK(second.poll([](auto const&) noexcept {}) == 0);
  CHECK(code_of(second.try_result(0)) == errc::unknown_id);
  REQUIRE(second.submit(10));
  REQUIRE(second.submit(11));
  CHECK(code_of(second.submit(12)) == errc::full);
  door.open = true;
  CHECK(second.wait(3, soon())->reply == answer_to(11));
  CHECK(second.wait(2, soon())->reply == answer_to(10));
  CHECK(second.room() == 4);
  for (uint64_t i = 0; i < 9; ++i) {
    auto const id = second.submit(i);
    REQUIRE(id);
    CHECK(second.wait(*id, soon())->reply == answer_to(i));
  }
}

TEST_CASE("lifetime: a producer outlives its consumer and keeps its results") {
  gate door;
  std::optional consumer(launch<gated_policy>({.capacity = 4}, {&door}));
  auto lane = open(*consumer);
  REQUIRE(lane.submit(1));
  REQUIRE(lane.submit(2));
  consumer.reset();
  CHECK(lane.wait(1, soon())->reply == answer_to(2));
  CHECK(lane.wait(0, soon())->reply == answer_to(1));
  CHECK(code_of(lane.submit(3)) == errc::closed);
  CHECK(lane.drain(soon()));
  lane.flush();
}

TEST_CASE("lifetime: handles move, and the one moved from may be dropped or assigned to") {
  gate door;
  auto first = launch<gated_policy>({.capacity = 4}, {&door});
  auto second = std::move(first);
  auto lane = open(second);
  REQUIRE(lane.submit(1));
  CHECK(lane.wait(0, soon()));
  first = launch<gated_policy>({.capacity = 2}, {&door});
  auto other = open(first);
  first = std::move(second);  // ends the consumer that `first` had
  CHECK(code_of(other.submit(1)) == errc::closed);
  CHECK(lane.submit(1));
  CHECK(lane.wait(1, soon()));
}

TEST_CASE("lifetime: the end does what was accepted") {
  gate door;
  std::optional consumer(launch<gated_policy>({.capacity = 64, .workers = 2}, {&door}));
  auto lane = open(*consumer);
  for (uint64_t i = 0; i < 64; ++i) { REQUIRE(lane.submit(i)); }
  consumer.reset();
  for (uint64_t i = 0; i < 64; ++i) { CHECK(lane.try_result(i)->reply == answer_to(i)); }
}

TEST_CASE("lifetime: the end does not wait for a functor that never returns") {
  static gate door;  // the thread left behind still looks at it
  door.held = 3;
  std::ptrdiff_t const before = threads();
  std::optional consumer(launch_impatient({&door}));
  auto lane = std::optional(open(*consumer));
  REQUIRE(lane->submit(3));
  REQUIRE(eventually([&]() noexcept { return door.entered == 1; }));
  consumer.reset();
  CHECK(door.left == 0);
  CHECK(code_of(lane->try_result(0)) == errc::not_ready);
  CHECK(code_of(lane->submit(4)) == errc::closed);
  door.open = true;
  CHECK(lane->wait(0, soon())->reply == answer_to(3));
  lane.reset();
  CHECK(eventually([&]() noexcept { return threads() == before; }));
}

TEST_CASE("lifetime: a launch that loses patience leaves no thread behind") {
  gate door;
  std::ptrdiff_t const before = threads();
  for (int i = 0; i < 20; ++i) {
    auto const made = queue::launch<gated_policy>(
        core::backend::host(),
        {.capacity = 4, .workers = 4, .patience = std::chrono::nanoseconds(0)}, {&door});
    if (!made) { CHECK(made.error().code == errc::deadline_passed); }
  }
  CHECK(eventually([&]() noexcept { return threads() == before; }));
}

TEST_CASE("lifetime: a worker may let the last handle go") {
  static gate door;
  door.held = 6;
  std::ptrdiff_t const before = threads();
  std::optional consumer(launch_impatient({&door}));
  std::optional lane(open(*consumer));
  REQUIRE(lane->submit(6));
  REQUIRE(eventually([]() noexcept { return door.entered == 1; }));
  consumer.reset();
  lane.reset();  // now only the worker holds the state
  door.open = true;
  CHECK(eventually([&]() noexcept { return threads() == before; }));
}

TEST_CASE("lifetime: the counters say what happened") {
  gate door;
  auto consumer = launch<gated_policy>({.lanes = 2, .capacity = 8, .workers = 3}, {&door});
  CHECK(consumer.stats().workers == 3);
  CHECK(consumer.stats().exited == 0);
  CHECK(consumer.stats().accepted == 0);
  CHECK(consumer.where() == core::backend::host());
  CHECK(!consumer.why().empty());
  auto a = open(consumer), b = open(consumer);
  for (uint64_t i = 0; i < 8; ++i) {
    REQUIRE(a.submit(i));
    REQUIRE(b.submit(i));
  }
  CHECK(consumer.stats().accepted == 16);
  REQUIRE(consumer.drain(soon()));
  CHECK(eventually([&]() noexcept { return consumer.stats().processed == 16; }));
  REQUIRE(consumer.stop(soon()));
  CHECK(consumer.stats().exited == 3);
}
