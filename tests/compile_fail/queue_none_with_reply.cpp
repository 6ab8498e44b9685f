// SPDX-License-Identifier: Apache-2.0
// expect: completions == .*completion_mode::records
#include <millrace/queue.hpp>

namespace core = millrace::core;
namespace queue = millrace::queue;

#if defined(MILLRACE_BAD)
using reply_type = int;
#else
using reply_type = queue::no_reply;
#endif

struct ignore {
  queue::status operator()(queue::message_view<int>,
                           queue::reply_writer<reply_type>&) const noexcept {
    return queue::status::ok;
  }
};
struct policy : queue::default_consumer<int, ignore> {
  using reply = reply_type;
  static constexpr queue::completion_mode completions = queue::completion_mode::none;
};

int main() { return queue::launch<policy>(core::backend::host(), {}) ? 0 : 1; }
