// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/clock.hpp>
#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/propagate/commit_lane.hpp>
#include <millrace/propagate/measured_choice.hpp>
#include <millrace/propagate/node.hpp>
#include <millrace/propagate/plan.hpp>
#include <millrace/propagate/plan_loop.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>

/// \file
/// A pass through a plan by several threads: the words of a level's segment are their tasks. No
/// node of it depends on another, so whatever they do in whatever order, the same nodes run, with
/// the same values before them. What they write is theirs alone, but for the marks of who depends
/// on it.

namespace millrace::inline v0::propagate::detail {

/// What comes of runs that a member of a team makes.
template <class P>
class plan<P>::in_team {
 public:
  in_team(engine<P>& e, team_word* begin, team_word* end) noexcept
      : e_{e}, begin_{begin}, end_{end} {}

  void pend(std::uint32_t word, std::uint64_t bits) noexcept {
    e_.pending.insert_shared(word, bits);
  }
  void pend(std::uint32_t i) noexcept { pend(i / 64, std::uint64_t{1} << (i % 64)); }
  void pend_announced(std::uint32_t i) noexcept { pend(i); }
  void announce(std::uint32_t, std::uint32_t) noexcept {}
  void again(std::uint32_t word, std::uint64_t bits) noexcept { at(word).bits |= bits; }
  void changed(std::uint32_t i) noexcept { at(i / 64).shown |= std::uint64_t{1} << (i % 64); }
  void failed(std::uint32_t i, error why) noexcept {
    at(i / 64).failed = i;
    at(i / 64).why = why;
  }
  void ran(std::uint64_t) noexcept {}  // told by the bits that are left

 private:
  [[nodiscard]] team_word& at(std::uint32_t word) const noexcept {
    return *std::lower_bound(begin_, end_, word, [](team_word const& each, std::uint32_t sought) {
      return each.word < sought;
    });
  }

  engine<P>& e_;
  team_word* begin_;
  team_word* end_;
};

/// As run_alone, or by the team, whichever has taken less time for as many nodes.
template <class P>
void plan<P>::run_measured(engine<P>& e, std::uint32_t k, std::uint32_t word) noexcept {
  segment const& s = segments_[k];
  if (P::task_ns == 0) {
    list_words(e, s, word);
    run_together(e, s, words_.size());
    return;
  }
  bool const is_one_word = e.pending.next_word(word + 1, (s.end + 63) / 64) * 64 >= s.end;
  std::uint32_t const count = is_one_word ? 0 : count_nodes(e, s, word);
  if (count < measured_choice::least) {
    run_alone(e, s, word);
    return;
  }
  measured_choice& costs = costs_[k];
  auto const [by_team, timed] = costs.decide(count, P::task_ns);
  std::uint64_t const start = timed ? core::steady_clock::now_ns() : 0;
  if (by_team) {
    list_words(e, s, word);
    run_together(e, s, costs.tasks(count, P::task_ns));
  } else {
    run_alone(e, s, word);
  }
  if (timed) { costs.note(by_team, count, core::steady_clock::now_ns() - start); }
}

/// The words of a segment in which nodes pend and no other pending node comes before them.
template <class P>
template <class Use>
void plan<P>::each_word(engine<P> const& e, segment const& s, std::uint32_t word,
                        Use const& use) noexcept {
  std::uint32_t const end = (s.end + 63) / 64;
  for (bool more = true; more; ++word) {
    word = e.pending.next_word(word, end);
    if (word == end) { break; }
    std::uint64_t const all = e.pending.word(word);
    std::uint64_t const mine = e.in_plan.plain(word) ? all : planned_first(e, word, all);
    use(word, mine);
    more = mine == all;
  }
}
template <class P>
std::uint32_t plan<P>::count_nodes(engine<P> const& e, segment const& s,
                                   std::uint32_t word) noexcept {
  std::uint32_t count = 0;
  each_word(e, s, word, [&count](std::uint32_t, std::uint64_t mine) {
    count += static_cast<std::uint32_t>(std::popcount(mine));
  });
  return count;
}
template <class P>
void plan<P>::list_words(engine<P> const& e, segment const& s, std::uint32_t word) noexcept {
  words_.clear();
  each_word(e, s, word, [this](std::uint32_t at, std::uint64_t mine) {
    if (mine != 0) { words_.push({.word = at, .bits = mine}); }
  });
}

template <class P>
void plan<P>::run_together(engine<P>& e, segment const& s, std::uint32_t tasks) noexcept {
  std::uint64_t runs = 0;
  for (team_word const& each : words_) {
    e.pending.take(each.word, each.bits);
    runs += static_cast<std::uint64_t>(std::popcount(each.bits));
  }
  std::uint64_t const size = words_.size();
  tasks = std::min(tasks, words_.size());
  bool const in_lane = leads_lane;
  e.team->run(tasks, [&](std::uint32_t task, std::uint32_t) noexcept {
    bool const was = std::exchange(leads_lane, in_lane);
    run_words(e, s, words_.begin() + size * task / tasks,
              words_.begin() + size * (task + 1) / tasks);
    leads_lane = was;
  });
  for (team_word const& each : words_) {
    runs -= static_cast<std::uint64_t>(std::popcount(each.bits));
    e.pending.insert_behind(each.word, each.bits);
    for (std::uint64_t left = each.shown; left != 0; left &= left - 1) {
      e.changed(each.word * 64 + static_cast<std::uint32_t>(std::countr_zero(left)));
    }
    if (each.why.code != errc::ok) [[unlikely]] { at_once(e).failed(each.failed, each.why); }
  }
  count_runs(e, runs);
}

/// Runs on any member of the team.
template <class P>
void plan<P>::run_words(engine<P>& e, segment const& s, team_word* begin, team_word* end) noexcept {
  due now;
  in_team to(e, begin, end);
  for (team_word* at = begin; at != end;) {
    now.clear();
    for (; at != end && !now.full(); ++at) {
      if (e.in_plan.plain(at->word)) {
        now.add_near(at->word, at->bits);
      } else {
        now.add(s, at->word, at->bits);
      }
      at->bits = 0;
    }
    if (!run_all(e, s, now, to)) { return; }
  }
}

}  // namespace millrace::inline v0::propagate::detail
