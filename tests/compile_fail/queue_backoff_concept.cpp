// SPDX-License-Identifier: Apache-2.0
// expect: backoff_policy
#include <millrace/queue.hpp>

#include <cstdint>

namespace core = millrace::core;
namespace queue = millrace::queue;

struct without_reset {
  static constexpr bool blocks = false;
  void pause() noexcept {}
};

struct ignore {
  queue::status operator()(queue::message_view<int>,
                           queue::reply_writer<std::uint64_t>&) const noexcept {
    return queue::status::ok;
  }
};
struct policy : queue::default_consumer<int, ignore> {
#if defined(MILLRACE_BAD)
  using backoff = without_reset;
#else
  using backoff = queue::spin_backoff;
#endif
};

int main() { return queue::launch<policy>(core::backend::host(), {}) ? 0 : 1; }
