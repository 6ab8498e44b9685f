// SPDX-License-Identifier: Apache-2.0
// expect: P::stay == Q::stay
#include <millrace/queue/launch.hpp>

namespace queue = millrace::queue;

struct ignore {
  queue::status operator()(queue::message_view<int>,
                           queue::reply_writer<std::uint64_t>&) const noexcept {
    return queue::status::ok;
  }
};

struct policy : queue::default_consumer<int, ignore> {
  static constexpr queue::residency stay = {.messages = 1'000};
};
struct other : policy {
#if defined(MILLRACE_BAD)
  static constexpr queue::residency stay = {.messages = 2'000};
#endif
};

int main() {
  auto consumer = queue::launch_host<policy>({});
  return consumer && queue::replace_host<other>(*consumer, {}) ? 0 : 1;
}
