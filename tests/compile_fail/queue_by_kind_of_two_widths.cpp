// SPDX-License-Identifier: Apache-2.0
// expect: stateful_processor
#include <millrace/queue.hpp>

namespace core = millrace::core;
namespace queue = millrace::queue;

struct alone {
  queue::status operator()(queue::message_view<int>, queue::reply_writer<int>&) const noexcept {
    return queue::status::ok;
  }
};
struct together {
  template <class Group>
  queue::status operator()(Group, queue::message_view<int>,
                           queue::reply_writer<int>&) const noexcept {
    return queue::status::ok;
  }
};

#if defined(MILLRACE_BAD)
using functors = queue::by_kind<alone, together>;
#else
using functors = queue::by_kind<alone, alone>;
#endif

struct policy : queue::default_consumer<int, functors> {
  using reply = int;
};

int main() { return queue::launch<policy>(core::backend::host(), {}) ? 0 : 1; }
