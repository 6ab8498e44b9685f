// SPDX-License-Identifier: Apache-2.0
// expect: contract is an unsigned number of up to 32 bits
#include <millrace/queue/functor_abi.hpp>

namespace queue = millrace::queue;

struct ignore {
  queue::status operator()(queue::message_view<int>,
                           queue::reply_writer<std::uint64_t>&) const noexcept {
    return queue::status::ok;
  }
};
struct policy : queue::default_consumer<int, ignore> {
#if defined(MILLRACE_BAD)
  static constexpr std::uint64_t contract = std::uint64_t{1} << 32;
#else
  static constexpr std::uint32_t contract = 1;
#endif
};

int main() { return queue::functor_abi_of<policy>()[queue::abi_field::contract] == 1 ? 0 : 1; }
