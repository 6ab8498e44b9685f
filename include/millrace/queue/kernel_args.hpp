// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/queue/drain_args.hpp>

#include <cstdint>
#include <type_traits>

namespace millrace::inline v0::queue {

/// How the device's own threads see the ring and its control words.
using ring_access = core::direct_access<cuda::thread_scope_device>;

/// How workers see the slots that they take: their own ring's, or what comes from beyond the
/// device.
template <consumer_policy P>
using worker_access =
    std::conditional_t<P::ingress == ingress_mode::pull, ring_access, typename P::access>;

/// What the persistent kernel needs.
template <consumer_policy P>
struct kernel_args {
  drain_args<P, worker_access<P>> drain;  ///< what the workers take from; its array is the device's
  crew_ref<P> producers;                  ///< the crew that the host sees
  crew_control* here = nullptr;           ///< the device's own, for arrivals and what pullers say
  lane_ref<P>* lanes = nullptr;           ///< [drain.lane_count] what producers write
  lane_cursor* pulled = nullptr;          ///< [drain.lane_count] how far that has come
  std::uint32_t puller_blocks = 0;        ///< the first blocks pull or relay, the others work
  std::uint32_t* pullers_done = nullptr;  ///< in device memory
};

}  // namespace millrace::inline v0::queue
