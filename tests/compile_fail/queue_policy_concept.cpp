// SPDX-License-Identifier: Apache-2.0
// expect: stateful_processor
#include <millrace/queue.hpp>

namespace core = millrace::core;
namespace queue = millrace::queue;

struct careful {
  queue::status operator()(queue::message_view<int>, queue::reply_writer<int>&) const noexcept {
    return queue::status::ok;
  }
};
struct throwing {
  queue::status operator()(queue::message_view<int>, queue::reply_writer<int>&) const {
    return queue::status::ok;
  }
};

#if defined(MILLRACE_BAD)
using processor = throwing;
#else
using processor = careful;
#endif

struct policy : queue::default_consumer<int, processor> {
  using reply = int;
};

int main() { return queue::launch<policy>(core::backend::host(), {}) ? 0 : 1; }
