// SPDX-License-Identifier: Apache-2.0
// expect: follow_ups == 0
#include <millrace/queue/shared.hpp>

namespace queue = millrace::queue;

template <class... More>
struct ignore {
  queue::status operator()(queue::message_view<int>, queue::reply_writer<std::uint64_t>&,
                           More&...) const noexcept {
    return queue::status::ok;
  }
};
#if defined(MILLRACE_BAD)
using processor_type = ignore<queue::follow_up<int>>;
#else
using processor_type = ignore<>;
#endif

struct policy : queue::default_consumer<int, processor_type> {
#if defined(MILLRACE_BAD)
  static constexpr std::uint32_t follow_ups = 4;
#endif
};

int main() { return queue::share<policy>("/none", {}) ? 0 : 1; }
