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

struct counter {
  std::uint64_t count = 0;
};
struct counting {
  queue::status operator()(queue::message_view<message>, queue::reply_writer<std::uint64_t>&,
                           counter& to) const noexcept {
    ++to.count;
    return queue::status::ok;
  }
};
struct policy : queue::default_consumer<message, counting> {
  using state = counter;
  static constexpr queue::claim_mode claims = queue::claim_mode::pinned;
  static constexpr std::uint32_t snapshot_every = 4;
};

int main() { return queue::launch<policy>(core::backend::host(), {}) ? 0 : 1; }
