// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/propagate/cell.hpp>
#include <millrace/propagate/node.hpp>
#include <millrace/propagate/plan_build.hpp>
#include <millrace/propagate/plan_loop.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

/// \file
/// A segment's arrays: operands, targets, functions, and which of its nodes are near.

namespace millrace::inline v0::propagate::detail {

template <class P>
bool plan<P>::builder::list_nodes(segment const& s, index const* nodes) noexcept {
  index const count = s.size(), arity = s.how->arity;
  if (!operands_.assign(count * arity, 0) || !shown_.assign(count, 0)) { return false; }
  targets_.clear();
  targets_at_.clear();
  if (!targets_at_.reserve(count + 1)) { return false; }
  for (index j = 0; j < count; ++j) {
    node<P> const& n = at(nodes[j]);
    void const* from[segment::most];
    s.how->operands(n.body, from);
    for (index a = 0; a < arity; ++a) {
      each_source(n, [&](index source) {
        if (was_[source] != from[a]) { return; }
        auto const offset = is_[source] - static_cast<std::byte const*>(s.sources[a]);
        operands_[j * arity + a] = static_cast<index>(offset) / s.how->bytes[a];
      });
    }
    each_target(n, [&](index target) {
      if (segment_of_[target] == none && at(target).what->is != role::observer) { shown_[j] = 1; }
    });
    index const begin = targets_.size();
    targets_at_.push(begin);
    if (shown_[j] != 0) { continue; }
    if (!targets_.reserve(begin + n.live)) { return false; }
    each_edge(n.targets, n.live, [&](index target) {
      if (!at(target).what->keeps) { targets_.push(place_[target]); }
    });
    std::sort(targets_.begin() + begin, targets_.end());
  }
  targets_at_.push(targets_.size());
  return true;
}

template <class P>
bool plan<P>::builder::list_near(segment& s) noexcept {
  index const count = s.size(), arity = s.how->arity;
  index ref = count / 2;
  while (ref != count && shown_[ref] != 0) { ++ref; }
  if (ref == count) { ref = count / 2; }
  index const* const steps = targets_.begin() + targets_at_[ref];
  index const step_count = targets_at_[ref + 1] - targets_at_[ref];
  all_near_ = false;
  if (step_count > segment::most) { return true; }
  auto const is_near = [&](index j) {
    for (index a = 0; a < arity; ++a) {
      if (operands_[j * arity + a] - j != operands_[ref * arity + a] - ref) { return false; }
    }
    if (shown_[j] != 0) { return true; }  // its edges tell its targets
    index const* const mine = targets_.begin() + targets_at_[j];
    if (targets_at_[j + 1] - targets_at_[j] != step_count) { return false; }
    for (index t = 0; t < step_count; ++t) {
      if (mine[t] - j != steps[t] - ref) { return false; }
    }
    return true;
  };
  index near = 0;
  for (index j = 0; j < count; ++j) { near += is_near(j) ? index{1} : index{0}; }
  all_near_ = near == count;
  if (near < count - count / 8) { return true; }
  if (!all_near_) {
    s.near_nodes = memory_.template take<std::uint64_t>(count / 64 + 1);
    if (s.near_nodes == nullptr) { return false; }
    for (index j = 0; j < count; ++j) {
      s.near_nodes[j / 64] |= std::uint64_t{is_near(j)} << (j % 64);
    }
  }
  for (index a = 0; a < arity; ++a) {
    auto const back = (std::uintptr_t{operands_[ref * arity + a]} - ref) * s.how->bytes[a];
    s.near_sources[a] =
        reinterpret_cast<void const*>(reinterpret_cast<std::uintptr_t>(s.sources[a]) + back);
  }
  s.step_count = step_count;
  for (index t = 0; t < step_count; ++t) { s.steps[t] = steps[t] - (s.begin + ref); }
  return true;
}

template <class P>
bool plan<P>::builder::keep_lists(segment& s) noexcept {
  if (all_near_) { return true; }
  index const count = s.size();
  s.operands = copy(operands_);
  if (s.operands == nullptr) { return false; }
  index most = 0, least = none;
  for (index j = 0; j < count; ++j) {
    index const mine = targets_at_[j + 1] - targets_at_[j];
    most = std::max(most, mine);
    if (shown_[j] == 0) { least = std::min(least, mine); }
  }
  s.stride = most;
  if (most == 0) { return true; }
  s.first_target = *std::min_element(targets_.begin(), targets_.end());
  s.last_target = *std::max_element(targets_.begin(), targets_.end());
  if (least == 0 || std::uint64_t{most} * count > std::uint64_t{2} * targets_.size() + count) {
    s.targets = copy(targets_);
    s.targets_at = copy(targets_at_);
    return s.targets != nullptr && s.targets_at != nullptr;
  }
  s.targets = memory_.template take<index>(std::size_t{most} * count);
  if (s.targets == nullptr) { return false; }
  for (index j = 0; j < count; ++j) {
    index const begin = targets_at_[j], mine = targets_at_[j + 1] - begin;
    for (index t = 0; t < most && mine != 0; ++t) {
      s.targets[std::size_t{j} * most + t] = targets_[begin + std::min(t, mine - 1)];
    }
  }
  return true;
}

template <class P>
bool plan<P>::builder::keep_functions(segment& s, index const* nodes) noexcept {
  plan_kind const& how = *s.how;
  alignas(64) std::byte first[64], other[64];
  index alike = 0;
  if (how.alike) {
    how.keep_function(at(nodes[0]).body, first);
    for (alike = 1; alike != s.size(); ++alike) {
      how.keep_function(at(nodes[alike]).body, other);
      if (std::memcmp(first, other, how.function_bytes) != 0) { break; }
    }
  }
  index const kept = alike == s.size() ? 1 : s.size();
  s.function_mask = kept == 1 ? 0 : none;
  s.functions = memory_.template take<std::byte>(std::size_t{kept} * how.function_bytes);
  if (s.functions == nullptr) { return false; }
  for (index j = 0; j < kept; ++j) {
    how.keep_function(at(nodes[j]).body, s.functions + std::size_t{j} * how.function_bytes);
  }
  return true;
}

}  // namespace millrace::inline v0::propagate::detail
