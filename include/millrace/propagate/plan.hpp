// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/memory/reservation.hpp>
#include <millrace/memory/resource.hpp>
#include <millrace/propagate/column.hpp>
#include <millrace/propagate/measured_choice.hpp>
#include <millrace/propagate/node.hpp>
#include <millrace/propagate/plan_loop.hpp>
#include <millrace/propagate/probe.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

namespace millrace::inline v0::propagate::detail {

/// Memory in pieces that are given back together. They stand side by side in few large blocks, so
/// that these have huge pages.
template <memory::host_accessible_resource R>
class pieces {
 public:
  explicit pieces(R from) noexcept : blocks_{from}, from_{std::move(from)} {}
  pieces(pieces const&) = delete;
  pieces& operator=(pieces const&) = delete;
  ~pieces() {
    for (block const& b : blocks_) {
      from_.deallocate(b.data, b.bytes, block_alignment(b.bytes, line));
    }
  }
  /// `count` elements, whose bytes are all 0; null where there is no memory.
  template <class T>
  [[nodiscard]] T* take(std::size_t count) noexcept {
    std::size_t const bytes = (count * sizeof(T) / line + 1) * line;
    if (bytes > left_ && !grow(bytes)) { return nullptr; }
    std::byte* const piece = blocks_.back().data + blocks_.back().bytes - left_;
    left_ -= bytes;
    return static_cast<T*>(std::memset(static_cast<void*>(piece), 0, bytes));
  }
  [[nodiscard]] bool holds(void const* at) const noexcept {
    auto const address = reinterpret_cast<std::uintptr_t>(at);
    for (block const& b : blocks_) {
      if (address - reinterpret_cast<std::uintptr_t>(b.data) < b.bytes) { return true; }
    }
    return false;
  }
  void swap(pieces& other) noexcept {
    blocks_.swap(other.blocks_);
    std::swap(left_, other.left_);
    std::swap(bytes_, other.bytes_);
  }

 private:
  static constexpr std::size_t line = 64, most = 2 * memory::reservation::huge_page_bytes;
  struct block {
    std::byte* data;
    std::size_t bytes;
  };
  /// Another block, as large as those before it together, up to two huge pages.
  [[nodiscard]] bool grow(std::size_t needed) noexcept {
    std::size_t bytes = std::max(needed, std::min(bytes_, most));
    if (!blocks_.reserve(blocks_.size() + 1)) { return false; }
    auto const given = take_block(from_, bytes, line);
    if (!given) { return false; }
    blocks_.push({*given, bytes});
    left_ = bytes;
    bytes_ += bytes;
    return true;
  }

  column<block, R> blocks_;
  std::size_t left_ = 0;   // of the last one
  std::size_t bytes_ = 0;  // of all
  R from_;
};

/// A word of a segment while a team runs it.
struct team_word {
  std::uint32_t word;        ///< index / 64
  std::uint32_t failed = 0;  ///< the index of a node that has failed
  std::uint64_t bits;        ///< who is to run; then who has not
  std::uint64_t shown = 0;   ///< who has changed, and somebody outside of the plan looks at it
  error why{};               ///< of the one that has failed
};

/// Runs cells of fixed dependencies that are needed for sure, many of one type side by side, from
/// flat arrays instead of from their nodes. The nodes stay as they are, and right: at any time a
/// node can be run by itself, and leave the plan by one bit.
template <class P>
class plan {
 public:
  using resource = typename P::resource;

  explicit plan(resource from) noexcept
      : memory_{from}, segments_{from}, segment_at_{from}, costs_{from}, words_{from} {}

  void run(engine<P>& e, std::uint32_t i) noexcept;
  /// After a pass: makes a plan where that seems worth it. A pass that was wide without one is for
  /// it, what comes, goes or gets another function against it; one that did not help makes it wait
  /// longer.
  void consider(engine<P>& e) noexcept {
    if (is_watched<P> || P::plan_width == 0 || e.extent() < P::plan_width) { return; }
    std::uint64_t const alone = e.stats.runs - runs_;
    std::uint64_t const in_pass = alone - std::exchange(seen_, alone);
    bool const still = e.edits == std::exchange(edits_, e.edits);
    if (!still) {
      wide_ = 0;
      patience_ = 1;
    } else if (in_pass >= P::plan_width) {
      wide_ += in_pass;
    }
    std::uint64_t const enough = patience_ * P::plan_after * e.extent();
    if ((!still && enough != 0) || wide_ < enough || e.stats.failed != 0) { return; }
    wide_ = 0;
    patience_ *= 2;
    make(e);
  }
  /// Whether a value stands in the plan's memory.
  [[nodiscard]] bool holds(void const* value) const noexcept { return memory_.holds(value); }

