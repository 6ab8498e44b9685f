// SPDX-License-Identifier: Apache-2.0
// expect: gang == .*width::warp
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
#if defined(MILLRACE_BAD)
  static constexpr queue::width gang = queue::width::thread;
#else
  static constexpr queue::width gang = queue::width::block;
#endif
};

int main() { return queue::launch<policy>(core::backend::host(), {}) ? 0 : 1; }
