// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"
#include <millrace/queue/shared.hpp>

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <cstring>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace queue_test;

// What policies say of single messages, beside order, arenas, parking and snapshots.

namespace {

/// Waits at the gate at message 0, and counts.
struct held {
  gate* door = nullptr;

  queue::status see(uint64_t value) const noexcept {
    if (value == door->held) {
      ++door->entered;
      while (!door->open) { core::yield_thread(); }
      ++door->left;
    }
    return queue::status::ok;
  }
  template <class Reply>
  queue::status operator()(queue::message_view<uint64_t> message,
                           queue::reply_writer<Reply>& reply) const noexcept {
    if constexpr (!std::is_empty_v<Reply>) { reply.write(answer_to(message.value())); }
    return see(message.value());
  }
  template <std::size_t Max, class Reply>
  queue::status operator()(queue::message_view<queue::slab_bytes<Max>> message,
                           queue::reply_writer<Reply>& reply) const noexcept {
    if constexpr (!std::is_empty_v<Reply>) { reply.write(message.size()); }
    return see(static_cast<uint64_t>(message.bytes()[0]));
  }
};

template <class Message, queue::overflow_mode Mode, queue::claim_mode Claims>
struct unanswered : queue::default_consumer<Message, held> {
  using reply = queue::no_reply;
  static constexpr queue::completion_mode completions = queue::completion_mode::none;
  static constexpr queue::claim_mode claims = Claims;
  static constexpr queue::overflow_mode overflow = Mode;
};
template <queue::overflow_mode Mode, queue::claim_mode Claims = queue::claim_mode::shared>
struct in_total : unanswered<uint64_t, Mode, Claims> {
  static constexpr queue::order_mode order = queue::order_mode::total;
};
using blocking_marks = in_total<queue::overflow_mode::block>;
using blocking_credit = in_total<queue::overflow_mode::block, queue::claim_mode::pinned>;
struct newest_in_total : queue::default_consumer<uint64_t, held> {
  static constexpr queue::order_mode order = queue::order_mode::total;
  static constexpr queue::overflow_mode overflow = queue::overflow_mode::drop_newest;
};

using slabs = queue::slab_bytes<1024>;
using blocking_slabs = unanswered<slabs, queue::overflow_mode::block, queue::claim_mode::pinned>;
using newest_slabs =
    unanswered<slabs, queue::overflow_mode::drop_newest, queue::claim_mode::shared>;

struct oldest : queue::default_consumer<uint64_t, held> {
  static constexpr queue::overflow_mode overflow = queue::overflow_mode::drop_oldest;
};

[[nodiscard]] std::vector<std::byte> text_of(unsigned char first, std::size_t bytes) {
  return std::vector<std::byte>(bytes, std::byte{first});
}
[[nodiscard]] cuda::std::span<std::byte const> span_of(std::vector<std::byte> const& text) {
  return {text.data(), text.size()};
}

/// Opens the gate a moment from now.
struct opens_later {
  explicit opens_later(gate& door)
      : helper([&door] {
          core::relax_for(1'000'000);
          door.open = true;
        }) {}
  ~opens_later() { helper.join(); }
  std::thread helper;
};

}  // namespace

TEST_CASE_TEMPLATE("overflow: producers of one ring block until there is room, and are counted", P,
                   blocking_marks, blocking_credit) {
  gate door;
  door.held = 0;
  auto consumer = launch<P>({.lanes = 2, .capacity = 4}, {&door});
  auto first = open(consumer);
  auto second = open(consumer);
  REQUIRE(first.submit(0));
  REQUIRE(eventually([&]() noexcept { return door.entered == 1; }));
  for (uint64_t v = 1; v < 4; ++v) { REQUIRE(second.submit(v)); }
  CHECK(code_of(first.submit(4, {.until = now()})) == errc::deadline_passed);
  CHECK(code_of(second.submit(4, {.until = now()})) == errc::deadline_passed);
  CHECK(consumer.stats().rejected == 2);
  {
    opens_later const later(door);
    CHECK(first.submit(4, {.until = soon()}));
    CHECK(second.submit(5, {.until = soon()}));
  }
  CHECK(consumer.drain(soon()));
  CHECK(consumer.stats().processed == 6);
}

TEST_CASE("overflow: all producers of a ring count what they give up") {
  gate door;
  door.held = 0;
  auto consumer = launch<newest_in_total>({.lanes = 2, .capacity = 2}, {&door});
  auto first = open(consumer);
  auto second = open(consumer);
  REQUIRE(first.submit(1));
  REQUIRE(first.submit(2));
  std::thread other([&] {
    for (int i = 0; i < 1000; ++i) { CHECK(code_of(second.submit(3)) == errc::full); }
  });
  for (int i = 0; i < 1000; ++i) { CHECK(code_of(first.submit(3)) == errc::full); }
  other.join();
  CHECK(consumer.stats().rejected == 2000);
}

