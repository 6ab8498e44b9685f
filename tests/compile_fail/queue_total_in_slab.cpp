// SPDX-License-Identifier: Apache-2.0
// expect: is_slab_bytes
#include <millrace/queue.hpp>

namespace core = millrace::core;
namespace queue = millrace::queue;

#if defined(MILLRACE_BAD)
using message = queue::slab_bytes<100>;
#else
using message = queue::inline_bytes<100>;
#endif

struct ignore {
  queue::status operator()(queue::message_view<message>,
                           queue::reply_writer<std::uint64_t>&) const noexcept {
    return queue::status::ok;
  }
};
struct policy : queue::default_consumer<message, ignore> {
  static constexpr queue::order_mode order = queue::order_mode::total;
};

int main() { return queue::launch<policy>(core::backend::host(), {}) ? 0 : 1; }
