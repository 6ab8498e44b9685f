// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "access.hpp"
#include <millrace/queue/slot.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

namespace race {

/// Access policies with a mistake in them that a protocol must not survive unnoticed.

/// The compare-exchange at `Site` is a load and a store: two threads may both win.
template <site_name Site>
struct torn_exchange : access {
  template <class T>
  [[nodiscard]] static bool compare_exchange(T& word, T& expected, std::type_identity_t<T> desired,
                                             memory_order success, memory_order failure,
                                             char const* site) noexcept {
    if (!(Site == site)) {
      return access::compare_exchange(word, expected, desired, success, failure, site);
    }
    T const seen = access::load(word, success, site);
    bool const same = seen == expected;
    expected = seen;
    if (same) { access::store(word, desired, success, site); }
    return same;
  }
};

/// The fetch_add at `Site` is a load and a store: two threads may draw one number.
template <site_name Site>
struct torn_add : access {
  template <class T>
  static T fetch_add(T& word, std::type_identity_t<T> n, memory_order order,
                     char const* site) noexcept {
    if (!(Site == site)) { return access::fetch_add(word, n, order, site); }
    T const seen = access::load(word, order, site);
    access::store(word, seen + n, order, site);
    return seen;
  }
};

/// The store at `Site` writes a value that is off by `By`.
template <site_name Site, std::int64_t By>
struct shifted : access {
  template <class T>
  static void store(T& word, std::type_identity_t<T> value, memory_order order,
                    char const* site) noexcept {
    access::store(word, Site == site ? static_cast<T>(value + static_cast<T>(By)) : value, order,
                  site);
  }
};

/// The compare-exchange at `Site` is left out, and taken for won.
template <site_name Site>
struct unclaimed : access {
  template <class T>
  [[nodiscard]] static bool compare_exchange(T& word, T& expected, std::type_identity_t<T> desired,
                                             memory_order success, memory_order failure,
                                             char const* site) noexcept {
    return Site == site ||
           access::compare_exchange(word, expected, desired, success, failure, site);
  }
};

/// The store at `Site` does not happen.
template <site_name Site>
struct dropped : access {
  template <class T>
  static void store(T& word, std::type_identity_t<T> value, memory_order order,
                    char const* site) noexcept {
    if (!(Site == site)) { access::store(word, value, order, site); }
  }
};

/// A lone worker of a ring, whose first number is 0, believes that no number is drawn but those it
/// has answered.
struct believes_in_nothing_more : access {
  static inline std::uint64_t answered = 0;

  template <class T>
  [[nodiscard]] static T load(T const& word, memory_order order, char const* site) noexcept {
    T const seen = access::load(word, order, site);
    return std::string_view(site) == "ring.awaited" ? static_cast<T>(answered) : seen;
  }
  template <class T>
  static void store(T& word, std::type_identity_t<T> value, memory_order order,
                    char const* site) noexcept {
    if (std::string_view(site) == "record.publish") { ++answered; }
    access::store(word, value, order, site);
  }
};

/// The worker frees a ring's slot, which `Capacity` others share a lap with, before the functor.
template <std::uint32_t Capacity>
struct freed_early : access {
  static void read(void const* p, std::size_t bytes, char const* site) noexcept {
    using header = millrace::queue::slot_header;
    constexpr std::size_t behind_seq = sizeof(header) - offsetof(header, length);
    if (scheduler::exploring() && std::string_view(site) == "slot.read" && bytes == behind_seq) {
      auto const* const length = static_cast<std::byte const*>(p);
      auto& seq = *reinterpret_cast<std::uint32_t*>(
          const_cast<std::byte*>(length - offsetof(header, length)));
      std::uint32_t const mine = access::load(seq, relaxed, "slot.take");
      access::store(seq, (mine + Capacity) ^ 0x8000'0000u, millrace::core::release, "slot.free");
    }
    access::read(p, bytes, site);
  }
  template <class T>
  static void store(T& word, std::type_identity_t<T> value, memory_order order,
                    char const* site) noexcept {
    if (std::string_view(site) != "slot.free") { access::store(word, value, order, site); }
  }
};

/// A worker takes a lane whose messages the producer holds for one whose messages are all claimed.
struct blind_to_withheld : access {
  template <class T>
  [[nodiscard]] static T load(T const& word, memory_order order, char const* site) noexcept {
    T const seen = access::load(word, order, site);
    if constexpr (sizeof(T) == 8) {
      bool const claimed = std::string_view(site) == "lane.claimed";
      // one message fits the lanes of the tests that use this
      return claimed && seen >> 63 != 0 ? (seen << 1 >> 1) + 1 : seen;
    } else {
      return seen;
    }
  }
};

/// The load at `Site` returns a value that is off by `By`.
template <site_name Site, std::int64_t By>
struct misread : access {
  template <class T>
  [[nodiscard]] static T load(T const& word, memory_order order, char const* site) noexcept {
    T const seen = access::load(word, order, site);
    return Site == site ? static_cast<T>(seen + static_cast<T>(By)) : seen;
  }
};

/// Lines are taken over (the write at `Own`) only after the store at `After` gave them away.
template <site_name Own, site_name After>
struct late_own : access {
  struct lines {
    void* at = nullptr;
    std::size_t bytes = 0;
  };
  static inline std::array<lines, max_threads> kept{};

