// SPDX-License-Identifier: Apache-2.0
// Functors that load_functor.cu loads at run time, right ones and wrong ones.
#include "unit/queue/functors/policies.hpp"
#include <millrace/queue/export_functor.cuh>

namespace functor_test {

/// Answers with the message times a number.
struct times {
  std::uint64_t factor = 1;
  MILLRACE_HD queue::status operator()(queue::message_view<std::uint64_t> message,
                                       queue::reply_writer<std::uint64_t>& reply) const noexcept {
    reply.write(message.value() * factor);
    return queue::status::ok;
  }
};
struct times_policy : plus_policy {
  using processor = times;
  using backoff = queue::exponential_backoff<20, 256>;  // the module's own affair
};
/// The same, without the promise that the program's policy makes.
struct plus_without_contract : queue::default_consumer<std::uint64_t, plus> {};

struct narrow {
  std::uint64_t factor = 1;
  MILLRACE_HD queue::status operator()(queue::message_view<std::uint32_t>,
                                       queue::reply_writer<std::uint64_t>&) const noexcept {
    return queue::status::ok;
  }
};
struct narrow_policy : queue::default_consumer<std::uint32_t, narrow> {};

struct small_blocks : times_policy {
  static constexpr int threads_per_block = 64;
};

/// Takes so much of a processor's shared memory that few of its blocks are resident.
struct greedy {
  std::uint64_t factor = 1;
  MILLRACE_HD queue::status operator()(queue::message_view<std::uint64_t> message,
                                       queue::reply_writer<std::uint64_t>& reply) const noexcept {
    NV_IF_TARGET(NV_IS_DEVICE, (__shared__ std::uint64_t cells[6'000];
                                auto volatile& mine = cells[message.value() % 6'000];
                                mine = message.value(); reply.write(mine * factor);))
    return queue::status::ok;
  }
};
struct greedy_policy : times_policy {
  using processor = greedy;
};

}  // namespace functor_test

MILLRACE_EXPORT_FUNCTOR(times, functor_test::times_policy);
MILLRACE_EXPORT_FUNCTOR(without_contract, functor_test::plus_without_contract);
MILLRACE_EXPORT_FUNCTOR(narrow, functor_test::narrow_policy);
MILLRACE_EXPORT_FUNCTOR(small_blocks, functor_test::small_blocks);
MILLRACE_EXPORT_FUNCTOR(greedy, functor_test::greedy_policy);

extern "C" __global__ void millrace_bare() {}
