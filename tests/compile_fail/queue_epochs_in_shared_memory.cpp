// SPDX-License-Identifier: Apache-2.0
// expect: stay\.bounded
#include <millrace/queue/shared.hpp>

namespace queue = millrace::queue;

struct ignore {
  queue::status operator()(queue::message_view<int>,
                           queue::reply_writer<std::uint64_t>&) const noexcept {
    return queue::status::ok;
  }
};

struct policy : queue::default_consumer<int, ignore> {
#if defined(MILLRACE_BAD)
  static constexpr queue::residency stay = {.nanoseconds = 1'000'000};
#endif
};

int main() { return queue::share<policy>("/none", {}) ? 0 : 1; }
