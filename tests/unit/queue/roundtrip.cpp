// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <thread>
#include <utility>
#include <vector>

using namespace queue_test;

namespace {

/// How often each message was done, and in which order a lane's were.
struct tally {
  explicit tally(std::size_t messages) : done(messages) {}

  std::vector<std::atomic<std::uint32_t>> done;
  std::atomic<uint64_t> next[4] = {};  ///< by kind: the lane that sent it
  std::atomic<bool> in_order{true};

  [[nodiscard]] bool each_once() const noexcept {
    for (auto const& d : done) {
      if (d != 1) { return false; }
    }
    return true;
  }
};

struct counting {
  tally* into = nullptr;

  void count(queue::message_view<uint64_t> message) const noexcept {
    into->done[message.value()].fetch_add(1, std::memory_order_relaxed);
    auto& expected = into->next[message.kind() & 3u];
    if (expected.exchange(message.id() + 1, std::memory_order_relaxed) != message.id()) {
      into->in_order.store(false, std::memory_order_relaxed);
    }
  }
  queue::status operator()(queue::message_view<uint64_t> message,
                           queue::reply_writer<uint64_t>& reply) const noexcept {
    count(message);
    reply.write(answer_to(message.value()));
    return queue::status::ok;
  }
  queue::status operator()(queue::message_view<uint64_t> message,
                           queue::reply_writer<queue::no_reply>&) const noexcept {
    count(message);
    return queue::status::ok;
  }
};

template <class Backoff, queue::claim_mode Claims = queue::claim_mode::shared>
struct answered : queue::default_consumer<uint64_t, counting> {
  using backoff = Backoff;
  static constexpr queue::claim_mode claims = Claims;
};
template <class Backoff, queue::claim_mode Claims = queue::claim_mode::shared>
struct unanswered : queue::default_consumer<uint64_t, counting> {
  using reply = queue::no_reply;
  using backoff = Backoff;
  static constexpr queue::claim_mode claims = Claims;
  static constexpr queue::completion_mode completions = queue::completion_mode::none;
};

constexpr queue::message_id near_2_32 = 0xffff'ffffu - 6;
constexpr queue::message_id near_2_64 = ~uint64_t{0} - 6;

/// Sends `count` numbers from `base` on through one lane and checks every answer.
template <class P>
[[nodiscard]] bool send_all(queue::producer<P>& lane, uint64_t base, std::uint32_t count,
                            queue::message_id first, std::uint8_t kind) {
  bool right = true;
  for (std::uint32_t i = 0; i < count; ++i) {
    auto id = lane.submit(base + i, kind);
    for (std::uint32_t taken = 0; !id && right; id = lane.submit(base + i, kind)) {
      right = id.error().code == errc::full;
      if constexpr (P::completions == queue::completion_mode::records) {
        // the oldest is the one that makes room
        auto const got = lane.wait(first + i - lane.in_flight(), soon());
        right = right && got && got->reply == answer_to(base + got->id - first);
        ++taken;
      } else {
        right = right && eventually([&]() noexcept { return lane.room() != 0; });
      }
    }
    right = right && id && *id == first + i;
    if (!right) { return false; }
  }
  if constexpr (P::completions == queue::completion_mode::records) {
    while (lane.in_flight() != 0) {
      queue::message_id const id = first + count - lane.in_flight();
      auto const got = lane.wait(id, soon());
      if (!got || got->id != id || got->status != queue::status::ok ||
          got->reply != answer_to(base + (id - first))) {
        return false;
      }
    }
  }
  return bool(lane.drain(soon()));
}

/// Two lanes, each with a thread of its own.
template <class P>
void does_each_once(std::uint32_t capacity, std::uint32_t workers, queue::message_id first) {
  CAPTURE(capacity);
  CAPTURE(workers);
  CAPTURE(first);
  std::uint32_t const count = 3 * (capacity < 40 ? capacity : 40) + 11;
  tally seen(2 * count);
  seen.next[0] = seen.next[1] = first;
  {
    auto consumer = launch<P>(
        {.lanes = 2, .capacity = capacity, .workers = workers, .first_message = first}, {&seen});
    auto a = open(consumer), b = open(consumer);
    bool right_b = false;
    std::thread other([&] { right_b = send_all(b, count, count, first, 1); });
    bool const right_a = send_all(a, 0, count, first, 0);
    other.join();
    CHECK(right_a);
    CHECK(right_b);
    REQUIRE(consumer.drain(soon()));
    CHECK(eventually([&]() noexcept { return consumer.stats().processed == 2 * count; }));
    CHECK(consumer.stats().accepted == 2 * count);
    CHECK(consumer.stats().failed == 0);
  }
  CHECK(seen.each_once());
  if (workers == 1 || P::claims == queue::claim_mode::pinned) { CHECK(seen.in_order); }
}

constexpr auto shared = queue::claim_mode::shared;
constexpr auto pinned = queue::claim_mode::pinned;

}  // namespace

