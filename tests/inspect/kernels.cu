// SPDX-License-Identifier: Apache-2.0
// The kernels that device.cmake compares: the generated ones for the call that the device benches
// make, beside the hand-written one. Compiled to a cubin, never run.
#include "bench/queue/device/raw.cuh"
#include <millrace/queue/kernel.cuh>

namespace inspect {

namespace queue = millrace::queue;
using millrace::bench::message;

/// As in bench/queue/device/roundtrip.cu: one warp sums one message.
struct sum_together {
  template <class Group>
  MILLRACE_HD queue::status operator()(Group group, queue::message_view<message<64>> view,
                                       queue::reply_writer<std::uint64_t>& out) const noexcept {
    std::uint64_t sum =
        millrace::bench::device::sum_pieces(&view.value(), 4, group.rank(), group.size());
    NV_IF_TARGET(NV_IS_DEVICE, (sum = millrace::bench::device::warp_sum(sum);))
    if (group.rank() == 0) { out.write(sum); }
    return queue::status::ok;
  }
};

template <queue::ingress_mode Ingress>
struct call : queue::default_consumer<message<64>, sum_together> {
  using backoff = queue::spin_backoff;
  static constexpr auto claims = queue::claim_mode::pinned;
  static constexpr auto ingress = Ingress;
  static constexpr auto effects = queue::effect_mode::reply;
  static constexpr auto processing = queue::width::warp;
  static constexpr int threads_per_block = 32;
};

struct direct_call : call<queue::ingress_mode::direct> {};
/// Within a tenth above the hand-written kernel's registers.
struct direct_call_of_44 : call<queue::ingress_mode::direct> {
  static constexpr int most_registers = 44;
};
struct pull_call : call<queue::ingress_mode::pull> {};

}  // namespace inspect

template __global__ void millrace::queue::drain_kernel<inspect::direct_call>(
    __grid_constant__ millrace::queue::kernel_args<inspect::direct_call> const);
template __global__ void millrace::queue::drain_kernel<inspect::direct_call_of_44>(
    __grid_constant__ millrace::queue::kernel_args<inspect::direct_call_of_44> const);
template __global__ void millrace::queue::drain_kernel<inspect::pull_call>(
    __grid_constant__ millrace::queue::kernel_args<inspect::pull_call> const);
template __global__ void millrace::bench::device::raw_persistent<64, 32>(
    millrace::bench::device::raw_job<64>);
