// SPDX-License-Identifier: Apache-2.0
// Many messages through small lanes, parked and resumed on the way: every one is done once, and its
// answer is its own.
#include "support.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace {

using namespace fault;

[[nodiscard]] constexpr uint64_t mixed(uint64_t n) noexcept {
  n = (n ^ (n >> 30)) * 0xbf58476d1ce4e5b9u;
  return n ^ (n >> 27);
}

struct mix {
  queue::status operator()(queue::message_view<uint64_t> message,
                           queue::reply_writer<uint64_t>& reply) const noexcept {
    reply.write(mixed(message.value()));
    return queue::status::ok;
  }
};
template <queue::claim_mode Claims, std::uint32_t Batch>
struct mixing : queue::default_consumer<uint64_t, mix> {
  using backoff = queue::yield_backoff<>;
  static constexpr queue::claim_mode claims = Claims;
  static constexpr std::uint32_t publish_batch = Batch;
};

struct tally {
  uint64_t sent = 0;
  uint64_t taken = 0;
  uint64_t wrong = 0;
};

/// One producer's share: odd batches, results in between, some singly and out of order.
template <class P>
[[nodiscard]] tally produce(queue::consumer<P>& consumer, uint64_t first, uint64_t messages) {
  auto lane = core::value_or_throw(consumer.open_lane());
  tally out;
  auto const take = [&] {
    out.taken += lane.poll(
        [&](auto const& got) noexcept { out.wrong += got.reply == mixed(first + got.id) ? 0 : 1; });
  };
  while (out.taken < messages) {
    uint64_t const left = messages - out.sent;
    auto const some = static_cast<std::uint32_t>(std::min<uint64_t>(left, 1 + out.sent % 29));
    if (some != 0) {
      auto const build = [&](std::uint32_t i, uint64_t& value) noexcept {
        value = first + out.sent + i;
      };
      if (lane.submit_batch(some, build)) { out.sent += some; }
    } else {
      lane.flush();
    }
    take();
  }
  return out;
}

template <class P>
void soak(char const* name, uint64_t messages) {
  constexpr std::uint32_t producers = 2;
  auto consumer = core::value_or_throw(
      queue::launch_host<P>({.lanes = producers, .capacity = 1'000, .workers = 2}));
  std::vector<tally> tallies(producers);
  std::vector<std::thread> threads;
  for (std::uint32_t p = 0; p < producers; ++p) {
    threads.emplace_back(
        [&, p] { tallies[p] = produce(consumer, uint64_t{p} << 40, messages / producers); });
  }
  std::atomic<bool> over{false};
  uint64_t parked = 0;
  std::thread keeper([&] {
    while (!over) {
      auto const until = queue::within(std::chrono::milliseconds(20));
      while (!until.expired(core::steady_clock{}) && !over) { core::yield_thread(); }
      if (consumer.park(soon()) && consumer.resume()) { ++parked; }
    }
  });
  for (auto& thread : threads) { thread.join(); }
  over = true;
  keeper.join();
  tally all;
  for (tally const& t : tallies) {
    all.sent += t.sent;
    all.taken += t.taken;
    all.wrong += t.wrong;
  }
  REQUIRE(consumer.stop(soon()));
  auto const processed = consumer.stats().processed;
  CHECK(all.sent == messages);
  CHECK(all.taken == messages);
  CHECK(all.wrong == 0);
  CHECK(processed == messages);
  report(name, parked, all.sent, processed, 0, messages - all.taken, processed - messages);
}

}  // namespace

TEST_CASE("soak: every message is done once, its answer is its own, workers park now and then") {
  uint64_t const messages = long_tier() ? 100'000'000 : 2'000'000;
  soak<mixing<queue::claim_mode::shared, 1>>("soak, shared claims, workers parked", messages / 2);
  soak<mixing<queue::claim_mode::pinned, 32>>("soak, pinned, deferred, workers parked",
                                              messages / 2);
}
