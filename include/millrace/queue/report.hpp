// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/queue/state.hpp>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace millrace::inline v0::queue {

/// One worker as it is seen from outside.
struct worker_report {
  presence where = presence::absent;
  bool asleep = false;          ///< at work, and waiting for a message
  std::uint64_t processed = 0;  ///< as far as it has told: it tells when it runs dry
};

/// One lane as it is seen from outside. Messages are named by their numbers; in a policy that drops
/// the oldest ones, by their places, which are less by what the lane had dropped when they came.
struct lane_report {
  message_id published = 0;  ///< every message before it is visible to workers
  /// Every message before it has a worker; nothing where no such word is kept or within reach: for
  /// pinned claims, for a single worker, and on a device.
  std::optional<message_id> claimed;
  /// The oldest message that is neither answered nor given up; nothing when there is none. In lanes
  /// without records it may be done: the worker says so every eighth of the capacity.
  std::optional<message_id> oldest;
  std::uint32_t unanswered = 0;  ///< messages from there on without an answer
  /// The oldest number of a ring that a producer has drawn and not published; nothing when there is
  /// none. All behind it waits for that producer.
  std::optional<message_id> gap;
  /// Messages that workers hold: claimed and not answered, oldest first. Where claims are not known
  /// the oldest unanswered one stands for them: its worker has it, or comes to it next.
  std::vector<message_id> held;
};

/// Who waits for what, each word read once while everything goes on.
struct consumer_report {
  queue::phase phase = phase::stopped;
  bool served = false;  ///< some process has the workers
  std::vector<worker_report> workers;
  std::vector<lane_report> lanes;
};

/// The words for a phase; never null.
[[nodiscard]] constexpr char const* describe(phase now) noexcept {
  switch (now) {
    case phase::running: return "running";
    case phase::closing: return "closing";
    case phase::parking: return "parking";
    case phase::turning: return "turning to the next epoch";
    case phase::recalling: return "recalling workers for a close";
    case phase::stopping: return "stopping";
    case phase::stopped: return "stopped";
  }
  return "unknown";
}

/// A line for the consumer, and one for each worker and each lane.
/// @cost allocates strings; host only
[[nodiscard]] inline std::string describe(consumer_report const& report) {
  auto const number = [](std::uint64_t n) { return std::to_string(n); };
  auto const there = std::count_if(report.workers.begin(), report.workers.end(),
                                   [](auto const& w) { return w.where == presence::working; });
  std::string text = std::string(describe(report.phase)) + ", " +
                     number(static_cast<std::uint64_t>(there)) + " of " +
                     number(report.workers.size()) + " workers there" +
                     (report.served ? "" : ", no process serves") + "\n";
  for (std::size_t w = 0; w < report.workers.size(); ++w) {
    worker_report const& worker = report.workers[w];
    char const* where = worker.asleep ? "asleep" : "alive";
    if (worker.where != presence::working) {
      where = worker.where == presence::gone ? "exited" : "not there yet";
    }
    text += "worker " + number(w) + ": " + where + ", processed " + number(worker.processed) + "\n";
  }
  for (std::size_t l = 0; l < report.lanes.size(); ++l) {
    lane_report const& lane = report.lanes[l];
    text += "lane " + number(l) + ": published " + number(lane.published) + ", claimed " +
            (lane.claimed ? number(*lane.claimed) : "by its worker alone") + ", " +
            (lane.oldest ? "oldest unanswered " + number(*lane.oldest) : "all answered") + ", " +
            number(lane.unanswered) + " in flight";
    if (lane.gap) { text += "; a producer drew and did not publish " + number(*lane.gap); }
    for (message_id const id : lane.held) {
      text +=
          (lane.claimed ? "; a worker holds " : "; its worker holds, or comes to, ") + number(id);
    }
    text += "\n";
  }
  return text;
}

