// SPDX-License-Identifier: Apache-2.0
// expect: completions == .*completion_mode::records
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
#if defined(MILLRACE_BAD)
  static constexpr queue::completion_mode completions = queue::completion_mode::none;
#else
  static constexpr queue::completion_mode completions = queue::completion_mode::records;
#endif
};

int main() {
  auto consumer = core::value_or_throw(queue::launch<policy>(core::backend::host(), {}));
  auto lane = core::value_or_throw(consumer.open_lane());
  return lane.try_result(0) ? 0 : 1;
}
