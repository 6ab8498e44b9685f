// SPDX-License-Identifier: Apache-2.0
// expect: cancellable
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
#if !defined(MILLRACE_BAD)
  static constexpr bool cancellable = true;
#endif
};

int main() {
  auto consumer = queue::launch<policy>(core::backend::host(), {});
  auto lane = consumer->open_lane();
  return lane->cancel(3) ? 1 : 0;
}