  static void write(void* p, std::size_t bytes, char const* site) noexcept {
    if (scheduler::exploring() && Own == site) {
      kept[this_thread()] = {p, bytes};
    } else {
      access::write(p, bytes, site);
    }
  }
  template <class T>
  static void store(T& word, std::type_identity_t<T> value, memory_order order,
                    char const* site) noexcept {
    access::store(word, value, order, site);
    if (!scheduler::exploring() || !(After == site)) { return; }
    lines const mine = std::exchange(kept[this_thread()], {});
    if (mine.at != nullptr) { access::write(mine.at, mine.bytes, "own, late"); }
  }
};

/// What a worker saw when it looked at its slot too early.
struct phase_look {
  void const* slot = nullptr;
  std::uint32_t seen = 0;
  bool fresh = false;
};

/// The worker looks at the phase after its look at the slot, not before: each look at the phase
/// first looks at the slot that the worker looked at last, and the next look at that slot returns
/// what was seen then.
struct late_phase : access {
  static inline std::array<phase_look, max_threads> looks{};

  static std::uint32_t load(std::uint32_t const& word, memory_order order,
                            char const* site) noexcept {
    if (!scheduler::exploring()) { return word; }
    phase_look& mine = looks[this_thread()];
    std::string_view const place = site;
    if (place == "crew.phase" && mine.slot != nullptr) {
      auto const* const slot = static_cast<std::uint32_t const*>(mine.slot);
      mine.seen = access::load(*slot, millrace::core::acquire, "slot.take");
      mine.fresh = true;
    }
    if (place == "slot.take") {
      bool const known = mine.fresh && mine.slot == &word;
      mine.slot = &word;
      mine.fresh = false;
      if (known) { return mine.seen; }
    }
    return access::load(word, order, site);
  }
  static std::uint64_t load(std::uint64_t const& word, memory_order order,
                            char const* site) noexcept {
    return access::load(word, order, site);
  }
};
static_assert(millrace::core::access_policy<late_phase>);

/// What a bug has to know of a lane beside the word that it is given.
struct known_lane {
  static inline std::byte* slots = nullptr;
  static inline std::byte* records = nullptr;
  static inline std::uint64_t* claimed = nullptr;
  static inline std::size_t slot_stride = 0;
  static inline std::size_t record_stride = 0;
  static inline std::uint32_t capacity = 0;

  template <class Lane>
  static void is(Lane const& lane) {
    slots = reinterpret_cast<std::byte*>(&lane.header(0));
    records = reinterpret_cast<std::byte*>(&lane.record_at(0));
    claimed = &lane.control().claim.claimed;
    slot_stride = Lane::slot::stride;
    record_stride = Lane::record::stride;
    capacity = lane.capacity();
  }
};

/// A worker publishes a message's record before its functor has read the bytes.
struct early_answer : access {
  static void read(void const* p, std::size_t bytes, char const* site) noexcept {
    access::read(p, bytes, site);
    if (!scheduler::exploring() || std::string_view(site) != "slot.read") { return; }
    using known = known_lane;
    auto const at = static_cast<std::size_t>(static_cast<std::byte const*>(p) - known::slots);
    auto const* const slot = reinterpret_cast<std::uint32_t const*>(
        known::slots + at / known::slot_stride * known::slot_stride);
    auto* const record = reinterpret_cast<std::uint32_t*>(
        known::records + at / known::slot_stride * known::record_stride);
    access::store(*record, access::load(*slot, relaxed, "slot.take"), millrace::core::release,
                  "record.publish");
  }
};
static_assert(millrace::core::access_policy<early_answer>);

/// The producer takes a message for done as soon as a worker has claimed it; numbers begin at 0.
struct claimed_is_done : access {
  static std::uint32_t load(std::uint32_t const& word, memory_order order,
                            char const* site) noexcept {
    if (!scheduler::exploring() || std::string_view(site) != "record.take") {
      return access::load(word, order, site);
    }
    using known = known_lane;
    auto const at = reinterpret_cast<std::byte const*>(&word) - known::records;
    auto const index = static_cast<std::size_t>(at) / known::record_stride;
    std::uint64_t const claimed = access::load(*known::claimed, order, "lane.claimed");
    std::uint64_t done = claimed;  // numbers below it are claimed
    do { --done; } while ((done + known::capacity) % known::capacity != index);
    return static_cast<std::uint32_t>(done + 1);
  }
  static std::uint64_t load(std::uint64_t const& word, memory_order order,
                            char const* site) noexcept {
    return access::load(word, order, site);
  }
};
static_assert(millrace::core::access_policy<claimed_is_done>);

/// The announced write of a message's bytes happens behind the publication of its slot.
struct late_bytes : access {
  static inline void* bytes = nullptr;
  static inline std::size_t size = 0;

  static void write(void* p, std::size_t n, char const* site) noexcept {
    if (scheduler::exploring() && std::string_view(site) == "slab.write") {
      bytes = p;
      size = n;
      return;
    }
    access::write(p, n, site);
  }
  template <class T>
  static void store(T& word, std::type_identity_t<T> value, memory_order order,
                    char const* site) noexcept {
    access::store(word, value, order, site);
    if (scheduler::exploring() && std::string_view(site) == "slot.publish") {
      access::write(bytes, size, "slab.write");
    }
  }
};
static_assert(millrace::core::access_policy<late_bytes>);

}  // namespace race
