// SPDX-License-Identifier: Apache-2.0
// expect: stateful_processor
#include <millrace/queue.hpp>

namespace core = millrace::core;
namespace queue = millrace::queue;

struct takes_view {
  queue::status operator()(queue::message_view<int>, queue::reply_writer<int>&) const noexcept {
    return queue::status::ok;
  }
};
struct takes_value {
  int operator()(int message) const noexcept { return message; }
};

#if defined(MILLRACE_BAD)
using processor = takes_value;
#else
using processor = takes_view;
#endif

struct policy : queue::default_consumer<int, processor> {
  using reply = int;
};

int main() { return queue::launch<policy>(core::backend::host(), {}) ? 0 : 1; }
