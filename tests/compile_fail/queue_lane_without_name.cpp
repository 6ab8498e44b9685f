// SPDX-License-Identifier: Apache-2.0
// expect: named_producers
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
#if defined(MILLRACE_BAD)
  static constexpr bool named_producers = true;
#endif
};

int main() {
  auto consumer = queue::launch_host<policy>({});
  return consumer && consumer->open_lane() ? 0 : 1;
}
