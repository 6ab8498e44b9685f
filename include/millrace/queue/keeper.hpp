// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/error.hpp>
#include <millrace/queue/crew.hpp>
#include <millrace/queue/cursor.hpp>
#include <millrace/queue/lane.hpp>
#include <millrace/queue/state.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace millrace::inline v0::queue {

/// Slots that lie one behind the other.
struct slot_run {
  std::uint32_t index = 0;
  std::uint32_t count = 0;
};

/// The `count` slots from `index` on as runs: a second one where they come round, else an empty
/// one.
/// @param count  at most the capacity
[[nodiscard]] constexpr std::array<slot_run, 2> runs_of(std::uint32_t index, std::uint32_t count,
                                                        std::uint32_t capacity) noexcept {
  std::uint32_t const before_end = capacity - index;
  if (count <= before_end) { return {{{index, count}, {0, 0}}}; }
  return {{{index, before_end}, {0, count - before_end}}};
}

/// What moves slots for a keeper, in the order of the calls, though perhaps long after them.
/// `ready`: whether another batch may be begun. `copy`: bytes from a lane to the workers' memory.
/// `publish`: a word there, which nobody sees before every copy that came before it. `finish`: the
/// batch's end, of which `ready` counts.
template <class C>
concept run_copier =
    requires(C& c, std::byte* to, std::byte const* from, std::size_t n, message_id& w) {
      { c.ready() } noexcept -> std::same_as<result<bool>>;
      { c.copy(to, from, n) } noexcept -> std::same_as<result<void>>;
      { c.publish(w, message_id{}) } noexcept -> std::same_as<result<void>>;
      { c.finish() } noexcept -> std::same_as<result<void>>;
    };

/// Has the published messages of all lanes carried to the ring in the workers' memory. Slot i goes
/// to slot i: whoever may write the one may write the other, so the ring needs no room of its own
/// to be counted. What is published while the copier is busy gathers into its next batch.
/// @thread one, which is neither producer nor worker
template <consumer_policy P, core::access_policy A, run_copier Copier>
class keeper {
  using access = typename P::access;

 public:
  /// One lane and its ring, and how far it is carried.
  struct route {
    lane_ref<P> from;
    lane_ref<P, A> to;
    lane_cursor at;
  };

  /// @param routes  outlive the keeper
  keeper(memory::buffer_ref<route> routes, crew_ref<P> crew, Copier& copier) noexcept
      : routes_(routes), crew_(crew), copier_(copier) {}

  /// Carries until the consumer stops, or closes and its workers have left. It goes on while they
  /// are parked: what it carries waits in the ring.
  /// @error the copier's; nothing is carried any more
  [[nodiscard]] result<void> run() noexcept {
    waiting wait;
    for (;;) {
      queue::phase const now = crew_.phase();
      if (now == phase::stopping || crew_.over()) { return {}; }
      auto const carried = carry_once(now == phase::closing);
      if (!carried) { return cuda::std::unexpected(carried.error()); }
      *carried != 0 ? wait.reset(*carried) : wait.pause();
    }
  }

  /// Begins to carry what there is, unless the copier is busy.
  /// @param closing  held-back messages go too, whatever their age
  /// @return messages
  [[nodiscard]] result<std::uint32_t> carry_once(bool closing) noexcept {
    auto const ready = copier_.ready();
    if (!ready) { return cuda::std::unexpected(ready.error()); }
    if (!*ready) { return 0u; }
    std::uint32_t carried = 0;
    for (route& one : routes_) {
      std::uint32_t const count = available(one, closing);
      if (count == 0) { continue; }
      if (auto const ok = carry(one, count); !ok) { return cuda::std::unexpected(ok.error()); }
      carried += count;
    }
    if (carried != 0) {
      if (auto const ok = copier_.finish(); !ok) { return cuda::std::unexpected(ok.error()); }
    }
    return carried;
  }

 private:
  /// As the policy's workers wait. Nobody would wake a keeper, so where they sleep it naps.
  class waiting {
   public:
    void pause() noexcept { how_.pause(); }
    void reset(std::uint32_t carried) noexcept {
      if constexpr (P::backoff::blocks) {
        how_ = {};
      } else {
        how_.reset(carried);
      }
    }

   private:
    std::conditional_t<P::backoff::blocks, detail::patience, typename P::backoff> how_;
  };

  [[nodiscard]] std::uint32_t available(route& one, bool closing) noexcept {
    message_id const position = one.at.position;
    message_id const end =
        access::load(one.from.control().producer.published, core::acquire, "lane.pull");
    auto const ahead_of_it = [&](message_id id) noexcept {
      // after a look behind, `published` may trail what was carried already
      message_id const ahead = id - position;
      return ahead > one.from.capacity() ? 0u : static_cast<std::uint32_t>(ahead);
    };
    std::uint32_t const ahead = ahead_of_it(end);
    if constexpr (detail::defers<P>) {
      if (ahead == 0) { return ahead_of_it(look_behind(one, closing)); }
    }
    return ahead;
  }

  /// Messages that a silent producer wrote and did not publish, once they are old enough.
  [[nodiscard]] message_id look_behind(route& one, bool closing) noexcept {
    std::uint64_t const now_ns = typename P::clock{}.now_ns();
    if (!one.at.dry) {
      one.at.dry = true;
      one.at.dry_since_ns = now_ns;
    }
    bool const young = now_ns - one.at.dry_since_ns < P::publish_age_ns;
    if (young && !closing) { return one.at.position; }  // after a close no company comes
    return access::load(one.from.control().producer.reserved, core::acquire, "lane.look_behind");
  }

  [[nodiscard]] result<void> carry(route& one, std::uint32_t count) noexcept {
    for (slot_run const run : runs_of(one.at.index, count, one.from.capacity())) {
      if (run.count == 0) { continue; }
      auto* const to = reinterpret_cast<std::byte*>(&one.to.header(run.index));
      auto const* const from = reinterpret_cast<std::byte const*>(&one.from.header(run.index));
      if (auto const ok = copier_.copy(to, from, std::size_t{run.count} * P::slot::stride); !ok) {
        return ok;
      }
    }
    one.at.position += count;
    one.at.index = one.from.after(one.at.index, count);
    one.at.dry = false;
    return copier_.publish(one.to.control().producer.published, one.at.position);
  }

  memory::buffer_ref<route> routes_;
  crew_ref<P> crew_;
  Copier& copier_;
};

}  // namespace millrace::inline v0::queue
