// SPDX-License-Identifier: Apache-2.0
// Consumer processes that die, at every access of shared memory and at random moments: the state
// has each message's effect exactly once and in order, and each answer comes once.
#include "support.hpp"

#include <doctest/doctest.h>

#include <vector>

namespace {

using namespace fault;

/// What the ledger must say after values 0 ... n-1 in order, and the answer to each.
struct expected {
  ledger book;
  std::vector<uint64_t> answers;

  explicit expected(uint64_t n) {
    for (uint64_t v = 0; v < n; ++v) {
      ++book.count;
      book.sum += v;
      book.chain = book.chain * 0x9E3779B97F4A7C15u + v + 1;
      answers.push_back(book.chain);
    }
  }
};

/// One ring's life: servers die until one may live, while the parent sends `messages`.
template <class P>
struct outcome {
  ledger book;
  uint64_t taken = 0;
  uint64_t wrong = 0;
  uint64_t deaths = 0;
  uint64_t replayed = 0;
};

/// Sends `messages` through a ring whose servers die at the given accesses, one after the other.
template <class P>
[[nodiscard]] outcome<P> send_through(uint64_t messages, std::vector<uint64_t> const& deaths) {
  named_ring const ring("killed");
  outcome<P> out;
  auto handle = core::value_or_throw(queue::share<P>(ring.name(), {.capacity = 4, .patience = {}}));
  auto lane = core::value_or_throw(handle.open_lane());
  expected const want(messages);
  uint64_t sent = 0;
  auto const take = [&] {
    out.taken += lane.poll([&](auto const& got) noexcept {
      out.wrong += got.id < want.answers.size() && got.reply == want.answers[got.id] ? 0 : 1;
    });
  };
  while (sent < messages && lane.submit(sent)) { ++sent; }
  for (uint64_t const accesses : deaths) {
    pid_t const server = server_of<P>(ring.name(), accesses);
    int status = 0;
    while (::waitpid(server, &status, WNOHANG) == 0) {
      if (sent < messages && lane.submit(sent)) { ++sent; }
      take();
      if (sent == messages && out.taken == messages) { handle.close(); }
    }
    if (WIFSIGNALED(status)) { ++out.deaths; }
  }
  pid_t const last = server_of<P>(ring.name());
  while (out.taken < messages) {
    if (sent < messages && lane.submit(sent)) { ++sent; }
    take();
  }
  handle.close();
  CHECK(end_of(last) == 0);
  CHECK(handle.wait_until_left(soon()));
  out.book = core::value_or_throw(handle.state(0));
  out.replayed = handle.stats().replayed;
  return out;
}

template <class P>
void check(outcome<P> const& got, uint64_t messages) {
  expected const want(messages);
  CHECK(got.book.count == want.book.count);
  CHECK(got.book.sum == want.book.sum);
  CHECK(got.book.chain == want.book.chain);
  CHECK(got.taken == messages);
  CHECK(got.wrong == 0);
}

}  // namespace

TEST_CASE("killed consumer: at each of its accesses nothing is lost and nothing done twice") {
  using policy = kept<lethal, 2>;
  constexpr uint64_t messages = 7;
  uint64_t deaths = 0, replayed = 0, runs = 0;
  for (uint64_t at = 1; deaths == runs; ++at, ++runs) {
    CAPTURE(at);
    auto const got = send_through<policy>(messages, {at});
    check(got, messages);
    replayed += got.replayed;
    deaths += got.deaths;
  }
  CHECK(deaths > 20);
  CHECK(replayed > 20);
  report("consumer killed at every access", deaths, runs * messages, runs * messages, replayed, 0,
         0);
}

TEST_CASE("killed consumer: the one that goes on may die too") {
  using policy = kept<lethal, 2>;
  constexpr uint64_t messages = 5;
  uint64_t deaths = 0, runs = 0, replayed = 0;
  uint64_t const step = long_tier() ? 3 : 11;
  for (uint64_t first = 5; first < 90; first += step) {
    for (uint64_t second = 3; second < 70; second += step) {
      CAPTURE(first);
      CAPTURE(second);
      auto const got = send_through<policy>(messages, {first, second});
      check(got, messages);
      deaths += got.deaths;
      replayed += got.replayed;
      ++runs;
    }
  }
  report("consumer killed twice", deaths, runs * messages, runs * messages, replayed, 0, 0);
}

