// SPDX-License-Identifier: Apache-2.0
// Producers with names: who comes back goes on where the name was, and whoever was there before is
// fenced.
#include "support.hpp"
#include <millrace/queue/shared.hpp>

#include <doctest/doctest.h>

#include <array>
#include <string>
#include <unistd.h>
#include <utility>
#include <vector>

using namespace queue_test;
using queue::producer_name;

namespace {

struct named : queue::default_consumer<uint64_t, twice_plus_one> {
  static constexpr queue::claim_mode claims = queue::claim_mode::pinned;
  static constexpr bool named_producers = true;
};
struct gated_named : queue::default_consumer<uint64_t, gated> {
  static constexpr queue::claim_mode claims = queue::claim_mode::pinned;
  static constexpr bool named_producers = true;
};
struct counting {
  std::atomic<uint64_t>* sum = nullptr;
  queue::status operator()(queue::message_view<uint64_t> m,
                           queue::reply_writer<queue::no_reply>&) const noexcept {
    *sum += m.value() * 1'000 + m.id();
    return queue::status::ok;
  }
};
struct silent : queue::default_consumer<uint64_t, counting> {
  using reply = queue::no_reply;
  static constexpr queue::completion_mode completions = queue::completion_mode::none;
  static constexpr queue::claim_mode claims = queue::claim_mode::pinned;
  static constexpr bool named_producers = true;
};
struct ignore_bytes {
  queue::status operator()(queue::message_view<queue::slab_bytes<256>>,
                           queue::reply_writer<uint64_t>&) const noexcept {
    return queue::status::ok;
  }
};
struct text : queue::default_consumer<queue::slab_bytes<256>, ignore_bytes> {
  static constexpr queue::claim_mode claims = queue::claim_mode::pinned;
  static constexpr bool named_producers = true;
};

constexpr producer_name feed{7};
constexpr producer_name other{8};

template <class P>
[[nodiscard]] queue::producer<P> open(queue::consumer<P>& from, producer_name name) {
  return core::value_or_throw(from.open_lane(name, soon()));
}

}  // namespace

TEST_CASE("identity: a name goes on where its last producer closed, under the next epoch") {
  auto consumer = launch<named>({.capacity = 4, .first_message = 100});
  {
    auto lane = open(consumer, feed);
    CHECK(lane.epoch() == 1);
    CHECK(lane.next_id() == 100);
    for (uint64_t v = 0; v < 3; ++v) { REQUIRE(lane.submit(v)); }
    REQUIRE(lane.drain(soon()));
    CHECK(lane.try_result(100)->reply == answer_to(0));
  }
  auto lane = open(consumer, feed);
  CHECK(lane.epoch() == 2);
  CHECK(lane.next_id() == 103);
  CHECK(lane.room() == 4);
  // the results that were there come again, to be told apart by their numbers
  std::vector<uint64_t> ids;
  CHECK(lane.poll([&](auto const& got) noexcept {
    ids.push_back(got.id);
    CHECK(got.reply == answer_to(got.id - 100));
  }) == 3);
  CHECK(ids == std::vector<uint64_t>{100, 101, 102});
  auto const id = lane.submit(3);
  REQUIRE(id);
  CHECK(*id == 103);
  CHECK(lane.wait(*id, soon())->reply == answer_to(3));
}

TEST_CASE("identity: who comes back under a name fences the producer that is still there") {
  auto consumer = launch<named>({.lanes = 2, .capacity = 8});
  auto old = open(consumer, feed);
  for (uint64_t v = 0; v < 5; ++v) { REQUIRE(old.submit(v)); }
  REQUIRE(old.drain(soon()));
  auto reserved = old.reserve();
  REQUIRE(reserved);
  auto lane = open(consumer, feed);
  CHECK(lane.epoch() == 2);
  CHECK(lane.next_id() == 5);
  **reserved = 5;
  CHECK(code_of(old.commit()) == errc::fenced);
  CHECK(code_of(old.submit(5)) == errc::fenced);
  CHECK(code_of(old.submit_once(5, uint64_t{5})) == errc::fenced);
  CHECK(code_of(old.submit_once(1, uint64_t{1})) == errc::fenced);
  CHECK(old.drain(soon()));
  // both may look at the results of what was accepted
  CHECK(lane.wait(2, soon())->reply == answer_to(2));
  CHECK(old.wait(2, soon())->reply == answer_to(2));
  CHECK(*lane.submit(50) == 5);
  CHECK(lane.wait(5, soon())->reply == answer_to(50));
  CHECK(lane.poll([](auto const&) noexcept {}) == 4);
  CHECK(consumer.stats().accepted == 6);
  CHECK(consumer.stats().processed == 6);
  REQUIRE(consumer.drain(soon()));
}

