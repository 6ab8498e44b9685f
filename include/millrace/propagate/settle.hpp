// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/propagate/engine.hpp>
#include <millrace/propagate/node.hpp>

#include <cstdint>
#include <utility>

/// \file
/// Making a value right when somebody reads it, in its turn or before.

namespace millrace::inline v0::propagate::detail {

template <class P>
void engine<P>::settle_now(std::uint32_t i) noexcept {
  bool const was = std::exchange(busy_, true);
  bool const alone = !nodes(i).has(linked);
  std::uint32_t const slot = nodes(i).slot;
  std::uint32_t before = none;
  do {  // a cycle may have been one of dependencies that are gone by now
    before = retried_.size();
    if (before != 0) { ++pass; }  // what has failed in this one may come out as something else
    if (alone) { base::need(index_of(slot)); }
    settle(slot);
    if (alone) { base::release(index_of(slot)); }
  } while (retried_.size() > before);
  busy_ = was;
}

template <class P>
void engine<P>::settle(std::uint32_t slot) noexcept {
  std::uint32_t const waiting = waiting_.size(), frames = frames_.size();
  waiting_.push(slot);
  while (waiting_.size() > waiting) {
    try {
      pull(index_of(waiting_.back()));
      waiting_.pop();
    } catch (unwound const& u) {
      frames_.shrink(frames);
      waiting_.push(u.slot);
    }
  }
}

template <class P>
void engine<P>::pull(std::uint32_t root) {
  if (!nodes(root).has(unsettled)) { return; }
  std::uint32_t const base_size = frames_.size();
  push_frame(root);
  while (frames_.size() > base_size) {
    std::uint32_t const unsettled_source = look_at_sources(frames_.back());
    if (unsettled_source != none) {
      push_frame(unsettled_source);
      continue;
    }
    frame const& f = frames_.back();
    if (f.stale) {
      run(f.slot);
    } else {
      ++stats.checks;
      nodes(f.node).ran_at = pass;
    }
    nodes(f.node).clear(unsettled);
    if (pending.contains(f.node)) {  // before its turn: who needs it has not been told
      pending.erase(f.node);
      if (nodes(f.node).changed_at == pass) { tell_targets(f.node); }
    }
    frames_.pop();
  }
}

template <class P>
void engine<P>::push_frame(std::uint32_t i) noexcept {
  frames_.push({i, nodes(i).slot, 0, nodes(i).has(must_run)});
}

template <class P>
std::uint32_t engine<P>::look_at_sources(frame& f) noexcept {
  node<P> const& n = nodes(f.node);
  bool const any = tracks(n.what->is);  // the first that has changed decides
  if (n.sources == nullptr) { return none; }
  for (edge const* const from = n.sources->edges(); f.next < n.sources->size; ++f.next) {
    if (any && f.stale) { return none; }
    std::uint32_t const source = from[f.next].node;
    if (nodes(source).has(unsettled)) { return source; }
    if (nodes(source).changed_at > n.ran_at) { f.stale = true; }
  }
  return none;
}

template <class P>
void engine<P>::run(std::uint32_t slot) {
  node<P>& before = nodes(index_of(slot));
  begins(index_of(slot), cause_of(before), before.ran_at);
  before.clear(must_run);
  bool const differs = before.what->run(*this, index_of(slot));
  node<P>& n = nodes(index_of(slot));  // it may have another place now
  if (differs) { n.changed_at = pass; }
  n.ran_at = pass;
  ends(index_of(slot), differs);
}

template <class P>
void engine<P>::expect_changes(std::uint32_t root) noexcept {
  std::uint32_t const base_size = late_.size();
  visit_late(root);
  for (std::uint32_t k = base_size; k < late_.size(); ++k) {
    node<P> const& n = nodes(late_[k]);
    for (std::uint32_t e = 0; n.sources != nullptr && e < n.sources->size; ++e) {
      visit_late(n.sources->edges()[e].node);
    }
  }
  for (std::uint32_t k = base_size; k < late_.size(); ++k) {
    node<P>& n = nodes(late_[k]);
    n.clear(seen);
    if (!n.has(linked) || n.has(unsettled) || n.ran_at == pass) { continue; }
    base::unplan(late_[k]);
    if (n.eager != 0) { n.ran_at = pass - 1; }
    n.set(unsettled);
    pending.insert(late_[k]);
  }
  late_.shrink(base_size);
}

template <class P>
void engine<P>::visit_late(std::uint32_t i) noexcept {
  if (!is_late(i) || nodes(i).has(seen)) { return; }
  nodes(i).set(seen);
  late_.push(i);
}

template <class P>
result<void> engine<P>::put_before(active_run& reading, std::uint32_t read) noexcept {
  auto moved = base::move_behind(reading.index, read);
  while (!moved && moved.error().code == errc::cycle && forget_unneeded()) {
    moved = base::move_behind(reading.index, read);
  }
  if (!moved) {
    retry_later(reading.index);
    return moved;
  }
  ++stats.reorders;
  for (frame& f : frames_) { f.node = index_of(f.slot); }
  for (active_run* each = innermost_; each != nullptr; each = each->outer) {
    each->index = index_of(each->slot);
  }
  return {};
}

}  // namespace millrace::inline v0::propagate::detail
