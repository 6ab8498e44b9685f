// SPDX-License-Identifier: Apache-2.0
// expect: timed_layout
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
  static constexpr bool expires = true;
#if !defined(MILLRACE_BAD)
  using slot = queue::timed_slot<queue::default_slot<int>>;
#endif
};

int main() { return queue::launch<policy>(core::backend::host(), {}) ? 0 : 1; }