TEST_CASE("identity: what a fenced producer wrote behind the worker's stop is not done") {
  gate door;
  door.held = 1;
  auto consumer = launch<gated_named>({.lanes = 2, .capacity = 4}, {&door});
  auto old = open(consumer, feed);
  REQUIRE(old.submit(0));
  REQUIRE(old.submit(1));
  REQUIRE(eventually([&] { return door.occupied(); }));
  // no worker comes to stop: the name's producer is fenced, and nobody goes on yet
  CHECK(code_of(consumer.open_lane(feed, now())) == errc::deadline_passed);
  CHECK(code_of(old.submit(2)) == errc::fenced);
  CHECK(code_of(old.try_result(1)) == errc::not_ready);
  door.open = true;
  auto lane = open(consumer, feed);
  CHECK(lane.epoch() == 2);
  CHECK(lane.next_id() == 2);
  CHECK(lane.wait(1, soon())->reply == answer_to(1));
  CHECK(code_of(lane.submit_once(1, uint64_t{1})) == errc::duplicate);
  REQUIRE(lane.submit_once(2, uint64_t{2}));
  CHECK(lane.wait(2, soon())->reply == answer_to(2));
}

TEST_CASE("identity: a sequence is accepted once, and only behind all before it") {
  auto consumer = launch<named>({.capacity = 4});
  auto lane = open(consumer, feed);
  CHECK(*lane.submit_once(0, uint64_t{10}) == 0);
  CHECK(code_of(lane.submit_once(0, uint64_t{10})) == errc::duplicate);
  auto const gap = lane.submit_once(2, uint64_t{12});
  CHECK(code_of(gap) == errc::bad_argument);
  CHECK(gap.error().native == 1);
  CHECK(*lane.submit_once(1, uint64_t{11}) == 1);
  CHECK(code_of(lane.submit_once(~uint64_t{0}, uint64_t{1})) == errc::duplicate);
  REQUIRE(lane.reserve());
  CHECK(code_of(lane.submit_once(2, uint64_t{12})) == errc::busy);
  lane.cancel();
  REQUIRE(lane.drain(soon()));
  CHECK(consumer.stats().duplicate == 2);
  CHECK(consumer.stats().accepted == 2);
  lane.close();
  CHECK(code_of(lane.submit_once(2, uint64_t{12})) == errc::closed);
}

TEST_CASE("identity: a full lane refuses a message that comes again later") {
  gate door;
  door.held = 0;
  auto consumer = launch<gated_named>({.capacity = 1}, {&door});
  auto lane = open(consumer, feed);
  REQUIRE(lane.submit_once(0, uint64_t{0}));
  CHECK(code_of(lane.submit_once(1, uint64_t{1})) == errc::full);
  door.open = true;
  REQUIRE(lane.wait(0, soon()));
  CHECK(*lane.submit_once(1, uint64_t{1}) == 1);
}

TEST_CASE("identity: a lane is kept for its name until that is forgotten") {
  auto consumer = launch<named>({.lanes = 1, .capacity = 2});
  CHECK(code_of(consumer.open_lane(producer_name{}, soon())) == errc::bad_argument);
  CHECK(code_of(consumer.forget(producer_name{}, soon())) == errc::bad_argument);
  CHECK(code_of(consumer.forget(feed, soon())) == errc::unknown_id);
  {
    auto lane = open(consumer, feed);
    REQUIRE(lane.submit(1));
    CHECK(code_of(consumer.forget(feed, soon())) == errc::busy);
    CHECK(code_of(consumer.open_lane(feed, soon())) == errc::busy);  // no lane to go on in
    CHECK(lane.submit(2));  // and nobody is fenced for that
  }
  CHECK(code_of(consumer.open_lane(other, soon())) == errc::busy);
  REQUIRE(consumer.forget(feed, soon()));
  auto lane = open(consumer, other);
  CHECK(lane.epoch() == 1);
  CHECK(lane.next_id() == 0);
  CHECK(lane.poll([](auto const&) noexcept {}) == 0);  // the other name's results are not its
  REQUIRE(eventually([&] { return lane.room() != 0; }));
  auto const id = lane.submit(3);
  REQUIRE(id);
  CHECK(*id == 0);
  CHECK(lane.wait(*id, soon())->reply == answer_to(3));
}

