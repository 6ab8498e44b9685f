// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/propagate/cell.hpp>
#include <millrace/propagate/column.hpp>
#include <millrace/propagate/node.hpp>
#include <millrace/propagate/plan.hpp>
#include <millrace/propagate/plan_loop.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

/// \file
/// Making a plan: all that may fail first, then what changes the graph.

namespace millrace::inline v0::propagate::detail {

/// Nodes are ordered by how many dependencies there are at most between them and the inputs, and
/// of one level those side by side that share a segment. A chain stands where its first node does.
template <class P>
class plan<P>::builder {
 public:
  builder(engine<P>& e, plan& to) noexcept
      : e_{e},
        to_{to},
        level_{e.from()},
        width_{e.from()},
        chain_{e.from()},
        level_begin_{e.from()},
        order_{e.from()},
        aside_{e.from()},
        firsts_{e.from()},
        place_{e.from()},
        segment_of_{e.from()},
        was_{e.from()},
        is_{e.from()},
        values_{e.from()},
        operands_{e.from()},
        targets_{e.from()},
        targets_at_{e.from()},
        shown_{e.from()},
        room_{e.from()},
        memory_{e.from()},
        segments_{e.from()},
        segment_at_{e.from()},
        costs_{e.from()},
        words_{e.from()} {}

  /// Whether there is another plan now. If not, for lack of memory, the graph and the plan it had
  /// are as they were; where nothing is worth a plan, there is none.
  bool build() noexcept {
    if (!e_.pending.empty() || !find_levels() || !find_chains() || !group()) { return false; }
    if (segments_.empty()) {
      e_.unplan_all();
      return false;
    }
    if (!set_places() || !place_values()) { return false; }
    for (std::uint32_t k = 0; k < segments_.size(); ++k) {
      if (!fill(k)) { return false; }
    }
    if (moves_) {
      if (!room_.assign(extent_, node<P>{}) || !e_.reserve(extent_)) { return false; }
    }
    if (!e_.pending.reserve(extent_ + 128)) { return false; }
    e_.unplan_all();
    if (!e_.in_plan.reset(extent_)) { return false; }
    commit();
    return true;
  }

 private:
  using index = std::uint32_t;
  template <class T>
  using list = column<T, resource>;
  static constexpr index none = engine<P>::none;
  static constexpr index most_kinds = 32;  // of one level

  /// Where the values of one type stand.
  struct values_of {
    void const* type;
    index bytes;
    index count;
    std::byte* data;
  };

  [[nodiscard]] node<P>& at(index i) const noexcept { return e_.nodes(i); }
  template <class Use>
  static void each_edge(edge_block* of, index count, Use&& use) {
    for (index k = 0; k < count; ++k) { use(of->edges()[k].node); }
  }
  template <class Use>
  static void each_source(node<P> const& n, Use&& use) {
    if (n.sources != nullptr) { each_edge(n.sources, n.sources->size, use); }
  }
  template <class Use>
  static void each_target(node<P> const& n, Use&& use) {
    if (n.targets != nullptr) { each_edge(n.targets, n.targets->size, use); }
  }
  /// Of a node that may be in a chain.
  [[nodiscard]] index source_of(index i) const noexcept { return at(i).sources->edges()[0].node; }
  [[nodiscard]] static bool fits(node<P> const& n) noexcept {
    return n.what->plan != nullptr && n.eager != 0 && n.has(linked) &&
           !n.has(unsettled | must_run | failed | valueless);
  }

