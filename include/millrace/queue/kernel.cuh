// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/queue/drain.hpp>
#include <millrace/queue/group.cuh>
#include <millrace/queue/kernel_args.hpp>
#include <millrace/queue/pull.hpp>
#include <millrace/queue/relay.hpp>

#include <cstdint>
#include <type_traits>

namespace millrace::inline v0::queue {

/// The group of threads that takes messages together.
template <consumer_policy P>
using device_group = std::conditional_t<detail::works_in_blocks<P>, block_group, warp_group>;
/// The group of threads that carries a lane.
template <consumer_policy P>
using carrier_group = std::conditional_t<P::gang == width::block, block_group, warp_group>;

/// Groups in one block.
template <consumer_policy P>
inline constexpr std::uint32_t groups_per_block =
    detail::works_in_blocks<P> ? 1u : static_cast<std::uint32_t>(P::threads_per_block) / 32u;
/// Lanes that one block carries.
template <consumer_policy P>
inline constexpr std::uint32_t lanes_per_block =
    P::gang == width::block ? 1u : static_cast<std::uint32_t>(P::threads_per_block) / 32u;

namespace detail {

/// Counts arrivals in device memory and lets the last one tell the host: a word across the bus has
/// one writer, and read-modify-writes stay on this side of it.
template <consumer_policy P>
__device__ void check_in(std::uint32_t& mine, std::uint32_t& hosts, std::uint32_t expected) {
  if (ring_access::fetch_add(mine, 1u, core::acq_rel, "crew.check_in") + 1 == expected) {
    P::access::store(hosts, expected, core::release, "crew.report_in");
  }
}

/// Tells the device's workers the phase that ended what feeds them. They may leave when nothing can
/// come any more, or at once when nothing should.
/// @param last  whether nothing feeds them any more
template <consumer_policy P>
__device__ void pass_on(kernel_args<P> const& args, phase ended, bool last) {
  auto const tell = [&](phase now) noexcept {
    ring_access::store(args.here->owner.phase, static_cast<std::uint32_t>(now), core::release,
                       "crew.pass_on");
  };
  if (last || leaves_work(ended)) { tell(ended); }
  if (!last || leaves_work(ended)) { return; }
  // what the ring still holds may take long: a stop after the close must reach the workers too
  while (ring_access::load(args.here->crew.exited, core::acquire, "crew.check_in") !=
         args.drain.crew.workers()) {
    if (phase const now = args.producers.phase(); leaves_work(now)) { return tell(now); }
    core::relax_for(1'000);
  }
}

template <consumer_policy P>
__device__ void pull_one(kernel_args<P> const& args, std::uint32_t lane) {
  phase const ended = pull<P>(args.lanes[lane], args.drain.lanes[lane], args.producers,
                              args.pulled[lane], carrier_group<P>{});
  if (carrier_group<P>::rank() != 0) { return; }
  bool const last =
      ring_access::fetch_add(*args.pullers_done, 1u, core::acq_rel, "crew.puller_done") + 1 ==
      args.drain.lane_count;
  pass_on(args, ended, last);
}

/// The one warp of a grid that a keeper feeds which tells the others when to leave.
template <consumer_policy P>
__device__ void relay_one(kernel_args<P> const& args) {
  phase const ended = await_end<P>(args.lanes, args.drain.lanes, args.drain.lane_count,
                                   args.producers, warp_group{});
  if (core::warp_lane() == 0) { pass_on(args, ended, true); }
}

template <consumer_policy P>
__device__ void work_one(kernel_args<P> const& args, std::uint32_t worker) {
  auto& mine = args.here->crew;
  auto& hosts = args.producers.control().crew;
  std::uint32_t const workers = args.drain.crew.workers();
  device_group<P> const group{};
  if (group.rank() == 0) {
    args.producers.tell(worker, presence::working);
    check_in<P>(mine.alive, hosts.alive, workers);
  }
  drain(args.drain, worker, group);
  group.sync();
  if (group.rank() == 0) {
    args.producers.tell(worker, presence::gone);
    check_in<P>(mine.exited, hosts.exited, workers);
  }
}

/// What every thread of the persistent kernel does: roles by warp, a block's number is never a
/// task's.
template <consumer_policy P>
__device__ void run_grid(kernel_args<P> const& args) {
  static_assert(!has_state<P> || P::processing != width::thread,
                "millrace: the threads of a warp would share their worker's state: on a device a "
                "policy with state processes by warp or block");
  std::uint32_t const warp = core::block_lane() / 32u;
  if constexpr (P::ingress == ingress_mode::pull) {
    if (core::grid_block() < args.puller_blocks) {
      std::uint32_t const lane = P::gang == width::block
                                     ? core::grid_block()
                                     : core::grid_block() * lanes_per_block<P> + warp;
      if (lane < args.drain.lane_count) { pull_one<P>(args, lane); }
      return;
    }
  } else if constexpr (P::ingress == ingress_mode::dma) {
    if (core::grid_block() < args.puller_blocks) {
      if (warp == 0) { relay_one<P>(args); }
      return;
    }
  }
  std::uint32_t const block = core::grid_block() - args.puller_blocks;
  std::uint32_t const worker = works_in_blocks<P> ? block : block * groups_per_block<P> + warp;
  if (worker < args.drain.crew.workers()) { work_one<P>(args, worker); }
}

}  // namespace detail

#pragma nv_diagnostic push
#pragma nv_diag_suppress 1407  // a policy of an unnamed namespace makes its kernel internal anyway
/// The persistent kernel: one grid.
template <consumer_policy P>
  requires(P::most_registers == 0)
MILLRACE_KERNEL void __launch_bounds__(P::threads_per_block)
    drain_kernel(__grid_constant__ kernel_args<P> const args) {
  detail::run_grid<P>(args);
}
/// The same within a number of registers, which nvcc takes instead of launch bounds.
template <consumer_policy P>
  requires(P::most_registers != 0)
MILLRACE_KERNEL void __maxnreg__(P::most_registers)
    drain_kernel(__grid_constant__ kernel_args<P> const args) {
  detail::run_grid<P>(args);
}

#pragma nv_diagnostic pop

}  // namespace millrace::inline v0::queue
