// SPDX-License-Identifier: Apache-2.0
// expect: is_slab_bytes
#include <millrace/queue.hpp>

namespace core = millrace::core;
namespace queue = millrace::queue;

#if defined(MILLRACE_BAD)
using reply_type = queue::slab_bytes<100>;
#else
using reply_type = queue::inline_bytes<100>;
#endif

struct ignore {
  queue::status operator()(queue::message_view<queue::slab_bytes<100>>,
                           queue::reply_writer<reply_type>&) const noexcept {
    return queue::status::ok;
  }
};
struct policy : queue::default_consumer<queue::slab_bytes<100>, ignore> {
  using reply = reply_type;
};

int main() { return queue::launch<policy>(core::backend::host(), {}) ? 0 : 1; }
