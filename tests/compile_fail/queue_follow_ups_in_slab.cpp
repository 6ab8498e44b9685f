// SPDX-License-Identifier: Apache-2.0
// expect: follow_ups == 0.*is_slab_bytes
#include <millrace/queue.hpp>

namespace core = millrace::core;
namespace queue = millrace::queue;

template <class... More>
struct ignore {
  template <class Message>
  queue::status operator()(queue::message_view<Message>, queue::reply_writer<std::uint64_t>&,
                           More&...) const noexcept {
    return queue::status::ok;
  }
};
using bytes = queue::slab_bytes<64>;
#if defined(MILLRACE_BAD)
using processor_type = ignore<queue::follow_up<bytes>>;
#else
using processor_type = ignore<>;
#endif

struct policy : queue::default_consumer<bytes, processor_type> {
#if defined(MILLRACE_BAD)
  static constexpr std::uint32_t follow_ups = 4;
#endif
};

int main() { return queue::launch<policy>(core::backend::host(), {}) ? 0 : 1; }
