// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <optional>
#include <thread>
#include <type_traits>
#include <vector>

using namespace queue_test;

namespace {

/// Writes down what it did, in order, one worker at a time; waits at the gate.
struct log {
  gate door;
  std::vector<uint64_t> done;
};
struct writing {
  log* into = nullptr;

  queue::status note(uint64_t value) const noexcept {
    gate& door = into->door;
    if (value == door.held) {
      ++door.entered;
      while (!door.open) { core::yield_thread(); }
      ++door.left;
    }
    into->done.push_back(value);
    return queue::status::ok;
  }
  queue::status operator()(queue::message_view<uint64_t> message,
                           queue::reply_writer<uint64_t>& reply) const noexcept {
    reply.write(answer_to(message.value()));
    return note(message.value());
  }
  queue::status operator()(queue::message_view<uint64_t> message,
                           queue::reply_writer<queue::no_reply>&) const noexcept {
    return note(message.value());
  }
};

template <queue::overflow_mode Mode>
struct answered : queue::default_consumer<uint64_t, writing> {
  static constexpr queue::overflow_mode overflow = Mode;
};
template <queue::overflow_mode Mode, queue::claim_mode Claims = queue::claim_mode::shared>
struct unanswered : answered<Mode> {
  using reply = queue::no_reply;
  static constexpr queue::completion_mode completions = queue::completion_mode::none;
  static constexpr queue::claim_mode claims = Claims;
  static constexpr std::uint64_t block_ns = 1'000'000;
};
using blocking = unanswered<queue::overflow_mode::block>;
using blocking_pinned = unanswered<queue::overflow_mode::block, queue::claim_mode::pinned>;
using newest = answered<queue::overflow_mode::drop_newest>;
using oldest = answered<queue::overflow_mode::drop_oldest>;
using oldest_unanswered = unanswered<queue::overflow_mode::drop_oldest>;
struct oldest_deferred : oldest {
  static constexpr std::uint32_t publish_batch = 4;
};
struct blocking_deferred : blocking {
  static constexpr std::uint32_t publish_batch = 4;
  static constexpr std::uint64_t publish_age_ns = ~uint64_t{0};
};

struct many : queue::default_consumer<uint64_t, twice_plus_one> {
  static constexpr queue::overflow_mode overflow = queue::overflow_mode::drop_oldest;
};
using bytes = queue::inline_bytes<40>;
struct first_byte {
  gate* door = nullptr;
  queue::status operator()(queue::message_view<bytes> message,
                           queue::reply_writer<uint64_t>& reply) const noexcept {
    if (message.size() == 0) {
      ++door->entered;
      while (!door->open) { core::yield_thread(); }
    }
    reply.write(message.size() != 0 ? static_cast<uint64_t>(message.bytes()[0]) : 0);
    return queue::status::ok;
  }
};
struct bytes_policy : queue::default_consumer<bytes, first_byte> {
  static constexpr queue::overflow_mode overflow = queue::overflow_mode::drop_oldest;
};

/// A lane whose only worker waits with message 0 in its hands.
template <class P>
struct stuck {
  explicit stuck(queue::options with = {.capacity = 4}) : consumer(launch<P>(with, {&notes})) {
    notes.door.held = 0;
    lane.emplace(open(consumer));
    first = core::value_or_throw(lane->submit(0));
    lane->flush();
    REQUIRE(eventually([&]() noexcept { return notes.door.entered == 1; }));
  }
  ~stuck() { notes.door.open = true; }

  log notes;
  queue::consumer<P> consumer;
  std::optional<queue::producer<P>> lane;
  queue::message_id first = 0;
};

template <class P>
[[nodiscard]] queue::completion<uint64_t> answer(queue::producer<P>& lane, queue::message_id id) {
  return core::value_or_throw(lane.wait(id, soon()));
}

}  // namespace

