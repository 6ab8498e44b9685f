// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/access.hpp>
#include <millrace/core/config.hpp>
#include <millrace/core/parking.hpp>
#include <millrace/core/platform.hpp>

#include <cstdint>
#include <limits>
#include <utility>

namespace millrace::inline v0::propagate::detail {

/// Whether this thread serves a store's lane, any store's, or helps who does: two threads that wait
/// for each other's would wait for ever.
inline constinit thread_local bool leads_lane = false;

/// What a thread wants done in the lane; it lies on that thread's stack.
struct lane_request {
  lane_request* next = nullptr;  ///< the one that came after it, while they are served
  std::uint32_t state = 0;
};

/// How threads wait for the lane, and for how long one leads.
template <core::access_policy Access, core::parking_policy Parking>
struct default_lane {
  using access = Access;
  using parking = Parking;
  static constexpr std::uint32_t looks = 1024;  ///< at its request, before a thread sleeps
  /// Of these, before it gives its processor away between them. In some 2 microseconds half of all
  /// commits are done; after that the leader may be waiting for the processor that this thread has.
  static constexpr std::uint32_t spins = 64;
  static constexpr std::uint32_t lists = 8;  ///< that a thread serves before another one leads
  static void pause(std::uint32_t look) noexcept {
    if (look < spins) {
      core::relax();
    } else {
      core::yield_thread();
    }
  }
};

/// Things that are done one at a time, in the order in which they are asked for, by whichever of
/// the waiting threads comes first: it serves all that wait (flat combining: Hendler, Incze,
/// Shavit, Tzafrir, SPAA 2010). What threads hand to each other is in their caches once, and a
/// journal is flushed once for all.
template <class L>
class commit_lane {
  using A = typename L::access;
  using parking = typename L::parking;

 public:
  commit_lane() noexcept = default;
  commit_lane(commit_lane const&) = delete;
  commit_lane& operator=(commit_lane const&) = delete;

  /// Returns when serve(first), which gets a list of requests in the order in which they came, has
  /// done `mine`, on this thread or another.
  template <class Serve>
  void pass(lane_request& mine, Serve&& serve) noexcept {
    push(mine);
    for (std::uint32_t look = 0;;) {
      std::uint32_t const state = A::load(mine.state, core::acquire, "lane.poll");
      if ((state & done) != 0) { return; }
      if ((state & leads) != 0) {
        lead(&mine, serve);
        return;
      }
      if (enter()) {
        lead(nullptr, serve);
        continue;  // somebody who led before may have done it
      }
      if (++look < L::looks) {
        L::pause(look);
        continue;
      }
      std::uint32_t const before =
          A::fetch_or(mine.state, sleeps, core::acquire, "lane.fall_asleep");
      if ((before & (done | leads)) == 0) { parking::park(mine.state, sleeps, a_while_ns); }
      look = 0;
    }
  }

 private:
  static constexpr std::uint32_t done = 1;
  static constexpr std::uint32_t leads = 2;  // has the lane, and the list that it begins
  static constexpr std::uint32_t sleeps = 4;
  static constexpr std::uint64_t a_while_ns = std::numeric_limits<std::uint64_t>::max();

  [[nodiscard]] static std::uintptr_t word_of(lane_request* r) noexcept {
    return reinterpret_cast<std::uintptr_t>(r);
  }
  void push(lane_request& mine) noexcept {
    std::uintptr_t head = A::load(waiting_, core::relaxed, "lane.look");
    do {
      A::write(&mine.next, sizeof mine.next, "request.next");
      mine.next = reinterpret_cast<lane_request*>(head);
    } while (!A::compare_exchange(waiting_, head, word_of(&mine), core::seq_cst, core::relaxed,
                                  "lane.push"));
  }
  /// Who has pushed before it fails here is seen by who leaves: push, this look, the word that says
  /// the lane is free, and the look at who waits are in one total order.
  [[nodiscard]] bool enter() noexcept {
    std::uint32_t free = 0;
    return A::load(taken_, core::seq_cst, "lane.try") == 0 &&
           A::compare_exchange(taken_, free, 1U, core::seq_cst, core::seq_cst, "lane.enter");
  }
  /// Serves what waits, with the lane held, and gives it away. Who sleeps is woken when the lane is
  /// free: to wake is a call of the system, and may cost this thread its processor.
  /// @param list what this thread has been given to serve with the lane
  template <class Serve>
  void lead(lane_request* list, Serve&& serve) noexcept {
    lane_request* asleep = nullptr;
    std::uint32_t lists = 0;
    do {
      for (;; ++lists) {
        if (list == nullptr) { list = take_all(); }
        if (list == nullptr) { break; }
        if (lists == L::lists) {
          tell(*list, leads);
          wake_all(asleep);
          return;
        }
        serve(list);
        while (list != nullptr) {
          A::read(&list->next, sizeof list->next, "request.next");
          lane_request* const next = list->next;  // the request may be gone once it is done
          if ((A::load(list->state, core::relaxed, "lane.awake") & sleeps) != 0) {
            A::write(&list->next, sizeof list->next, "request.next");
            list->next = std::exchange(asleep, list);
          } else {
            tell(*list, done);
          }
          list = next;
        }
      }
      A::store(taken_, 0U, core::seq_cst, "lane.leave");
      wake_all(std::exchange(asleep, nullptr));
    } while (A::load(waiting_, core::seq_cst, "lane.anybody") != 0 && enter());
  }
  void wake_all(lane_request* asleep) noexcept {
    while (asleep != nullptr) {
      A::read(&asleep->next, sizeof asleep->next, "request.next");
      tell(*std::exchange(asleep, asleep->next), done);
    }
  }
  void tell(lane_request& who, std::uint32_t what) noexcept {
    std::uint32_t const before = A::fetch_or(who.state, what, core::release, "lane.tell");
    if ((before & sleeps) != 0) { parking::wake(who.state); }
  }
  /// All that wait, the first who came first.
  [[nodiscard]] lane_request* take_all() noexcept {
    std::uintptr_t head = A::load(waiting_, core::relaxed, "lane.look");
    while (head != 0 && !A::compare_exchange(waiting_, head, std::uintptr_t{0}, core::acquire,
                                             core::relaxed, "lane.take")) {}
    lane_request* first = nullptr;
    for (auto* each = reinterpret_cast<lane_request*>(head); each != nullptr;) {
      A::read(&each->next, sizeof each->next, "request.next");
      A::write(&each->next, sizeof each->next, "request.next");
      lane_request* const later = each->next;
      each->next = first;
      first = each;
      each = later;
    }
    return first;
  }

  alignas(core::destructive_bytes) std::uintptr_t waiting_ = 0;  // the last who came first
  alignas(core::destructive_bytes) std::uint32_t taken_ = 0;
};

}  // namespace millrace::inline v0::propagate::detail
