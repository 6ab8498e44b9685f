// SPDX-License-Identifier: Apache-2.0
// expect: stateful_processor
#include <millrace/queue.hpp>

namespace core = millrace::core;
namespace queue = millrace::queue;

struct ignore {
  queue::status operator()(queue::message_view<int>, queue::reply_writer<std::uint64_t>&
#if !defined(MILLRACE_BAD)
                           ,
                           queue::follow_up<int>&
#endif
  ) const noexcept {
    return queue::status::ok;
  }
};
struct policy : queue::default_consumer<int, ignore> {
  static constexpr std::uint32_t follow_ups = 4;
};

int main() { return queue::launch<policy>(core::backend::host(), {}) ? 0 : 1; }