  [[nodiscard]] bool find_levels() noexcept {
    index const count = e_.extent();
    if (!level_.assign(count, 0)) { return false; }
    for (index i = 0; i < count; ++i) {
      node<P> const& n = at(i);
      if (n.what == nullptr || n.what->is == role::input) { continue; }
      index most = 0;
      each_source(n, [&](index source) { most = std::max(most, level_[source]); });
      level_[i] = most + 1;
      levels_ = std::max(levels_, most + 2);
    }
    return true;
  }
  /// Runs of nodes that continue each other through narrow levels.
  [[nodiscard]] bool find_chains() noexcept;
  [[nodiscard]] bool may_chain(index i) const noexcept {
    node<P> const& n = at(i);
    return width_[level_[i]] < P::plan_width && fits(n) && n.what->plan->run_chain != nullptr;
  }
  /// The node that continues a chain behind another; `none`: it ends there.
  [[nodiscard]] index behind(index i) const noexcept {
    node<P> const& n = at(i);
    if (!may_chain(i) || n.targets == nullptr || n.targets->size != 1) { return none; }
    index const next = n.targets->edges()[0].node;
    return may_chain(next) && at(next).what->plan == n.what->plan ? next : none;
  }
  /// The chains of a level.
  [[nodiscard]] bool list_chains(index begin, index end) noexcept;
  /// Orders the nodes, and finds the segments; their `begin` and `end` are places in the order.
  [[nodiscard]] bool group() noexcept {
    index const count = e_.extent();
    if (!level_begin_.assign(levels_ + 1, 0) || !order_.assign(count, 0)) { return false; }
    for (index i = 0; i < count; ++i) {
      if (at(i).what != nullptr) { ++level_begin_[level_[i] + 1]; }
    }
    index widest = 0;
    for (index l = 0; l < levels_; ++l) {
      widest = std::max(widest, level_begin_[l + 1]);
      level_begin_[l + 1] += level_begin_[l];
    }
    if (widest < P::plan_width) { return true; }
    nodes_ = level_begin_.back();
    if (!aside_.assign(std::max(widest, levels_), 0)) { return false; }
    std::copy_n(level_begin_.begin(), levels_, aside_.begin());
    for (index i = 0; i < count; ++i) {
      if (at(i).what == nullptr || chain_[i] == none) { continue; }
      index& to = aside_[level_[i]];
      order_[to++] = i;
      index next = i;
      for (index k = 1; k < chain_[i]; ++k) { order_[to++] = next = behind(next); }
    }
    for (index l = 1; l < levels_; ++l) {
      index const begin = level_begin_[l], end = level_begin_[l + 1];
      bool const wide = width_[l] >= P::plan_width;
      if (!(wide ? group_level(begin, end) : list_chains(begin, end))) { return false; }
    }
    return true;
  }
  /// What stands by itself first, then segment by segment, each in the order that it had.
  [[nodiscard]] bool group_level(index begin, index end) noexcept {
    plan_kind const* kinds[most_kinds] = {};
    index counts[most_kinds], known = 0;
    auto const number_of = [&](index i) {
      node<P> const& n = at(i);
      if (!fits(n)) { return most_kinds; }
      index k = 0;
      while (k != known && kinds[k] != n.what->plan) { ++k; }
      return k;
    };
    for (index k = begin; k < end; ++k) {
      index const kind = number_of(order_[k]);
      if (kind == most_kinds) { continue; }
      if (kind == known) {
        kinds[known] = at(order_[k]).what->plan;
        counts[known++] = 0;
      }
      ++counts[kind];
    }
    index next[most_kinds + 1], to = end;
    for (index k = 0; k < known; ++k) {
      if (counts[k] < P::plan_width) { next[k] = none; }
    }
    for (index k = known; k-- > 0;) {
      if (counts[k] >= P::plan_width) { next[k] = to -= counts[k]; }
    }
    for (index k = 0; k < known; ++k) {
      if (next[k] == none) { continue; }
      segment made;
      made.how = kinds[k];
      made.begin = next[k];
      made.end = next[k] + counts[k];
      if (!segments_.try_push(made)) { return false; }
    }
    if (to == end) { return true; }
    index alone = begin;
    std::copy_n(order_.begin() + begin, end - begin, aside_.begin());
    for (index k = 0; k < end - begin; ++k) {
      index const kind = number_of(aside_[k]);
      bool const by_itself = kind >= known || next[kind] == none;
      order_[by_itself ? alone++ : next[kind]++] = aside_[k];
    }
    return true;
  }

