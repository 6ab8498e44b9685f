// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

#include <doctest/doctest.h>

#include <optional>
#include <thread>

namespace {

using namespace queue_test;

struct plus {
  uint64_t term = 0;
  queue::status operator()(queue::message_view<uint64_t> message,
                           queue::reply_writer<uint64_t>& reply) const noexcept {
    reply.write(message.value() + term);
    return queue::status::ok;
  }
};
struct times {
  uint64_t factor = 1;
  queue::status operator()(queue::message_view<uint64_t> message,
                           queue::reply_writer<uint64_t>& reply) const noexcept {
    reply.write(message.value() * factor);
    return queue::status::ok;
  }
};
template <class Processor, queue::claim_mode Claims, std::uint32_t Batch = 1>
struct policy : queue::default_consumer<uint64_t, Processor> {
  static constexpr queue::claim_mode claims = Claims;
  static constexpr std::uint32_t publish_batch = Batch;
};
template <class Processor>
using shared_policy = policy<Processor, queue::claim_mode::shared>;
using pinned_policy = policy<plus, queue::claim_mode::pinned>;
using deferring_policy = policy<plus, queue::claim_mode::shared, 4>;

template <class P>
[[nodiscard]] queue::consumer<P> start(queue::options const& with, typename P::processor process) {
  return core::value_or_throw(queue::launch_host<P>(drawing(with), process));
}

}  // namespace

TEST_CASE_TEMPLATE("park: workers leave, messages stay, and resumed workers do each once", P,
                   shared_policy<plus>, pinned_policy, deferring_policy) {
  auto consumer = start<P>({.lanes = 2, .capacity = 50, .workers = 2}, {7});
  auto a = open(consumer), b = open(consumer);
  for (int round = 0; round < 5; ++round) {
    REQUIRE(a.submit(1));
    REQUIRE(consumer.park(soon()));
    CHECK(consumer.parked());
    CHECK(consumer.stats().exited == 2);
    for (uint64_t i = 0; i < 20; ++i) { REQUIRE(b.submit(i)); }
    a.flush();
    b.flush();
    CHECK(code_of(b.drain(now())) == errc::deadline_passed);
    REQUIRE(consumer.resume());
    CHECK(!consumer.parked());
    REQUIRE(b.drain(soon()));
    REQUIRE(a.drain(soon()));
    CHECK(a.poll([](auto const& got) noexcept { CHECK(got.reply == 8); }) == 1);
    uint64_t sum = 0;
    CHECK(b.poll([&](auto const& got) noexcept { sum += got.reply; }) == 20);
    CHECK(sum == 190 + 20 * 7);
  }
  CHECK(eventually([&]() noexcept { return consumer.stats().processed == 5 * 21; }));
}

TEST_CASE("park: under load nothing is lost and nothing is done twice") {
  auto consumer = start<shared_policy<plus>>({.capacity = 16, .workers = 2}, {0});
  auto lane = open(consumer);
  std::atomic<bool> done{false};
  std::thread parker([&] {
    while (!done) {
      CHECK(consumer.park(soon()));
      CHECK(consumer.resume());
    }
  });
  uint64_t sum = 0, taken = 0;
  constexpr uint64_t messages = 20'000;
  for (uint64_t i = 0; i < messages;) {
    if (lane.submit(i)) { ++i; }
    taken += lane.poll([&](auto const& got) noexcept { sum += got.reply; });
  }
  CHECK(eventually([&]() noexcept {
    taken += lane.poll([&](auto const& got) noexcept { sum += got.reply; });
    return taken == messages;
  }));
  done = true;
  parker.join();
  CHECK(sum == messages * (messages - 1) / 2);
  CHECK(eventually([&]() noexcept { return consumer.stats().processed == messages; }));
}

TEST_CASE("park: a swapped functor does what comes after, the old one what came before") {
  auto consumer = start<shared_policy<plus>>({.capacity = 100}, {5});
  auto lane = open(consumer);
  auto const ask = [&](uint64_t n) {
    auto const id = lane.submit(n);
    REQUIRE(id);
    return lane.wait(*id, soon())->reply;
  };
  CHECK(ask(10) == 15);
  REQUIRE(queue::swap<shared_policy<plus>>(consumer, {6}, soon()));
  CHECK(ask(10) == 16);
  REQUIRE(queue::swap<shared_policy<times>>(consumer, {3}, soon()));
  CHECK(ask(10) == 30);
  REQUIRE(queue::swap<shared_policy<plus>>(consumer, {1}, soon()));
  CHECK(ask(10) == 11);
  CHECK(code_of(queue::replace_host<shared_policy<plus>>(consumer, {0})) == errc::busy);
}

