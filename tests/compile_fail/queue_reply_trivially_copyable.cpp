// SPDX-License-Identifier: Apache-2.0
// expect: message_type
#include <millrace/queue.hpp>

#include <vector>

namespace core = millrace::core;
namespace queue = millrace::queue;

#if defined(MILLRACE_BAD)
using reply_type = std::vector<double>;
#else
using reply_type = double;
#endif

struct ignore {
  queue::status operator()(queue::message_view<int>,
                           queue::reply_writer<reply_type>&) const noexcept {
    return queue::status::ok;
  }
};
struct policy : queue::default_consumer<int, ignore> {
  using reply = reply_type;
};

int main() { return queue::launch<policy>(core::backend::host(), {}) ? 0 : 1; }
