// SPDX-License-Identifier: Apache-2.0
// A device that is lost under its workers. A program of its own: nothing runs on a device after an
// error like that until the process ends.
#include "unit/queue/support.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <nv/target>

using namespace queue_test;

namespace {

constexpr std::uint64_t fatal = 20;

/// Doubles a message and adds it to the worker's state; on a device one message is its last.
struct dies_on_a_device {
  template <class Group>
  MILLRACE_HD queue::status operator()(Group group, queue::message_view<std::uint64_t> message,
                                       queue::reply_writer<std::uint64_t>& out,
                                       std::uint64_t& sum) const noexcept {
    if (message.value() == fatal) { NV_IF_TARGET(NV_IS_DEVICE, (__trap();)) }
    if (group.rank() == 0) {
      sum += message.value();
      out.write(2 * message.value());
    }
    return queue::status::ok;
  }
};
struct falls_back : queue::default_consumer<std::uint64_t, dies_on_a_device> {
  using state = std::uint64_t;
  static constexpr auto claims = queue::claim_mode::pinned;
  static constexpr auto processing = queue::width::warp;
  static constexpr std::uint32_t snapshot_every = 8;
  static constexpr auto on_loss = queue::loss_mode::fall_back;
};

}  // namespace

TEST_CASE("host threads go on where a device was lost") {
  auto consumer = queue::launch_device<falls_back>(0, {.lanes = 1, .capacity = 64, .workers = 1});
  REQUIRE(consumer);
  auto lane = core::value_or_throw(consumer->open_lane());
  queue::message_id last = 0;
  for (std::uint64_t i = 1; i <= 40; ++i) { last = core::value_or_throw(lane.submit(i)); }
  auto const got = lane.wait(last, soon());
  REQUIRE(got);
  CHECK(got->reply == 80);
  CHECK(consumer->degraded());
  CHECK(consumer->where() == core::backend::host());
  std::uint64_t next = 1;
  lane.poll([&](auto const& done) noexcept { CHECK(done.reply == 2 * next++); });
  CHECK(next == 40);
  REQUIRE(consumer->park(soon()));
  CHECK(core::value_or_throw(consumer->state(0)) == 40 * 41 / 2);
  CHECK(consumer->stop(soon()));
}
