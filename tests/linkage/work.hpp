// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "answer.hpp"
#include <millrace/queue/launch.hpp>

#include <chrono>
#include <cstdint>

namespace linkage {

struct square {
  MILLRACE_HD millrace::queue::status operator()(
      millrace::queue::message_view<std::uint64_t> m,
      millrace::queue::reply_writer<std::uint64_t>& out) const noexcept {
    out.write(m.value() * m.value());
    return millrace::queue::status::ok;
  }
};

/// One policy, which every part of the program uses.
struct shared_policy : millrace::queue::default_consumer<std::uint64_t, square> {};

namespace {

[[nodiscard]] answer work() {
  namespace queue = millrace::queue;
  answer out;
  out.with_launcher = queue::compiles_device_code;
  auto const on_device = queue::launch<shared_policy>(millrace::core::backend::cuda(0), {});
  if (!on_device) { out.on_device = on_device.error().code; }
  auto consumer = millrace::core::value_or_throw(
      queue::launch<shared_policy>(millrace::core::backend::automatic(), {}));
  auto lane = millrace::core::value_or_throw(consumer.open_lane());
  auto const until = queue::within(std::chrono::seconds(20));
  for (std::uint64_t i = 1; i <= 100; ++i) {
    auto const id = millrace::core::value_or_throw(lane.submit(i));
    out.sum += millrace::core::value_or_throw(lane.wait(id, until)).reply;
  }
  return out;
}

}  // namespace

}  // namespace linkage
