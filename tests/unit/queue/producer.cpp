// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <type_traits>
#include <utility>
#include <vector>

using namespace queue_test;

namespace {

using lane_type = queue::producer<gated_policy>;
static_assert(!std::is_copy_constructible_v<lane_type> && !std::is_copy_assignable_v<lane_type>);
static_assert(std::is_nothrow_move_constructible_v<lane_type> &&
              std::is_nothrow_move_assignable_v<lane_type>);
static_assert(!std::is_copy_constructible_v<queue::consumer<gated_policy>>);

/// Sends the bytes back in reverse, and says `user + kind`.
struct reversed {
  MILLRACE_HD queue::status operator()(
      queue::message_view<queue::inline_bytes<20>> message,
      queue::reply_writer<queue::inline_bytes<12>>& reply) const noexcept {
    auto const room = reply.bytes();
    auto const bytes = message.bytes();
    for (std::size_t i = 0; i < bytes.size() && i < room.size(); ++i) {
      room[i] = bytes[bytes.size() - 1 - i];
    }
    reply.resize(message.size());
    return static_cast<queue::status>(256 + message.kind());
  }
};
struct bytes_policy : queue::default_consumer<queue::inline_bytes<20>, reversed> {
  using reply = queue::inline_bytes<12>;
};

std::array<std::byte, 64> numbered() {
  std::array<std::byte, 64> out{};
  for (std::size_t i = 0; i < out.size(); ++i) { out[i] = static_cast<std::byte>(i + 1); }
  return out;
}

/// One worker, held at message value 0.
struct held_consumer {
  explicit held_consumer(queue::options const& with)
      : consumer(launch<gated_policy>(with, {&door})) {
    door.held = 0;
  }
  ~held_consumer() { door.open = true; }

  gate door;
  queue::consumer<gated_policy> consumer;
};

}  // namespace

TEST_CASE("producer: results are taken in any order, each once") {
  gate door;
  auto consumer = launch<gated_policy>({.capacity = 8}, {&door});
  auto lane = open(consumer);
  for (uint64_t i = 0; i < 8; ++i) { REQUIRE(lane.submit(i)); }
  for (uint64_t const id : {5u, 3u, 7u, 0u, 1u, 2u, 6u, 4u}) {
    auto const got = lane.wait(id, soon());
    REQUIRE(got);
    CHECK(got->id == id);
    CHECK(got->reply == answer_to(id));
    CHECK(got->length == sizeof(uint64_t));
    CHECK(code_of(lane.try_result(id)) == errc::unknown_id);
    CHECK(code_of(lane.wait(id, soon())) == errc::unknown_id);
  }
  CHECK(lane.in_flight() == 0);
  CHECK(lane.room() == 8);
}

TEST_CASE("producer: slots taken out of order are free again once the older ones are taken") {
  gate door;
  auto consumer = launch<gated_policy>({.capacity = 4}, {&door});
  auto lane = open(consumer);
  for (uint64_t lap = 0; lap < 5; ++lap) {
    uint64_t const base = 4 * lap;
    for (uint64_t i = 0; i < 4; ++i) { REQUIRE(lane.submit(base + i)); }
    REQUIRE(lane.wait(base + 2, soon()));
    REQUIRE(lane.wait(base + 1, soon()));
    CHECK(lane.room() == 0);
    CHECK(code_of(lane.submit(9)) == errc::full);
    REQUIRE(lane.wait(base + 0, soon()));
    CHECK(lane.room() == 3);
    REQUIRE(lane.wait(base + 3, soon()));
    CHECK(lane.room() == 4);
  }
}

TEST_CASE("producer: a later message's result comes while an older one is still being done") {
  gate door;
  door.held = 2;
  auto consumer = launch<gated_policy>({.capacity = 8, .workers = 2}, {&door});
  auto lane = open(consumer);
  for (uint64_t i = 0; i < 6; ++i) { REQUIRE(lane.submit(i)); }
  auto const later = lane.wait(5, soon());
  REQUIRE(later);
  CHECK(later->reply == answer_to(5));
  CHECK(code_of(lane.try_result(2)) == errc::not_ready);
  CHECK(code_of(lane.wait(2, now())) == errc::deadline_passed);
  // oldest first, passing by the one that is not done
  std::vector<uint64_t> order;
  CHECK(eventually([&]() noexcept {
    lane.poll([&](auto const& got) noexcept { order.push_back(got.id); });
    return order.size() == 4;
  }));
  CHECK(order.size() == 4);
  CHECK(std::find(order.begin(), order.end(), 2u) == order.end());
  door.open = true;
  REQUIRE(lane.wait(2, soon()));
  CHECK(lane.in_flight() == 0);
}

