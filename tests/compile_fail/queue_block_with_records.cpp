// SPDX-License-Identifier: Apache-2.0
// expect: overflow != .*overflow_mode::block
#include <millrace/queue.hpp>

namespace core = millrace::core;
namespace queue = millrace::queue;

struct ignore {
  queue::status operator()(queue::message_view<int>,
                           queue::reply_writer<queue::no_reply>&) const noexcept {
    return queue::status::ok;
  }
};
struct policy : queue::default_consumer<int, ignore> {
  using reply = queue::no_reply;
  static constexpr queue::overflow_mode overflow = queue::overflow_mode::block;
#if !defined(MILLRACE_BAD)
  static constexpr queue::completion_mode completions = queue::completion_mode::none;
#endif
};

int main() { return queue::launch<policy>(core::backend::host(), {}) ? 0 : 1; }
