// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

#include <doctest/doctest.h>

#include <type_traits>
#include <vector>

using namespace queue_test;

namespace {

using more = queue::follow_up<uint64_t>;

/// What one worker saw: message, kind and number.
struct seen {
  uint64_t value;
  std::uint8_t kind;
  queue::message_id id;
  friend bool operator==(seen const&, seen const&) = default;
};
struct journal {
  std::vector<seen> all;
  gate door;
};

/// Leaves as many messages as the low byte of its own says, each with that byte one less and the
/// kind 7, and replies with how many found room.
struct branching {
  journal* into = nullptr;

  queue::status note(queue::message_view<uint64_t> message, more& rest,
                     std::uint32_t& left) const noexcept {
    if (into != nullptr) { into->all.push_back({message.value(), message.kind(), message.id()}); }
    uint64_t const width = message.value() & 0xffu;
    for (uint64_t i = 0; i < width; ++i) { left += rest.submit(message.value() - 1, 7) ? 1 : 0; }
    return message.kind() == 7 && message.value() == 0x100 ? queue::status::failed
                                                           : queue::status::ok;
  }
  queue::status operator()(queue::message_view<uint64_t> message,
                           queue::reply_writer<uint64_t>& reply, more& rest) const noexcept {
    std::uint32_t left = 0;
    auto const outcome = note(message, rest, left);
    reply.write(left);
    return outcome;
  }
  queue::status operator()(queue::message_view<uint64_t> message,
                           queue::reply_writer<queue::no_reply>&, more& rest) const noexcept {
    std::uint32_t left = 0;
    return note(message, rest, left);
  }
};
struct branching_group {
  journal* into = nullptr;
  template <class Group>
  queue::status operator()(Group group, queue::message_view<uint64_t> message,
                           queue::reply_writer<uint64_t>& reply, more& rest) const noexcept {
    return group.rank() == 0 ? branching{into}(message, reply, rest) : queue::status::ok;
  }
};

struct policy : queue::default_consumer<uint64_t, branching> {
  static constexpr std::uint32_t follow_ups = 3;
};
struct pinned : policy {
  static constexpr queue::claim_mode claims = queue::claim_mode::pinned;
};
struct grouped : queue::default_consumer<uint64_t, branching_group> {
  static constexpr std::uint32_t follow_ups = 3;
  static constexpr queue::width processing = queue::width::warp;
};
struct roomy : policy {
  static constexpr std::uint32_t follow_ups = 200;
};
struct credit : policy {
  using reply = queue::no_reply;
  static constexpr queue::completion_mode completions = queue::completion_mode::none;
  static constexpr queue::claim_mode claims = queue::claim_mode::pinned;
};

/// Never runs out of work by itself.
struct restless {
  journal* into = nullptr;
  queue::status operator()(queue::message_view<uint64_t> message, queue::reply_writer<uint64_t>&,
                           more& rest) const noexcept {
    ++into->door.entered;
    return rest.submit(message.value() + 1) ? queue::status::ok : queue::status::failed;
  }
};
struct restless_policy : queue::default_consumer<uint64_t, restless> {
  static constexpr std::uint32_t follow_ups = 1;
};

/// Waits at the gate with a message of kind 7.
struct waiting {
  journal* into = nullptr;
  queue::status operator()(queue::message_view<uint64_t> message, queue::reply_writer<uint64_t>&,
                           more& rest) const noexcept {
    if (message.kind() == 7) {
      ++into->door.entered;
      while (!into->door.open) { core::yield_thread(); }
      return queue::status::ok;
    }
    return rest.submit(message.value(), 7) ? queue::status::ok : queue::status::failed;
  }
};
struct waiting_policy : queue::default_consumer<uint64_t, waiting> {
  static constexpr std::uint32_t follow_ups = 2;
};

struct plain {
  queue::status operator()(queue::message_view<uint64_t> message,
                           queue::reply_writer<uint64_t>& reply) const noexcept {
    reply.write(message.value());
    return queue::status::ok;
  }
};
struct forwards {
  queue::status operator()(queue::message_view<uint64_t> message,
                           queue::reply_writer<uint64_t>& reply, more& rest) const noexcept {
    reply.write(rest.submit(message.value(), 0) && rest.submit(message.value(), 9) ? 1 : 0);
    return queue::status::ok;
  }
};
struct mixed : queue::default_consumer<uint64_t, queue::by_kind<plain, forwards>> {
  static constexpr std::uint32_t follow_ups = 2;
};

using text = queue::inline_bytes<24>;
/// Leaves the message without its last byte.
struct shortening {
  std::atomic<std::uint64_t>* total = nullptr;
  queue::status operator()(queue::message_view<text> message, queue::reply_writer<text>& reply,
                           queue::follow_up<text>& rest) const noexcept {
    *total += message.size();
    reply.resize(text::capacity);
    static std::byte const long_one[text::capacity + 1] = {};
    if (rest.submit(cuda::std::span<std::byte const>(long_one, sizeof long_one))) {
      return queue::status::failed;
    }
    if (message.size() == 0) { return queue::status::ok; }
    return rest.submit(message.bytes().first(message.size() - 1)) ? queue::status::ok
                                                                  : queue::status::failed;
  }
};
struct shortening_policy : queue::default_consumer<text, shortening> {
  using reply = text;
  static constexpr std::uint32_t follow_ups = 1;
};

template <class P>
[[nodiscard]] auto answer(queue::producer<P>& lane, queue::message_id id) {
  return core::value_or_throw(lane.wait(id, soon()));
}

}  // namespace

