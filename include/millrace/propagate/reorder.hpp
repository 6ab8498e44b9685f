// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/propagate/node.hpp>
#include <millrace/propagate/topology.hpp>

#include <algorithm>
#include <cstdint>

/// \file
/// Keeping nodes in a topological order while dependencies come and nodes go.

namespace millrace::inline v0::propagate::detail {

/// Only what lies between both and depends on the first, or is depended on by the last, moves.
/// @source Pearce, Kelly, "A Dynamic Topological Sort Algorithm for Directed Acyclic Graphs", ACM
///         JEA 11, 2006
template <class P>
result<void> topology<P>::move_behind(std::uint32_t first, std::uint32_t last) noexcept {
  std::uint32_t const most = nodes_.size();
  if (!seen_.reserve(most) || !cycle_.reserve(most)) { return core::fail(errc::out_of_memory); }
  auto const end_walk = [&] {
    for (visit const& v : seen_) { nodes_[v.index].clear(seen); }
    seen_.clear();
  };
  if (first == last) {
    keep_cycle(last, none);
    return core::fail(errc::cycle);
  }
  auto found = find_after(first, last);
  std::uint32_t const after = seen_.size();
  if (found) {
    find_before(first, last);
    found = moved_.reserve(seen_.size());
  }
  if (!found) {
    end_walk();
    return found;
  }

  // the places that both have now, in order; first come those that must come first
  auto const by_node = [](visit const& a, visit const& b) { return a.index < b.index; };
  std::sort(seen_.begin(), seen_.begin() + after, by_node);
  std::sort(seen_.begin() + after, seen_.end(), by_node);
  std::uint32_t const count = seen_.size();
  std::uint32_t const base = work_.size();
  for (visit const& v : seen_) { work_.push(v.index); }
  std::sort(work_.begin() + base, work_.end());
  for (std::uint32_t k = 0; k < count; ++k) {
    visit& v = seen_[k < count - after ? after + k : k - (count - after)];
    unplan(v.index);
    show_sources(nodes_[v.index]);
    v.pends = pending.contains(v.index);
    if (v.pends) { pending.erase(v.index); }
    slots_[nodes_[v.index].slot].index = work_[base + k];
  }
  for (visit const& v : seen_) {
    if (v.pends) { pending.insert(slots_[nodes_[v.index].slot].index); }
  }
  for (visit const& v : seen_) {
    node<P>& n = nodes_[v.index];
    std::uint32_t const to = slots_[n.slot].index;
    renumber_edges(n.sources, to, &node<P>::targets);
    renumber_edges(n.targets, to, &node<P>::sources);
  }
  for (visit const& v : seen_) { moved_.push(nodes_[v.index]); }
  end_walk();
  work_.shrink(base);
  for (node<P>& n : moved_) {
    n.clear(seen);
    nodes_[slots_[n.slot].index] = n;
  }
  moved_.clear();
  return {};
}

/// @param mine the new index of the node that has these edges
/// @param back the direction from which the others see them
template <class P>
void topology<P>::renumber_edges(edge_block* of, std::uint32_t mine,
                                 edge_block* node<P>::* back) noexcept {
  if (of == nullptr) { return; }
  for (std::uint32_t k = 0; k < of->size; ++k) {
    edge& e = of->edges()[k];
    node<P>& other = nodes_[e.node];  // still at its old place; if it moves, its own edges are its
    if (!other.has(seen)) { (other.*back)->edges()[e.at].node = mine; }
    e.node = slots_[other.slot].index;
  }
}

template <class P>
result<void> topology<P>::find_after(std::uint32_t first, std::uint32_t last) noexcept {
  nodes_[first].set(seen);
  seen_.push({first, none, false});
  for (std::uint32_t k = 0; k < seen_.size(); ++k) {
    edge_block* const to = nodes_[seen_[k].index].targets;
    for (std::uint32_t e = 0; to != nullptr && e < to->size; ++e) {
      std::uint32_t const target = to->edges()[e].node;
      if (target == last) {
        keep_cycle(last, k);
        return core::fail(errc::cycle);
      }
      if (target > last || nodes_[target].has(seen)) { continue; }
      nodes_[target].set(seen);
      seen_.push({target, k, false});
    }
  }
  return {};
}

template <class P>
void topology<P>::find_before(std::uint32_t first, std::uint32_t last) noexcept {
  std::uint32_t k = seen_.size();
  nodes_[last].set(seen);
  seen_.push({last, none, false});
  for (; k < seen_.size(); ++k) {
    edge_block* const from = nodes_[seen_[k].index].sources;
    for (std::uint32_t e = 0; from != nullptr && e < from->size; ++e) {
      std::uint32_t const source = from->edges()[e].node;
      if (source < first || nodes_[source].has(seen)) { continue; }
      if (nodes_[source].what->is == role::input) { continue; }  // may stand anywhere
      nodes_[source].set(seen);
      seen_.push({source, k, false});
    }
  }
}

template <class P>
void topology<P>::keep_cycle(std::uint32_t last, std::uint32_t by) noexcept {
  cycle_.clear();
  cycle_.push(nodes_[last].slot);
  for (; by != none; by = seen_[by].by) { cycle_.push(nodes_[seen_[by].index].slot); }
  std::reverse(cycle_.begin(), cycle_.end());
}

/// Nodes move over the indices of those that are gone, in their order.
template <class P>
void topology<P>::close_gaps() noexcept {
  std::uint32_t const count = nodes_.size();
  unplan_all();
  std::uint32_t to = 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    if (nodes_[i].what != nullptr) { slots_[nodes_[i].slot].index = to++; }
  }
  auto const follow = [&](edge_block* of) {
    for (std::uint32_t k = 0; of != nullptr && k < of->size; ++k) {
      edge& e = of->edges()[k];
      e.node = slots_[nodes_[e.node].slot].index;
    }
  };
  for (node<P>& n : nodes_) {
    follow(n.sources);
    follow(n.targets);
  }
  for (std::uint32_t i = 0; i < count; ++i) {
    if (nodes_[i].what != nullptr) { nodes_[slots_[nodes_[i].slot].index] = nodes_[i]; }
  }
  nodes_.shrink(to);
  gone_ = 0;
  kept_gaps_ = 0;
}

template <class P>
void topology<P>::move_all(column<std::uint32_t, resource> const& places,
                           column<node<P>, resource>& room) noexcept {
  std::uint32_t const count = nodes_.size(), extent = room.size();
  auto const follow = [&](edge_block* of) {
    for (std::uint32_t k = 0; of != nullptr && k < of->size; ++k) {
      of->edges()[k].node = places[of->edges()[k].node];
    }
  };
  gone_ = extent;
  for (std::uint32_t i = 0; i < count; ++i) {
    node<P> const& n = nodes_[i];
    if (n.what == nullptr) { continue; }
    follow(n.sources);
    follow(n.targets);
    slots_[n.slot].index = places[i];
    room[places[i]] = n;
    --gone_;
  }
  kept_gaps_ = gone_;
  nodes_.swap(room);
}

}  // namespace millrace::inline v0::propagate::detail
