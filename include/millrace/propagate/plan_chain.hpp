// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/propagate/node.hpp>
#include <millrace/propagate/plan_build.hpp>
#include <millrace/propagate/plan_loop.hpp>
#include <millrace/propagate/plan_run.hpp>

#include <algorithm>
#include <bit>
#include <cstdint>

/// \file
/// Chains in a plan: nodes each of which is all that depends on the one before it. They are found
/// in narrow levels, and run one behind the other.

namespace millrace::inline v0::propagate::detail {

template <class P>
bool plan<P>::builder::find_chains() noexcept {
  static constexpr index least = std::max(std::uint32_t{P::plan_width}, 2u);
  index const count = e_.extent();
  if (!width_.assign(levels_, 0) || !chain_.assign(count, 0)) { return false; }
  for (index i = 0; i < count; ++i) {
    if (at(i).what != nullptr) { ++width_[level_[i]]; }
  }
  for (index i = 0; i < count; ++i) {
    if (at(i).what == nullptr || !may_chain(i) || behind(source_of(i)) == i) { continue; }
    index size = 1;
    for (index next = behind(i); next != none; next = behind(next)) { ++size; }
    if (size < least) { continue; }
    chain_[i] = size;
    for (index next = behind(i); next != none; next = behind(next)) {
      chain_[next] = none;
      level_[next] = level_[i];
    }
  }
  return true;
}

template <class P>
bool plan<P>::builder::list_chains(index begin, index end) noexcept {
  for (index k = begin; k < end;) {
    index const size = chain_[order_[k]];
    if (size == 0) {
      ++k;
      continue;
    }
    segment made;
    made.how = at(order_[k]).what->plan;
    made.begin = k;
    made.end = k += size;
    made.is_chain = true;
    if (!segments_.try_push(made)) { return false; }
  }
  return true;
}

/// From a pending node on, as far as values change, up to the first node that is shown: its edges
/// tell who hears of it. Who leaves the plan has its source shown. So all others on the way are of
/// the plan, and pend only when the one before has run by itself: none does. A word at a time: what
/// lies far ahead may have no turn.
template <class P>
void plan<P>::run_chain(engine<P>& e, segment const& s, std::uint32_t i) noexcept {
  std::uint64_t runs = 0;
  for (bool ends = false; !ends;) {
    std::uint32_t const word = i / 64, from = i % 64;
    std::uint32_t end = (word + 1) * 64;
    if (!e.in_plan.plain(word)) {
      std::uint64_t const shown = e.in_plan.shown(word) >> from;
      ends = shown != 0;
      if (ends) { end = i + static_cast<std::uint32_t>(std::countr_zero(shown)) + 1; }
    }
    stop at;
    bool const differs = s.how->run_chain(s, i - s.begin, end - s.begin, at);
    auto const ran = static_cast<std::uint32_t>(at.runs);
    [[maybe_unused]] std::uint64_t const turns = ~std::uint64_t{0} >> (64 - ran) << from;
    MILLRACE_ASSERT((e.in_plan.members(word) & turns) == turns);
    MILLRACE_ASSERT((e.pending.word(word) & turns) == 0);
    runs += ran;
    i += ran;
    if (differs && ends) { e.changed(i - 1); }
    if (at.failure.code != errc::ok) [[unlikely]] { at_once(e).failed(i - 1, at.failure); }
    ends = ends || !differs;
  }
  if (runs < P::plan_width) {
    e.count_runs(runs);  // a chain that is shown all along is none: another plan is wanted
  } else {
    count_runs(e, runs);
  }
}

}  // namespace millrace::inline v0::propagate::detail
