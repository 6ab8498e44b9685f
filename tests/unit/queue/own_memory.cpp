// SPDX-License-Identifier: Apache-2.0
// Whose memory a consumer's is.
#include "support.hpp"
#include <millrace/memory/budget.hpp>
#include <millrace/memory/heap.hpp>
#include <millrace/queue/shared.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <unistd.h>
#include <utility>

using namespace queue_test;
namespace memory = millrace::memory;

namespace {

struct plus {
  uint64_t term = 0;
  queue::status operator()(queue::message_view<uint64_t> message,
                           queue::reply_writer<uint64_t>& reply) const noexcept {
    reply.write(message.value() + term);
    return queue::status::ok;
  }
};
struct plus_policy : queue::default_consumer<uint64_t, plus> {
  using reply = uint64_t;
};
struct shared_policy : plus_policy {
  static constexpr auto claims = queue::claim_mode::pinned;
};

[[nodiscard]] memory::heap<> small_heap() {
  return core::value_or_throw(
      memory::heap<>::make({.reserve_bytes = std::size_t{64} << 20, .caches = 16}));
}
/// A worker's thread may be the last to give memory back.
[[nodiscard]] bool comes_back(memory::budget const& all) {
  return eventually([&]() noexcept { return all.counts().live_bytes == 0; });
}
[[nodiscard]] uint64_t answer(queue::producer<plus_policy>& lane, uint64_t message) {
  auto const id = core::value_or_throw(lane.submit(message));
  return core::value_or_throw(lane.wait(id, soon())).reply;
}

}  // namespace

TEST_CASE("own memory: all that a launch takes comes from the resource given, and goes back") {
  memory::budget all;
  auto const heap = small_heap();
  queue::options with{.lanes = 3, .capacity = 1000, .workers = 2};
  with.resource = memory::budgeted_resource<memory::heap<>>(all, heap);
  auto const layout = core::value_or_throw(queue::detail::block_layout<plus_policy>::make(with));
  {
    auto consumer = core::value_or_throw(queue::launch_host<plus_policy>(with, {7}));
    CHECK(all.counts().live_bytes > layout.bytes);
    CHECK(heap.stats().taken_bytes > layout.bytes);
    auto const launched = all.counts().live_bytes;
    auto lane = open(consumer);
    for (uint64_t i = 0; i < 3'000; ++i) { REQUIRE(answer(lane, i) == i + 7); }
    CHECK(all.counts().live_bytes == launched);  // nothing for a message
    CHECK(all.counts().peak_bytes == launched);
  }
  CHECK(comes_back(all));
  heap.evict();
  CHECK(heap.stats().taken_bytes == 0);
}

TEST_CASE("own memory: a launch without room is an error, and others go on") {
  memory::budget all({.hard_bytes = 400'000});
  queue::options with{.capacity = 1000};
  with.resource = memory::budgeted_resource<>(all);
  auto consumer = core::value_or_throw(queue::launch_host<plus_policy>(with, {1}));
  auto const launched = all.counts().live_bytes;
  with.capacity = 100'000;
  auto const other = queue::launch_host<plus_policy>(with, {2});
  REQUIRE(!other);
  CHECK(other.error().code == errc::out_of_memory);
  CHECK(all.counts().live_bytes == launched);
  auto lane = open(consumer);
  CHECK(answer(lane, 5) == 6);
}

TEST_CASE("own memory: without room for a new functor the old one goes on") {
  memory::budget all;
  queue::options with;
  with.resource = memory::budgeted_resource<>(all);
  auto consumer = core::value_or_throw(queue::launch_host<plus_policy>(with, {1}));
  auto lane = open(consumer);
  CHECK(answer(lane, 5) == 6);
  all.set_hard_bytes(0);
  CHECK(code_of(queue::swap<plus_policy>(consumer, {10}, soon())) == errc::out_of_memory);
  CHECK(answer(lane, 5) == 6);
  all.set_hard_bytes(memory::max_request_bytes);
  REQUIRE(queue::swap<plus_policy>(consumer, {10}, soon()));
  CHECK(answer(lane, 5) == 15);
}

TEST_CASE("own memory: handles of a shared block have each their own") {
  std::string const name = "/millrace_own_memory_" + std::to_string(::getpid());
  memory::budget first, second, third;
  queue::options with{.lanes = 2, .capacity = 8};
  with.resource = memory::budgeted_resource<>(first);
  {
    auto handle = core::value_or_throw(queue::share<shared_policy>(name, with));
    auto joined =
        core::value_or_throw(queue::join<shared_policy>(name, memory::budgeted_resource<>(second)));
    auto server = core::value_or_throw(
        queue::serve<shared_policy>(name, {3}, memory::budgeted_resource<>(third)));
    CHECK(first.counts().live_bytes > 0);
    CHECK(first.counts().live_bytes == second.counts().live_bytes);
    CHECK(third.counts().live_bytes > 0);
    auto lane = open(joined);
    auto const id = core::value_or_throw(lane.submit(4));
    CHECK(core::value_or_throw(lane.wait(id, soon())).reply == 7);
    memory::budget none({.hard_bytes = 100});
    CHECK(code_of(queue::join<shared_policy>(name, memory::budgeted_resource<>(none))) ==
          errc::out_of_memory);
    CHECK(none.counts().live_bytes == 0);
    CHECK(memory::shared_memory::open(name)->remove());
  }
  CHECK(comes_back(first));
  CHECK(comes_back(second));
  CHECK(comes_back(third));
}
