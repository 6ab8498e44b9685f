// SPDX-License-Identifier: Apache-2.0
// expect: overflow != .*overflow_mode::drop_oldest
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
  static constexpr queue::overflow_mode overflow = queue::overflow_mode::drop_oldest;
#endif
};

int main() { return queue::share<policy>("/none", {}) ? 0 : 1; }
