// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/queue/device/support.cuh"
#include <millrace/queue/launch_device.cuh>

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace millrace::bench::device {

/// Slots of every contender's ring.
inline constexpr std::uint32_t ring_slots = 4096;
/// Threads of a hand-written kernel that does batches.
inline constexpr int raw_threads = 512;

/// Each thread sums one message.
template <std::size_t Bytes>
struct add_up {
  unsigned long long* sum;  ///< in device memory

  MILLRACE_HD queue::status operator()(queue::message_view<message<Bytes>> view,
                                       queue::reply_writer<queue::no_reply>&) const noexcept {
    std::uint64_t const mine = sum_pieces(&view.value(), Bytes / 16, 0, 1);
    NV_IF_ELSE_TARGET(NV_IS_DEVICE, (atomicAdd(sum, static_cast<unsigned long long>(mine));),
                      (*sum += mine;))
    return queue::status::ok;
  }
};

template <std::size_t Bytes, queue::ingress_mode Ingress = queue::ingress_mode::pull,
          queue::width Gang = queue::width::warp>
struct stream_policy : queue::default_consumer<message<Bytes>, add_up<Bytes>> {
  using reply = queue::no_reply;
  using backoff = queue::spin_backoff;
  static constexpr auto completions = queue::completion_mode::none;
  static constexpr auto claims = queue::claim_mode::pinned;
  static constexpr auto ingress = Ingress;
  static constexpr auto gang = Gang;
  static constexpr int threads_per_block = Gang == queue::width::block ? raw_threads : 32;
};

/// Sends messages [first, first + count) through a lane, and waits until they are done.
template <class P>
void send_through(queue::producer<P>& lane, std::uint32_t batch, std::uint64_t first,
                  std::uint64_t count) {
  for (std::uint64_t at = first; at < first + count; at += batch) {
    auto const build = [at](std::uint32_t i, typename P::message& slot) noexcept {
      fill(slot, at + i);
    };
    await("room in the lane", [&] { return lane.submit_batch(batch, build).has_value(); });
  }
  core::value_or_throw(lane.drain(queue::within(std::chrono::seconds(5))));
}

}  // namespace millrace::bench::device
