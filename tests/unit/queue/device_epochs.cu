// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"
#include <millrace/core/cuda_status.cuh>

#include <cuda_runtime_api.h>

#include <doctest/doctest.h>

#include <atomic>
#include <thread>

// A persistent kernel that ends its epochs and is launched again.

namespace device_epochs_test {

using namespace queue_test;

struct plus {
  uint64_t term = 0;
  MILLRACE_HD queue::status operator()(queue::message_view<uint64_t> message,
                                       queue::reply_writer<uint64_t>& reply) const noexcept {
    reply.write(message.value() + term);
    return queue::status::ok;
  }
};
template <queue::ingress_mode Ingress, uint64_t Messages, uint64_t Nanoseconds>
struct bounded : queue::default_consumer<uint64_t, plus> {
  static constexpr queue::claim_mode claims = Ingress == queue::ingress_mode::direct
                                                  ? queue::claim_mode::pinned
                                                  : queue::claim_mode::shared;
  static constexpr queue::ingress_mode ingress = Ingress;
  static constexpr queue::residency stay = {.messages = Messages, .nanoseconds = Nanoseconds};
};
using pulled_1000 = bounded<queue::ingress_mode::pull, 1'000, 0>;
using direct_1000 = bounded<queue::ingress_mode::direct, 1'000, 0>;
using carried_1000 = bounded<queue::ingress_mode::dma, 1'000, 0>;
using pulled_2_ms = bounded<queue::ingress_mode::pull, 0, 2'000'000>;
using direct_2_ms = bounded<queue::ingress_mode::direct, 0, 2'000'000>;
using carried_2_ms = bounded<queue::ingress_mode::dma, 0, 2'000'000>;
using both = bounded<queue::ingress_mode::pull, 10'000, 5'000'000>;

template <class P>
[[nodiscard]] queue::consumer<P> on_device(queue::options const& with, plus process = {}) {
  return core::value_or_throw(queue::launch_device<P>(0, with, process));
}

/// Sends `count` messages and takes as many answers. @return their sum
template <class P>
uint64_t exchange(queue::producer<P>& lane, uint64_t count) {
  uint64_t sum = 0, sent = 0, taken = 0;
  auto const until = soon();
  while (taken < count && !until.expired(core::steady_clock{})) {
    while (sent < count && lane.submit(sent)) { ++sent; }
    taken += lane.poll([&](auto const& got) noexcept { sum += got.reply; });
  }
  CHECK(taken == count);
  return sum;
}

}  // namespace device_epochs_test

using namespace device_epochs_test;

TEST_CASE_TEMPLATE("device epochs: nothing is lost between two of them, and nothing done twice", P,
                   pulled_1000, direct_1000, carried_1000, pulled_2_ms, direct_2_ms, carried_2_ms,
                   both) {
  auto consumer = on_device<P>({.lanes = 2, .capacity = 500, .workers = 2});
  auto a = open(consumer), b = open(consumer);
  constexpr uint64_t messages = 50'000;
  uint64_t other = 0;
  std::thread beside([&] { other = exchange(b, messages); });
  uint64_t const sum = exchange(a, messages);
  beside.join();
  CHECK(sum == messages * (messages - 1) / 2);
  CHECK(other == sum);
  CHECK(eventually([&]() noexcept { return consumer.stats().processed == 2 * messages; }));
  CHECK(eventually([&]() noexcept { return consumer.stats().epochs > 2; }));
  if (P::stay.nanoseconds == 0) { CHECK(consumer.stats().epochs <= 2 * messages / 1'000 + 1); }
}

TEST_CASE_TEMPLATE("device epochs: a close, a stop and a park at any moment are heard", P,
                   pulled_1000, direct_1000, carried_1000, pulled_2_ms, direct_2_ms, carried_2_ms) {
  for (int round = 0; round < 9; ++round) {
    auto consumer = on_device<P>({.capacity = 2'000, .workers = 2});
    auto lane = open(consumer);
    uint64_t submitted = 0;
    for (int i = 0; i < 1'500 + 50 * round; ++i) { submitted += lane.submit(1) ? 1 : 0; }
    if (round % 3 == 0) {
      REQUIRE(consumer.park(soon()));
      CHECK(consumer.parked());
      REQUIRE(consumer.resume());
    }
    if (round % 3 != 2) {
      consumer.close();
      CHECK(lane.drain(soon()));
      CHECK(consumer.wait_until_left(soon()));
    }
    auto const undone = consumer.stop(soon());
    REQUIRE(undone);
    CHECK((round % 3 == 2 || *undone == 0));
    CHECK(consumer.stats().completed + *undone == submitted);
  }
}

TEST_CASE("device epochs: a functor is swapped, and other work has the device meanwhile") {
  auto consumer = on_device<pulled_2_ms>({.capacity = 200}, {0});
  auto lane = open(consumer);
  for (uint64_t round = 1; round < 6; ++round) {
    CHECK(exchange(lane, 1'000) % 1'000 == 499'500 % 1'000);
    REQUIRE(queue::swap<pulled_2_ms>(consumer, {1'000 * round}, soon()));
    void* there = nullptr;
    // comes back although the kernel stays for ever, as others see it: cudaFree waits for an end
    REQUIRE(core::cuda_check(cudaMalloc(&there, 1 << 20)));
    REQUIRE(core::cuda_check(cudaFree(there)));
  }
  auto const id = lane.submit(5);
  REQUIRE(id);
  CHECK(lane.wait(*id, soon())->reply == 5'005);
}