  /// New indices; a segment's first is a multiple of 64, so a word is of one segment.
  [[nodiscard]] bool set_places() noexcept {
    index const count = e_.extent();
    if (!place_.assign(count, none) || !segment_of_.assign(count, none)) { return false; }
    index to = 0, from = 0;
    auto const put = [&](index i) {
      place_[i] = to;
      moves_ = moves_ || i != to;
      ++to;
    };
    for (index k = 0; k < segments_.size(); ++k) {
      segment& s = segments_[k];
      while (from != s.begin) { put(order_[from++]); }
      to = (to + 63) & ~index{63};
      if (!firsts_.try_push(from)) { return false; }
      index const size = s.size();
      s.begin = to;
      s.end = to + size;
      for (index n = 0; n < size; ++n) {
        segment_of_[order_[from]] = k;
        put(order_[from++]);
      }
    }
    while (from != nodes_) { put(order_[from++]); }
    extent_ = to;
    moves_ = moves_ || extent_ != count;
    if (!segment_at_.assign(extent_ / 64 + 1, none)) { return false; }
    index most = 0;
    for (index k = 0; k < segments_.size(); ++k) {
      segment const& s = segments_[k];
      for (index w = s.begin / 64; w * 64 < s.end; ++w) { segment_at_[w] = k; }
      if (!s.is_chain) { most = std::max(most, s.size() / 64 + 1); }
    }
    return costs_.assign(segments_.size(), {}) && words_.reserve(most);
  }

  /// Values of planned nodes and of what they depend on, and those that the plan before this one
  /// has, by type and in order.
  [[nodiscard]] bool place_values() noexcept {
    index const count = e_.extent();
    if (!was_.assign(count, nullptr) || !is_.assign(count, nullptr)) { return false; }
    auto const wanted = reinterpret_cast<std::byte*>(this);  // of nobody's values
    for (index i = 0; i < count; ++i) {
      node<P> const& n = at(i);
      if (n.what == nullptr) { continue; }
      if (n.what->value_bytes != 0) {
        was_[i] = static_cast<placed_head*>(n.body)->where;
        if (to_.memory_.holds(was_[i])) { is_[i] = wanted; }  // that memory goes
      }
      if (segment_of_[i] == none) { continue; }
      is_[i] = wanted;
      each_source(n, [&](index source) { is_[source] = wanted; });
    }
    for (index k = 0; k < nodes_; ++k) {
      if (is_[order_[k]] == nullptr) { continue; }
      values_of* const v = values_like(at(order_[k]));
      if (v == nullptr) { return false; }
      ++v->count;
    }
    for (values_of& v : values_) {
      v.data = memory_.template take<std::byte>(std::size_t{v.count} * v.bytes);
      if (v.data == nullptr) { return false; }
      v.count = 0;
    }
    for (index k = 0; k < nodes_; ++k) {
      index const i = order_[k];
      if (is_[i] == nullptr) { continue; }
      values_of& v = *values_like(at(i));
      is_[i] = v.data + std::size_t{v.count++} * v.bytes;
    }
    return true;
  }
  [[nodiscard]] values_of* values_like(node<P> const& n) noexcept {
    for (values_of& v : values_) {
      if (v.type == n.what->type) { return &v; }
    }
    if (!values_.try_push({n.what->type, n.what->value_bytes, 0, nullptr})) { return nullptr; }
    return &values_.back();
  }

