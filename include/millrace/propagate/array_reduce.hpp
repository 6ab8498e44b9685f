// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/propagate/array.hpp>
#include <millrace/propagate/cell.hpp>
#include <millrace/propagate/cutoff.hpp>
#include <millrace/propagate/engine.hpp>
#include <millrace/propagate/kinds.hpp>
#include <millrace/propagate/node.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

/// \file
/// One value of all elements, by a tree that is kept.

namespace millrace::inline v0::propagate::detail {

/// The pairs of neighbours of which one is set, in the lower half of the bits.
[[nodiscard]] MILLRACE_HD constexpr std::uint64_t pairs_of(std::uint64_t mask) noexcept {
  mask = (mask | mask >> 1) & 0x5555'5555'5555'5555u;
  mask = (mask | mask >> 1) & 0x3333'3333'3333'3333u;
  mask = (mask | mask >> 2) & 0x0F0F'0F0F'0F0F'0F0Fu;
  mask = (mask | mask >> 4) & 0x00FF'00FF'00FF'00FFu;
  mask = (mask | mask >> 8) & 0x0000'FFFF'0000'FFFFu;
  return (mask | mask >> 16) & 0xFFFF'FFFFu;
}

/// A level of the tree has a value for each pair of the one below it; the last of an odd number
/// goes up as it is. Which values meet is a matter of their indices alone, so the result has the
/// same bits whatever has changed in whatever order.
template <class Op, class T>
struct reduced_body : cell_head<T> {
  Op op;
  array<T> const* from;
  T identity;
  std::uint32_t size;
  same_bits same{};
  std::uint64_t seen = 0;  // the pass up to which the elements' changes are done
  bool whole = false;      // all of the tree's values are
  T* tree = nullptr;       // level by level, without the elements themselves
  block_marks below{};     // values that have changed, of the level that is at work
  block_marks above{};     // of the next one

  [[nodiscard]] static std::uint32_t half(std::uint32_t size) noexcept {
    return size / 2 + size % 2;
  }
  [[nodiscard]] static std::size_t tree_size(std::uint32_t size) noexcept {
    std::size_t all = 0;
    for (; size > 1; all += size) { size = half(size); }
    return all;
  }
  [[nodiscard]] static std::size_t extra_bytes(std::uint32_t size) noexcept {
    return carver::line + carver::bytes<T>(tree_size(size)) +
           2 * block_marks::bytes(blocks_of(size));
  }
  [[nodiscard]] std::size_t extra_bytes() const noexcept { return extra_bytes(size); }
  void lay_out() noexcept {
    carver at(this + 1);
    tree = at.take<T>(tree_size(size));
    below.lay_out(at, blocks_of(size));
    above.lay_out(at, blocks_of(size));
  }
  void repoint(void const* was, void const* is) noexcept { detail::repoint(from, was, is); }

  /// Brings the tree up to date, and counts calls.
  /// @throws what `op` throws; next time the tree is made anew
  [[nodiscard]] T const& update(std::uint64_t pass, std::uint64_t& calls) {
    array_state<T> const& leaves = array_access::of(*from);
    bool const anew = !std::exchange(whole, false);
    if (anew) {
      below.clear();
      above.clear();
      for (std::uint32_t b = 0; b < blocks_of(size); ++b) { below.add(b, leaves.full(b)); }
    } else {
      leaves.visit_changes(
          seen, [&](std::uint32_t block, std::uint64_t mask) { below.add(block, mask); });
    }
    T const* level = leaves.values;
    T* next = tree;
    for (std::uint32_t count = size; count > 1; count = half(count)) {
      below.take_all([&](std::uint32_t block, std::uint64_t mask) {
        std::uint32_t const half_block = block_size / 2, base = block * half_block;
        std::uint64_t differs = 0;
        auto const put = [&](std::uint32_t k, T const& made) {
          bool const is = anew || !same(std::as_const(next[base + k]), made);
          differs |= std::uint64_t{is} << k;
          if (is) { next[base + k] = made; }
        };
        for_each_range(pairs_of(mask), [&](std::uint32_t begin, std::uint32_t end) {
          std::uint32_t const pairs_end = std::min(end, count / 2 - base);
          for (std::uint32_t k = begin; k < pairs_end; ++k) {
            ++calls;
            put(k, op(level[2 * (base + k)], level[2 * (base + k) + 1]));
          }
          if (pairs_end != end) { put(pairs_end, level[count - 1]); }
        });
        above.add(block / 2, differs << block % 2 * half_block);
      });
      std::swap(below, above);
      level = next;
      next += half(count);
    }
    below.clear();
    whole = true;
    seen = pass;
    return size == 0 ? identity : *level;
  }
};
template <class P, class Body, class T>
struct reduced_kind {
  static bool run(engine<P>& e, std::uint32_t i) noexcept {
    node<P>& n = e.nodes(i);
    if (error const why = e.source_failure(n); why.code != errc::ok) {
      return e.set_failure(n, why);
    }
    auto& mine = *static_cast<Body*>(n.body);
    std::uint64_t calls = 0;
    T const* root = nullptr;
    try {
      root = &mine.update(e.pass, calls);
    } catch (...) {}
    e.count_runs(calls);
    if (root == nullptr) { return e.set_failure(n, {errc::function_failed, {}, 0}); }
    return keep(e, n, mine, *root);
  }
  static constexpr kind<P> is{.is = role::computed,
                              .sweep = engine<P>::step,
                              .run = run,
                              .destroy = destroy_body<Body, P>,
                              .type = type_of<T>,
                              .repoint = repoint_body<Body>,
                              .value_bytes = placed_bytes<T>};
};

}  // namespace millrace::inline v0::propagate::detail