TEST_CASE("park: a close while parked brings the workers back for what is there") {
  auto consumer = start<shared_policy<plus>>({.capacity = 100}, {0});
  auto lane = open(consumer);
  REQUIRE(consumer.park(soon()));
  for (uint64_t i = 0; i < 40; ++i) { REQUIRE(lane.submit(i)); }
  consumer.close();
  CHECK(code_of(lane.submit(0)) == errc::closed);
  CHECK(lane.drain(soon()));
  CHECK(lane.poll([](auto const&) noexcept {}) == 40);
  CHECK(code_of(consumer.park(soon())) == errc::closed);
  CHECK(code_of(consumer.resume()) == errc::closed);
}

TEST_CASE("park: a stop while parked reports what nobody did") {
  auto consumer = start<shared_policy<plus>>({.capacity = 100}, {0});
  auto lane = open(consumer);
  REQUIRE(consumer.park(soon()));
  for (uint64_t i = 0; i < 40; ++i) { REQUIRE(lane.submit(i)); }
  auto const undone = consumer.stop(soon());
  REQUIRE(undone);
  CHECK(*undone == 40);
  uint64_t unprocessed = 0;
  CHECK(lane.poll([&](auto const& got) noexcept {
    unprocessed += got.status == queue::status::unprocessed ? 1 : 0;
  }) == 40);
  CHECK(unprocessed == 40);
}

TEST_CASE("park: a consumer that was moved from, and one that runs, answer") {
  auto consumer = start<shared_policy<plus>>({}, {0});
  CHECK(consumer.resume());
  auto moved = std::move(consumer);
  CHECK(code_of(consumer.park(soon())) == errc::closed);
  CHECK(code_of(consumer.resume()) == errc::closed);
  CHECK(!consumer.parked());
  REQUIRE(moved.park(soon()));
  REQUIRE(moved.park(soon()));
  CHECK(moved.resume());
}

TEST_CASE("park: a close that comes while workers are about to park is heard") {
  gate door;
  door.held = 3;
  auto consumer =
      core::value_or_throw(queue::launch_host<gated_policy>(drawing({.workers = 2}), {&door}));
  auto lane = open(consumer);
  REQUIRE(lane.submit(3));
  CHECK(eventually([&]() noexcept { return door.occupied(); }));
  CHECK(code_of(consumer.park(now())) == errc::deadline_passed);
  REQUIRE(lane.submit(4));
  consumer.close();
  consumer.close();
  CHECK(code_of(lane.submit(5)) == errc::closed);
  CHECK(code_of(consumer.park(now())) == errc::closed);
  CHECK(code_of(consumer.resume()) == errc::closed);
  CHECK(code_of(lane.drain(now())) == errc::deadline_passed);
  door.open = true;
  CHECK(lane.drain(soon()));
  CHECK(consumer.wait_until_left(soon()));
  CHECK(lane.poll([](auto const&) noexcept {}) == 2);
  auto const undone = consumer.stop(soon());
  REQUIRE(undone);
  CHECK(*undone == 0);
}

TEST_CASE("park: a close beside a park is heard whichever is first") {
  for (int round = 0; round < 100; ++round) {
    auto consumer =
        core::value_or_throw(queue::launch_host<shared_policy<plus>>(drawing({.workers = 2}), {1}));
    auto lane = open(consumer);
    std::thread parker([&] {
      auto const parked = consumer.park(soon());
      CHECK((parked || code_of(parked) == errc::closed));
    });
    for (int i = 0; i < 10; ++i) { REQUIRE(lane.submit(1)); }
    consumer.close();
    CHECK(lane.drain(soon()));
    parker.join();
    CHECK(consumer.wait_until_left(soon()));
    CHECK(lane.poll([](auto const&) noexcept {}) == 10);
  }
}
