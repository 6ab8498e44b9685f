// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/propagate/node.hpp>
#include <millrace/propagate/plan.hpp>
#include <millrace/propagate/plan_loop.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

/// \file
/// A pass through a plan: the pending bits of a segment, word by word.

namespace millrace::inline v0::propagate::detail {

/// What comes of runs that one thread makes: it is written to where it belongs.
template <class P>
class plan<P>::at_once {
 public:
  explicit at_once(engine<P>& e) noexcept : e_{e} {}

  void pend(std::uint32_t word, std::uint64_t bits) noexcept {
    e_.pending.insert_behind(word, bits);
  }
  void pend(std::uint32_t i) noexcept { pend(i / 64, std::uint64_t{1} << (i % 64)); }
  void pend_announced(std::uint32_t i) noexcept { e_.pending.insert_untold(i); }
  void announce(std::uint32_t first, std::uint32_t last) noexcept {
    e_.pending.announce_words(first, last);
  }
  void again(std::uint32_t word, std::uint64_t bits) noexcept { pend(word, bits); }
  void changed(std::uint32_t i) noexcept { e_.changed(i); }
  void failed(std::uint32_t i, error why) noexcept {
    if (e_.set_failure(e_.nodes(i), why)) { e_.changed(i); }
  }
  void ran(std::uint64_t count) noexcept { runs += count; }

  std::uint64_t runs = 0;

 private:
  engine<P>& e_;
};

/// Runs a node that has been taken from the pending ones, and those of its segment, as far as no
/// other pending node comes before them.
template <class P>
void plan<P>::run(engine<P>& e, std::uint32_t i) noexcept {
  std::uint32_t const k = segment_at_[i / 64];
  if (segments_[k].is_chain) {
    run_chain(e, segments_[k], i);
    return;
  }
  e.pending.insert(i);
  if (e.team == nullptr) {
    run_alone(e, segments_[k], i / 64);
  } else {
    run_measured(e, k, i / 64);
  }
}

template <class P>
void plan<P>::run_alone(engine<P>& e, segment const& s, std::uint32_t word) noexcept {
  auto& pending = e.pending;
  std::uint32_t const end = (s.end + 63) / 64;
  due now;
  at_once to(e);
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
        if (all != 0) { now.add_near(word, all); }
      } else {
        std::uint64_t const mine = planned_first(e, word, all);
        pending.take(word, mine);
        now.add(s, word, mine);
        more = mine == all;
        if (!more) { break; }
      }
      ++word;
    }
    if (!run_all(e, s, now, to)) { break; }
  }
  count_runs(e, to.runs);
}

/// False when a node has failed: those that have not run are to run again.
template <class P>
template <class To>
bool plan<P>::run_all(engine<P> const& e, segment const& s, due& now, To& to) noexcept {
  std::uint64_t changed[due::most_near];
  stop at;
  std::uint32_t near = now.near_words, listed = now.nodes;
  if (near != 0) {
    s.how->run_near(s, now.near, near, changed, at);
    if (at.failure.code != errc::ok) [[unlikely]] {
      near = at.at + 1;
      for (std::uint32_t k = near; k < now.near_words; ++k) {
        to.again(now.near[k].word, now.near[k].bits);
      }
      to.again(now.near[at.at].word, at.left);
    }
    for (std::uint32_t k = 0; k < near; ++k) { spread(e, s, {now.near[k].word, changed[k]}, to); }
  }
  if (listed != 0 && at.failure.code == errc::ok) {
    std::fill_n(now.list + listed, plan_kind::ahead, now.list[listed - 1]);
    std::uint32_t const count = s.how->run_listed(s, now.list, listed, now.changed, at);
    spread_listed(e, s, now.changed, count, to);
    if (at.failure.code != errc::ok) [[unlikely]] { listed = at.at + 1; }
  } else {
    listed = 0;
  }
  to.ran(at.runs + listed);
  if (at.failure.code == errc::ok) [[likely]] { return true; }
  for (std::uint32_t k = listed; k < now.nodes; ++k) {
    std::uint32_t const i = s.begin + now.list[k];
    to.again(i / 64, std::uint64_t{1} << (i % 64));
  }
  to.failed(s.begin + at.node, at.failure);
  return false;
}

/// Who depends on near nodes that have changed is pending.
template <class P>
template <class To>
void plan<P>::spread(engine<P> const& e, segment const& s, word_bits changed, To& to) noexcept {
  std::uint64_t const shown =
      e.in_plan.plain(changed.word) ? 0 : changed.bits & e.in_plan.shown(changed.word);
  std::uint64_t const bits = changed.bits & ~shown;
  for (std::uint64_t left = shown; left != 0; left &= left - 1) {
    to.changed(changed.word * 64 + static_cast<std::uint32_t>(std::countr_zero(left)));
  }
  for (std::uint32_t k = 0; k < s.step_count; ++k) {
    std::uint32_t const target = changed.word * 64 + s.steps[k], shift = target % 64;
    to.pend(target / 64, bits << shift);
    to.pend(target / 64 + 1, bits >> 1 >> (63 - shift));
  }
}
/// Who depends on listed nodes that have changed is pending.
template <class P>
template <class To>
void plan<P>::spread_listed(engine<P> const& e, segment const& s, std::uint32_t* changed,
                            std::uint32_t count, To& to) noexcept {
  if (count == 0) { return; }
  std::uint32_t const first = (s.begin + changed[0]) / 64;
  std::uint32_t const last = (s.begin + changed[count - 1]) / 64;
  // word by word where these are no more than the nodes
  if (last - first > count || e.in_plan.some_shown(first, last)) {
    std::uint32_t others = 0;
    for (std::uint32_t k = 0; k < count; ++k) {
      std::uint32_t const i = s.begin + changed[k];
      bool const is_shown = (e.in_plan.shown(i / 64) >> (i % 64) & 1) != 0;
      if (is_shown) { to.changed(i); }
      changed[others] = changed[k];
      others += is_shown ? 0u : 1u;
    }
    count = others;
  }
  if (s.stride == 0) { return; }
  if (count > (s.last_target - s.first_target) / 128) {
    to.announce(s.first_target / 64, s.last_target / 64);
    mark_targets(s, changed, count, [&to](std::uint32_t i) { to.pend_announced(i); });
  } else {
    mark_targets(s, changed, count, [&to](std::uint32_t i) { to.pend(i); });
  }
}
template <class P>
template <class Mark>
void plan<P>::mark_targets(segment const& s, std::uint32_t const* changed, std::uint32_t count,
                           Mark const& mark) noexcept {
  if (s.targets_at != nullptr) {
    for (std::uint32_t k = 0; k < count; ++k) {
      std::uint32_t const end = s.targets_at[changed[k] + 1];
      for (std::uint32_t t = s.targets_at[changed[k]]; t != end; ++t) { mark(s.targets[t]); }
    }
    return;
  }
  auto const each = [&, targets = s.targets](auto stride) {
    static constexpr std::uint32_t ahead = plan_kind::ahead / 2;
    for (std::uint32_t k = 0; k < count; ++k) {
      if (k + ahead < count) { __builtin_prefetch(targets + changed[k + ahead] * stride); }
      std::size_t const first = changed[k] * stride;
      for (std::size_t t = 0; t != stride; ++t) { mark(targets[first + t]); }
    }
  };
  if (s.stride == 2) {
    each(std::integral_constant<std::size_t, 2>{});
  } else {
    each(std::size_t{s.stride});
  }
}

}  // namespace millrace::inline v0::propagate::detail
