// SPDX-License-Identifier: Apache-2.0
// Producers of messages in the arena that die at every access of shared memory: whoever takes the
// lane over writes no byte that a worker may still read, now or when it does messages again.
#include "support.hpp"

#include <doctest/doctest.h>

#include <cstring>

namespace {

using namespace fault;

constexpr std::size_t largest = 1'000;

/// Message v: its number, then bytes that follow from it, of a length that follows from it.
[[nodiscard]] std::size_t size_of(uint64_t v) noexcept { return 8 + v * 137 % (largest - 8); }
void write(std::byte* to, uint64_t v) noexcept {
  std::memcpy(to, &v, sizeof v);
  for (std::size_t i = 8; i < size_of(v); ++i) { to[i] = static_cast<std::byte>(v * 31 + i); }
}

/// A message that came damaged fails.
struct check_slab {
  queue::status operator()(queue::message_view<queue::slab_bytes<largest>> message,
                           queue::reply_writer<uint64_t>& reply) const noexcept {
    uint64_t v = 0;
    std::memcpy(&v, message.bytes().data(), sizeof v);
    bool whole = message.size() == size_of(v);
    for (std::size_t i = 8; whole && i < message.size(); ++i) {
      whole = message.bytes()[i] == static_cast<std::byte>(v * 31 + i);
    }
    reply.write(v);
    return whole ? queue::status::ok : queue::status::failed;
  }
};
struct slabs : queue::default_consumer<queue::slab_bytes<largest>, check_slab> {
  using access = lethal;
  static constexpr queue::claim_mode claims = queue::claim_mode::pinned;
};

/// Sends message v, taking answers until there is room.
void send(queue::producer<slabs>& lane, uint64_t v) noexcept {
  for (;;) {
    if (auto const room = lane.reserve(size_of(v)); room) {
      write(room->data(), v);
      static_cast<void>(lane.commit());
      return;
    }
    lane.poll([](auto const&) noexcept {});
  }
}

}  // namespace

TEST_CASE("killed producer: whoever takes over the lane spares the bytes that are still needed") {
  uint64_t deaths = 0;
  for (uint64_t at = 1;; ++at) {
    CAPTURE(at);
    named_ring const ring("slabs");
    auto handle = core::value_or_throw(
        queue::share<slabs>(ring.name(), {.capacity = 5, .arena_bytes = 2'200, .patience = {}}));
    pid_t const server = server_of<slabs>(ring.name());
    pid_t const producer = in_a_process([&] {
      auto mine = queue::join<slabs>(ring.name());
      if (!mine) { return 3; }
      auto lane = mine->open_lane();
      if (!lane) { return 4; }
      lethal::left = at;
      for (uint64_t v = 0; v < 12; ++v) { send(*lane, v); }
      lethal::left = 0;
      ::_exit(0);
    });
    int const end = end_of(producer);
    REQUIRE((end == 0 || end == -SIGKILL));
    auto lane = core::value_or_throw(handle.open_lane());
    uint64_t const published = lane.next_id();
    for (uint64_t v = published; v < published + 12; ++v) { send(lane, v); }
    REQUIRE(lane.drain(soon()));
    handle.close();
    CHECK(end_of(server) == 0);
    CHECK(handle.stats().processed == published + 12);
    CHECK(handle.stats().failed == 0);
    if (end == 0) { break; }
    ++deaths;
  }
  CHECK(deaths > 10);
}

TEST_CASE("killed producer: what nobody has done yet keeps its bytes, and the rest is free") {
  named_ring const ring("slabs-kept");
  auto handle = core::value_or_throw(
      queue::share<slabs>(ring.name(), {.capacity = 5, .arena_bytes = 1'024, .patience = {}}));
  pid_t const producer = in_a_process([&] {
    auto mine = queue::join<slabs>(ring.name());
    if (!mine) { return 3; }
    auto lane = mine->open_lane();
    if (!lane) { return 4; }
    for (uint64_t v = 0; v < 3; ++v) { send(*lane, v); }  // nobody serves
    ::_exit(0);
  });
  CHECK(end_of(producer) == 0);
  auto lane = core::value_or_throw(handle.open_lane());
  CHECK(lane.next_id() == 3);
  CHECK(lane.in_flight() == 3);
  std::uint64_t used = 0;
  for (uint64_t v = 0; v < 3; ++v) { used += queue::byte_ring::span_of(size_of(v)); }
  std::uint64_t const left = 1'024 - used;
  REQUIRE(left < largest);
  auto const refused = lane.reserve(left + 1);
  REQUIRE(!refused);
  CHECK(refused.error().code == millrace::errc::full);
  CHECK(refused.error().native == 2);
  CHECK(lane.reserve(left));
  lane.cancel();
  pid_t const server = server_of<slabs>(ring.name());
  for (uint64_t v = 3; v < 10; ++v) { send(lane, v); }
  REQUIRE(lane.drain(soon()));
  handle.close();
  CHECK(end_of(server) == 0);
  CHECK(handle.stats().processed == 10);
  CHECK(handle.stats().failed == 0);
}
