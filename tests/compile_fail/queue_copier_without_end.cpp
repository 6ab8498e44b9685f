// SPDX-License-Identifier: Apache-2.0
// expect: run_copier
#include <millrace/queue/keeper.hpp>

namespace queue = millrace::queue;
using millrace::result;

struct copier {
  static result<bool> ready() noexcept { return true; }
  static result<void> copy(std::byte*, std::byte const*, std::size_t) noexcept { return {}; }
  static result<void> publish(queue::message_id&, queue::message_id) noexcept { return {}; }
#if !defined(MILLRACE_BAD)
  static result<void> finish() noexcept { return {}; }
#endif
};
struct ignore {
  queue::status operator()(queue::message_view<int>,
                           queue::reply_writer<std::uint64_t>&) const noexcept {
    return queue::status::ok;
  }
};
struct policy : queue::default_consumer<int, ignore> {
  static constexpr queue::ingress_mode ingress = queue::ingress_mode::dma;
};

int main() { return sizeof(queue::keeper<policy, policy::access, copier>) == 0 ? 1 : 0; }