TEST_CASE("identity: a sealed lane is free once its producer has gone, and as new") {
  auto consumer = launch<named>({.lanes = 2, .capacity = 3});
  uint64_t next = 0;
  auto lane = open(consumer, feed);
  for (uint64_t epoch = 1; epoch < 20; ++epoch) {
    CHECK(lane.epoch() == epoch);
    CHECK(lane.next_id() == next);
    for (uint64_t i = 0; i < epoch % 7; ++i, ++next) {
      auto id = lane.submit_once(next, next);
      if (!id) {
        REQUIRE(code_of(id) == errc::full);
        REQUIRE(lane.drain(soon()));
        lane.poll([](auto const&) noexcept {});
        id = lane.submit_once(next, next);
      }
      REQUIRE(id);
      CHECK(*id == next);
    }
    REQUIRE(lane.drain(soon()));
    auto again = open(consumer, feed);
    CHECK(code_of(lane.submit(0)) == errc::fenced);
    CHECK(code_of(consumer.open_lane(other, soon())) == errc::busy);
    lane = std::move(again);  // the old one closes
  }
  CHECK(consumer.stats().accepted == next);
  CHECK(consumer.stats().processed == next);
  auto one_more = open(consumer, other);
  CHECK(one_more.next_id() == 0);
}

TEST_CASE("identity: without completions the numbers alone say what was accepted") {
  std::atomic<uint64_t> sum{0};
  auto consumer = launch<silent>({.lanes = 2, .capacity = 2}, {&sum});
  auto old = open(consumer, feed);
  REQUIRE(old.submit(4));
  REQUIRE(old.submit(5));
  auto lane = open(consumer, feed);
  uint64_t const accepted = lane.next_id();  // the worker may have stopped before either
  CHECK(accepted <= 2);
  for (uint64_t s = accepted; s < 3; ++s) {
    REQUIRE(eventually([&] { return lane.submit_once(s, s + 4).has_value(); }));
  }
  REQUIRE(lane.drain(soon()));
  CHECK(sum == 4'000 + 5'001 + 6'002);
  REQUIRE(consumer.drain(soon()));
}

TEST_CASE("identity: bytes in an arena, in batches and numbered by their name") {
  auto consumer = launch<text>({.lanes = 2, .capacity = 4});
  std::array<std::byte, 100> const bytes{};
  cuda::std::span<std::byte const> const message(bytes.data(), bytes.size());
  auto old = open(consumer, feed);
  REQUIRE(old.submit_once(0, message));
  REQUIRE(old.submit_batch(2, 50, [](std::uint32_t, auto) noexcept {}));
  REQUIRE(old.drain(soon()));
  auto lane = open(consumer, feed);
  CHECK(lane.next_id() == 3);
  CHECK(*lane.submit_batch(2, 50, [](std::uint32_t, auto) noexcept {}) == 3);
  REQUIRE(lane.wait(4, soon()));
  old.close();
  auto third = open(consumer, feed);
  CHECK(third.epoch() == 3);
  CHECK(*third.submit_once(5, message) == 5);
  REQUIRE(third.wait(5, soon()));
}

TEST_CASE("identity: in shared memory a second handle fences the first one's producer") {
  std::string const name = "/millrace-identity-" + std::to_string(::getpid());
  auto first = core::value_or_throw(queue::share<named>(name, {.lanes = 2, .capacity = 4}));
  auto second = core::value_or_throw(queue::join<named>(name));
  auto old = open(first, feed);
  REQUIRE(old.submit(0));
  // nobody serves: nobody can say where the old one ends
  CHECK(code_of(second.open_lane(feed, now())) == errc::deadline_passed);
  CHECK(code_of(old.submit(1)) == errc::fenced);
  auto server = core::value_or_throw(queue::serve<named>(name));
  REQUIRE(millrace::memory::shared_memory::open(name)->remove());
  CHECK(code_of(server.open_lane(feed, soon())) == errc::busy);  // it has only the workers
  CHECK(code_of(server.forget(feed, soon())) == errc::busy);
  auto lane = open(second, feed);
  CHECK(lane.epoch() == 2);
  // the seal was there before the worker: it may have taken nothing
  CHECK(lane.next_id() == 0);
  CHECK(code_of(old.wait(0, soon())) == errc::fenced);
  CHECK(code_of(old.drain(soon())) == errc::fenced);
  REQUIRE(lane.submit_once(0, uint64_t{0}));
  CHECK(lane.wait(0, soon())->reply == answer_to(0));
  CHECK(first.stats().accepted == 1);
  REQUIRE(first.drain(soon()));
  CHECK(first.inspect().lanes[0].unanswered == 0);
  old.close();
  lane.close();
  auto again = open(first, feed);
  CHECK(again.epoch() == 3);
  CHECK(again.next_id() == 1);
}
