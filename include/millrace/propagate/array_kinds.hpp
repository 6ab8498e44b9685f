// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/propagate/array.hpp>
#include <millrace/propagate/cell.hpp>
#include <millrace/propagate/engine.hpp>
#include <millrace/propagate/kinds.hpp>
#include <millrace/propagate/node.hpp>

#include <cuda/std/span>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

/// \file
/// What nodes keep that are arrays, or are made of one, and how they run. All that a run needs has
/// been allocated with the node.

namespace millrace::inline v0::propagate::detail {

/// An array takes those of a block's values that are not the same; whether there is one.
template <class T, class C>
bool take_block(array_state<T>& to, C const& same, std::uint64_t pass, std::uint32_t block,
                std::uint64_t mask, T const* from) noexcept {
  T* const values = to.values + std::size_t{block} * block_size;
  std::uint64_t differs = 0;
  for_each_range(mask, [&](std::uint32_t begin, std::uint32_t end) {
    for (std::uint32_t k = begin; k < end; ++k) {
      bool const is = !same(std::as_const(values[k]), from[k]);
      differs |= std::uint64_t{is} << k;
      if (is) { values[k] = from[k]; }
    }
  });
  to.mark(block, differs, pass);
  return differs != 0;
}

/// What a batch has written, until it is committed.
template <class T>
struct array_staging : cell_head<array<T>> {
  T* staged = nullptr;
  block_marks marks{};

  void stage(element_write<T> const& write) noexcept {
    for (std::uint32_t k = 0; k < write.count; ++k) {
      std::uint32_t const i = write.first + k;
      staged[i] = write.values[k];
      marks.add(i / block_size, std::uint64_t{1} << i % block_size);
    }
  }
};

/// What a write of elements is.
/// @error errc::unknown_id; errc::bad_argument (2): it has not all these elements
template <array_element T, class P>
[[nodiscard]] result<element_write<T>> checked_write(engine<P> const& e, array_input<T> to,
                                                     std::uint32_t first,
                                                     cuda::std::span<T const> values) noexcept {
  std::uint32_t const i = e.find(static_cast<array_cell<T> const&>(to));
  if (i == e.none || e.nodes(i).what->is != role::input) {
    return core::refuse<element_write<T>>(errc::unknown_id, 1);
  }
  auto const& n = e.nodes(i);
  std::uint32_t const size = value_in<array<T>>(n.body).size();
  if (first > size || values.size() > size - first) {
    return core::refuse<element_write<T>>(errc::bad_argument, 2);
  }
  return element_write<T>{first, static_cast<std::uint32_t>(values.size()), values.data()};
}

/// An array that transactions write.
template <class P, class T, class C>
struct array_input_kind {
  struct body : array_staging<T> {
    C same;
    std::uint32_t size;

    [[nodiscard]] static std::size_t extra_bytes(std::uint32_t size) noexcept {
      return carver::line + array_state<T>::bytes(size) + carver::bytes<T>(size) +
             block_marks::bytes(blocks_of(size));
    }
    [[nodiscard]] std::size_t extra_bytes() const noexcept { return extra_bytes(size); }
    void lay_out(T const& initial) noexcept {
      carver from(this + 1);
      array_access::of(this->value()).lay_out(from, size, initial);
      this->staged = from.take<T>(size);
      this->marks.lay_out(from, blocks_of(size));
    }
  };
  /// Takes over what is staged.
  static bool run(engine<P>& e, std::uint32_t i) noexcept {
    auto& mine = *static_cast<body*>(e.nodes(i).body);
    bool differs = false;
    mine.marks.take_all([&](std::uint32_t block, std::uint64_t mask) {
      differs |= take_block(array_access::of(mine.value()), mine.same, e.pass, block, mask,
                            mine.staged + std::size_t{block} * block_size);
    });
    return differs;
  }
  static void unstage(void* of) noexcept { static_cast<body*>(of)->marks.clear(); }
  static bool assign(engine<P>& e, std::uint32_t i, void* value) noexcept {
    auto& mine = *static_cast<body*>(e.nodes(i).body);
    auto const& write = *static_cast<element_write<T> const*>(value);
    bool differs = false;
    for (std::uint32_t at = write.first, end = write.first + write.count; at < end;) {
      std::uint32_t const block = at / block_size, k = at % block_size;
      std::uint32_t const count = std::min(block_size - k, end - at);
      differs |= take_block(array_access::of(mine.value()), mine.same, e.pass, block,
                            full_mask(count, 0) << k, write.values + (at - write.first) - k);
      at += count;
    }
    return differs;
  }
  static constexpr kind<P> is{.is = role::input,
                              .run = run,
                              .destroy = destroy_body<body, P>,
                              .type = type_of<array<T>>,
                              .unstage = unstage,
                              .assign = assign};
};

/// One element as a cell.
template <class T>
struct element_body : cell_head<T> {
  same_bits same;
  array<T> const* from;
  std::uint32_t at;

  [[nodiscard]] T const& apply() const noexcept { return (*from)[at]; }
  void repoint(void const* was, void const* is) noexcept { detail::repoint(from, was, is); }
};

/// Told of the elements that have changed since the last time.
template <class P, class F, class T>
struct array_observer_kind {
  struct body : body_head {
    F f;
    array<T> const* from;
    std::uint32_t size;
    std::uint64_t seen = 0;
    std::uint32_t* indices = nullptr;

    [[nodiscard]] static std::size_t extra_bytes(std::uint32_t size) noexcept {
      return carver::line + carver::bytes<std::uint32_t>(size);
    }
    [[nodiscard]] std::size_t extra_bytes() const noexcept { return extra_bytes(size); }
    void lay_out() noexcept {
      carver at(this + 1);
      indices = at.take<std::uint32_t>(size);
    }
    void repoint(void const* was, void const* is) noexcept { detail::repoint(from, was, is); }
    /// Fills `indices`; how many.
    [[nodiscard]] std::uint32_t find_changes(bool first) noexcept {
      std::uint32_t count = 0;
      if (first) {
        for (; count < size; ++count) { indices[count] = count; }
        return count;
      }
      array_access::of(*from).visit_changes(seen, [&](std::uint32_t block, std::uint64_t mask) {
        for_each_bit(mask, [&](std::uint32_t k) { indices[count++] = block * block_size + k; });
      });
      if (!std::is_sorted(indices, indices + count)) { std::sort(indices, indices + count); }
      return count;
    }
  };
  static bool run(engine<P>& e, std::uint32_t i) noexcept {
    node<P>& n = e.nodes(i);
    auto& mine = *static_cast<body*>(n.body);
    return tell(e, n, [&] {
      std::uint32_t const count = mine.find_changes(n.has(valueless));
      n.clear(valueless);
      mine.seen = e.pass;
      mine.f(array_changes<T>(*mine.from, {mine.indices, count}));
    });
  }
  static constexpr kind<P> is{.is = role::observer,
                              .sweep = engine<P>::fire_in_turn,
                              .run = run,
                              .destroy = destroy_body<body, P>,
                              .repoint = repoint_body<body>};
};

}  // namespace millrace::inline v0::propagate::detail
