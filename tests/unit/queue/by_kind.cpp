// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

#include <doctest/doctest.h>

#include <type_traits>

using namespace queue_test;

namespace {

/// Adds up what it sees and replies with the sum: state of its own in each worker.
struct sum {
  uint64_t total = 0;
  MILLRACE_HD queue::status operator()(queue::message_view<uint64_t> message,
                                       queue::reply_writer<uint64_t>& reply) noexcept {
    total += message.value();
    reply.write(total);
    return queue::status::ok;
  }
};
struct scale {
  uint64_t factor = 1;
  MILLRACE_HD queue::status operator()(queue::message_view<uint64_t> message,
                                       queue::reply_writer<uint64_t>& reply) const noexcept {
    reply.write(factor * message.value());
    return queue::status::user;
  }
};
/// Scales in a group, whose leader replies.
struct scale_together {
  uint64_t factor = 1;
  template <class Group>
  MILLRACE_HD queue::status operator()(Group group, queue::message_view<uint64_t> message,
                                       queue::reply_writer<uint64_t>& reply) const noexcept {
    if (group.rank() == 0) { reply.write(factor * message.value()); }
    return queue::status::ok;
  }
};
struct refuses {
  template <class Group>
  MILLRACE_HD queue::status operator()(Group, queue::message_view<uint64_t>,
                                       queue::reply_writer<uint64_t>&) const noexcept {
    return queue::status::failed;
  }
};

using mixed = queue::by_kind<sum, scale, sum>;
struct mixed_policy : queue::default_consumer<uint64_t, mixed> {};
struct alone_policy : queue::default_consumer<uint64_t, queue::by_kind<scale>> {};
struct grouped_policy : queue::default_consumer<uint64_t, queue::by_kind<scale_together, refuses>> {
  static constexpr queue::width processing = queue::width::warp;
};
static_assert(std::is_trivially_copyable_v<mixed>);

template <class P>
[[nodiscard]] auto ask(queue::producer<P>& lane, uint64_t message, std::uint8_t kind) {
  auto const id = lane.submit(message, kind);
  return core::value_or_throw(lane.wait(core::value_or_throw(id), soon()));
}

}  // namespace

TEST_CASE("by_kind: each kind goes to its functor, and each functor has its own members") {
  auto consumer = launch<mixed_policy>({}, {sum{}, scale{.factor = 3}, sum{.total = 1000}});
  auto lane = open(consumer);
  CHECK(ask(lane, 5, 0).reply == 5);
  CHECK(ask(lane, 5, 1).reply == 15);
  CHECK(ask(lane, 5, 1).status == queue::status::user);
  CHECK(ask(lane, 7, 2).reply == 1007);
  CHECK(ask(lane, 7, 0).reply == 12);
}

TEST_CASE("by_kind: an unknown kind ends as such, without a reply, and counts as failed") {
  auto consumer = launch<mixed_policy>({}, {sum{}, scale{}, sum{}});
  auto lane = open(consumer);
  for (unsigned const kind : {3u, 4u, 128u, 255u}) {
    auto const got = ask(lane, 9, static_cast<std::uint8_t>(kind));
    CHECK(got.status == queue::status::unknown_kind);
    CHECK(got.length == 0);
  }
  CHECK(ask(lane, 1, 0).reply == 1);  // none of them was called
  CHECK(ask(lane, 1, 2).reply == 1);
  REQUIRE(consumer.stop(soon()));
  CHECK(consumer.stats().failed == 4);
  CHECK(eventually([&]() noexcept { return consumer.stats().processed == 6; }));
}

TEST_CASE("by_kind: one functor alone knows the kind 0") {
  auto consumer = launch<alone_policy>({}, scale{.factor = 2});
  auto lane = open(consumer);
  CHECK(ask(lane, 4, 0).reply == 8);
  CHECK(ask(lane, 4, 1).status == queue::status::unknown_kind);
}

TEST_CASE("by_kind: functors of groups are told apart too") {
  auto consumer = launch<grouped_policy>({}, {scale_together{.factor = 4}, refuses{}});
  auto lane = open(consumer);
  CHECK(ask(lane, 4, 0).reply == 16);
  CHECK(ask(lane, 4, 1).status == queue::status::failed);
  CHECK(ask(lane, 4, 2).status == queue::status::unknown_kind);
}

TEST_CASE("by_kind: a functor is found by its kind") {
  mixed functors{sum{}, scale{.factor = 6}, sum{.total = 2}};
  CHECK(functors.get<1>().factor == 6);
  functors.get<2>().total = 3;
  CHECK(functors.get<2>().total == 3);
  CHECK(functors.get<0>().total == 0);
}