TEST_CASE_TEMPLATE("follow-up: what a functor leaves is done before the next message of a lane", P,
                   policy, pinned, grouped) {
  journal notes;
  auto consumer = launch<P>({.capacity = 4}, {&notes});
  auto lane = open(consumer);
  uint64_t const both[] = {0x2002, 0x3000};
  auto const id = lane.submit_batch(both, 5);
  REQUIRE(id);
  REQUIRE(lane.drain(soon()));
  CHECK(answer(lane, *id).reply == 2);
  CHECK(notes.all == std::vector<seen>{{0x2002, 5, *id},
                                       {0x2001, 7, *id},
                                       {0x2001, 7, *id},
                                       {0x2000, 7, *id},
                                       {0x2000, 7, *id},
                                       {0x3000, 5, *id + 1}});
  REQUIRE(consumer.stop(soon()));
  auto const counted = consumer.stats();
  CHECK(counted.accepted == 2);
  CHECK(counted.followed == 4);
  CHECK(counted.processed == 6);
}

TEST_CASE("follow-up: a full ring says so, and the functor answers") {
  journal notes;
  auto consumer = launch<policy>({.capacity = 1}, {&notes});
  auto lane = open(consumer);
  CHECK(answer(lane, core::value_or_throw(lane.submit(0x1005))).reply == 3);
  REQUIRE(consumer.drain(soon()));
  REQUIRE(consumer.stop(soon()));
  // three at first; each of them finds the room that it left behind itself
  CHECK(consumer.stats().followed == notes.all.size() - 1);
  CHECK(consumer.stats().processed == notes.all.size());
}

TEST_CASE("follow-up: a lane of one slot, full all the time, keeps no follow-up out") {
  auto consumer = launch<roomy>({.capacity = 1});
  auto lane = open(consumer);
  std::uint64_t expected = 0;
  for (int i = 0; i < 200; ++i) {
    auto const id = lane.submit(0x1000 + 4);
    REQUIRE(id);
    CHECK(code_of(lane.submit(1)) == errc::full);
    CHECK(answer(lane, *id).reply == 4);
    expected += 4 + 4 * 3 + 4 * 3 * 2 + 4 * 3 * 2;
  }
  REQUIRE(lane.drain(soon()));
  CHECK(consumer.stats().followed == expected);
}

