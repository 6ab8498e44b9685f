// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/queue/crew.hpp>
#include <millrace/queue/lane.hpp>

#include <cstdint>
#include <type_traits>

namespace millrace::inline v0::queue {

/// Waits beside the workers of a ring that a keeper fills until they may leave: at once when they
/// park or stop, and when the consumer closes as soon as the ring has all that was published. It
/// asks the producers' memory, so that a stop needs neither keeper nor copy engine.
/// @param from  [lanes] what producers write
/// @param to    [lanes] the same in the workers' memory
/// @return the phase that ended it, the same in every member of the group
template <consumer_policy P, core::access_policy A, class Group>
[[nodiscard]] MILLRACE_HD phase await_end(lane_ref<P> const* from, lane_ref<P, A> const* to,
                                          std::uint32_t lanes, crew_ref<P> crew,
                                          Group group) noexcept {
  using access = typename P::access;
  std::conditional_t<P::backoff::blocks, exponential_backoff<20, 256>, typename P::backoff> wait;
  for (;;) {
    // read before the lanes, or the last message before a close is lost
    auto const now = static_cast<phase>(
        group.broadcast(group.rank() == 0 ? static_cast<std::uint32_t>(crew.phase()) : 0u));
    if (leaves_work(now)) { return now; }
    if (now == phase::closing) {
      bool behind = false;  // relaxed: who is told by this group sees no less than it saw
      for (std::uint32_t l = group.rank(); l < lanes; l += group.size()) {
        auto const& words = from[l].control().producer;
        message_id const end = access::load(detail::defers<P> ? words.reserved : words.published,
                                            core::relaxed, "lane.closed_at");
        message_id const there =
            A::load(to[l].control().producer.published, core::relaxed, "lane.arrived");
        behind = behind || (end != there && end - there <= ~message_id{0} / 2);
      }
      if (group.count(behind) == 0) { return now; }
    }
    wait.pause();
  }
}

}  // namespace millrace::inline v0::queue
