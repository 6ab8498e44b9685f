// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

#include <doctest/doctest.h>

using namespace queue_test;

namespace {

/// The message says how the functor ends and whether it replies.
struct order {
  std::uint16_t status = 0;
  bool replies = true;
};
struct obedient {
  MILLRACE_HD queue::status operator()(queue::message_view<order> message,
                                       queue::reply_writer<std::uint32_t>& reply) const noexcept {
    if (message.value().replies) { reply.write(77); }
    return static_cast<queue::status>(message.value().status);
  }
};
struct obedient_policy : queue::default_consumer<order, obedient> {
  using reply = std::uint32_t;
};
struct silent {
  MILLRACE_HD queue::status operator()(queue::message_view<order> message,
                                       queue::reply_writer<queue::no_reply>& reply) const noexcept {
    reply.write({});
    return static_cast<queue::status>(message.value().status);
  }
};
struct silent_policy : queue::default_consumer<order, silent> {
  using reply = queue::no_reply;
};
struct uncounted_policy : silent_policy {
  static constexpr queue::completion_mode completions = queue::completion_mode::none;
};

/// The events of every message, until they are forgotten.
struct event_counter {
  static inline std::atomic<std::uint32_t> seen[core::probe_event_count];
  static std::uint32_t of(core::probe_event e) noexcept {
    return seen[static_cast<std::size_t>(e)].load();
  }
  static void record(core::probe_event event, std::uint64_t) noexcept {
    ++seen[static_cast<std::size_t>(event)];
  }
  static void forget() noexcept {
    for (auto& count : seen) { count = 0; }
  }
};
struct watched_policy : obedient_policy {
  using probe = event_counter;
};

/// Counts its own state: each worker has a functor of its own.
struct numbering {
  std::uint32_t next = 0;
  queue::status operator()(queue::message_view<order>,
                           queue::reply_writer<std::uint32_t>& reply) noexcept {
    reply.write(next++);
    return queue::status::ok;
  }
};
struct numbering_policy : queue::default_consumer<order, numbering> {
  using reply = std::uint32_t;
};

}  // namespace

TEST_CASE("status: what the functor returns is what the caller gets") {
  auto consumer = launch<obedient_policy>({.capacity = 4});
  auto lane = open(consumer);
  for (unsigned const s : {0u, 1u, 200u, 256u, 1000u, 65'535u}) {
    auto const id = lane.submit({.status = static_cast<std::uint16_t>(s)});
    REQUIRE(id);
    auto const got = lane.wait(*id, soon());
    REQUIRE(got);
    CHECK(got->status == static_cast<queue::status>(s));
    CHECK(got->length == sizeof(std::uint32_t));
    CHECK(got->reply == 77);
  }
  REQUIRE(consumer.drain(soon()));
  CHECK(eventually([&]() noexcept { return consumer.stats().processed == 6; }));
  CHECK(consumer.stats().failed == 5);
}

TEST_CASE("status: a functor that writes no reply sends length 0 and a zero reply") {
  auto consumer = launch<obedient_policy>({.capacity = 1});
  auto lane = open(consumer);
  for (bool const replies : {true, false, true, false}) {  // one slot: the old reply lies there
    auto const id = lane.submit({.status = 1, .replies = replies});
    REQUIRE(id);
    auto const got = lane.wait(*id, soon());
    REQUIRE(got);
    CHECK(got->status == queue::status::failed);
    CHECK(got->length == (replies ? sizeof(std::uint32_t) : 0u));
    CHECK(got->reply == (replies ? 77u : 0u));
  }
}

TEST_CASE("status: completions without a reply carry the status alone") {
  auto consumer = launch<silent_policy>({});
  auto lane = open(consumer);
  auto const id = lane.submit({.status = 300});
  REQUIRE(id);
  auto const got = lane.wait(*id, soon());
  REQUIRE(got);
  CHECK(got->status == static_cast<queue::status>(300));
  CHECK(got->length == 0);
}

TEST_CASE("status: without completions failures are counted") {
  auto consumer = launch<uncounted_policy>({.capacity = 3});
  auto lane = open(consumer);
  for (std::uint16_t i = 0; i < 30; ++i) {
    order const what{.status = static_cast<std::uint16_t>(i % 3)};
    bool const in = eventually([&]() noexcept { return lane.submit(what).has_value(); });
    REQUIRE(in);
  }
  REQUIRE(lane.drain(soon()));
  REQUIRE(consumer.drain(soon()));
  CHECK(eventually([&]() noexcept { return consumer.stats().processed == 30; }));
  CHECK(consumer.stats().failed == 20);
}

TEST_CASE("status: a functor may keep state of its own from message to message") {
  auto consumer = launch<numbering_policy>({}, {.next = 5});
  auto lane = open(consumer);
  for (std::uint32_t i = 0; i < 4; ++i) {
    auto const id = lane.submit({});
    REQUIRE(id);
    CHECK(lane.wait(*id, soon())->reply == 5 + i);
  }
}

TEST_CASE("status: a probe sees every step of every message") {
  event_counter::forget();
  auto consumer = launch<watched_policy>({});
  auto lane = open(consumer);
  for (int i = 0; i < 9; ++i) { REQUIRE(lane.submit({})); }
  REQUIRE(lane.drain(soon()));
  CHECK(lane.poll([](auto const&) noexcept {}) == 9);
  using core::probe_event;
  for (auto const e : {probe_event::reserved, probe_event::published, probe_event::claimed,
                       probe_event::processed, probe_event::taken}) {
    CAPTURE(core::describe(e));
    CHECK(event_counter::of(e) == 9);
  }
  // told after the completion became visible
  CHECK(eventually([]() noexcept { return event_counter::of(probe_event::completed) == 9; }));
}
