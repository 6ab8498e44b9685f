// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>

#include <concepts>
#include <cstdint>
#include <type_traits>

namespace millrace::inline v0::core {

/// What happened to the message or worker that a probe is told of. Values are frozen: traces keep
/// them.
enum class probe_event : std::uint16_t {
  reserved = 0,   ///< a producer took a slot; id: the message
  published = 1,  ///< the slot became visible to workers; id: the message
  claimed = 2,    ///< a worker took the message; id: the message
  processed = 3,  ///< the functor returned; id: the message
  completed = 4,  ///< the completion record became visible; id: the message
  taken = 5,      ///< the caller took the result; id: the message
  parked = 6,     ///< a worker went to sleep; id: the worker
  woken = 7,      ///< a worker came back; id: the worker
};

/// The number of events; they count from 0.
inline constexpr std::uint32_t probe_event_count = 8;

/// The event's name; never null.
[[nodiscard]] constexpr char const* describe(probe_event event) noexcept {
  switch (event) {
    case probe_event::reserved: return "reserved";
    case probe_event::published: return "published";
    case probe_event::claimed: return "claimed";
    case probe_event::processed: return "processed";
    case probe_event::completed: return "completed";
    case probe_event::taken: return "taken";
    case probe_event::parked: return "parked";
    case probe_event::woken: return "woken";
  }
  return "unknown event";
}

/// Who watches hot code. `record` runs on the hot path, on the thread where the event happened: it
/// must not block, and what it keeps it must keep without a race.
template <class P>
concept probe = requires(P p, probe_event event, std::uint64_t id) {
  requires std::is_trivially_copyable_v<P>;
  { p.record(event, id) } noexcept -> std::same_as<void>;
};

/// Watches nothing, and compiles to nothing.
struct null_probe {
  static MILLRACE_HD constexpr void record(probe_event, std::uint64_t) noexcept {}
};
static_assert(probe<null_probe> && std::is_empty_v<null_probe>);

/// What a recording probe keeps of one event.
struct probe_record {
  probe_event event;
  std::uint64_t id;
  [[nodiscard]] friend MILLRACE_HD constexpr bool operator==(probe_record a,
                                                             probe_record b) noexcept {
    return a.event == b.event && a.id == b.id;
  }
};

/// Room for the first `Capacity` events; later ones are counted, not kept.
template <std::uint32_t Capacity>
struct probe_log {
  static constexpr std::uint32_t capacity = Capacity;
  std::uint64_t seen = 0;  ///< every event, kept or not
  probe_record records[Capacity] = {};

  /// Events that are in `records`.
  [[nodiscard]] MILLRACE_HD constexpr std::uint32_t size() const noexcept {
    return seen < Capacity ? static_cast<std::uint32_t>(seen) : Capacity;
  }
  [[nodiscard]] MILLRACE_HD constexpr std::uint64_t count(probe_event event) const noexcept {
    std::uint64_t n = 0;
    for (std::uint32_t i = 0; i < size(); ++i) { n += records[i].event == event ? 1u : 0u; }
    return n;
  }
};

/// Writes events into a log that the caller owns; without one it drops them. For tests.
/// @thread one log belongs to one thread
template <std::uint32_t Capacity>
class recording_probe {
 public:
  recording_probe() noexcept = default;
  MILLRACE_HD explicit constexpr recording_probe(probe_log<Capacity>& log) noexcept : log_{&log} {}

  MILLRACE_HD constexpr void record(probe_event event, std::uint64_t id) noexcept {
    if (log_ == nullptr) { return; }
    if (log_->seen < Capacity) { log_->records[log_->seen] = {event, id}; }
    ++log_->seen;
  }

 private:
  probe_log<Capacity>* log_ = nullptr;
};
static_assert(probe<recording_probe<4>>);

}  // namespace millrace::inline v0::core
