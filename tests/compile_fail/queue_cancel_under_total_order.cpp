// SPDX-License-Identifier: Apache-2.0
// expect: !.*cancellable.* order
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
#if defined(MILLRACE_BAD)
  static constexpr bool cancellable = true;
#endif
};

int main() { return queue::launch<policy>(core::backend::host(), {}) ? 0 : 1; }