TEST_CASE_TEMPLATE("overflow: a submit that blocks gives up at its deadline, and is counted", P,
                   blocking, blocking_pinned, blocking_deferred) {
  stuck<P> s;
  for (uint64_t v = 1; v < 4; ++v) { REQUIRE(s.lane->submit(v)); }
  CHECK(code_of(s.lane->submit(4)) == errc::deadline_passed);  // block_ns
  CHECK(code_of(s.lane->submit(4, {.until = now()})) == errc::deadline_passed);
  CHECK(code_of(s.lane->reserve(now())) == errc::deadline_passed);
  uint64_t const two[] = {4, 5};
  CHECK(code_of(s.lane->submit_batch(two, {.until = now()})) == errc::deadline_passed);
  CHECK(s.consumer.stats().rejected == 5);
  CHECK(s.consumer.stats().accepted == 4);
  s.notes.door.open = true;
  CHECK(s.consumer.drain(soon()));
}

TEST_CASE_TEMPLATE("overflow: a submit that blocks goes on as soon as workers make room", P,
                   blocking, blocking_pinned, blocking_deferred) {
  stuck<P> s;
  for (uint64_t v = 1; v < 4; ++v) { REQUIRE(s.lane->submit(v)); }
  std::thread helper([&] {
    core::relax_for(1'000'000);
    s.notes.door.open = true;
  });
  CHECK(s.lane->submit(4, {.until = soon()}));
  auto const slot = s.lane->reserve(soon());
  REQUIRE(slot);
  **slot = 5;
  CHECK(s.lane->commit());
  uint64_t const four[] = {6, 7, 8, 9};
  CHECK(s.lane->submit_batch(four, {.until = soon()}));
  helper.join();
  CHECK(s.lane->drain(soon()));
  CHECK(s.notes.done == std::vector<uint64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
  CHECK(s.consumer.stats().rejected == 0);
}

TEST_CASE("overflow: a submit that blocks ends when the consumer does") {
  stuck<blocking> s;
  for (uint64_t v = 1; v < 4; ++v) { REQUIRE(s.lane->submit(v)); }
  std::thread helper([&] {
    core::relax_for(1'000'000);
    s.consumer.close();
  });
  CHECK(code_of(s.lane->submit(4, {.until = soon()})) == errc::closed);
  helper.join();
  CHECK(s.consumer.stats().rejected == 0);  // refused for another reason
}

TEST_CASE("overflow: a policy that drops the newest refuses and counts") {
  stuck<newest> s;
  for (uint64_t v = 1; v < 4; ++v) { REQUIRE(s.lane->submit(v)); }
  CHECK(code_of(s.lane->submit(4)) == errc::full);
  CHECK(code_of(s.lane->reserve()) == errc::full);
  uint64_t const two[] = {4, 5};
  CHECK(code_of(s.lane->submit_batch(two)) == errc::full);
  CHECK(s.consumer.stats().rejected == 4);
  CHECK(s.consumer.stats().dropped == 0);
  s.notes.door.open = true;
  CHECK(s.consumer.drain(soon()));
  CHECK(s.notes.done == std::vector<uint64_t>{0, 1, 2, 3});
}

TEST_CASE_TEMPLATE("overflow: the oldest messages without a worker make way", P, oldest,
                   oldest_deferred) {
  stuck<P> s;
  std::vector<queue::message_id> ids{s.first};
  for (uint64_t v = 1; v < 10; ++v) { ids.push_back(core::value_or_throw(s.lane->submit(v))); }
  for (std::size_t v = 1; v < ids.size(); ++v) { CHECK(ids[v] == ids[v - 1] + 1); }
  CHECK(s.consumer.stats().dropped == 6);
  CHECK(s.consumer.stats().rejected == 0);
  CHECK(s.consumer.stats().accepted == 10);
  s.notes.door.open = true;
  for (uint64_t v : {0u, 7u, 8u, 9u}) {
    auto const got = answer(*s.lane, ids[v]);
    CHECK(got.id == ids[v]);
    CHECK(got.status == queue::status::ok);
    CHECK(got.reply == answer_to(v));
  }
  CHECK(s.notes.done == std::vector<uint64_t>{0, 7, 8, 9});
  // the lane remembers as many dropped messages as it holds
  for (uint64_t v : {1u, 2u}) { CHECK(code_of(s.lane->try_result(ids[v])) == errc::unknown_id); }
  for (uint64_t v : {4u, 3u, 6u}) {
    auto const got = s.lane->try_result(ids[v]);
    REQUIRE(got);
    CHECK(got->id == ids[v]);
    CHECK(got->status == queue::status::dropped);
    CHECK(got->length == 0);
    CHECK(code_of(s.lane->try_result(ids[v])) == errc::unknown_id);
  }
  std::uint32_t left = 0;
  CHECK(s.lane->poll([&](auto const& c) noexcept { left += c.id == ids[5] ? 1 : 100; }) == 1);
  CHECK(left == 1);
  auto const undone = s.consumer.stop(soon());
  REQUIRE(undone);
  CHECK(*undone == 0);
}

TEST_CASE("overflow: a batch displaces as many as it needs, and all of it is there") {
  stuck<oldest> s;
  uint64_t const three[] = {1, 2, 3};
  REQUIRE(s.lane->submit_batch(three));
  uint64_t const two[] = {4, 5};
  auto const id = s.lane->submit_batch(two);
  REQUIRE(id);
  CHECK(*id == s.first + 4);
  CHECK(s.consumer.stats().dropped == 2);
  uint64_t const four[] = {6, 7, 8, 9};
  CHECK(code_of(s.lane->submit_batch(four)) == errc::full);  // one place is the worker's
  CHECK(s.consumer.stats().rejected == 4);
  CHECK(s.consumer.stats().dropped == 2);
  s.notes.door.open = true;
  CHECK(answer(*s.lane, *id).reply == answer_to(4));
  CHECK(answer(*s.lane, *id + 1).reply == answer_to(5));
  CHECK(s.notes.done == std::vector<uint64_t>{0, 3, 4, 5});
}

TEST_CASE("overflow: untaken results are never dropped") {
  stuck<oldest> s{{.capacity = 2}};
  s.notes.door.open = true;
  REQUIRE(s.lane->submit(1));
  REQUIRE(s.consumer.drain(soon()));
  CHECK(code_of(s.lane->submit(2)) == errc::full);
  CHECK(code_of(s.lane->reserve()) == errc::full);
  CHECK(s.consumer.stats().rejected == 2);
  CHECK(answer(*s.lane, s.first).reply == answer_to(0));
  CHECK(s.lane->submit(2));
}

TEST_CASE("overflow: a reservation drops when it is committed") {
  stuck<oldest> s{{.capacity = 2}};
  REQUIRE(s.lane->submit(1));
  auto const slot = s.lane->reserve();
  REQUIRE(slot);
  CHECK(code_of(s.lane->submit(7)) == errc::busy);
  **slot = 2;
  CHECK(s.consumer.stats().dropped == 0);
  auto const id = s.lane->commit(3);
  REQUIRE(id);
  CHECK(s.consumer.stats().dropped == 1);
  REQUIRE(s.lane->reserve());
  s.lane->cancel();
  CHECK(s.consumer.stats().dropped == 1);
  s.notes.door.open = true;
  CHECK(answer(*s.lane, *id).reply == answer_to(2));
  CHECK(s.notes.done == std::vector<uint64_t>{0, 2});
}

TEST_CASE("overflow: numbers wrap around while messages are dropped") {
  stuck<oldest> s{{.capacity = 3, .first_message = ~uint64_t{0} - 2}};
  std::vector<queue::message_id> ids{s.first};
  for (uint64_t v = 1; v < 20; ++v) { ids.push_back(core::value_or_throw(s.lane->submit(v))); }
  CHECK(ids.back() == s.first + 19);
  s.notes.door.open = true;
  CHECK(answer(*s.lane, ids[19]).reply == answer_to(19));
  CHECK(answer(*s.lane, ids[18]).reply == answer_to(18));
  CHECK(answer(*s.lane, ids[0]).reply == answer_to(0));
  CHECK(s.lane->try_result(ids[17])->status == queue::status::dropped);
}

TEST_CASE("overflow: a producer that follows another drops its messages without their results") {
  stuck<oldest> s;
  for (uint64_t v = 1; v < 4; ++v) { REQUIRE(s.lane->submit(v)); }
  s.lane.reset();
  auto next = open(s.consumer);
  std::vector<queue::message_id> ids;
  for (uint64_t v = 10; v < 14; ++v) { ids.push_back(core::value_or_throw(next.submit(v))); }
  CHECK(s.consumer.stats().dropped == 4);
  s.notes.door.open = true;
  CHECK(next.try_result(ids[0])->status == queue::status::dropped);
  for (std::size_t i = 1; i < 4; ++i) { CHECK(answer(next, ids[i]).reply == answer_to(10 + i)); }
  CHECK(next.poll([](auto const&) noexcept {}) == 0);
}

TEST_CASE("overflow: without completions the dropped ones are counted and nothing is lost") {
  log notes;
  notes.done.reserve(200'000);
  auto consumer = launch<oldest_unanswered>({.capacity = 7}, {&notes});
  auto lane = open(consumer);
  std::uint64_t sent = 0;
  for (; sent < 100'000; ++sent) {
    auto const id = lane.submit(sent + 1);
    if (!id) { REQUIRE(code_of(id) == errc::full); }
  }
  REQUIRE(lane.drain(soon()));
  REQUIRE(consumer.stop(soon()));
  auto const counted = consumer.stats();
  CHECK(counted.processed == notes.done.size());
  CHECK(counted.processed + counted.dropped + counted.rejected == sent);
  CHECK(counted.accepted == counted.processed + counted.dropped);
  for (std::size_t i = 1; i < notes.done.size(); ++i) {
    REQUIRE(notes.done[i] > notes.done[i - 1]);  // once, and in order
  }
}

TEST_CASE("overflow: several workers and batches, each message answered or dropped, and once") {
  auto consumer = launch<many>({.lanes = 1, .capacity = 5, .workers = 3});
  auto lane = open(consumer);
  std::uint64_t sent = 0, told = 0, dropped = 0, refused = 0, wrong = 0;
  auto const take = [&](auto const& c) noexcept {
    ++told;
    dropped += c.status == queue::status::dropped ? 1 : 0;
    wrong += c.status == queue::status::ok && c.reply != answer_to(c.id) ? 1 : 0;
  };
  while (sent < 60'000) {
    uint64_t const three[] = {sent, sent + 1, sent + 2};
    if (auto const id = lane.submit_batch(three)) {
      wrong += *id != sent ? 1 : 0;
      sent += 3;
    } else {
      ++refused;
    }
    lane.poll(take);
  }
  REQUIRE(lane.drain(soon()));
  lane.poll(take);
  REQUIRE(consumer.stop(soon()));
  CHECK(wrong == 0);
  CHECK(told == sent);
  CHECK(consumer.stats().dropped == dropped);
  CHECK(consumer.stats().rejected == 3 * refused);
  CHECK(consumer.stats().processed + dropped == sent);
}

TEST_CASE("overflow: messages of bytes are dropped and blocked alike") {
  gate door;
  auto consumer = launch<bytes_policy>({.capacity = 2}, {&door});
  auto lane = open(consumer);
  auto const send = [&](unsigned char c, std::size_t length) {
    std::byte text[40];
    std::memset(text, c, sizeof text);
    return core::value_or_throw(lane.submit(cuda::std::span<std::byte const>(text, length)));
  };
  auto const held = send(0, 0);
  REQUIRE(eventually([&]() noexcept { return door.entered == 1; }));
  auto const gone = send(1, 40);
  auto const last = send(2, 3);
  CHECK(lane.try_result(gone)->status == queue::status::dropped);
  door.open = true;
  CHECK(answer(lane, last).reply == 2);
  CHECK(answer(lane, held).reply == 0);
}

TEST_CASE("overflow: who drops the oldest stays on host threads") {
  auto const refused = queue::launch<oldest>(core::backend::cuda(0), {});
  REQUIRE(!refused);
  CHECK(refused.error().code == errc::bad_argument);
  CHECK(refused.error().native == 5);
  log notes;
  auto const made = queue::launch<oldest>(core::backend::automatic(), {}, {&notes});
  REQUIRE(made);
  CHECK(made->where() == core::backend::host());
  CHECK(made->why().find("only they can do") != std::string::npos);
}
