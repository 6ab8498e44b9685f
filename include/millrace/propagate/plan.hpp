// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/propagate/column.hpp>
#include <millrace/propagate/measured_choice.hpp>
#include <millrace/propagate/node.hpp>
#include <millrace/propagate/pieces.hpp>
#include <millrace/propagate/plan_loop.hpp>
#include <millrace/propagate/probe.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace millrace::inline v0::propagate::detail {

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