TEST_CASE("overflow: a submit waits for bytes as it does for slots") {
  gate door;
  door.held = 0;
  auto consumer = launch<blocking_slabs>({.capacity = 8, .arena_bytes = 1024}, {&door});
  auto lane = open(consumer);
  auto const gate_text = text_of(0, 512), more = text_of(1, 512), most = text_of(2, 1024);
  REQUIRE(lane.submit(span_of(gate_text)));
  REQUIRE(eventually([&]() noexcept { return door.entered == 1; }));
  REQUIRE(lane.submit(span_of(more)));
  CHECK(code_of(lane.submit(span_of(more), {.until = now()})) == errc::deadline_passed);
  CHECK(code_of(lane.reserve(512, now())) == errc::deadline_passed);
  std::array<cuda::std::span<std::byte const>, 2> const both{span_of(more), span_of(more)};
  CHECK(code_of(lane.submit_batch(both, {.until = now()})) == errc::deadline_passed);
  auto const large = text_of(3, 1025);
  CHECK(code_of(lane.submit(span_of(large), {.until = soon()})) == errc::payload_too_large);
  CHECK(consumer.stats().rejected == 4);
  {
    opens_later const later(door);
    CHECK(lane.submit(span_of(most), {.until = soon()}));
  }
  CHECK(lane.submit_batch(both, {.until = soon()}));
  CHECK(consumer.drain(soon()));
  // a worker reports its count when it has nothing to do, which may be after the drain
  CHECK(eventually([&] { return consumer.stats().processed == 5; }));
}

TEST_CASE("overflow: messages that find no bytes are counted, and which room was short is said") {
  gate door;
  door.held = 0;
  auto consumer = launch<newest_slabs>({.capacity = 2, .arena_bytes = 1024}, {&door});
  auto lane = open(consumer);
  auto const gate_text = text_of(0, 1000), one = text_of(1, 10);
  REQUIRE(lane.submit(span_of(gate_text)));
  REQUIRE(eventually([&]() noexcept { return door.entered == 1; }));
  auto const no_bytes = lane.submit(span_of(one));
  REQUIRE(!no_bytes);
  CHECK(no_bytes.error().code == errc::full);
  CHECK(no_bytes.error().native == 2);
  CHECK(consumer.stats().rejected == 1);
  door.open = true;
}

TEST_CASE("overflow: the oldest make way while the workers are parked, and the rest is done") {
  gate door;
  auto consumer = launch<oldest>({.capacity = 4, .workers = 2}, {&door});
  auto lane = open(consumer);
  REQUIRE(lane.submit(100));
  REQUIRE(lane.drain(soon()));
  REQUIRE(consumer.park(soon()));
  for (uint64_t v = 0; v < 7; ++v) { REQUIRE(lane.submit(v)); }
  std::uint32_t dropped = 0;
  auto const count = [&](auto const& c) noexcept {
    dropped += c.status == queue::status::dropped ? 1 : 0;
  };
  CHECK(lane.poll(count) == 5);  // the first one's answer, which held its slot, among them
  CHECK(dropped == 4);
  REQUIRE(consumer.resume());
  REQUIRE(lane.drain(soon()));
  CHECK(lane.poll(count) == 3);
  CHECK(dropped == 4);
  CHECK(consumer.stats().processed == 4);
  CHECK(consumer.stats().dropped == 4);
}

namespace {

/// Time that the tests tell.
struct told_clock {
  static inline std::atomic<uint64_t> ns{0};
  [[nodiscard]] static uint64_t now_ns() noexcept { return ns; }
};
template <class P, class Message = uint64_t>
struct expiring : P {
  using slot = queue::timed_slot<queue::default_slot<Message>>;
  using clock = told_clock;
  static constexpr bool expires = true;
};
struct answered_in_total : queue::default_consumer<uint64_t, held> {
  static constexpr queue::order_mode order = queue::order_mode::total;
};
using expiring_in_total = expiring<answered_in_total>;
using expiring_marks = expiring<in_total<queue::overflow_mode::fail>>;
struct answered_slabs : queue::default_consumer<slabs, held> {
  static constexpr bool cancellable = true;
};
using screened_slabs = expiring<answered_slabs, slabs>;

[[nodiscard]] millrace::recover::deadline at(uint64_t ns) noexcept {
  return millrace::recover::deadline::at(ns);
}

/// Adds up what it sees, and says how the messages came.
struct summing {
  queue::status operator()(queue::message_view<uint64_t> message,
                           queue::reply_writer<uint64_t>& reply, uint64_t& sum) const noexcept {
    sum = 10 * sum + message.value();
    reply.write(sum);
    return queue::status::ok;
  }
};
struct retaining : queue::default_consumer<uint64_t, summing> {
  using state = uint64_t;
  using slot = queue::timed_slot<queue::default_slot<uint64_t>>;
  using clock = told_clock;
  static constexpr queue::claim_mode claims = queue::claim_mode::pinned;
  static constexpr std::uint32_t snapshot_every = 1'000;
  static constexpr bool cancellable = true;
  static constexpr bool expires = true;
};

}  // namespace

