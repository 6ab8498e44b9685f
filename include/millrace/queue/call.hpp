// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/queue/drain_args.hpp>
#include <millrace/queue/follow_up.hpp>

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace millrace::inline v0::queue::detail {

/// How a worker calls its functor: what it looks at before, and what the functor leaves behind.
template <consumer_policy P, core::access_policy A, class Group>
class functor_call {
  using access = typename P::access;
  using view = message_view<typename P::message>;
  using writer = reply_writer<typename P::reply>;
  using layout = follow_layout_of<P>;
  using side = typename follow_up<typename P::message>::worker_side;
  static constexpr bool thread_wide = P::processing == width::thread;

 public:
  MILLRACE_HD functor_call(drain_args<P, A> const& args, std::uint32_t worker, Group group) noexcept
      : args_(args), process_(args.process), group_(group), worker_(worker) {
    if constexpr (screens<P>) {  // the counts go on from one epoch to the next
      worker_control const& me = args.crew.worker(worker);
      cancelled_ = access::load(me.cancelled, core::relaxed, "worker.so_far");
      expired_ = access::load(me.expired, core::relaxed, "worker.so_far");
    }
    if constexpr (follows<P>) {
      static_assert(!thread_wide || Group::alone,
                    "millrace: a warp of single threads has no leader who could leave messages");
      worker_control const& me = args.crew.worker(worker);
      scratch_ = args.follow_ups + std::size_t{worker} * layout::bytes;
      follow_ = follow_up<typename P::message>(scratch_ + layout::slots_at, P::follow_ups,
                                               group_.rank() == 0);
      side::accepted(follow_) = access::load(me.followed, core::relaxed, "worker.so_far");
      follow_done_ = access::load(me.follow_done, core::relaxed, "worker.so_far");
    }
  }

  /// Does the message of slot `index`, unless it is not to be done. Of a group the leader's outcome
  /// is the true one.
  [[nodiscard]] MILLRACE_HD status operator()(lane_ref<P, A> const& lane, std::uint32_t index,
                                              view message, writer& out) noexcept {
    if constexpr (screens<P>) {
      status const verdict = screen(lane, index);
      skipped_ = verdict != status::ok;
      if (skipped_) { return verdict; }
    }
    if constexpr (follows<P>) { side::root(follow_) = message.id(); }
    return again(message, out);
  }
  /// Does a message whatever there is to look at.
  MILLRACE_HD status again(view message, writer& out) noexcept {
    if constexpr (follows<P>) {
      std::uint64_t const before = side::accepted(follow_);
      status const outcome = with_state(message, out, follow_);
      // before the message's own record: whoever sees that one done knows what follows from it
      if (side::accepted(follow_) != before) {
        access::store(args_.crew.worker(worker_).followed, side::accepted(follow_), core::relaxed,
                      "worker.followed");
      }
      return outcome;
    } else {
      return with_state(message, out);
    }
  }

  /// Before a run of messages, of which this thread may get none.
  MILLRACE_HD void begin() noexcept {
    if constexpr (screens<P>) { skipped_ = false; }
  }
  /// Whether the functor did not see this thread's message.
  [[nodiscard]] MILLRACE_HD bool skipped() const noexcept {
    if constexpr (screens<P>) {
      return skipped_;
    } else {
      return false;
    }
  }

  /// Counts what the functor did not see; `count(said)` is how many of the group's messages say so.
  template <class Count>
  MILLRACE_HD void tally(status outcome, Count count) noexcept {
    if constexpr (screens<P>) {
      cancelled_ += count(skipped_ && outcome == status::cancelled);
      expired_ += count(skipped_ && outcome == status::expired);
    }
  }
  /// All that the worker's functors did not see. @thread the leader
  [[nodiscard]] MILLRACE_HD std::uint64_t all_skipped() const noexcept {
    if constexpr (screens<P>) {
      return cancelled_ + expired_;
    } else {
      return 0;
    }
  }
  /// Tells whoever reads the worker's words. @thread the leader
  MILLRACE_HD void report_skipped() const noexcept {
    if constexpr (screens<P>) {
      worker_control& me = args_.crew.worker(worker_);
      access::store(me.cancelled, cancelled_, core::relaxed, "worker.cancelled");
      access::store(me.expired, expired_, core::relaxed, "worker.expired");
    }
  }

  /// Does what functors left to this worker, and what follows from that, until `stops()`, which is
  /// asked after every `patience` of them; calls `done(outcome)` for each.
  /// @return false when it was stopped
  template <class Stops, class Done>
  [[nodiscard]] MILLRACE_HD bool do_follow_ups(std::uint32_t patience, Stops stops,
                                               Done done) noexcept
    requires(follows<P>)
  {
    std::uint32_t count = 0;
    bool stopped = false;
    for (; side::count(follow_) = leaders_count(), side::count(follow_) != 0; ++count) {
      if (count != 0 && count % patience == 0 && stops()) {
        stopped = true;
        break;
      }
      view const message = side::take(follow_);
      side::root(follow_) = message.id();
      std::uint16_t length = 0;
      writer nowhere(scratch_, length);
      done(again(message, nowhere));
    }
    if (count != 0) {
      follow_done_ += count;
      group_.sync();
      if (group_.rank() == 0) {
        access::store(args_.crew.worker(worker_).follow_done, follow_done_, core::release,
                      "worker.follow_done");
      }
    }
    return !stopped;
  }

 private:
  [[nodiscard]] MILLRACE_HD std::uint32_t leaders_count() noexcept {
    return group_.broadcast(group_.rank() == 0 ? side::count(follow_) : 0u);
  }

  template <class... More>
  MILLRACE_HD status with_state(view message, writer& out, More&... more) noexcept {
    if constexpr (has_state<P>) {
      return call(message, out, args_.states[worker_].state, more...);
    } else {
      return call(message, out, more...);
    }
  }

  template <class... More>
  MILLRACE_HD status call(view message, writer& out, More&... more) noexcept {
    if constexpr (thread_wide) {
      return process_(message, out, more...);
    } else {
      status const outcome = process_(group_, message, out, more...);
      group_.sync();
      return outcome;  // the leader's counts, and it is the leader who tells
    }
  }

  /// Why the functor should not see the message of slot `index`; ok when it should. A group goes
  /// by its leader's look.
  [[nodiscard]] MILLRACE_HD status screen(lane_ref<P, A> const& lane,
                                          std::uint32_t index) noexcept {
    auto verdict = status::ok;
    if (thread_wide || group_.rank() == 0) {
      if constexpr (P::expires) {
        std::uint64_t const end_ns = lane.deadline(index);
        if (end_ns != never_expires && typename P::clock{}.now_ns() >= end_ns) {
          verdict = status::expired;
        }
      }
      if constexpr (P::cancellable) {
        message_id const unwanted =
            access::load(lane.cancel_word(index), core::relaxed, "slot.cancelled");
        if (unwanted == lane.header(index).id) { verdict = status::cancelled; }
      }
    }
    if constexpr (thread_wide) {
      return verdict;
    } else {
      return static_cast<status>(group_.broadcast(static_cast<std::uint32_t>(verdict)));
    }
  }

  drain_args<P, A> const& args_;
  typename P::processor process_;
  Group group_;
  std::uint32_t worker_;
  using number = std::conditional_t<screens<P>, std::uint64_t, nothing>;
  std::conditional_t<screens<P>, bool, nothing> skipped_{};  ///< this thread's last message
  number cancelled_{};
  number expired_{};
  std::conditional_t<follows<P>, follow_up<typename P::message>, nothing> follow_{};
  std::conditional_t<follows<P>, std::byte*, nothing> scratch_{};  ///< their replies go there
  std::conditional_t<follows<P>, std::uint64_t, nothing> follow_done_{};
};

}  // namespace millrace::inline v0::queue::detail