  /// The arrays of a segment.
  [[nodiscard]] bool fill(index k) noexcept {
    segment& s = segments_[k];
    index const* const nodes = order_.begin() + firsts_[k];
    s.values = is_[nodes[0]];
    s.value_bytes = at(nodes[0]).what->value_bytes;
    if (s.is_chain) {
      s.near_sources[0] = is_[source_of(nodes[0])];
      return keep_functions(s, nodes);
    }
    for (index a = 0; a < s.how->arity; ++a) {
      for (values_of const& v : values_) {
        if (v.type == s.how->types[a]) { s.sources[a] = v.data; }
      }
    }
    return list_nodes(s, nodes) && list_near(s) && keep_lists(s) && keep_functions(s, nodes);
  }
  [[nodiscard]] bool list_nodes(segment const& s, index const* nodes) noexcept;
  /// The lists say the same of most nodes, from where each stands: then they are near.
  [[nodiscard]] bool list_near(segment& s) noexcept;
  /// Lists that are needed; targets as a list of equal parts where that takes less.
  [[nodiscard]] bool keep_lists(segment& s) noexcept;
  [[nodiscard]] index* copy(list<index> const& from) noexcept {
    auto* const made = memory_.template take<index>(from.size());
    if (made != nullptr) { std::copy_n(from.begin(), from.size(), made); }
    return made;
  }
  [[nodiscard]] bool keep_functions(segment& s, index const* nodes) noexcept;

  void commit() noexcept {
    index const count = e_.extent();
    for (index i = 0; i < count; ++i) {
      node<P> const& n = at(i);
      if (n.what == nullptr || n.what->repoint == nullptr) { continue; }
      each_source(n, [&](index source) {
        if (is_[source] != nullptr) { n.what->repoint(n.body, was_[source], is_[source]); }
      });
    }
    for (index i = 0; i < count; ++i) {
      if (is_[i] != nullptr) { place(at(i).body, is_[i], at(i).what->value_bytes); }
      if (segment_of_[i] != none) {
        at(i).set(planned);
        e_.in_plan.insert(place_[i]);
      }
    }
    // shown by all that is not in the plan, but for observers, which look at nothing
    for (index i = 0; i < count; ++i) {
      node<P> const& n = at(i);
      if (n.what == nullptr || segment_of_[i] != none || n.what->is == role::observer) { continue; }
      each_source(n, [&](index source) { e_.in_plan.show(place_[source]); });
    }
    for (segment const& s : segments_) {
      if (s.is_chain) { e_.in_plan.show(s.end - 1); }
      for (index w = s.begin / 64; w * 64 < s.end; ++w) {
        if (~s.near(w * 64 - s.begin) == 0) { e_.in_plan.find_plain(w); }
      }
    }
    if (moves_) { e_.move_all(place_, room_); }
    to_.memory_.swap(memory_);
    to_.segments_.swap(segments_);
    to_.segment_at_.swap(segment_at_);
    to_.costs_.swap(costs_);
    to_.words_.swap(words_);
  }

  engine<P>& e_;
  plan& to_;
  list<index> level_;
  list<index> width_;  // by level, wherever chains stand
  list<index> chain_;  // by old index: how many nodes begin there; none: a chain goes through
  list<index> level_begin_, order_, aside_;
  list<index> firsts_;      // of each segment in the order
  list<index> place_;       // by old index
  list<index> segment_of_;  // by old index
  list<void const*> was_;   // where a value is
  list<std::byte*> is_;     // and where it will be; null: there
  list<values_of> values_;
  list<index> operands_, targets_, targets_at_;  // of one segment
  list<std::uint8_t> shown_;
  list<node<P>> room_;
  pieces<resource> memory_;
  list<segment> segments_;
  list<index> segment_at_;
  list<measured_choice> costs_;
  list<team_word> words_;
  index levels_ = 1;
  index nodes_ = 0;
  index extent_ = 0;
  bool moves_ = false;
  bool all_near_ = false;
};

template <class P>
void plan<P>::make(engine<P>& e) noexcept {
  builder(e, *this).build();
}

}  // namespace millrace::inline v0::propagate::detail

#include <millrace/propagate/plan_chain.hpp>
#include <millrace/propagate/plan_lists.hpp>
