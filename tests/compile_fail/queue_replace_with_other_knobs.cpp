// SPDX-License-Identifier: Apache-2.0
// expect: cancellable
#include <millrace/queue.hpp>

namespace core = millrace::core;
namespace queue = millrace::queue;

struct ignore {
  queue::status operator()(queue::message_view<int>,
                           queue::reply_writer<std::uint64_t>&) const noexcept {
    return queue::status::ok;
  }
};
struct policy : queue::default_consumer<int, ignore> {
  static constexpr bool cancellable = true;
};
struct other : queue::default_consumer<int, ignore> {
#if !defined(MILLRACE_BAD)
  static constexpr bool cancellable = true;
#endif
};

template <class P, class Q>
  requires queue::same_shape<P, Q>
int swap() {
  return 0;
}

int main() { return swap<policy, other>(); }
