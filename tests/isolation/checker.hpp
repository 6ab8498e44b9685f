// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "anomaly.hpp"
#include "components.hpp"
#include "dependencies.hpp"
#include "history.hpp"
#include "versions.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace millrace_test::isolation {

struct options {
  order by = order::realtime;  ///< which orders count beside the dependencies
  bool opaque = false;         ///< what aborted transactions have read must be right, too
};

namespace detail {

[[nodiscard]] constexpr unsigned bit(dependency d) noexcept {
  return 1u << static_cast<unsigned>(d);
}

/// The dependencies of some kinds. `apart`: paths on which no two rw follow each other; a vertex is
/// there twice, the odd one where an rw has led to it.
struct view {
  dependencies const& all;
  components const* within = nullptr;  ///< what lies outside is left out
  unsigned kinds = 0;
  bool apart = false;

  [[nodiscard]] std::uint32_t size() const noexcept { return apart ? 2 * all.size() : all.size(); }
  [[nodiscard]] std::uint32_t vertex(std::uint32_t v) const noexcept { return apart ? v / 2 : v; }
  [[nodiscard]] std::pair<std::uint64_t, std::uint64_t> edges(std::uint32_t v) const noexcept {
    if (within != nullptr && within->of(vertex(v)) == none) { return {0, 0}; }
    return all.edges(vertex(v));
  }
  [[nodiscard]] std::uint32_t target(std::uint32_t v, std::uint64_t e) const noexcept {
    auto const& [from, to, value, kind] = all[e];
    if ((kinds & bit(kind)) == 0) { return none; }
    if (within != nullptr && within->of(from) != within->of(to)) { return none; }
    if (!apart) { return to; }
    bool const after_rw = v % 2 != 0;
    switch (kind) {
      case dependency::rw: return after_rw ? none : 2 * to + 1;
      case dependency::onward: return 2 * to + (after_rw ? 1 : 0);
      default: return 2 * to;
    }
  }
};

using path = std::vector<std::uint64_t>;  ///< edges, one after another

/// Shortest paths within components.
class explorer {
 public:
  /// @return nothing: there is no path
  [[nodiscard]] std::optional<path> find(view const& g, components const& in, std::uint32_t from,
                                         std::uint32_t to) {
    if (reached_by_.size() < g.size()) { reached_by_.resize(g.size()); }
    queue_.assign(1, from);
    reached_by_[from] = {++search_, none, 0};
    for (std::size_t k = 0; k < queue_.size() && reached_by_[to].search != search_; ++k) {
      std::uint32_t const v = queue_[k];
      auto const [first, last] = g.edges(v);
      ++visits_;
      for (std::uint64_t e = first; e != last; ++e) {
        std::uint32_t const w = g.target(v, e);
        if (w == none || in.of(w) != in.of(from) || reached_by_[w].search == search_) { continue; }
        reached_by_[w] = {search_, v, e};
        queue_.push_back(w);
      }
    }
    if (reached_by_[to].search != search_) { return std::nullopt; }
    path found;
    for (std::uint32_t v = to; v != from; v = reached_by_[v].from) {
      found.push_back(reached_by_[v].edge);
    }
    std::reverse(found.begin(), found.end());
    return found;
  }
  /// Vertices that all searches have looked at.
  [[nodiscard]] std::uint64_t visits() const noexcept { return visits_; }

 private:
  struct step {
    std::uint64_t search = 0;
    std::uint32_t from = none;
    std::uint64_t edge = 0;
  };
  std::vector<step> reached_by_;
  std::vector<std::uint32_t> queue_;
  std::uint64_t search_ = 0, visits_ = 0;
};

/// Finds the cycles of a history: of each kind one in each component.
class cycle_search {
 public:
  cycle_search(versions const& of, dependencies const& all, report& to)
      : of_{of}, all_{all}, to_{to}, cyclic_(view{all, nullptr, ~0u, false}) {}

  void run(order most) {
    if (cyclic_.size() == 0) { return; }
    seen_.resize(all_.size(), 0);
    unsigned orders = bit(dependency::onward);
    for (order by : {order::none, order::process, order::realtime}) {
      if (by > most) { break; }
      if (by == order::process) { orders |= bit(dependency::process); }
      if (by == order::realtime) { orders |= bit(dependency::realtime); }
      unsigned const ww = orders | bit(dependency::ww), wr = ww | bit(dependency::wr),
                     rw = wr | bit(dependency::rw);
      look(by, anomaly::g0, {all_, &cyclic_, ww, false}, ww);
      look(by, anomaly::g1c, {all_, &cyclic_, wr, false}, bit(dependency::wr));
      look(by, anomaly::g_single, {all_, &cyclic_, rw, true}, bit(dependency::rw));
      look(by, anomaly::g2_item, {all_, &cyclic_, rw, false}, bit(dependency::rw));
    }
  }