TEST_CASE_TEMPLATE("roundtrip: every message is done exactly once, whatever waits and claims", P,
                   answered<queue::spin_backoff>, answered<queue::exponential_backoff<>>,
                   answered<queue::yield_backoff<>>, answered<queue::blocking_backoff<>>,
                   answered<queue::blocking_backoff<>, pinned>, unanswered<queue::yield_backoff<>>,
                   unanswered<queue::blocking_backoff<>, pinned>,
                   unanswered<queue::spin_backoff, pinned>) {
  for (std::uint32_t const workers : {1u, 2u}) { does_each_once<P>(5, workers, 0); }
}

TEST_CASE_TEMPLATE("roundtrip: any capacity is exact and every counter may wrap", P,
                   answered<queue::yield_backoff<1>>, answered<queue::yield_backoff<1>, pinned>,
                   unanswered<queue::yield_backoff<1>>,
                   unanswered<queue::yield_backoff<1>, pinned>) {
  for (std::uint32_t const capacity : {1u, 2u, 3u, 5u, 7u, 1000u}) {
    for (queue::message_id const first : {uint64_t{0}, near_2_32, near_2_64}) {
      does_each_once<P>(capacity, 2, first);
    }
    does_each_once<P>(capacity, 1, near_2_64);
  }
}

TEST_CASE("roundtrip: more workers than lanes, and more lanes than workers") {
  using P = answered<queue::blocking_backoff<>>;
  using Q = answered<queue::blocking_backoff<>, pinned>;
  does_each_once<P>(3, 5, 0);
  does_each_once<Q>(3, 5, 0);
  tally seen(70);
  auto consumer = launch<Q>({.lanes = 7, .capacity = 4, .workers = 3}, {&seen});
  std::vector<queue::producer<Q>> lanes;
  for (int l = 0; l < 7; ++l) { lanes.push_back(open(consumer)); }
  bool right = true;
  for (uint64_t i = 0; i < 70; ++i) {
    auto& lane = lanes[i % 7];
    auto const id = lane.submit(i);
    right = right && id && *id == i / 7;
    auto const got = id ? lane.wait(*id, soon()) : result<queue::completion<uint64_t>>{};
    right = right && got && got->reply == answer_to(i);
  }
  CHECK(right);
  CHECK(seen.each_once());
}

TEST_CASE("roundtrip: a lane takes exactly its capacity, then says full") {
  gate door;
  door.held = 0;
  for (std::uint32_t const capacity : {1u, 2u, 3u, 1000u}) {
    door.open = false;
    auto consumer = launch<gated_policy>({.capacity = capacity}, {&door});
    auto lane = open(consumer);
    CHECK(lane.room() == capacity);
    for (std::uint32_t i = 0; i < capacity; ++i) { REQUIRE(lane.submit(i)); }
    CHECK(lane.room() == 0);
    CHECK(lane.in_flight() == capacity);
    CHECK(code_of(lane.submit(9)) == errc::full);
    door.open = true;
    REQUIRE(lane.drain(soon()));
    CHECK(code_of(lane.submit(9)) == errc::full);  // answers hold their slots until they are taken
    REQUIRE(lane.wait(0, soon()));
    CHECK(lane.room() == 1);
    CHECK(lane.submit(9));
  }
}

TEST_CASE("roundtrip: many producers on their own threads never see each other's results") {
  using P = answered<queue::blocking_backoff<>>;
  constexpr std::uint32_t count = 200;
  tally seen(4 * count);
  auto consumer = launch<P>({.lanes = 4, .capacity = 9, .workers = 2}, {&seen});
  std::vector<queue::producer<P>> lanes;
  for (int l = 0; l < 4; ++l) { lanes.push_back(open(consumer)); }
  std::vector<std::thread> threads;
  std::atomic<int> right{0};
  for (std::uint32_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      auto lane = std::move(lanes[t]);
      right += send_all(lane, t * count, count, 0, static_cast<std::uint8_t>(t)) ? 1 : 0;
    });
  }
  for (auto& thread : threads) { thread.join(); }
  CHECK(right == 4);
  CHECK(seen.each_once());
}
