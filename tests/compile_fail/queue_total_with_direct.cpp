// SPDX-License-Identifier: Apache-2.0
// expect: order == .*order_mode::per_producer.* \|\| P::ingress == .*ingress_mode::pull
#include <millrace/queue.hpp>

namespace core = millrace::core;
namespace queue = millrace::queue;

struct ignore {
  queue::status operator()(queue::message_view<int>,
                           queue::reply_writer<std::uint64_t>&) const noexcept {
    return queue::status::ok;
  }
};
struct policy : queue::default_consumer<int, ignore> {
  static constexpr queue::order_mode order = queue::order_mode::total;
  static constexpr queue::claim_mode claims = queue::claim_mode::pinned;
#if defined(MILLRACE_BAD)
  static constexpr queue::ingress_mode ingress = queue::ingress_mode::direct;
#endif
};

int main() { return queue::launch<policy>(core::backend::host(), {}) ? 0 : 1; }
