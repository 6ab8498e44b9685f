// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

#include <doctest/doctest.h>

#include <string>
#include <type_traits>
#include <vector>

using namespace queue_test;

namespace {

struct pinned : gated_policy {
  static constexpr queue::claim_mode claims = queue::claim_mode::pinned;
};
struct dropping : gated_policy {
  static constexpr queue::overflow_mode overflow = queue::overflow_mode::drop_oldest;
};
struct deferred : gated_policy {
  static constexpr std::uint32_t publish_batch = 8;
};
struct silent {
  gate* door = nullptr;
  queue::status operator()(queue::message_view<uint64_t> message,
                           queue::reply_writer<queue::no_reply>&) const noexcept {
    if (message.value() == door->held) {
      ++door->entered;
      while (!door->open) { core::yield_thread(); }
    }
    return queue::status::ok;
  }
};
struct credit : queue::default_consumer<uint64_t, silent> {
  using reply = queue::no_reply;
  static constexpr queue::completion_mode completions = queue::completion_mode::none;
  static constexpr queue::claim_mode claims = queue::claim_mode::pinned;
};

[[nodiscard]] bool says(std::string const& text, std::string const& words) {
  return text.find(words) != std::string::npos;
}
[[nodiscard]] auto entered(gate& door) {
  return eventually([&]() noexcept { return door.entered == 1; });
}

}  // namespace

TEST_CASE("report: a functor that never returns is named by its message") {
  gate door;
  door.held = 5;
  auto consumer =
      launch<gated_policy>({.capacity = 8, .workers = 2, .first_message = 100}, {&door});
  auto lane = open(consumer);
  std::vector<queue::message_id> ids;
  for (uint64_t v = 0; v < 8; ++v) { ids.push_back(core::value_or_throw(lane.submit(v))); }
  REQUIRE(entered(door));
  for (uint64_t v = 0; v < 8; ++v) {
    if (v != 5) { REQUIRE(lane.wait(ids[v], soon())); }
  }
  CHECK(code_of(consumer.drain(now())) == errc::deadline_passed);
  auto const seen = consumer.inspect();
  CHECK(seen.phase == queue::phase::running);
  CHECK(seen.served);
  REQUIRE(seen.lanes.size() == 1);
  CHECK(seen.lanes[0].published == 108);
  CHECK(seen.lanes[0].claimed == 108);
  CHECK(seen.lanes[0].oldest == ids[5]);
  CHECK(seen.lanes[0].unanswered == 1);
  CHECK(seen.lanes[0].held == std::vector<queue::message_id>{ids[5]});
  CHECK(says(consumer.report(), "a worker holds 105"));

  CHECK(code_of(consumer.stop(queue::within(std::chrono::milliseconds(1)))) ==
        errc::deadline_passed);
  REQUIRE(eventually([&]() noexcept {
    std::uint32_t gone = 0;
    for (auto const& w : consumer.inspect().workers) {
      gone += w.where == queue::presence::gone ? 1 : 0;
    }
    return gone == 1;
  }));
  std::string const text = consumer.report();
  MESSAGE(text);
  CHECK(says(text, "stopping, 1 of 2 workers there"));
  CHECK(says(text, ": exited, processed "));
  CHECK(says(text, ": alive, processed "));
  CHECK(says(text,
             "lane 0: published 108, claimed 108, oldest unanswered 105, 1 in flight; a "
             "worker holds 105"));
  door.open = true;
  REQUIRE(consumer.stop(soon()));
  CHECK(says(consumer.report(), "stopped, 0 of 2 workers there"));
  CHECK(says(consumer.report(), "all answered"));
}

TEST_CASE_TEMPLATE(
    "report: where claims are not told the oldest unanswered message stands for them", P,
    gated_policy, pinned, deferred) {
  gate door;
  door.held = 1;
  auto consumer = launch<P>({.lanes = 2, .capacity = 4, .workers = 1}, {&door});
  auto lane = open(consumer), other = open(consumer);
  for (uint64_t v = 0; v < 4; ++v) { REQUIRE(lane.submit(v)); }
  lane.flush();
  REQUIRE(entered(door));
  auto const seen = consumer.inspect();
  CHECK(!seen.lanes[0].claimed);
  CHECK(seen.lanes[0].oldest == 1);
  CHECK(seen.lanes[0].unanswered == 3);
  CHECK(seen.lanes[0].held == std::vector<queue::message_id>{1});
  CHECK(!seen.lanes[1].oldest);
  CHECK(seen.lanes[1].held.empty());
  CHECK(says(consumer.report(), "its worker holds, or comes to, 1"));
  CHECK(says(consumer.report(), "lane 1: published 0, claimed by its worker alone, all answered"));
  door.open = true;
}

