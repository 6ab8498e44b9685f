// SPDX-License-Identifier: Apache-2.0
// expect: order == .*order_mode::per_producer
#include <millrace/queue/shared.hpp>

namespace queue = millrace::queue;

struct ignore {
  queue::status operator()(queue::message_view<int>,
                           queue::reply_writer<std::uint64_t>&) const noexcept {
    return queue::status::ok;
  }
};
struct policy : queue::default_consumer<int, ignore> {
#if defined(MILLRACE_BAD)
  static constexpr queue::order_mode order = queue::order_mode::total;
#endif
};

int main() { return queue::share<policy>("/millrace.pair", {}) ? 0 : 1; }
