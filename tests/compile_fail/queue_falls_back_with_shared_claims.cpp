// SPDX-License-Identifier: Apache-2.0
// expect: on_loss == .*loss_mode::give_up
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
  static constexpr queue::loss_mode on_loss = queue::loss_mode::fall_back;
#if !defined(MILLRACE_BAD)
  static constexpr queue::claim_mode claims = queue::claim_mode::pinned;
#endif
};

int main() { return queue::launch<policy>(core::backend::host(), {}) ? 0 : 1; }
