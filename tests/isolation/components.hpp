// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace millrace_test::isolation {

inline constexpr std::uint32_t none = ~std::uint32_t{0};

/// The vertices of the strongly connected components that have two or more, one component after
/// another.
class components {
 public:
  /// @param g size(); edges(v): a pair of numbers, the first edge and the one behind the last;
  ///        target(v, edge): where it leads, or `none`
  /// @source Tarjan, "Depth-first search and linear graph algorithms", 1972; with a stack of its
  /// own
  template <class Graph>
  explicit components(Graph const& g) : of_(g.size(), none) {
    std::vector<std::uint32_t> number(g.size(), 0), low(g.size(), 0), open;
    std::vector<step> path;
    std::uint32_t visited = 0;
    auto const enter = [&](std::uint32_t v) {
      number[v] = low[v] = ++visited;
      open.push_back(v);
      path.push_back({v, g.edges(v).first});
    };
    for (std::uint32_t root = 0; root < g.size(); ++root) {
      if (number[root] != 0) { continue; }
      enter(root);
      while (!path.empty()) {
        auto& [v, next] = path.back();
        if (next != g.edges(v).second) {
          std::uint32_t const to = g.target(v, next++);
          if (to == none || low[to] == none) { continue; }
          if (number[to] == 0) {
            enter(to);
          } else {
            low[v] = std::min(low[v], number[to]);
          }
          continue;
        }
        std::uint32_t const done = v;
        path.pop_back();
        if (!path.empty()) {
          low[path.back().vertex] = std::min(low[path.back().vertex], low[done]);
        }
        if (low[done] == number[done]) { close(open, low, done); }
      }
    }
    begins_.push_back(static_cast<std::uint32_t>(vertices_.size()));
  }

  [[nodiscard]] std::uint32_t size() const noexcept {
    return static_cast<std::uint32_t>(begins_.size() - 1);
  }
  [[nodiscard]] std::span<std::uint32_t const> operator[](std::uint32_t c) const noexcept {
    return std::span(vertices_).subspan(begins_[c], begins_[c + 1] - begins_[c]);
  }
  /// The number of a vertex's component, or `none`.
  [[nodiscard]] std::uint32_t of(std::uint32_t v) const noexcept { return of_[v]; }

 private:
  struct step {
    std::uint32_t vertex;
    std::uint64_t next;
  };

  /// Whatever is open above `v` is its component.
  void close(std::vector<std::uint32_t>& open, std::vector<std::uint32_t>& low, std::uint32_t v) {
    if (open.back() == v) {
      open.pop_back();
      low[v] = none;
      return;
    }
    auto const number = static_cast<std::uint32_t>(begins_.size());
    begins_.push_back(static_cast<std::uint32_t>(vertices_.size()));
    for (std::uint32_t member = none; member != v;) {
      member = open.back();
      open.pop_back();
      low[member] = none;
      of_[member] = number;
      vertices_.push_back(member);
    }
  }

  std::vector<std::uint32_t> of_, vertices_, begins_;
};

}  // namespace millrace_test::isolation