namespace detail {

/// Whether a published message, no older than a lap, is done.
template <consumer_policy P>
[[nodiscard]] bool processed(lane_ref<P> const& lane, message_id id) noexcept {
  using access = typename P::access;
  if constexpr (counts_credit<P>) {
    message_id const consumed = access::load(lane.credit(), core::acquire, "lane.take_credit");
    return consumed - id - 1 <= ~message_id{0} / 2;
  } else {
    auto const index = static_cast<std::uint32_t>((id - lane.control().first) % lane.capacity());
    if constexpr (lane_ref<P>::has_records) {
      std::uint32_t const seq =
          access::load(lane.record_at(index).seq, core::acquire, "record.take");
      return seq - sequence_of(id) <= ~std::uint32_t{0} / 2;
    } else {
      return ended<P>(lane, index, id);
    }
  }
}

/// Whether number `id` of a ring, no older than a lap, was drawn and is not published.
template <consumer_policy P>
[[nodiscard]] bool is_gap(lane_ref<P> const& ring, message_id id) noexcept {
  auto const index = static_cast<std::uint32_t>((id - ring.control().first) % ring.capacity());
  std::uint32_t const seq =
      P::access::load(ring.header(index).seq, core::acquire, "slot.look_free");
  // looked at again: a message that was done meanwhile may have freed its slot
  return seq != sequence_of(id) && !processed(ring, id);
}

/// Whether the claim words say who has what: they do on host threads, where workers share claims.
template <consumer_policy P>
[[nodiscard]] bool knows_claims(state<P> const& shared) noexcept {
  bool const on_host = shared.where.kind() == core::backend_kind::host;
  bool const several = shared.crew.workers() > 1 || drops_oldest<P>;
  return on_host && several && P::claims == claim_mode::shared;
}

/// How many of a lane's messages before `end` no worker has claimed.
template <consumer_policy P>
[[nodiscard]] message_id unclaimed_before(lane_ref<P> const& lane, message_id end) noexcept {
  message_id claimed = P::access::load(lane.control().claim.claimed, core::relaxed, "lane.claimed");
  if (is_withheld(claimed, end)) { claimed ^= withheld_mark; }
  message_id const left = end - claimed;
  return left <= ~message_id{0} / 2 ? left : 0;  // claimed since `end` was read
}

/// Looks at one lane, or the ring.
/// @param claims  whether this lane's claim word says who has what
template <consumer_policy P>
[[nodiscard]] lane_report look_at(lane_ref<P> const& lane, bool claims) {
  using access = typename P::access;
  lane_control const& words = lane.control();
  lane_report out;
  out.published = access::load(one_ring<P> ? words.producer.reserved : words.producer.published,
                               core::acquire, "lane.published");
  message_id end = out.published;
  if constexpr (defers<P>) {
    end = access::load(words.producer.reserved, core::acquire, "lane.look_behind");
  }
  if constexpr (P::named_producers) { out.published = end = end_of(lane, end); }
  message_id const lap = std::min<message_id>(end - words.first, lane.capacity());
  message_id claimed = end;
  if (claims) {
    claimed = end - unclaimed_before(lane, end);
    out.claimed = claimed;
  }
  for (message_id left = lap; left != 0; --left) {
    message_id const id = end - left;
    if (processed(lane, id)) { continue; }
    if (!out.oldest) { out.oldest = id; }
    ++out.unanswered;
    if constexpr (one_ring<P>) {
      if (!out.gap && is_gap(lane, id)) { out.gap = out.published = id; }
      if (out.gap) { continue; }  // no worker gets past it
    }
    bool const mine = claims ? claimed - id - 1 < lane.capacity() : out.held.empty();
    if (mine) { out.held.push_back(id); }
  }
  return out;
}

/// Looks at everything.
template <consumer_policy P>
[[nodiscard]] consumer_report look_at(state<P> const& shared) {
  using access = typename P::access;
  consumer_report out;
  out.phase = shared.crew.phase();
  out.served = shared.served();
  for (std::uint32_t w = 0; w < shared.crew.workers(); ++w) {
    worker_control const& words = shared.crew.worker(w);
    worker_report& worker = out.workers.emplace_back();
    worker.where =
        static_cast<presence>(access::load(words.presence, core::relaxed, "worker.presence"));
    worker.asleep = access::load(words.sleeping, core::relaxed, "crew.sleeping") != 0;
    worker.processed = access::load(words.processed, core::acquire, "worker.processed");
  }
  bool const claims = knows_claims(shared);
  for (lane_ref<P> const& lane : shared.lanes.ref()) { out.lanes.push_back(look_at(lane, claims)); }
  return out;
}

}  // namespace detail

}  // namespace millrace::inline v0::queue
