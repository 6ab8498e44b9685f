// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

#include <doctest/doctest.h>

#include <optional>
#include <type_traits>
#include <vector>

using namespace queue_test;

namespace {

struct revocable : gated_policy {
  static constexpr bool cancellable = true;
};
struct revocable_pinned : revocable {
  static constexpr queue::claim_mode claims = queue::claim_mode::pinned;
};
struct revocable_deferred : revocable {
  static constexpr std::uint32_t publish_batch = 8;
};
struct revocable_dropping : revocable {
  static constexpr queue::overflow_mode overflow = queue::overflow_mode::drop_oldest;
};

struct gated_group {
  gate* door = nullptr;
  template <class Group>
  queue::status operator()(Group, queue::message_view<uint64_t> message,
                           queue::reply_writer<uint64_t>& reply) const noexcept {
    return gated{door}(message, reply);
  }
};
struct revocable_grouped : queue::default_consumer<uint64_t, gated_group> {
  static constexpr queue::width processing = queue::width::warp;
  static constexpr bool cancellable = true;
};

struct counting {
  gate* door = nullptr;
  queue::status operator()(queue::message_view<uint64_t> message,
                           queue::reply_writer<queue::no_reply>&) const noexcept {
    std::uint16_t none = 0;
    queue::reply_writer<uint64_t> nowhere(reinterpret_cast<std::byte*>(&unused), none);
    return gated{door}(message, nowhere);
  }
  static inline thread_local uint64_t unused = 0;
};
struct revocable_credit : queue::default_consumer<uint64_t, counting> {
  using reply = queue::no_reply;
  static constexpr queue::completion_mode completions = queue::completion_mode::none;
  static constexpr queue::claim_mode claims = queue::claim_mode::pinned;
  static constexpr bool cancellable = true;
};

/// Time that the tests tell.
struct told_clock {
  static inline std::atomic<uint64_t> ns{0};
  [[nodiscard]] static uint64_t now_ns() noexcept { return ns; }
};
template <class Message, class Processor>
struct expiring_of : queue::default_consumer<Message, Processor> {
  using slot = queue::timed_slot<queue::default_slot<Message>>;
  using clock = told_clock;
  static constexpr bool expires = true;
};
struct expiring : expiring_of<uint64_t, gated> {};
struct expiring_grouped : expiring_of<uint64_t, gated_group> {
  static constexpr queue::width processing = queue::width::block;
};
struct both : expiring {
  static constexpr bool cancellable = true;
};

[[nodiscard]] millrace::recover::deadline at(uint64_t ns) noexcept {
  return millrace::recover::deadline::at(ns);
}

/// A consumer whose only worker waits with message 0 in its hands.
template <class P>
struct stuck {
  explicit stuck(queue::options const& with = {.capacity = 4})
      : consumer(launch<P>(with, {&door})), lane(open(consumer)) {
    door.held = 0;
    first = core::value_or_throw(lane.submit(0));
    lane.flush();
    if (!eventually([&]() noexcept { return door.entered == 1; })) { std::abort(); }
  }
  ~stuck() { door.open = true; }

  gate door;
  queue::consumer<P> consumer;
  queue::producer<P> lane;
  queue::message_id first = 0;
};

template <class P>
[[nodiscard]] auto answer(queue::producer<P>& lane, queue::message_id id) {
  return core::value_or_throw(lane.wait(id, soon()));
}

}  // namespace

TEST_CASE_TEMPLATE("cancel: a message that no worker has begun is not processed", P, revocable,
                   revocable_pinned, revocable_deferred, revocable_grouped, both,
                   revocable_dropping) {
  stuck<P> s;
  auto const a = s.lane.submit(1), b = s.lane.submit(2), c = s.lane.submit(3);
  REQUIRE(c);
  CHECK(s.lane.cancel(*b));
  CHECK(s.lane.cancel(*b));       // once more changes nothing
  CHECK(s.lane.cancel(s.first));  // too late: a worker has it
  s.door.open = true;
  CHECK(answer(s.lane, s.first).status == queue::status::ok);
  CHECK(answer(s.lane, *a).reply == answer_to(1));
  auto const got = answer(s.lane, *b);
  CHECK(got.status == queue::status::cancelled);
  CHECK(got.length == 0);
  CHECK(answer(s.lane, *c).reply == answer_to(3));
  auto const undone = s.consumer.stop(soon());
  REQUIRE(undone);
  CHECK(*undone == 0);
  auto const counted = s.consumer.stats();
  CHECK(counted.cancelled == 1);
  CHECK(counted.processed == 3);
  CHECK(counted.failed == 0);
}