TEST_CASE_TEMPLATE("expiry: a message of a ring that is too late frees its slot unseen", P,
                   expiring_in_total, expiring_marks) {
  told_clock::ns = 0;
  gate door;
  door.held = 0;
  auto consumer = launch<P>({.lanes = 2, .capacity = 4}, {&door});
  auto first = open(consumer);
  auto second = open(consumer);
  auto const begun = first.submit(0, {.expires = at(1)});
  REQUIRE(begun);
  REQUIRE(eventually([&]() noexcept { return door.entered == 1; }));
  auto const late = first.submit(1, {.expires = at(10)});
  auto const in_time = second.submit(2, {.expires = at(11)});
  REQUIRE(late);
  REQUIRE(in_time);
  REQUIRE(second.reserve());
  second.cancel();
  told_clock::ns = 10;
  door.open = true;
  REQUIRE(consumer.drain(soon()));
  if constexpr (P::completions == queue::completion_mode::records) {
    CHECK(first.wait(*begun, soon())->reply == answer_to(0));
    CHECK(first.wait(*late, soon())->status == queue::status::expired);
    CHECK(second.wait(*in_time, soon())->reply == answer_to(2));
  }
  REQUIRE(first.submit(3, {.expires = at(11)}));
  REQUIRE(consumer.drain(soon()));
  REQUIRE(consumer.stop(soon()));
  CHECK(consumer.stats().expired == 1);
  CHECK(consumer.stats().accepted == consumer.stats().processed + 1);
}

TEST_CASE("cancel and expiry: the bytes of messages that no functor saw come back") {
  told_clock::ns = 0;
  gate door;
  door.held = 0;
  auto consumer = launch<screened_slabs>({.capacity = 4, .arena_bytes = 2048}, {&door});
  auto lane = open(consumer);
  auto const gate_text = text_of(0, 600), one = text_of(1, 600), large = text_of(2, 1024);
  auto const held_one = lane.submit(span_of(gate_text));
  REQUIRE(eventually([&]() noexcept { return door.entered == 1; }));
  auto const unwanted = lane.submit(span_of(one));
  auto const late = lane.submit(span_of(one), {.expires = at(5)});
  REQUIRE(late);
  CHECK(lane.submit(span_of(one)).error().native == 2);
  REQUIRE(lane.cancel(*unwanted));
  told_clock::ns = 5;
  door.open = true;
  CHECK(lane.wait(*held_one, soon())->reply == 600);
  CHECK(lane.wait(*unwanted, soon())->status == queue::status::cancelled);
  CHECK(lane.wait(*late, soon())->status == queue::status::expired);
  auto const next = lane.submit(span_of(large), {.expires = at(6)});
  REQUIRE(next);
  CHECK(lane.wait(*next, soon())->reply == 1024);
}

TEST_CASE("cancel and expiry: what no functor saw is not done when the work is done again") {
  told_clock::ns = 0;
  std::string const name = "/millrace_combined_" + std::to_string(::getpid());
  queue::options const with{.capacity = 16};
  auto handle = core::value_or_throw(queue::share<retaining>(name, with));
  auto lane = open(handle);
  std::vector<queue::message_id> ids;
  for (uint64_t v = 1; v < 7; ++v) {
    ids.push_back(core::value_or_throw(lane.submit(v, {.expires = at(v == 5 ? 10 : 100)})));
  }
  REQUIRE(lane.cancel(ids[1]));
  told_clock::ns = 10;
  uint64_t first_state = 0;
  {
    auto server = core::value_or_throw(queue::serve<retaining>(name));
    for (std::size_t i = 0; i < ids.size(); ++i) {
      auto const got = core::value_or_throw(lane.wait(ids[i], soon()));
      queue::status const wanted = i == 1   ? queue::status::cancelled
                                   : i == 4 ? queue::status::expired
                                            : queue::status::ok;
      CHECK(got.status == wanted);
    }
    REQUIRE(server.park(soon()));
    first_state = *server.state(0);
    CHECK(first_state == 1346);
    CHECK(server.stats().cancelled == 1);
    CHECK(server.stats().expired == 1);
    CHECK(server.stats().processed == 4);
  }
  // as if the process had died before it finished its only snapshot
  auto memory = core::value_or_throw(millrace::memory::shared_memory::open(name));
  auto const layout = core::value_or_throw(queue::detail::block_layout<retaining>::make(with));
  auto& words = *reinterpret_cast<queue::worker_control*>(memory.data() + layout.workers_at);
  REQUIRE(words.snapshots == 1);
  words.snapshots = 0;
  told_clock::ns = 1'000;  // by now all of them would be too late
  {
    auto server = core::value_or_throw(queue::serve<retaining>(name));
    REQUIRE(server.park(soon()));
    CHECK(*server.state(0) == first_state);
    CHECK(server.stats().replayed == 4);
    CHECK(server.stats().cancelled == 1);
    CHECK(server.stats().expired == 1);
    CHECK(server.stats().processed == 4);
  }
  bool const removed = memory.remove().has_value();
  CHECK(removed);
}