TEST_CASE("producer: poll gives each result once, oldest first, with what belongs to it") {
  auto consumer = launch<gated_policy>({.capacity = 16}, {[] {
                                         static gate open_gate;
                                         return &open_gate;
                                       }()});
  auto lane = open(consumer);
  auto const nobody = [](auto const&) noexcept {};
  CHECK(lane.poll(nobody) == 0);
  for (uint64_t i = 0; i < 10; ++i) { REQUIRE(lane.submit(100 + i, 7)); }
  REQUIRE(lane.drain(soon()));
  REQUIRE(lane.try_result(4));
  uint64_t next = 0;
  bool right = true;
  auto const check = [&](auto const& got) noexcept {
    next += next == 4 ? 1 : 0;
    right = right && got.id == next && got.reply == answer_to(100 + next, 7) &&
            got.status == queue::status::ok;
    ++next;
  };
  CHECK(lane.poll(check) == 9);
  CHECK(right);
  CHECK(lane.poll(nobody) == 0);
}

TEST_CASE("producer: an unknown id is told apart from a result that is not ready") {
  held_consumer const held({.capacity = 4});
  auto lane = open(const_cast<queue::consumer<gated_policy>&>(held.consumer));
  CHECK(code_of(lane.try_result(0)) == errc::unknown_id);
  CHECK(code_of(lane.wait(0, soon())) == errc::unknown_id);
  REQUIRE(lane.submit(0));
  CHECK(code_of(lane.try_result(0)) == errc::not_ready);
  CHECK(code_of(lane.try_result(1)) == errc::unknown_id);
  CHECK(code_of(lane.try_result(4)) == errc::unknown_id);
  CHECK(code_of(lane.try_result(~uint64_t{0})) == errc::unknown_id);
}

TEST_CASE("producer: a batch goes in whole or not at all") {
  held_consumer held({.capacity = 5});
  auto lane = open(held.consumer);
  std::array<uint64_t, 6> const numbers{0, 1, 2, 3, 4, 5};
  auto const some = [&](std::size_t n) {
    return cuda::std::span<uint64_t const>(numbers.data(), n);
  };
  auto const fill = [&](std::uint32_t i, uint64_t& slot) noexcept { slot = 10 + i; };
  CHECK(code_of(lane.submit_batch(some(0))) == errc::bad_argument);
  CHECK(code_of(lane.submit_batch(some(6))) == errc::bad_argument);
  CHECK(code_of(lane.submit_batch(0, fill)) == errc::bad_argument);
  CHECK(code_of(lane.submit_batch(6, fill)) == errc::bad_argument);
  CHECK(lane.in_flight() == 0);

  auto const first = lane.submit_batch(some(3), 4);
  REQUIRE(first);
  CHECK(*first == 0);
  CHECK(code_of(lane.submit_batch(some(3))) == errc::full);
  CHECK(code_of(lane.submit_batch(3, fill)) == errc::full);
  CHECK(lane.in_flight() == 3);
  auto const second = lane.submit_batch(2, fill, 5);
  REQUIRE(second);
  CHECK(*second == 3);
  CHECK(lane.room() == 0);

  held.door.open = true;
  for (uint64_t id = 0; id < 3; ++id) { CHECK(lane.wait(id, soon())->reply == answer_to(id, 4)); }
  CHECK(lane.wait(3, soon())->reply == answer_to(10, 5));
  CHECK(lane.wait(4, soon())->reply == answer_to(11, 5));
  for (int lap = 0; lap < 7; ++lap) {  // batches across the end of the lane
    auto const id = lane.submit_batch(some(3));
    REQUIRE(id);
    for (uint64_t i = 0; i < 3; ++i) { CHECK(lane.wait(*id + i, soon())->reply == answer_to(i)); }
  }
}

TEST_CASE("producer: a message is built in its slot and committed, or given up") {
  gate door;
  auto consumer = launch<gated_policy>({.capacity = 2}, {&door});
  auto lane = open(consumer);
  CHECK(code_of(lane.commit()) == errc::bad_argument);

  auto const slot = lane.reserve();
  REQUIRE(slot);
  **slot = 21;
  CHECK(code_of(lane.reserve()) == errc::busy);
  CHECK(code_of(lane.submit(1)) == errc::busy);
  CHECK(code_of(lane.submit_batch(1, [](std::uint32_t, uint64_t&) noexcept {})) == errc::busy);
  CHECK(lane.in_flight() == 0);
  auto const id = lane.commit(3);
  REQUIRE(id);
  CHECK(code_of(lane.commit()) == errc::bad_argument);
  CHECK(lane.wait(*id, soon())->reply == answer_to(21, 3));

  REQUIRE(lane.reserve());
  lane.cancel();
  CHECK(code_of(lane.commit()) == errc::bad_argument);
  auto const next = lane.submit(5);
  REQUIRE(next);
  CHECK(*next == *id + 1);
  CHECK(lane.wait(*next, soon())->reply == answer_to(5));
}

TEST_CASE("producer: no slot, no reservation") {
  held_consumer held({.capacity = 1});
  auto lane = open(held.consumer);
  REQUIRE(lane.submit(0));
  CHECK(code_of(lane.reserve()) == errc::full);
  CHECK(code_of(lane.commit()) == errc::bad_argument);
}