 private:
  /// What is to run next of a segment.
  struct due {
    static constexpr std::uint32_t most_near = plan_kind::most_words;
    static constexpr std::uint32_t most_listed = 1024;

    std::uint32_t near_words, nodes;
    word_bits near[most_near];
    std::uint32_t list[most_listed + 64 + plan_kind::ahead];  // offsets of nodes that are not near
    std::uint32_t changed[most_listed + 64];

    void clear() noexcept { near_words = nodes = 0; }
    [[nodiscard]] bool full() const noexcept {
      return near_words == most_near || nodes >= most_listed;
    }
    void add(segment const& s, std::uint32_t word, std::uint64_t bits) noexcept {
      std::uint32_t const first = word * 64 - s.begin;
      std::uint64_t const is_near = bits & s.near(first);
      if (is_near != 0) { add_near(word, is_near); }
      nodes += list_bits(first, bits & ~is_near, list + nodes);
    }
    void add_near(std::uint32_t word, std::uint64_t bits) noexcept {
      near[near_words++] = {word, bits};
    }
  };
  class builder;
  class at_once;
  class in_team;

  void make(engine<P>& e) noexcept;
  void run_chain(engine<P>& e, segment const& s, std::uint32_t i) noexcept;
  void run_alone(engine<P>& e, segment const& s, std::uint32_t word) noexcept;
  void run_measured(engine<P>& e, std::uint32_t k, std::uint32_t word) noexcept;
  template <class Use>
  static void each_word(engine<P> const& e, segment const& s, std::uint32_t word,
                        Use const& use) noexcept;
  [[nodiscard]] static std::uint32_t count_nodes(engine<P> const& e, segment const& s,
                                                 std::uint32_t word) noexcept;
  void list_words(engine<P> const& e, segment const& s, std::uint32_t word) noexcept;
  void run_together(engine<P>& e, segment const& s, std::uint32_t tasks) noexcept;
  static void run_words(engine<P>& e, segment const& s, team_word* begin, team_word* end) noexcept;
  template <class To>
  [[nodiscard]] static bool run_all(engine<P> const& e, segment const& s, due& now,
                                    To& to) noexcept;
  template <class To>
  static void spread(engine<P> const& e, segment const& s, word_bits changed, To& to) noexcept;
  template <class To>
  static void spread_listed(engine<P> const& e, segment const& s, std::uint32_t* changed,
                            std::uint32_t count, To& to) noexcept;
  template <class Mark>
  static void mark_targets(segment const& s, std::uint32_t const* changed, std::uint32_t count,
                           Mark const& mark) noexcept;
  /// Of the pending nodes of a word, those of the plan before the first that is not.
  [[nodiscard]] static std::uint64_t planned_first(engine<P> const& e, std::uint32_t word,
                                                   std::uint64_t pending) noexcept {
    std::uint64_t const mine = pending & e.in_plan.members(word), others = pending & ~mine;
    return others == 0 ? mine : mine & ((others & (~others + 1)) - 1);
  }
  void count_runs(engine<P>& e, std::uint64_t n) noexcept {
    runs_ += n;
    e.count_runs(n);
  }

  pieces<resource> memory_;  // values too, of cells that may have left the plan since
  column<segment, resource> segments_;
  column<std::uint32_t, resource> segment_at_;  // by word
  column<measured_choice, resource> costs_;     // by segment
  column<team_word, resource> words_;           // of the segment that a team runs
  std::uint64_t runs_ = 0;                      // by plans
  std::uint64_t seen_ = 0;                      // other runs up to the last pass
  std::uint64_t wide_ = 0;  // of them in wide passes, since the last edit or plan
  std::uint64_t edits_ = 0;
  std::uint64_t patience_ = 1;
};

}  // namespace millrace::inline v0::propagate::detail

#include <millrace/propagate/plan_build.hpp>
#include <millrace/propagate/plan_run.hpp>
#include <millrace/propagate/plan_team.hpp>
