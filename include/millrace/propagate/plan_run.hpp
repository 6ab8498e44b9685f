// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/propagate/node.hpp>
#include <millrace/propagate/plan.hpp>
#include <millrace/propagate/plan_loop.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>

/// \file
/// A pass through a plan: the pending bits of a segment, word by word.

namespace millrace::inline v0::propagate::detail {

/// Runs a node that has been taken from the pending ones, and those of its segment, as far as no
/// other pending node comes before them.
template <class P>
void plan<P>::run(engine<P>& e, std::uint32_t i) noexcept {
  segment const& s = segments_[segment_at_[i / 64]];
  auto& pending = e.pending;
  pending.insert(i);
  std::uint32_t word = i / 64;
  std::uint32_t const end = (s.end + 63) / 64;
  due now;
  for (bool more = true; more;) {
    // none of these will mark another of them
    now.clear();
    while (!now.full()) {
      word = pending.next_word(word, end);
      more = word != end;
      if (!more) { break; }
      std::uint64_t const all = pending.word(word);
      if (e.in_plan.plain(word)) {
        pending.take(word, all);
        if (all != 0) { now.add_near(s, word, all); }
      } else {
        std::uint64_t mine = all & e.in_plan.members(word);
        std::uint64_t const others = all & ~mine;
        if (others != 0) { mine &= (others & (~others + 1)) - 1; }
        pending.take(word, mine);
        now.add(s, word, mine);
        more = others == 0;
        if (!more) { break; }
      }
      ++word;
    }
    if (!run_all(e, s, now)) { return; }
  }
}

/// False when a node has failed: those that have not run are pending again.
template <class P>
bool plan<P>::run_all(engine<P>& e, segment const& s, due& now) noexcept {
  std::uint64_t changed[due::most_near];
  stop at;
  std::uint32_t near = now.near_words, listed = now.nodes, last = now.last;
  if (near != 0) {
    s.how->run_near(s, now.near, near, changed, at);
    if (at.failure.code != errc::ok) [[unlikely]] {
      near = at.at + 1;
      for (std::uint32_t k = near; k < now.near_words; ++k) {
        e.pending.insert_behind(now.near[k].word, now.near[k].bits);
      }
      e.pending.insert_behind(now.near[at.at].word, at.left);
    }
    for (std::uint32_t k = 0; k < near; ++k) { spread(e, s, {now.near[k].word, changed[k]}); }
  }
  if (listed != 0 && at.failure.code == errc::ok) {
    for (std::uint32_t k = 0; k < plan_kind::ahead; ++k) { now.list[listed + k] = last; }
    std::uint32_t const count = s.how->run_listed(s, now.list, listed, now.changed, at);
    spread_listed(e, s, now.changed, count);
    if (at.failure.code != errc::ok) [[unlikely]] { listed = at.at + 1; }
  } else {
    listed = 0;
  }
  if (at.failure.code == errc::ok) [[likely]] {
    count_runs(e, at.runs + listed);
    return true;
  }
  for (std::uint32_t k = listed; k < now.nodes; ++k) {
    std::uint32_t const i = s.begin + now.list[k];
    e.pending.insert_behind(i / 64, std::uint64_t{1} << (i % 64));
  }
  count_runs(e, at.runs + listed);
  std::uint32_t const i = s.begin + at.node;
  if (e.set_failure(e.nodes(i), at.failure)) { e.changed(i); }
  return false;
}

/// Who depends on near nodes that have changed is pending.
template <class P>
void plan<P>::spread(engine<P>& e, segment const& s, word_bits changed) noexcept {
  std::uint64_t const shown =
      e.in_plan.plain(changed.word) ? 0 : changed.bits & e.in_plan.shown(changed.word);
  std::uint64_t const bits = changed.bits & ~shown;
  for (std::uint64_t left = shown; left != 0; left &= left - 1) {
    e.changed(changed.word * 64 + static_cast<std::uint32_t>(std::countr_zero(left)));
  }
  for (std::uint32_t k = 0; k < s.step_count; ++k) {
    std::uint32_t const to = changed.word * 64 + s.steps[k], shift = to % 64;
    e.pending.insert_behind(to / 64, bits << shift);
    e.pending.insert_behind(to / 64 + 1, bits >> 1 >> (63 - shift));
  }
}
template <class P>
void plan<P>::spread_listed(engine<P>& e, segment const& s, std::uint32_t const* changed,
                            std::uint32_t count) noexcept {
  auto const mark = [&](std::uint32_t i) {
    e.pending.insert_behind(i / 64, std::uint64_t{1} << (i % 64));
  };
  for (std::uint32_t k = 0; k < count; ++k) {
    std::size_t const j = changed[k];
    std::uint32_t const i = s.begin + changed[k];
    if ((e.in_plan.shown(i / 64) >> (i % 64) & 1) != 0) [[unlikely]] {
      e.changed(i);
    } else if (s.targets_at == nullptr) {
      for (std::size_t t = 0; t != s.stride; ++t) { mark(s.targets[j * s.stride + t]); }
    } else {
      for (std::size_t t = s.targets_at[j]; t != s.targets_at[j + 1]; ++t) { mark(s.targets[t]); }
    }
  }
}

}  // namespace millrace::inline v0::propagate::detail
