// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/queue/drain_args.hpp>

#include <cstddef>
#include <cstdint>

namespace millrace::inline v0::queue::detail {

/// What a worker looks at, and what of it becomes its own: the phase, its lanes one after the
/// other, and in a lane the messages from its cursor on. What it does with them is `worker_loop`'s.
template <consumer_policy P, core::access_policy A, class Group>
class lane_claims {
 protected:
  static constexpr bool thread_wide = P::processing == width::thread;
  /// Whether the members are a warp, with registers to spare for what need not be asked again; the
  /// threads of a block have none.
  static constexpr bool roomy = !Group::alone && P::processing != width::block;
  /// Whether workers look at the lane's cursor, as pullers do: a look at the slot would take its
  /// line across the bus under the producer's pen, a copy engine writes slots in no order, and a
  /// block's leader looks once for all its members.
  static constexpr bool follows_cursor =
      !Group::alone && (P::ingress != ingress_mode::pull || P::gang == width::block);
  static constexpr std::uint32_t nobody = ~std::uint32_t{0};

  MILLRACE_HD lane_claims(drain_args<P, A> const& args, std::uint32_t worker, Group group) noexcept
      : args_(args),
        group_(group),
        worker_(worker),
        exclusive_(!drops_oldest<P> &&
                   (P::claims == claim_mode::pinned || args.crew.workers() == 1)),
        hint_(has_lanes() ? phase::running : phase::closing) {}

  /// The leader's value of `f()`, in every member.
  template <class F>
  [[nodiscard]] MILLRACE_HD auto lead(F f) noexcept {
    return group_.broadcast(group_.rank() == 0 ? f() : decltype(f()){});
  }

  /// The phase, for what is polled after it. A warp asks only when the hint that came with an
  /// earlier poll says that it has changed: each question may cross the bus.
  [[nodiscard]] MILLRACE_HD phase look_at_phase() noexcept {
    if (roomy && hint_ == phase::running) { return hint_; }
    return static_cast<phase>(
        lead([&]() noexcept { return static_cast<std::uint32_t>(args_.crew.phase()); }));
  }

  [[nodiscard]] MILLRACE_HD bool stopping() noexcept {
    return leaves_work(roomy ? hint_ : look_at_phase());
  }

  template <class F>
  MILLRACE_HD void for_each_lane(F f) const noexcept {
    if constexpr (P::claims == claim_mode::pinned) {
      for (std::uint32_t l = worker_; l < args_.lane_count; l += args_.crew.workers()) { f(l); }
    } else {
      for (std::uint32_t i = 0, l = worker_ % args_.lane_count; i < args_.lane_count; ++i) {
        f(l);
        l = l + 1 < args_.lane_count ? l + 1 : 0;
      }
    }
  }

  /// A worker without lanes never polls, so that no hint would come: it asks every time.
  [[nodiscard]] MILLRACE_HD bool has_lanes() const noexcept {
    return P::claims == claim_mode::shared || worker_ < args_.lane_count;
  }
  [[nodiscard]] MILLRACE_HD lane_cursor& cursor_of(std::uint32_t lane) const noexcept {
    return args_
        .cursors[P::claims == claim_mode::pinned ? std::size_t{lane}
                                                 : std::size_t{worker_} * args_.lane_count + lane];
  }

  /// Keeps a lane and its cursor in a warp's registers for as long as it is the one that is looked
  /// at: with every acquired word a device forgets what its first cache held.
  MILLRACE_HD void hold(std::uint32_t number) noexcept {
    if (number == held_) { return; }
    let_go();
    held_ = number;
    held_lane_ = args_.lanes[number];
    detail::copy_cursor<P>(held_cursor_, cursor_of(number));
  }
  MILLRACE_HD void let_go() noexcept {
    if (held_ != nobody) { put_back(held_, held_cursor_); }
    held_ = nobody;
  }
  MILLRACE_HD void put_back(std::uint32_t number, lane_cursor const& cursor) noexcept {
    group_.sync();
    if (group_.rank() == 0) { detail::copy_cursor<P>(cursor_of(number), cursor); }
    group_.sync();
  }

  /// How many messages from the cursor on are this group's now; 0 when the lane is dry.
  [[nodiscard]] MILLRACE_HD std::uint32_t claim(lane_ref<P, A> const& lane, lane_cursor& cursor,
                                                bool exclusive) noexcept {
    for (;;) {
      if (!exclusive && !follow(lane, cursor)) { return 0; }
      std::uint32_t run = ready_run(lane, cursor);
      if constexpr (detail::defers<P>) {
        if (run == 0 && look_behind(lane, cursor)) { run = ready_run(lane, cursor); }
      }
      if (run == 0 || exclusive) { return run; }
      // relaxed is enough: the look at the slot was the acquire, and only one worker can win; but
      // a producer that drops may have written the slot since
      constexpr core::memory_order won = drops_oldest<P> ? core::acquire : core::relaxed;
      if (lead([&]() noexcept {
            message_id expected = cursor.position;
            return A::compare_exchange(lane.control().claim.claimed, expected,
                                       cursor.position + run, won, core::relaxed, "lane.claim");
          })) {
        return run;
      }
    }
  }

