// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"
#include <millrace/queue/shared.hpp>

#include <doctest/doctest.h>

#include <string>
#include <unistd.h>

namespace {

using namespace queue_test;

struct tally {
  queue::status operator()(queue::message_view<uint64_t> message,
                           queue::reply_writer<uint64_t>& reply, uint64_t& sum) const noexcept {
    reply.write(sum += message.value());
    return queue::status::ok;
  }
};
struct kept : queue::default_consumer<uint64_t, tally> {
  using state = uint64_t;
  static constexpr queue::claim_mode claims = queue::claim_mode::pinned;
  static constexpr std::uint32_t snapshot_every = 4;
};

}  // namespace

TEST_CASE("state: what is restored outlives whoever restored it, and did nothing more") {
  std::string const name = "/millrace-restore-" + std::to_string(::getpid());
  auto handle = core::value_or_throw(queue::share<kept>(name, {.lanes = 2, .capacity = 16}));
  auto lane = open(handle);
  auto const ask = [&](uint64_t n) {
    auto const id = lane.submit(n);
    REQUIRE(id);
    return lane.wait(*id, soon())->reply;
  };
  {
    auto server = core::value_or_throw(queue::serve<kept>(name));
    for (uint64_t i = 1; i <= 3; ++i) { CHECK(ask(i) == i * (i + 1) / 2); }
    REQUIRE(server.park(soon()));
    CHECK(core::value_or_throw(server.state(0)) == 6);
    REQUIRE(server.restore(0, 1'000));
  }
  {
    auto server = core::value_or_throw(queue::serve<kept>(name));
    CHECK(ask(1) == 1'001);
    REQUIRE(server.park(soon()));
    REQUIRE(server.restore(0, 50));
    REQUIRE(server.resume());
    CHECK(ask(1) == 51);
    CHECK(handle.stats().replayed == 0);
  }
  {
    auto server = core::value_or_throw(queue::serve<kept>(name));
    CHECK(ask(1) == 52);
  }
  auto opened = core::value_or_throw(millrace::memory::shared_memory::open(name));
  CHECK(opened.remove());
}
