// SPDX-License-Identifier: Apache-2.0
// expect: ingress != .*ingress_mode::direct
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
  static constexpr queue::ingress_mode ingress = queue::ingress_mode::direct;
#if !defined(MILLRACE_BAD)
  static constexpr queue::claim_mode claims = queue::claim_mode::pinned;
#endif
};

int main() { return queue::launch<policy>(core::backend::host(), {}) ? 0 : 1; }
