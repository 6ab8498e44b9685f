// SPDX-License-Identifier: Apache-2.0
// expect: make it trivially copyable
#include <millrace/queue.hpp>

#include <string>

namespace core = millrace::core;
namespace queue = millrace::queue;

#if defined(MILLRACE_BAD)
using message = std::string;
#else
using message = char[24];
#endif

struct ignore {
  queue::status operator()(queue::message_view<message>,
                           queue::reply_writer<std::uint64_t>&) const noexcept {
    return queue::status::ok;
  }
};
struct policy : queue::default_consumer<message, ignore> {};

int main() { return queue::launch<policy>(core::backend::host(), {}) ? 0 : 1; }
