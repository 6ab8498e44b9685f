// SPDX-License-Identifier: Apache-2.0
// expect: order == .*order_mode::per_producer.* \|\| P::snapshot_every == 0
#include <millrace/queue.hpp>

namespace core = millrace::core;
namespace queue = millrace::queue;

struct count {
  int messages = 0;
};
struct counting {
  queue::status operator()(queue::message_view<int>, queue::reply_writer<std::uint64_t>& reply,
                           count& so_far) const noexcept {
    reply.write(static_cast<std::uint64_t>(++so_far.messages));
    return queue::status::ok;
  }
};
struct policy : queue::default_consumer<int, counting> {
  using state = count;
  static constexpr queue::claim_mode claims = queue::claim_mode::pinned;
  static constexpr std::uint32_t snapshot_every = 8;
#if defined(MILLRACE_BAD)
  static constexpr queue::order_mode order = queue::order_mode::total;
#endif
};

int main() { return queue::launch<policy>(core::backend::host(), {}) ? 0 : 1; }