TEST_CASE("killed consumer: kill -9 under load, again and again") {
  using policy = kept<core::direct_access<cuda::thread_scope_system>, 64>;
  uint64_t const kills = long_tier() ? 1'000 : 100;
  named_ring const ring("load");
  auto handle = core::value_or_throw(
      queue::share<policy>(ring.name(), {.lanes = 2, .capacity = 500, .patience = {}}));
  auto a = core::value_or_throw(handle.open_lane());
  auto b = core::value_or_throw(handle.open_lane());
  uint64_t sent = 0, sum = 0, taken_a = 0, taken_b = 0, next_a = 0, next_b = 0, out_of_turn = 0;
  auto const work = [&] {
    for (auto* lane : {&a, &b}) {
      if (lane->submit(sent)) { sum += sent++; }
    }
    taken_a += a.poll([&](auto const& got) noexcept { out_of_turn += got.id == next_a++ ? 0 : 1; });
    taken_b += b.poll([&](auto const& got) noexcept { out_of_turn += got.id == next_b++ ? 0 : 1; });
  };
  core::splitmix_rng rng(11);
  for (uint64_t k = 0; k < kills; ++k) {
    pid_t const server = server_of<policy>(ring.name());
    uint64_t const life_us = 500 + rng.next() % 4'000;
    auto const until = queue::within(std::chrono::microseconds(life_us));
    while (!until.expired(core::steady_clock{})) { work(); }
    REQUIRE(::kill(server, SIGKILL) == 0);
    REQUIRE(end_of(server) == -SIGKILL);
    CHECK(!handle.served());
  }
  pid_t const last = server_of<policy>(ring.name());
  while (taken_a + taken_b < sent) {
    taken_a += a.poll([&](auto const& got) noexcept { out_of_turn += got.id == next_a++ ? 0 : 1; });
    taken_b += b.poll([&](auto const& got) noexcept { out_of_turn += got.id == next_b++ ? 0 : 1; });
  }
  handle.close();
  CHECK(end_of(last) == 0);
  auto const book = core::value_or_throw(handle.state(0));
  CHECK(book.count == sent);
  CHECK(book.sum == sum);
  CHECK(out_of_turn == 0);
  auto const lost = book.count < sent ? sent - book.count : 0;
  auto const doubled = book.count > sent ? book.count - sent : 0;
  report("consumer killed with kill -9 under load", kills, sent, book.count,
         handle.stats().replayed, lost, doubled);
}

TEST_CASE("killed consumer: one process serves at a time") {
  using policy = kept<core::direct_access<cuda::thread_scope_system>, 64>;
  named_ring const ring("single");
  auto handle = core::value_or_throw(queue::share<policy>(ring.name(), {.patience = {}}));
  CHECK(!handle.served());
  auto server = queue::serve<policy>(ring.name());
  REQUIRE(server);
  CHECK(handle.served());
  auto const second = queue::serve<policy>(ring.name());
  REQUIRE(!second);
  CHECK(second.error().code == millrace::errc::busy);
  auto const other =
      queue::serve<kept<core::direct_access<cuda::thread_scope_system>, 0>>(ring.name());
  CHECK(!other);
  auto lane = core::value_or_throw(handle.open_lane());
  REQUIRE(lane.submit(5));
  REQUIRE(lane.drain(soon()));
  server = queue::serve<policy>("/millrace-no-such-ring");
  REQUIRE(!server);
  CHECK(server.error().origin == core::origin::posix);
  CHECK(!handle.served());               // the first one's end parked its workers
  auto const resumed = handle.resume();  // they are not this handle's to bring back
  REQUIRE(!resumed);
  CHECK(resumed.error().code == millrace::errc::busy);
  auto again = queue::serve<policy>(ring.name());
  REQUIRE(again);
  REQUIRE(lane.submit(6));
  REQUIRE(lane.drain(soon()));
  CHECK(lane.poll([](auto const&) noexcept {}) == 2);
}
