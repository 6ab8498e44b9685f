// SPDX-License-Identifier: Apache-2.0
// Producer processes that die at every access of shared memory, a reservation open or not: whoever
// takes the lane over finds every published message done once, and no half of another.
#include "support.hpp"

#include <doctest/doctest.h>

namespace {

using namespace fault;
using policy = kept<lethal, 4>;

}  // namespace

TEST_CASE("killed producer: whoever takes over the lane goes on behind what was published") {
  uint64_t deaths = 0, sent_in_all = 0, replayed = 0;
  for (uint64_t at = 1;; ++at) {
    CAPTURE(at);
    named_ring const ring("producer");
    auto handle =
        core::value_or_throw(queue::share<policy>(ring.name(), {.capacity = 3, .patience = {}}));
    pid_t const server = server_of<policy>(ring.name());
    pid_t const producer = in_a_process([&] {
      auto mine = queue::join<policy>(ring.name());
      if (!mine) { return 3; }
      auto lane = mine->open_lane();
      if (!lane) { return 4; }
      lethal::left = at;
      for (uint64_t v = 0; v < 8;) {
        auto slot = lane->reserve();
        if (slot) {
          **slot = v++;
          if (!lane->commit()) { return 5; }
        }
        if (lane->poll([](auto const&) noexcept {}) == 0 && !slot) { core::yield_thread(); }
      }
      lethal::left = 0;
      ::_exit(0);  // without closing what others use
    });
    int const end = end_of(producer);
    REQUIRE((end == 0 || end == -SIGKILL));
    auto lane = core::value_or_throw(handle.open_lane());
    uint64_t const published = lane.next_id();
    CHECK(published <= 8);
    if (end == 0) { CHECK(published == 8); }
    for (uint64_t v = published; v < published + 5;) {
      if (lane.submit(v)) { ++v; }
      lane.poll([](auto const&) noexcept {});
    }
    REQUIRE(lane.drain(soon()));
    handle.close();
    CHECK(end_of(server) == 0);
    auto const book = core::value_or_throw(handle.state(0));
    uint64_t const n = published + 5;
    CHECK(book.count == n);
    CHECK(book.sum == n * (n - 1) / 2);
    sent_in_all += n;
    replayed += handle.stats().replayed;
    if (end == 0) { break; }
    ++deaths;
  }
  CHECK(deaths > 10);
  report("producer killed at every access", deaths, sent_in_all, sent_in_all, replayed, 0, 0);
}

TEST_CASE("killed producer: its lane is busy while it lives and free when it is dead") {
  named_ring const ring("lane");
  auto handle =
      core::value_or_throw(queue::share<policy>(ring.name(), {.capacity = 3, .patience = {}}));
  int ready[2] = {-1, -1};
  REQUIRE(::pipe(ready) == 0);
  pid_t const producer = in_a_process([&] {
    auto mine = queue::join<policy>(ring.name());
    auto lane = mine->open_lane();
    char const open = lane ? 'y' : 'n';
    if (::write(ready[1], &open, 1) != 1) { return 2; }
    for (;;) { ::pause(); }
  });
  char open = '?';
  REQUIRE(::read(ready[0], &open, 1) == 1);
  REQUIRE(open == 'y');
  auto refused = handle.open_lane();
  REQUIRE(!refused);
  CHECK(refused.error().code == millrace::errc::busy);
  REQUIRE(::kill(producer, SIGKILL) == 0);
  CHECK(end_of(producer) == -SIGKILL);
  CHECK(handle.open_lane());
  ::close(ready[0]);
  ::close(ready[1]);
}

namespace {

/// Kills who is about to wake a thread, after it has told everybody that it does.
struct lethal_parking : core::futex_parking {
  static inline bool armed = false;
  static void wake(std::uint32_t& word) noexcept {
    if (armed) { ::raise(SIGKILL); }
    core::futex_parking::wake(word);
  }
};
struct sleeps_soon : kept<core::direct_access<cuda::thread_scope_system>, 4> {
  using backoff = queue::blocking_backoff<1, 1>;
  using parking = lethal_parking;
};

}  // namespace

TEST_CASE("killed producer: one that dies while it wakes the worker") {
  named_ring const ring("waker");
  auto handle =
      core::value_or_throw(queue::share<sleeps_soon>(ring.name(), {.capacity = 3, .patience = {}}));
  pid_t const server = server_of<sleeps_soon>(ring.name());
  int end = 0;
  uint64_t sent = 0;
  for (auto const give_up = soon(); end == 0 && !give_up.expired(core::steady_clock{});) {
    end = end_of(in_a_process([&] {
      auto mine = queue::join<sleeps_soon>(ring.name());
      if (!mine) { return 3; }
      auto lane = mine->open_lane();
      if (!lane) { return 4; }
      ::usleep(1'000);  // the worker falls asleep, mostly
      lethal_parking::armed = true;
      if (!lane->submit(1)) { return 5; }
      lethal_parking::armed = false;
      ::_exit(lane->drain(soon()) ? 0 : 6);  // without closing what others use
    }));
    ++sent;
  }
  REQUIRE(end == -SIGKILL);
  auto lane = core::value_or_throw(handle.open_lane());
  CHECK(lane.next_id() == sent);
  CHECK(lane.drain(queue::within(std::chrono::seconds(20))));
  handle.close();
  if (!handle.wait_until_left(queue::within(std::chrono::seconds(20)))) { ::kill(server, SIGKILL); }
  CHECK(end_of(server) == 0);
}
