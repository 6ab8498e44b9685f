// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// The memory model of the explorer: C++20's, without load buffering.
///
/// An execution is a graph of events: program order (po), reads-from (rf), the modification order
/// of each word (mo), and what follows from them. Events are added one at a time, and a read always
/// reads a store that was added before it: po and rf together have no cycle, as in RC11, so values
/// out of thin air and load buffering are not modelled. Everything else is:
///
/// - A load reads any store of its word that coherence allows: none that is older, in mo, than a
///   store or a read that happens before the load.
/// - A store goes to any place in mo that coherence allows, not only to the end, so that the weak
///   outcomes of two writers of one word are there too; never between an update (read-modify-write)
///   and the store that it read.
/// - An update reads any store that coherence allows and that no other update has read, and
///   stands right behind it in mo. A compare-exchange that fails is a load, perhaps of an old
///   value.
/// - A release store carries the clock of its thread; an acquire load of it, or of an update in the
///   release sequence that it heads, joins that clock. As in C++20 a relaxed store of the same
///   thread ends the sequence.
/// - seq_cst accesses are, besides acquire and release, ordered by a relation that must stay free
/// of
///   cycles: a before b when a is sequenced before b; or a is sequenced before c, c happens before
///   d, and d is sequenced before b; or a is coherence-ordered before b on the same word (rf, mo,
///   reads-before, and their closure). That is C++20's order S. It gives no happens-before.
/// - Fences are not modelled: the access policy has none.
/// - Payload bytes are checked by happens-before alone, in both directions; their real values are
///   those of the one legal order, as long as there is no race.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace race {

inline constexpr std::size_t max_threads = 8;

/// A vector clock: how much of each thread's past is known. A thread's own entry counts its atomic
/// operations.
struct clock {
  std::array<std::uint32_t, max_threads> at{};

  void join(clock const& other) noexcept {
    for (std::size_t i = 0; i < max_threads; ++i) { at[i] = std::max(at[i], other.at[i]); }
  }
};

/// One store to a word, as loads see it.
struct store_record {
  std::uint64_t value = 0;
  clock released;                                       ///< what an acquire load of it learns
  std::array<std::uint32_t, max_threads> first_read{};  ///< reader's time; 0: never read
  std::uint32_t time = 0;                               ///< of the storing thread
  std::uint32_t number = 0;  ///< of the event in its thread, rounds in vain not counted
  std::uint32_t step = 0;    ///< line of the trace; 0: initial value
  std::int32_t thread = -1;  ///< -1: the initial value
  bool update = false;       ///< a read-modify-write

  /// The same event has the same id in every execution; 0 is the initial value.
  [[nodiscard]] std::uint64_t id() const noexcept {
    return thread < 0 ? 0 : (static_cast<std::uint64_t>(thread + 1) << 32) | number;
  }
  /// Whether a thread with clock `known` must have noticed this store.
  [[nodiscard]] bool noticed(clock const& known) const noexcept {
    if (thread < 0 || time <= known.at[static_cast<std::size_t>(thread)]) { return true; }
    for (std::size_t t = 0; t < max_threads; ++t) {
      if (first_read[t] != 0 && first_read[t] <= known.at[t]) { return true; }
    }
    return false;
  }
};

/// An atomic word: its stores in modification order.
struct word {
  void const* address = nullptr;
  std::size_t bytes = 0;
  std::vector<store_record> history;
  std::uint64_t order_hash = 0;    ///< of the ids in modification order
  std::uint32_t touched = 0;       ///< a bit for each thread that accessed it
  std::vector<char const*> sites;  ///< where

  /// The oldest store that a thread with clock `known` may still read.
  [[nodiscard]] std::size_t oldest_readable(clock const& known) const noexcept {
    std::size_t i = history.size() - 1;
    while (i > 0 && !history[i].noticed(known)) { --i; }
    return i;
  }
};

/// The order of the seq_cst accesses: each knows all that must precede it, as a clock that counts
/// the seq_cst accesses of each thread.
class total_order {
 public:
  /// Where an access stands on its word: reading store `index`, or writing just before it.
  struct place {
    std::uint32_t word = 0;
    std::size_t index = 0;
    bool write = false;
  };

  void clear() noexcept {
    events_.clear();
    counts_.fill(0);
  }

  /// Whether thread `t`, which knows `known`, may access `at` with seq_cst order now.
  [[nodiscard]] bool allows(std::size_t t, clock const& known, place at, word const& w) const {
    clock const before = preceding(t, known, at, w);
    for (event const& e : events_) {
      if (e.word == at.word && compare(e, at, w) > 0 && before.at[e.thread] >= e.number) {
        return false;
      }
    }
    return true;
  }