 private:
  /// A cycle in each component of the view, through an edge of the given kinds.
  void look(order by, anomaly kind, view const& g, unsigned through) {
    components const found(g);
    for (std::uint32_t c = 0; c < found.size(); ++c) {
      if (is_explained(found[c], g, by, kind)) { continue; }
      if (auto const cycle = find(g, found, c, through)) { tell(by, kind, *cycle); }
    }
  }
  struct start {
    std::uint32_t from;
    std::uint64_t edge;
    std::uint32_t to;
  };
  /// Edges of a component through which a cycle may be told, the most promising first.
  [[nodiscard]] std::vector<start> starts(view const& g, components const& in, std::uint32_t c,
                                          unsigned through) {
    std::vector<start> all;
    for (std::uint32_t v : in[c]) {
      auto const [first, last] = g.edges(v);
      for (std::uint64_t e = first; e != last; ++e) {
        std::uint32_t const w = g.target(v, e);
        if ((bit(all_[e].kind) & through) != 0 && w != none && in.of(w) == c) {
          all.push_back({v, e, w});
        }
      }
    }
    if (g.apart) {  // an rw closes a cycle of its own if it leads back in the order of all others
      rank(g, in, c);
      auto const back = [&](start const& s) {
        return std::int64_t{rank_[s.from / 2]} - rank_[s.to / 2];
      };
      std::sort(all.begin(), all.end(),
                [&](start const& a, start const& b) { return back(a) > back(b); });
    }
    return all;
  }
  /// Numbers the vertices of a component of the doubled graph in an order of all edges but rw.
  void rank(view const& doubled, components const& in, std::uint32_t c) {
    view g = without_rw(doubled);
    g.apart = false;
    rank_.resize(g.size());
    auto const is_member = [&](std::uint32_t v) {
      return in.of(2 * v) == c || in.of(2 * v + 1) == c;
    };
    auto const follow = [&](std::uint32_t v, auto&& see) {
      auto const [first, last] = g.edges(v);
      for (std::uint64_t e = first; e != last; ++e) {
        std::uint32_t const w = g.target(v, e);
        if (w != none && is_member(w)) { see(w); }
      }
    };
    std::vector<std::uint32_t> members, queue;
    for (std::uint32_t v : in[c]) {
      if (v % 2 == 0 || in.of(v - 1) != c) { members.push_back(v / 2); }
    }
    for (std::uint32_t v : members) { rank_[v] = 0; }  // first it counts who leads here
    for (std::uint32_t v : members) {
      follow(v, [&](std::uint32_t w) { ++rank_[w]; });
    }
    for (std::uint32_t v : members) {
      if (rank_[v] == 0) { queue.push_back(v); }
    }
    for (std::uint32_t k = 0; k < queue.size(); ++k) {
      follow(queue[k], [&](std::uint32_t w) {
        if (--rank_[w] == 0) { queue.push_back(w); }
      });
      rank_[queue[k]] = k;
    }
  }
  [[nodiscard]] static view without_rw(view g) noexcept {
    g.kinds &= ~bit(dependency::rw);
    return g;
  }

  /// The shortest cycle that is found before long; of those apart one with a single rw, if there
  /// is.
  [[nodiscard]] std::optional<path> find(view const& g, components const& in, std::uint32_t c,
                                         unsigned through) {
    std::uint64_t const enough = explorer_.visits() + 2 * in[c].size();
    std::optional<path> best;
    for (bool single : {true, false}) {
      if (single && !g.apart) { continue; }
      for (auto const& [from, e, to] : starts(g, in, c, through)) {
        if (explorer_.visits() > enough && (single || best)) { break; }
        if (single && rank_[to / 2] > rank_[from / 2]) { break; }
        auto back = explorer_.find(single ? without_rw(g) : g, in, to, from);
        if (!back || (best && back->size() + 1 >= best->size())) { continue; }
        back->insert(back->begin(), e);
        best = simple(std::move(*back));
      }
      if (best) { break; }
    }
    return best;
  }
  /// Where a vertex of the doubled graph is passed both ways, the part between is a cycle itself.
  [[nodiscard]] path simple(path cycle) const {
    std::unordered_map<std::uint32_t, std::size_t> place;
    for (std::size_t k = 0; k < cycle.size(); ++k) {
      auto const [seen, is_new] = place.emplace(all_[cycle[k]].from, k);
      if (is_new) { continue; }
      return path(cycle.begin() + static_cast<std::ptrdiff_t>(seen->second),
                  cycle.begin() + static_cast<std::ptrdiff_t>(k));
    }
    return cycle;
  }
  [[nodiscard]] std::size_t count_rw(path const& cycle) const {
    return static_cast<std::size_t>(std::count_if(cycle.begin(), cycle.end(), [&](std::uint64_t e) {
      return all_[e].kind == dependency::rw;
    }));
  }