namespace {

/// Leaves half of what it is sent, down to one; counts.
struct halving {
  std::atomic<uint64_t>* seen = nullptr;
  template <class Reply>
  queue::status operator()(queue::message_view<uint64_t> message, queue::reply_writer<Reply>&,
                           queue::follow_up<uint64_t>& rest) const noexcept {
    ++*seen;
    if (message.value() > 1) { static_cast<void>(rest.submit(message.value() / 2)); }
    return queue::status::ok;
  }
};
struct leaving : queue::default_consumer<uint64_t, halving> {
  static constexpr std::uint32_t follow_ups = 1;
};
struct leaving_in_total : leaving {
  static constexpr queue::order_mode order = queue::order_mode::total;
};
struct leaving_marks : leaving_in_total {
  using reply = queue::no_reply;
  static constexpr queue::completion_mode completions = queue::completion_mode::none;
};
struct leaving_credit : leaving_marks {
  static constexpr queue::claim_mode claims = queue::claim_mode::pinned;
};
struct leaving_expiring : expiring<leaving> {
  static constexpr bool cancellable = true;
};

}  // namespace

TEST_CASE_TEMPLATE("follow-up: what follows from the messages of a ring is done before a close", P,
                   leaving_in_total, leaving_marks, leaving_credit) {
  std::atomic<uint64_t> seen{0};
  auto consumer = launch<P>({.lanes = 2, .capacity = 8}, {&seen});
  auto first = open(consumer);
  auto second = open(consumer);
  REQUIRE(first.submit(64));
  REQUIRE(second.submit(16));
  REQUIRE(second.drain(soon()));
  REQUIRE(consumer.drain(soon()));
  CHECK(seen == 12);
  REQUIRE(first.submit(4));
  consumer.close();
  REQUIRE(consumer.wait_until_left(soon()));
  CHECK(seen == 15);
  CHECK(consumer.stats().accepted == 3);
  CHECK(consumer.stats().followed == 12);
  CHECK(consumer.stats().processed == 15);
}

TEST_CASE("stats: what waits and what is under way is told apart where claims are known") {
  gate door;
  door.held = 0;
  auto consumer = launch<oldest>({.capacity = 4}, {&door});
  auto lane = open(consumer);
  CHECK(consumer.stats().in_flight == 0);
  REQUIRE(lane.submit(0));
  REQUIRE(eventually([&]() noexcept { return door.entered == 1; }));
  for (uint64_t v = 1; v < 6; ++v) { REQUIRE(lane.submit(v)); }
  auto const now = consumer.stats();
  CHECK(now.accepted == 6);
  CHECK(now.completed == 2);  // dropped
  CHECK(now.in_flight == 4);
  CHECK(now.depth == 3);
  door.open = true;
  REQUIRE(lane.drain(soon()));
  REQUIRE(eventually([&]() noexcept { return consumer.stats().completed == 6; }));
  CHECK(consumer.stats().in_flight == 0);
  CHECK(consumer.stats().depth == 0);
}

TEST_CASE("follow-up: nothing follows from a message that no functor sees") {
  told_clock::ns = 0;
  std::atomic<uint64_t> seen{0};
  auto consumer = launch<leaving_expiring>({.capacity = 8}, {&seen});
  auto lane = open(consumer);
  REQUIRE(consumer.park(soon()));
  auto const unwanted = lane.submit(64);
  auto const late = lane.submit(64, {.expires = at(1)});
  auto const in_time = lane.submit(8, {.expires = at(2)});
  REQUIRE(in_time);
  REQUIRE(lane.cancel(*unwanted));
  told_clock::ns = 1;
  REQUIRE(consumer.resume());
  CHECK(lane.wait(*unwanted, soon())->status == queue::status::cancelled);
  CHECK(lane.wait(*late, soon())->status == queue::status::expired);
  told_clock::ns = 5;  // what follows has no deadline
  REQUIRE(lane.drain(soon()));
  CHECK(seen == 4);
  REQUIRE(consumer.stop(soon()));
  CHECK(consumer.stats().followed == 3);
}