  /// Moves a shared lane's cursor to the first message without a worker; false while the lane's
  /// producer holds those.
  MILLRACE_HD bool follow(lane_ref<P, A> const& lane, lane_cursor& cursor) noexcept {
    message_id const claimed = lead([&]() noexcept {
      return A::load(lane.control().claim.claimed, core::relaxed, "lane.claimed");
    });
    if constexpr (drops_oldest<P>) {
      if (is_withheld(claimed, cursor.position)) {
        withheld_ = true;
        return false;
      }
    }
    message_id const distance = claimed - cursor.position;
    if (distance != 0) {
      cursor.index =
          lane.after(cursor.index, distance < lane.capacity()
                                       ? static_cast<std::uint32_t>(distance)
                                       : static_cast<std::uint32_t>(distance % lane.capacity()));
      cursor.position = claimed;
      cursor.dry = false;
    }
    return true;
  }

  /// Published messages from the cursor on, as many as the group can do at once.
  [[nodiscard]] MILLRACE_HD std::uint32_t ready_run(lane_ref<P, A> const& lane,
                                                    lane_cursor const& cursor) noexcept {
    if constexpr (Group::alone) {
      return ready(lane, cursor, 0) ? 1u : 0u;
    } else if constexpr (thread_wide && !follows_cursor) {
      std::uint32_t const mine = group_.rank();
      std::uint32_t const seen = glance_at_phase();
      std::uint32_t const run = group_.leading(mine < lane.capacity() && ready(lane, cursor, mine));
      hint_ = static_cast<phase>(group_.broadcast(seen));
      return run;
    } else {
      std::uint32_t const found = lead([&]() noexcept {
        std::uint32_t const seen = roomy ? glance_at_phase() : 0;
        std::uint32_t const most = thread_wide ? group_.size() : 1;
        message_id ahead = 0;
        if constexpr (follows_cursor) {
          ahead = published_ahead(lane, cursor);
        } else {
          ahead = ready(lane, cursor, 0) ? 1u : 0u;
        }
        // one word: a shuffle carries four bytes
        return static_cast<std::uint32_t>(ahead < most ? ahead : most) << 8 | seen;
      });
      if constexpr (roomy) { hint_ = static_cast<phase>(found & 0xffu); }
      return found >> 8;
    }
  }

  /// How many messages from the cursor on are published, or old enough to be taken all the same.
  [[nodiscard]] MILLRACE_HD message_id published_ahead(lane_ref<P, A> const& lane,
                                                       lane_cursor const& cursor) const noexcept {
    message_id const published =
        A::load(lane.control().producer.published, core::acquire, "lane.pull");
    message_id ahead = published - cursor.position;
    if (ahead > lane.capacity()) { ahead = 0; }  // taken by their age, and not published yet
    if constexpr (detail::defers<P>) {
      message_id const aged = cursor.limit - cursor.position;
      if (aged <= lane.capacity() && aged > ahead) { ahead = aged; }
    }
    return ahead;
  }

  /// The leader's hint of a new phase: a load that crosses the bus beside the poll that follows it.
  [[nodiscard]] MILLRACE_HD std::uint32_t glance_at_phase() const noexcept {
    return group_.rank() == 0 ? static_cast<std::uint32_t>(args_.crew.phase(core::relaxed)) : 0;
  }

  [[nodiscard]] MILLRACE_HD bool ready(lane_ref<P, A> const& lane, lane_cursor const& cursor,
                                       std::uint32_t ahead) const noexcept {
    message_id const id = cursor.position + ahead;
    if constexpr (detail::defers<P>) {
      if (id - cursor.position < cursor.limit - cursor.position &&
          cursor.limit - cursor.position <= lane.capacity()) {
        return true;
      }
    }
    return A::load(lane.header(lane.after(cursor.index, ahead)).seq, core::acquire, "slot.take") ==
           sequence_of(id);
  }

  /// A dry lane may hold messages that a silent producer wrote and did not publish: once they are
  /// old enough the worker takes them as they are. True when there are some.
  [[nodiscard]] MILLRACE_HD bool look_behind(lane_ref<P, A> const& lane,
                                             lane_cursor& cursor) noexcept {
    cursor.limit = lead([&]() noexcept {
      std::uint64_t const now_ns = typename P::clock{}.now_ns();
      if (!cursor.dry) {
        cursor.dry = true;
        cursor.dry_since_ns = now_ns;
      }
      bool const young = now_ns - cursor.dry_since_ns < P::publish_age_ns;
      if (young && !closing_) { return cursor.position; }  // after a close no company comes
      return A::load(lane.control().producer.reserved, core::acquire, "lane.look_behind");
    });
    return cursor.limit != cursor.position;
  }

  drain_args<P, A> const& args_;
  Group group_;
  std::uint32_t worker_;
  bool exclusive_;  ///< its lanes have no other worker
  bool closing_ = false;
  bool withheld_ = false;  ///< a producer held its lane's messages in this round: it is not dry
  phase hint_;             ///< what a group of device threads believes of the phase
  std::uint32_t held_ = nobody;  ///< the lane that a group of device threads looks at
  lane_ref<P, A> held_lane_;
  lane_cursor held_cursor_;
};

}  // namespace millrace::inline v0::queue::detail
