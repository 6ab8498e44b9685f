// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/propagate/engine.hpp>
#include <millrace/propagate/node.hpp>

#include <cstdint>

/// \file
/// Failures whose end no dependency tells: who has them runs again.

namespace millrace::inline v0::propagate::detail {

template <class P>
void engine<P>::retry_later(std::uint32_t i) noexcept {
  node<P>& n = nodes(i);
  if (!n.has(retried)) { retried_.push(n.slot); }
  n.set(retried | must_run);
}

template <class P>
void engine<P>::forget(std::uint32_t i) noexcept {
  if (!nodes(i).has(retried)) { return; }
  for (std::uint32_t& slot : retried_) {
    if (slot == nodes(i).slot) { slot = retried_.back(); }
  }
  retried_.pop();
}

/// A cycle may have been one of dependencies that are gone by now.
template <class P>
void engine<P>::retry_all() noexcept {
  for (std::uint32_t before = none; !retried_.empty() && retried_.size() < before;) {
    before = retried_.size();
    retry();
    run_in_order(pending.nothing());
  }
}

template <class P>
void engine<P>::retry() noexcept {
  ++pass;  // what they come out as is news to those that have run in this one
  std::uint32_t kept = 0;
  for (std::uint32_t slot : retried_) {
    std::uint32_t const i = index_of(slot);
    node<P>& n = nodes(i);
    if (n.has(must_run) && !n.has(linked)) {
      retried_[kept++] = slot;  // when it is read
      continue;
    }
    n.clear(retried);
    if (n.has(must_run)) { pending.insert(i); }
  }
  retried_.shrink(kept);
}

template <class P>
bool engine<P>::forget_unneeded() noexcept {
  bool any = false;
  for (std::uint32_t slot : base::cycle()) {
    std::uint32_t const i = index_of(slot);
    node<P>& n = nodes(i);
    if (n.has(linked) || !tracks(n.what->is)) { continue; }
    for (; n.sources != nullptr && n.sources->size != 0; any = true) { base::unlink_last(i); }
    n.set(must_run);
  }
  return any;
}

}  // namespace millrace::inline v0::propagate::detail