TEST_CASE("producer: inline slots carry any length up to theirs, and no more") {
  auto consumer = launch<bytes_policy>({.capacity = 3});
  auto lane = open(consumer);
  auto const bytes = numbered();
  for (std::size_t n = 0; n <= 20; ++n) {
    CAPTURE(n);
    auto const kind = static_cast<std::uint8_t>(n);
    auto const id = lane.submit(cuda::std::span<std::byte const>(bytes.data(), n), kind);
    REQUIRE(id);
    auto const got = lane.wait(*id, soon());
    REQUIRE(got);
    CHECK(got->status == static_cast<queue::status>(256 + n));
    std::size_t const expected = n < 12 ? n : 12;  // a reply is cut to what its record holds
    CHECK(got->length == expected);
    REQUIRE(got->reply.bytes().size() == expected);
    for (std::size_t i = 0; i < expected; ++i) {
      CHECK(got->reply.bytes()[i] == static_cast<std::byte>(n - i));
    }
  }
  for (std::size_t const n : {std::size_t{21}, std::size_t{64}}) {
    auto const refused = lane.submit(cuda::std::span<std::byte const>(bytes.data(), n));
    CHECK(code_of(refused) == errc::payload_too_large);
  }
  CHECK(code_of(lane.reserve(21)) == errc::payload_too_large);
  CHECK(code_of(lane.reserve(std::size_t{1} << 40)) == errc::payload_too_large);
  CHECK(lane.in_flight() == 0);
}

TEST_CASE("producer: inline bytes are built in their slot") {
  auto consumer = launch<bytes_policy>({.capacity = 3});
  auto lane = open(consumer);
  auto const room = lane.reserve(5);
  REQUIRE(room);
  CHECK(room->size() == 5);
  CHECK(code_of(lane.reserve(5)) == errc::busy);
  std::memcpy(room->data(), "abcde", 5);
  auto const id = lane.commit(9);
  REQUIRE(id);
  auto const got = lane.wait(*id, soon());
  REQUIRE(got);
  CHECK(got->status == static_cast<queue::status>(265));
  REQUIRE(got->length == 5);
  CHECK(std::memcmp(got->reply.bytes().data(), "edcba", 5) == 0);
}

TEST_CASE("producer: a wait ends at its deadline and the result may still be taken") {
  held_consumer held({.capacity = 2});
  auto lane = open(held.consumer);
  auto const id = lane.submit(0);
  REQUIRE(id);
  CHECK(code_of(lane.wait(*id, now())) == errc::deadline_passed);
  CHECK(code_of(lane.wait(*id, queue::within(std::chrono::milliseconds(2)))) ==
        errc::deadline_passed);
  CHECK(code_of(lane.drain(now())) == errc::deadline_passed);
  CHECK(code_of(held.consumer.drain(now())) == errc::deadline_passed);
  held.door.open = true;
  CHECK(lane.drain(soon()));
  CHECK(held.consumer.drain(soon()));
  CHECK(lane.wait(*id, now())->reply == answer_to(0));  // a result that is there beats the deadline
}

TEST_CASE("producer: drain waits for what is done and leaves the results") {
  gate door;
  auto consumer = launch<gated_policy>({.capacity = 6}, {&door});
  auto lane = open(consumer);
  CHECK(lane.drain(now()));
  for (uint64_t i = 0; i < 6; ++i) { REQUIRE(lane.submit(i)); }
  REQUIRE(lane.drain(soon()));
  CHECK(lane.in_flight() == 6);
  for (uint64_t i = 0; i < 6; ++i) { CHECK(lane.try_result(i)); }
  CHECK(lane.drain(now()));
}

TEST_CASE("producer: a handle that was moved from refuses everything and breaks nothing") {
  gate door;
  auto consumer = launch<gated_policy>({.lanes = 2, .capacity = 4}, {&door});
  auto lane = open(consumer);
  REQUIRE(lane.submit(1));
  REQUIRE(lane.reserve());
  auto moved = std::move(lane);
  auto const fill = [](std::uint32_t, uint64_t&) noexcept {};
  CHECK(code_of(lane.submit(1)) == errc::closed);
  CHECK(code_of(lane.submit_batch(1, fill)) == errc::closed);
  CHECK(code_of(lane.submit_batch(cuda::std::span<uint64_t const>())) == errc::closed);
  CHECK(code_of(lane.reserve()) == errc::closed);
  CHECK(code_of(lane.commit()) != errc::ok);
  CHECK(code_of(lane.try_result(0)) == errc::closed);
  CHECK(code_of(lane.wait(0, soon())) == errc::closed);
  CHECK(code_of(lane.drain(soon())) == errc::closed);
  CHECK(lane.poll([](auto const&) noexcept {}) == 0);
  CHECK(lane.room() == 0);
  CHECK(lane.in_flight() == 0);
  lane.flush();
  lane.cancel();
  lane.close();

  CHECK(code_of(moved.reserve()) == errc::busy);  // the reservation moved too
  moved.cancel();
  CHECK(moved.wait(0, soon())->reply == answer_to(1));
  auto second = open(consumer);
  CHECK(code_of(consumer.open_lane()) == errc::busy);
  second = std::move(moved);  // closes the lane that `second` had
  CHECK(consumer.open_lane());
  auto const id = second.submit(2);
  REQUIRE(id);
  CHECK(*id == 1);
  CHECK(second.wait(*id, soon())->reply == answer_to(2));
}