  /// Whether one of these takes part in a cycle that was told, of no weaker kind and no more
  /// orders.
  [[nodiscard]] bool is_explained(std::span<std::uint32_t const> vertices, view const& g, order by,
                                  anomaly kind) const {
    return std::any_of(vertices.begin(), vertices.end(), [&](std::uint32_t v) {
      std::uint32_t const seen = seen_[g.vertex(v)];
      for (unsigned o = 0; o <= static_cast<unsigned>(by); ++o) {
        std::uint32_t const no_weaker = (2u << static_cast<unsigned>(kind)) - 1;
        if ((seen >> (anomaly_bits * o) & no_weaker) != 0) { return true; }
      }
      return false;
    });
  }

  void tell(order by, anomaly kind, path const& cycle) {
    bool const apart = kind == anomaly::g_single && count_rw(cycle) > 1;
    for (std::uint64_t e : cycle) {
      seen_[all_[e].from] |=
          1u << (static_cast<unsigned>(kind) + anomaly_bits * static_cast<unsigned>(by));
    }
    to_.add(apart ? anomaly::g_nonadjacent : kind, by, [&] { return words(cycle); });
  }
  [[nodiscard]] std::string words(path const& cycle) const {
    std::size_t begin = 0;
    while (all_.is_junction(all_[cycle[begin]].from)) { ++begin; }
    std::string text = name(all_[cycle[begin]].from);
    dependency kind = dependency::onward;
    list_value value = none;
    std::size_t left_out = 0, steps = 0;
    for (std::size_t k = 0; k < cycle.size(); ++k) {
      auto const& e = all_[cycle[(begin + k) % cycle.size()]];
      if (e.kind != dependency::onward) { kind = e.kind; }
      if (e.value != none) { value = e.value; }
      if (all_.is_junction(e.to)) { continue; }
      if (++steps <= most_steps) {
        text += " -" + words(kind, value) + "-> " + name(e.to);
      } else {
        ++left_out;
      }
      value = none;
    }
    return left_out == 0 ? text : text + ", and " + std::to_string(left_out) + " more";
  }
  [[nodiscard]] std::string words(dependency kind, list_value value) const {
    std::string text;
    switch (kind) {
      case dependency::ww: text = "ww"; break;
      case dependency::wr: text = "wr"; break;
      case dependency::rw: text = "rw"; break;
      case dependency::process: return "process";
      case dependency::realtime: return "realtime";
      case dependency::onward: return "?";
    }
    return text + "(" + std::to_string(of_.append_of(value).key) + ": " + std::to_string(value) +
           ")";
  }
  [[nodiscard]] static std::string name(std::uint32_t t) { return "T" + std::to_string(t); }

  static constexpr std::size_t most_steps = 24;
  static constexpr unsigned anomaly_bits = 8;
  static_assert(static_cast<unsigned>(anomaly::g2_item) < anomaly_bits);

  versions const& of_;
  dependencies const& all_;
  report& to_;
  components cyclic_;
  explorer explorer_;
  std::vector<std::uint32_t> rank_;
  std::vector<std::uint32_t> seen_;  ///< of which cycles a vertex is part
};

}  // namespace detail

/// What no serial order explains. Sound: whatever is found is wrong. A cycle is told as
/// `T3 -rw(5: 17)-> T9 -ww(2: 21)-> T3`: T3 read key 5 without 17, which T9 has appended, and T3
/// appended 21 to key 2 after T9. One cycle is told of all that share transactions and are no
/// worse.
/// @cost linear but for sorting times; about 250 bytes a transaction of four operations
[[nodiscard]] inline report check(history const& h, options with = {}) {
  report found;
  versions const lists(h, with.by, with.opaque, found);
  dependencies const all(lists, with.by);
  detail::cycle_search(lists, all, found).run(with.by);
  return found;
}

}  // namespace millrace_test::isolation