TEST_CASE("report: a lane without records tells how far its worker says it is") {
  gate door;
  door.held = 3;
  auto consumer = launch<credit>({.capacity = 8}, {&door});
  auto lane = open(consumer);
  for (uint64_t v = 0; v < 8; ++v) { REQUIRE(lane.submit(v)); }
  REQUIRE(entered(door));
  CHECK(consumer.inspect().lanes[0].oldest == 3);
  CHECK(consumer.inspect().lanes[0].unanswered == 5);
  door.open = true;
}

TEST_CASE("report: a policy that drops tells claims with a single worker too") {
  gate door;
  door.held = 0;
  auto consumer = launch<dropping>({.capacity = 3}, {&door});
  auto lane = open(consumer);
  REQUIRE(lane.submit(0));
  REQUIRE(entered(door));
  for (uint64_t v = 1; v < 6; ++v) { REQUIRE(lane.submit(v)); }
  auto const seen = consumer.inspect().lanes[0];
  CHECK(seen.claimed == 1);
  CHECK(seen.held == std::vector<queue::message_id>{0});
  CHECK(seen.unanswered == 3);
  door.open = true;
}

TEST_CASE("report: sleeping workers, and a consumer that is no more") {
  gate door;
  auto consumer = launch<gated_policy>({.workers = 2}, {&door});
  REQUIRE(eventually([&]() noexcept {
    std::uint32_t asleep = 0;
    for (auto const& w : consumer.inspect().workers) { asleep += w.asleep ? 1 : 0; }
    return asleep == 2;
  }));
  CHECK(says(consumer.report(), "worker 1: asleep, processed 0"));
  auto const moved = std::move(consumer);
  CHECK(moved.inspect().workers.size() == 2);
  CHECK(consumer.inspect().workers.empty());  // NOLINT: what a moved-from one says is defined
  CHECK(says(consumer.report(), "stopped, 0 of 0 workers there"));
}

namespace {

struct ring : gated_policy {
  static constexpr queue::order_mode order = queue::order_mode::total;
};
template <queue::claim_mode Claims>
struct ring_unanswered : credit {
  static constexpr queue::order_mode order = queue::order_mode::total;
  static constexpr queue::claim_mode claims = Claims;
};
using ring_marks = ring_unanswered<queue::claim_mode::shared>;
using ring_credit = ring_unanswered<queue::claim_mode::pinned>;

}  // namespace

TEST_CASE_TEMPLATE("report: of a ring it is said whose number holds up the others", P, ring,
                   ring_marks, ring_credit) {
  gate door;
  door.held = 1;
  auto consumer = launch<P>({.lanes = 2, .capacity = 8}, {&door});
  auto lane = open(consumer), slow = open(consumer);
  REQUIRE(lane.submit(0));
  REQUIRE(lane.submit(1));
  REQUIRE(entered(door));
  REQUIRE(slow.reserve());
  REQUIRE(lane.submit(3));
  auto const seen = consumer.inspect();
  REQUIRE(seen.lanes.size() == 1);
  CHECK(seen.lanes[0].gap == 2);
  CHECK(seen.lanes[0].published == 2);
  CHECK(seen.lanes[0].oldest == 1);
  CHECK(seen.lanes[0].unanswered == 3);
  CHECK(seen.lanes[0].held == std::vector<queue::message_id>{1});
  CHECK(says(consumer.report(), "a producer drew and did not publish 2"));
  door.open = true;
  REQUIRE(eventually([&]() noexcept { return consumer.inspect().lanes[0].oldest == 2; }));
  CHECK(consumer.inspect().lanes[0].held.empty());
  slow.cancel();
  REQUIRE(consumer.drain(soon()));
  CHECK(!consumer.inspect().lanes[0].gap);
  CHECK(!consumer.inspect().lanes[0].oldest);
  CHECK(consumer.inspect().lanes[0].published == 4);
}