TEST_CASE("follow-up: without completions a drain waits for them too") {
  journal notes;
  auto consumer = launch<credit>({.lanes = 2, .capacity = 3, .workers = 2}, {nullptr});
  auto lane = open(consumer);
  std::uint64_t sent = 0;
  while (sent < 1'000) { sent += lane.submit(0x1002) ? 1 : 0; }
  REQUIRE(consumer.drain(soon()));
  CHECK(consumer.stats().followed == 4 * sent);
  REQUIRE(consumer.stop(soon()));
  CHECK(consumer.stats().processed == 5 * sent);
}

TEST_CASE("follow-up: a drain does not end before what follows") {
  journal notes;
  auto consumer = launch<waiting_policy>({.capacity = 4}, {&notes});
  auto lane = open(consumer);
  auto const id = lane.submit(1);
  REQUIRE(id);
  CHECK(answer(lane, *id).status == queue::status::ok);
  REQUIRE(eventually([&]() noexcept { return notes.door.entered == 1; }));
  CHECK(code_of(lane.drain(now())) == errc::deadline_passed);
  CHECK(code_of(consumer.drain(now())) == errc::deadline_passed);
  notes.door.open = true;
  CHECK(lane.drain(soon()));
  CHECK(consumer.drain(soon()));
}

TEST_CASE("follow-up: a close loses none") {
  for (int round = 0; round < 50; ++round) {
    auto consumer = launch<roomy>({.capacity = 8});
    auto lane = open(consumer);
    for (int i = 0; i < 4; ++i) { REQUIRE(lane.submit(0x1003)); }
    consumer.close();
    REQUIRE(eventually([&]() noexcept { return consumer.stats().exited == 1; }));
    CHECK(consumer.stats().followed == 4 * (3 + 3 * 2 + 3 * 2));
    CHECK(consumer.stats().processed == 4 + consumer.stats().followed);
  }
}

TEST_CASE("follow-up: a stop says how many it left undone") {
  journal notes;
  auto consumer = launch<restless_policy>({.capacity = 4}, {&notes});
  auto lane = open(consumer);
  REQUIRE(lane.submit(0));
  REQUIRE(eventually([&]() noexcept { return notes.door.entered > 100; }));
  CHECK(code_of(lane.drain(now())) == errc::deadline_passed);
  auto const undone = consumer.stop(soon());
  REQUIRE(undone);
  CHECK(*undone == 1);
  CHECK(code_of(lane.drain(soon())) == errc::closed);
  auto const counted = consumer.stats();
  CHECK(counted.accepted == 1);
  CHECK(counted.accepted + counted.followed == counted.processed + 1);
  CHECK(counted.processed == notes.door.entered);
}

TEST_CASE("follow-up: parked workers have left none behind, and count on") {
  auto consumer = launch<policy>({.capacity = 8});
  auto lane = open(consumer);
  for (int i = 0; i < 5; ++i) { REQUIRE(lane.submit(0x1001)); }
  REQUIRE(consumer.park(soon()));
  CHECK(consumer.stats().followed <= 5);
  REQUIRE(consumer.resume());
  REQUIRE(lane.drain(soon()));
  CHECK(consumer.stats().followed == 5);
  REQUIRE(consumer.stop(soon()));
  CHECK(consumer.stats().processed == 10);
}

TEST_CASE("follow-up: kinds decide who does them, and functors that leave none need no place") {
  auto consumer = launch<mixed>({});
  auto lane = open(consumer);
  auto const id = lane.submit(4, 1);
  REQUIRE(id);
  CHECK(answer(lane, *id).reply == 1);
  CHECK(answer(lane, core::value_or_throw(lane.submit(4, 0))).reply == 4);
  REQUIRE(consumer.stop(soon()));
  CHECK(consumer.stats().processed == 4);
  CHECK(consumer.stats().failed == 1);  // the follow-up of kind 9
}

TEST_CASE("follow-up: messages of bytes, their replies, and one that is too long") {
  std::atomic<std::uint64_t> total{0};
  auto consumer = launch<shortening_policy>({}, {&total});
  auto lane = open(consumer);
  std::byte const bytes[10] = {};
  auto const id = lane.submit(cuda::std::span<std::byte const>(bytes, sizeof bytes));
  REQUIRE(id);
  REQUIRE(lane.drain(soon()));
  CHECK(answer(lane, *id).length == text::capacity);
  CHECK(total == 55);
  CHECK(consumer.stats().followed == 10);
  REQUIRE(consumer.stop(soon()));
  CHECK(consumer.stats().failed == 0);
}

TEST_CASE("follow-up: those of single threads stay on host threads") {
  CHECK(queue::launch<policy>(core::backend::cuda(0), {}).error().native == 5);
  auto const e = queue::launch<grouped>(core::backend::cuda(0), {}).error();
  CHECK(e.code != errc::bad_argument);  // no device here, or no CUDA compiler
}