TEST_CASE("cancel: the message of the next lap is not cancelled") {
  stuck<revocable> s{{.capacity = 2}};
  auto const a = s.lane.submit(1);
  REQUIRE(a);
  CHECK(s.lane.cancel(*a));
  s.door.open = true;
  CHECK(answer(s.lane, s.first).status == queue::status::ok);
  CHECK(answer(s.lane, *a).status == queue::status::cancelled);
  for (uint64_t v = 2; v < 12; ++v) {
    CHECK(answer(s.lane, core::value_or_throw(s.lane.submit(v))).reply == answer_to(v));
  }
}

TEST_CASE("cancel: a message that is done, taken or unknown") {
  gate door;
  auto consumer = launch<revocable>({.capacity = 4, .first_message = ~uint64_t{0}}, {&door});
  auto lane = open(consumer);
  CHECK(code_of(lane.cancel(3)) == errc::unknown_id);
  auto const id = lane.submit(1);
  REQUIRE(id);
  REQUIRE(lane.drain(soon()));
  CHECK(lane.cancel(*id));
  CHECK(answer(lane, *id).status == queue::status::ok);
  CHECK(code_of(lane.cancel(*id)) == errc::unknown_id);
  auto const x = lane.submit(2), y = lane.submit(3);
  REQUIRE(y);
  CHECK(answer(lane, *y).status == queue::status::ok);  // before x, which stays untaken
  CHECK(code_of(lane.cancel(*y)) == errc::unknown_id);
  CHECK(lane.cancel(*x));
  lane.close();
  CHECK(code_of(lane.cancel(*x)) == errc::closed);
}

TEST_CASE("cancel: another producer's messages are out of reach") {
  stuck<revocable> s;
  auto const a = s.lane.submit(1);
  REQUIRE(a);
  s.lane.close();
  auto next = open(s.consumer);
  CHECK(code_of(next.cancel(*a)) == errc::unknown_id);
}

TEST_CASE("cancel: without completions the counters tell") {
  stuck<revocable_credit> s;
  auto const a = s.lane.submit(1), b = s.lane.submit(2);
  REQUIRE(b);
  CHECK(s.lane.cancel(*a));
  s.door.open = true;
  REQUIRE(s.lane.drain(soon()));
  auto const undone = s.consumer.stop(soon());
  REQUIRE(undone);
  CHECK(*undone == 0);
  CHECK(s.consumer.stats().cancelled == 1);
  CHECK(s.consumer.stats().processed == 2);
}

TEST_CASE("cancel: a cancelled message that moves up in its lane stays cancelled, and no other") {
  stuck<revocable_dropping> s;
  std::vector<queue::message_id> ids{s.first};
  for (uint64_t v = 1; v < 4; ++v) { ids.push_back(core::value_or_throw(s.lane.submit(v))); }
  CHECK(s.lane.cancel(ids[3]));
  for (uint64_t v = 4; v < 6; ++v) { ids.push_back(core::value_or_throw(s.lane.submit(v))); }
  CHECK(code_of(s.lane.cancel(ids[1])) == errc::unknown_id);  // dropped
  s.door.open = true;
  CHECK(answer(s.lane, ids[1]).status == queue::status::dropped);
  CHECK(answer(s.lane, ids[2]).status == queue::status::dropped);
  CHECK(answer(s.lane, ids[3]).status == queue::status::cancelled);
  CHECK(answer(s.lane, ids[4]).reply == answer_to(4));
  CHECK(answer(s.lane, ids[5]).reply == answer_to(5));
}

