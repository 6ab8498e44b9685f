// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "versions.hpp"

#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace millrace_test::isolation {

enum class dependency : std::uint8_t {
  ww,
  wr,
  rw,
  process,
  realtime,
  onward  ///< out of a junction: what leads there leads on
};

/// Who must come before whom. Vertices are transactions and, above them, junctions: edges from many
/// to many go through them, so that all is linear in the size of the history.
class dependencies {
 public:
  struct edge {
    std::uint32_t from = none;
    std::uint32_t to = none;
    list_value value = none;  ///< the version that `to` has made; of wr, that it has read
    dependency kind = dependency::onward;
  };

  dependencies(versions const& of, order by) : of_{of}, vertices_{of.of().size()} {
    edges_.reserve(of_.of().operations().size() * 2);
    junctions_.resize(of_.keys());
    for (list_key key = 0; key < of_.keys(); ++key) {
      join_unread(key);
      follow_writes(key);
    }
    follow_reads();
    if (by != order::none) { follow_processes(); }
    if (by == order::realtime) { follow_time(); }
    sort();
  }

  [[nodiscard]] std::uint32_t size() const noexcept { return vertices_; }
  [[nodiscard]] bool is_junction(std::uint32_t v) const noexcept { return v >= of_.of().size(); }
  [[nodiscard]] std::pair<std::uint64_t, std::uint64_t> edges(std::uint32_t v) const noexcept {
    return {first_[v], first_[v + 1]};
  }
  [[nodiscard]] edge const& operator[](std::uint64_t e) const noexcept { return edges_[e]; }

 private:
  void add(std::uint32_t from, std::uint32_t to, dependency kind, list_value value = none) {
    if (from != to) { edges_.push_back({from, to, value, kind}); }
  }

  /// Two chains through what nobody has read of a list, one to each side: whoever stands in it
  /// itself must come before all but itself.
  void join_unread(list_key key) {
    auto const unread = of_.unread(key);
    auto const count = static_cast<std::uint32_t>(unread.size());
    junctions_[key] = vertices_;
    if (count < 2) { return; }
    vertices_ += 2 * count;
    for (std::uint32_t k = 0; k < count; ++k) {
      std::uint32_t const down = junctions_[key] + k, up = down + count;
      add(down, unread[k].by, dependency::onward, unread[k].value);
      add(up, unread[k].by, dependency::onward, unread[k].value);
      if (k != 0) { add(down, down - 1, dependency::onward); }
      if (k + 1 != count) { add(up, up + 1, dependency::onward); }
    }
  }
  /// A transaction comes before each that has appended what nobody has read of the list.
  void before_unread(list_key key, std::uint32_t t, dependency kind) {
    auto const unread = of_.unread(key);
    auto const count = static_cast<std::uint32_t>(unread.size());
    if (count == 0) { return; }
    if (count == 1) { return add(t, unread[0].by, kind, unread[0].value); }
    auto const found = std::lower_bound(unread.begin(), unread.end(), t,
                                        [](auto const& u, std::uint32_t by) { return u.by < by; });
    auto const place = static_cast<std::uint32_t>(found - unread.begin());
    std::uint32_t const down = junctions_[key], up = down + count;
    if (place == count || found->by != t) { return add(t, up, kind); }
    if (place != 0) { add(t, down + place - 1, kind); }
    if (place + 1 != count) { add(t, up + place + 1, kind); }
  }

  void follow_writes(list_key key) {
    std::uint32_t before = none;
    for (list_value v : of_[key]) {
      std::uint32_t const by = of_.append_of(v).by;
      if (!of_.writes(by)) { continue; }
      if (before != none) { add(before, by, dependency::ww, v); }
      before = by;
    }
    if (before != none) { before_unread(key, before, dependency::ww); }
  }

  void follow_reads() {
    history const& all = of_.of();
    for (std::uint32_t t = 0; t < all.size(); ++t) {
      if (!of_.reads(t)) { continue; }
      for (std::uint64_t o = all[t].first; o < all[t].first + all[t].count; ++o) {
        operation const& read = all.operations()[o];
        if (read.appends() || of_.told(o) == none) { continue; }
        auto const list = of_[read.key];
        std::uint32_t next = of_.told(o);
        if (next != 0) {
          list_value const newest = list[next - 1];
          std::uint32_t const by = of_.append_of(newest).by;
          if (by == t) { continue; }  // its own version: the writes tell what follows
          if (of_.writes(by)) { add(by, t, dependency::wr, newest); }
        }
        while (next < list.size() && !of_.writes(of_.append_of(list[next]).by)) { ++next; }
        if (next < list.size()) {
          add(t, of_.append_of(list[next]).by, dependency::rw, list[next]);
        } else {
          before_unread(read.key, t, dependency::rw);
        }
      }
    }
  }

  void follow_processes() {
    history const& all = of_.of();
    std::vector<std::uint32_t> last;
    for (std::uint32_t t = 0; t < all.size(); ++t) {
      if (!of_.writes(t) && !of_.reads(t)) { continue; }
      if (all[t].process >= last.size()) { last.resize(all[t].process + 1, none); }
      std::uint32_t& before = last[all[t].process];
      if (before != none) { add(before, t, dependency::process); }
      before = t;
    }
  }

  /// A junction for each end, in the order of time; each begin comes from the last end before it.
  void follow_time() {
    history const& all = of_.of();
    std::vector<std::pair<std::uint64_t, std::uint32_t>> begins, ends;
    for (std::uint32_t t = 0; t < all.size(); ++t) {
      if (!of_.writes(t) && !of_.reads(t)) { continue; }
      begins.emplace_back(all[t].begin, t);
      if (all[t].ended != outcome::unknown) { ends.emplace_back(all[t].end, t); }
    }
    std::sort(begins.begin(), begins.end());
    std::sort(ends.begin(), ends.end());
    std::uint32_t const first = vertices_;
    vertices_ += static_cast<std::uint32_t>(ends.size());
    for (std::uint32_t k = 0; k < ends.size(); ++k) {
      add(ends[k].second, first + k, dependency::realtime);
      if (k != 0) { add(first + k - 1, first + k, dependency::onward); }
    }
    std::uint32_t ended = 0;
    for (auto const& [time, t] : begins) {
      while (ended < ends.size() && ends[ended].first < time) { ++ended; }
      if (ended != 0) { add(first + ended - 1, t, dependency::onward); }
    }
  }

  /// By the vertex from which they come.
  void sort() {
    first_.resize(std::size_t{vertices_} + 1, 0);
    for (edge const& e : edges_) { ++first_[e.from + 1]; }
    for (std::uint32_t v = 0; v < vertices_; ++v) { first_[v + 1] += first_[v]; }
    std::vector<edge> sorted(edges_.size());
    std::vector<std::uint64_t> next(first_.begin(), first_.end() - 1);
    for (edge const& e : edges_) { sorted[next[e.from]++] = e; }
    edges_ = std::move(sorted);
  }

  versions const& of_;
  std::uint32_t vertices_;
  std::vector<std::uint32_t> junctions_;  ///< the first of each list
  std::vector<edge> edges_;
  std::vector<std::uint64_t> first_;
};

}  // namespace millrace_test::isolation
