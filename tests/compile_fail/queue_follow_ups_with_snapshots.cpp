// SPDX-License-Identifier: Apache-2.0
// expect: snapshot_every == 0.*follow_ups
#include <millrace/queue.hpp>

namespace core = millrace::core;
namespace queue = millrace::queue;

struct ignore {
  queue::status operator()(queue::message_view<int>, queue::reply_writer<std::uint64_t>&, int&,
                           queue::follow_up<int>&) const noexcept {
    return queue::status::ok;
  }
};

struct policy : queue::default_consumer<int, ignore> {
  using state = int;
  static constexpr queue::claim_mode claims = queue::claim_mode::pinned;
  static constexpr std::uint32_t follow_ups = 4;
#if defined(MILLRACE_BAD)
  static constexpr std::uint32_t snapshot_every = 100;
#endif
};

int main() { return queue::launch<policy>(core::backend::host(), {}) ? 0 : 1; }