  /// Adds the access, which `allows` admitted; `store` is the id of what it reads or writes.
  void add(std::size_t t, clock const& known, std::uint32_t time, place at, word const& w,
           std::uint64_t store) {
    event added{t, ++counts_[t], time, at.word, at.write, store, {}};
    --counts_[t];
    added.before = preceding(t, known, at, w);
    ++counts_[t];
    clock through = added.before;
    through.at[t] = added.number;
    for (std::size_t i = 0; i < events_.size(); ++i) {
      event const later = events_[i];
      if (later.word != at.word || compare(later, at, w) <= 0) { continue; }
      for (event& e : events_) {
        bool const follows = e.before.at[later.thread] >= later.number ||
                             (e.thread == later.thread && e.number == later.number);
        if (follows) { e.before.join(through); }
      }
    }
    events_.push_back(added);
  }

 private:
  struct event {
    std::size_t thread;
    std::uint32_t number;  // of this thread's seq_cst accesses, from 1
    std::uint32_t time;
    std::uint32_t word;
    bool write;
    std::uint64_t store;
    clock before;
  };

  // Negative: e is coherence-ordered before an access at `at`; positive: after; 0: neither.
  [[nodiscard]] static int compare(event const& e, place at, word const& w) {
    std::size_t index = 0;
    while (w.history[index].id() != e.store) { ++index; }
    if (at.write) { return index < at.index ? -1 : 1; }
    if (index != at.index) { return index < at.index ? -1 : 1; }
    return e.write ? -1 : 0;
  }

  [[nodiscard]] clock preceding(std::size_t t, clock const& known, place at, word const& w) const {
    clock before;
    for (event const& e : events_) {
      bool const sequenced = e.thread == t;
      bool const strongly = e.thread != t && e.time < known.at[e.thread];
      if (sequenced || strongly || (e.word == at.word && compare(e, at, w) < 0)) {
        before.join(e.before);
        before.at[e.thread] = std::max(before.at[e.thread], e.number);
      }
    }
    return before;
  }

  std::vector<event> events_;
  std::array<std::uint32_t, max_threads> counts_{};
};

/// Who touched which payload bytes last, and when.
class payload_map {
 public:
  struct touch {
    std::uint32_t time = 0;  ///< 0: never
    char const* site = "";
    std::uint32_t step = 0;
  };
  struct conflict {
    bool found = false;
    std::size_t thread = 0;
    bool wrote = false;
    touch what;
  };

  void clear() noexcept { spans_.clear(); }
  [[nodiscard]] bool empty() const noexcept { return spans_.empty(); }

  /// Notes that thread `t` touches bytes [begin, end), and says whom that races with.
  conflict access(std::size_t t, clock const& known, std::uintptr_t begin, std::uintptr_t end,
                  bool write, touch now) {
    split(begin);
    split(end);
    conflict found;
    std::uintptr_t covered = begin;
    for (std::size_t i = lower(begin); covered < end; ++i) {
      if (i == spans_.size() || spans_[i].begin > covered) {
        std::uintptr_t const stop = i == spans_.size() ? end : std::min(end, spans_[i].begin);
        span fresh;
        fresh.begin = covered;
        fresh.end = stop;
        spans_.insert(spans_.begin() + static_cast<std::ptrdiff_t>(i), fresh);
      }
      span& s = spans_[i];
      conflict const c = check(s, t, known, write);
      if (c.found && !found.found) { found = c; }
      if (write) {
        s.writer = t;
        s.written = now;
        s.reads = {};
      } else {
        s.reads[t] = now;
      }
      covered = s.end;
    }
    return found;
  }

  /// Whether an atomic access to [begin, end) races with a payload access to the same bytes.
  [[nodiscard]] conflict overlap(std::size_t t, clock const& known, std::uintptr_t begin,
                                 std::uintptr_t end, bool write) const {
    for (span const& s : spans_) {
      if (s.end <= begin || end <= s.begin) { continue; }
      conflict const c = check(s, t, known, write);
      if (c.found) { return c; }
    }
    return {};
  }

 private:
  struct span {
    std::uintptr_t begin = 0;
    std::uintptr_t end = 0;
    std::size_t writer = 0;
    touch written;
    std::array<touch, max_threads> reads{};
  };

  [[nodiscard]] static conflict check(span const& s, std::size_t t, clock const& known,
                                      bool write) {
    if (s.written.time != 0 && s.writer != t && s.written.time > known.at[s.writer]) {
      return {true, s.writer, true, s.written};
    }
    for (std::size_t u = 0; write && u < max_threads; ++u) {
      if (u != t && s.reads[u].time > known.at[u]) { return {true, u, false, s.reads[u]}; }
    }
    return {};
  }

  [[nodiscard]] std::size_t lower(std::uintptr_t begin) const {
    std::size_t i = 0;
    while (i < spans_.size() && spans_[i].end <= begin) { ++i; }
    return i;
  }

  void split(std::uintptr_t at) {
    std::size_t const i = lower(at);
    if (i == spans_.size() || spans_[i].begin >= at) { return; }
    span right = spans_[i];
    right.begin = at;
    spans_[i].end = at;
    spans_.insert(spans_.begin() + static_cast<std::ptrdiff_t>(i) + 1, right);
  }

  std::vector<span> spans_;  // disjoint, sorted
};

}  // namespace race
