// SPDX-License-Identifier: Apache-2.0
// expect: 0 < Max
#include <millrace/queue.hpp>

namespace core = millrace::core;
namespace queue = millrace::queue;

#if defined(MILLRACE_BAD)
using message = queue::slab_bytes<0>;
#else
using message = queue::slab_bytes<1>;
#endif

struct ignore {
  queue::status operator()(queue::message_view<message>,
                           queue::reply_writer<std::uint64_t>&) const noexcept {
    return queue::status::ok;
  }
};
struct policy : queue::default_consumer<message, ignore> {};

int main() { return queue::launch<policy>(core::backend::host(), {}) ? 0 : 1; }
