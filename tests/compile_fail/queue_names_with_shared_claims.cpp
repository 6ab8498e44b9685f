// SPDX-License-Identifier: Apache-2.0
// expect: named_producers.*claims == .*claim_mode::pinned
#include <millrace/queue/launch_host.hpp>

namespace queue = millrace::queue;

struct ignore {
  queue::status operator()(queue::message_view<int>,
                           queue::reply_writer<std::uint64_t>&) const noexcept {
    return queue::status::ok;
  }
};
struct policy : queue::default_consumer<int, ignore> {
  static constexpr bool named_producers = true;
#if !defined(MILLRACE_BAD)
  static constexpr queue::claim_mode claims = queue::claim_mode::pinned;
#endif
};

int main() { return queue::launch_host<policy>({}) ? 0 : 1; }