TEST_CASE("cancel: beside workers that race for it a message is processed or cancelled, and told") {
  gate door;
  auto consumer = launch<revocable>({.capacity = 8, .workers = 2}, {&door});
  auto lane = open(consumer);
  std::uint64_t cancelled = 0, done = 0, wrong = 0;
  for (uint64_t v = 0; v < 20'000; ++v) {
    auto const id = lane.submit(v);
    REQUIRE(id);
    if (v % 3 != 0) { REQUIRE(lane.cancel(*id)); }
    auto const got = answer(lane, *id);
    cancelled += got.status == queue::status::cancelled ? 1 : 0;
    done += got.status == queue::status::ok ? 1 : 0;
    wrong += got.status == queue::status::ok && got.reply != answer_to(v) ? 1 : 0;
    wrong += got.status == queue::status::cancelled && v % 3 == 0 ? 1 : 0;
  }
  CHECK(wrong == 0);
  CHECK(cancelled + done == 20'000);
  REQUIRE(consumer.stop(soon()));
  CHECK(consumer.stats().cancelled == cancelled);
  CHECK(consumer.stats().processed == done);
}

TEST_CASE_TEMPLATE("expiry: a message whose time has passed is not processed", P, expiring,
                   expiring_grouped, both) {
  told_clock::ns = 100;
  stuck<P> s;
  auto const past = s.lane.submit(1, {.expires = at(150)});
  auto const edge = s.lane.submit(2, {.expires = at(200)});
  auto const rest = s.lane.submit(3, {.expires = at(201)});
  REQUIRE(rest);
  told_clock::ns = 200;
  s.door.open = true;
  CHECK(answer(s.lane, s.first).status == queue::status::ok);  // without a deadline
  CHECK(answer(s.lane, *past).status == queue::status::expired);
  auto const got = answer(s.lane, *edge);
  CHECK(got.status == queue::status::expired);
  CHECK(got.length == 0);
  CHECK(answer(s.lane, *rest).reply == answer_to(3));
  auto const undone = s.consumer.stop(soon());
  REQUIRE(undone);
  CHECK(*undone == 0);
  CHECK(s.consumer.stats().expired == 2);
  CHECK(s.consumer.stats().processed == 2);
  CHECK(s.consumer.stats().failed == 0);
}

TEST_CASE("expiry: a slot's deadline does not outlive its message") {
  told_clock::ns = 100;
  gate door;
  auto consumer = launch<expiring>({.capacity = 1}, {&door});
  auto lane = open(consumer);
  CHECK(answer(lane, core::value_or_throw(lane.submit(1, {.expires = at(1)}))).status ==
        queue::status::expired);
  CHECK(answer(lane, core::value_or_throw(lane.submit(1))).status == queue::status::ok);
}

TEST_CASE("expiry: batches and reservations carry deadlines, in place and through the stage") {
  told_clock::ns = 100;
  for (std::uint32_t const size : {3u, 200u}) {
    gate door;
    auto consumer = launch<expiring>({.capacity = 256}, {&door});
    auto lane = open(consumer);
    auto const fill = [](std::uint32_t i, uint64_t& m) noexcept { m = i; };
    auto const late = lane.submit_batch(size, fill, {.kind = 2, .expires = at(50)});
    REQUIRE(late);
    auto const slot = lane.reserve();
    REQUIRE(slot);
    **slot = 7;
    auto const last = lane.commit({.expires = at(99)});
    REQUIRE(last);
    for (std::uint32_t i = 0; i < size; ++i) {
      CHECK(answer(lane, *late + i).status == queue::status::expired);
    }
    CHECK(answer(lane, *last).status == queue::status::expired);
    auto const good = lane.submit_batch(size, fill, {.kind = 2, .expires = at(101)});
    REQUIRE(good);
    for (std::uint32_t i = 0; i < size; ++i) {
      CHECK(answer(lane, *good + i).reply == answer_to(i, 2));
    }
  }
}

TEST_CASE("expiry: a deadline is refused where nobody would look at it") {
  gate door;
  auto consumer = launch<gated_policy>({.capacity = 2}, {&door});
  auto lane = open(consumer);
  auto const refused = lane.submit(1, {.expires = at(5)});
  CHECK(code_of(refused) == errc::bad_argument);
  CHECK(refused.error().native == 2);
  CHECK(lane.submit(1, {.kind = 3}));
  CHECK(code_of(queue::launch<expiring>(core::backend::cuda(0), {})) == errc::bad_argument);
}

TEST_CASE("expiry: the deadline stands between header and payload, at the least stride") {
  using of_8 = queue::timed_slot<queue::typed_slot<uint64_t>>;
  CHECK(of_8::deadline_offset == 16);
  CHECK(of_8::payload_offset == 24);
  CHECK(of_8::stride == 32);
  struct alignas(16) wide {
    uint64_t words[2];
  };
  CHECK(queue::timed_slot<queue::typed_slot<wide>>::payload_offset == 32);
  struct alignas(64) line {
    uint64_t words[8];
  };
  CHECK(queue::timed_slot<queue::typed_slot<line>>::payload_offset == 64);
  CHECK(queue::timed_slot<queue::inline_slot<40>>::stride == 64);
}
