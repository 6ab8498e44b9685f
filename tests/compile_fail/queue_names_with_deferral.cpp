// SPDX-License-Identifier: Apache-2.0
// expect: named_producers.*publish_batch == 1
#include <millrace/queue/launch_host.hpp>

namespace queue = millrace::queue;

struct ignore {
  queue::status operator()(queue::message_view<int>,
                           queue::reply_writer<std::uint64_t>&) const noexcept {
    return queue::status::ok;
  }
};
struct policy : queue::default_consumer<int, ignore> {
  static constexpr queue::claim_mode claims = queue::claim_mode::pinned;
  static constexpr bool named_producers = true;
#if defined(MILLRACE_BAD)
  static constexpr std::uint32_t publish_batch = 8;
#endif
};

int main() { return queue::launch_host<policy>({}) ? 0 : 1; }
