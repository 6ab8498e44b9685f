// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/propagate/cell.hpp>

#include <cuda/std/span>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <new>
#include <type_traits>
#include <utility>

namespace millrace::inline v0::propagate {

/// What an array holds: plain values, that a copy of the bytes copies.
template <class T>
concept array_element = requires {
  requires cell_value<T>;
  requires std::is_trivially_copyable_v<T>;
};

namespace detail {

/// Elements to a block: the bits of a word.
inline constexpr std::uint32_t block_size = 64;
[[nodiscard]] MILLRACE_HD constexpr std::uint32_t blocks_of(std::uint32_t size) noexcept {
  return size / block_size + (size % block_size != 0 ? 1u : 0u);
}
/// Which bits of a block are elements.
[[nodiscard]] MILLRACE_HD constexpr std::uint64_t full_mask(std::uint32_t size,
                                                            std::uint32_t block) noexcept {
  std::uint32_t const rest = size - block * block_size;
  return rest >= block_size ? ~std::uint64_t{0} : (std::uint64_t{1} << rest) - 1;
}
/// Calls use(bit) for each bit that is set, from the lowest.
template <class Use>
constexpr void for_each_bit(std::uint64_t mask, Use&& use) {
  for (; mask != 0; mask &= mask - 1) { use(static_cast<std::uint32_t>(std::countr_zero(mask))); }
}

/// Calls use(begin, end) for each row of bits that are set, from the lowest.
template <class Use>
constexpr void for_each_range(std::uint64_t mask, Use&& use) {
  while (mask != 0) {
    auto const begin = static_cast<std::uint32_t>(std::countr_zero(mask));
    auto const end = begin + static_cast<std::uint32_t>(std::countr_one(mask >> begin));
    use(begin, end);
    mask = end == block_size ? 0 : mask >> end << end;
  }
}

/// Takes pieces out of the bytes behind a body, each at the begin of a cache line.
class carver {
 public:
  static constexpr std::size_t line = 64;
  template <class T>
  [[nodiscard]] static constexpr std::size_t bytes(std::size_t count) noexcept {
    static_assert(alignof(T) <= line, "array: an element is aligned to a cache line at most");
    return (count * sizeof(T) + line - 1) / line * line;
  }
  explicit carver(void* from) noexcept : at_{reinterpret_cast<std::uintptr_t>(from)} {
    at_ = (at_ + line - 1) / line * line;
  }
  /// `count` of these values.
  template <class T>
  [[nodiscard]] T* take(std::size_t count, T const& value = {}) noexcept {
    T* const piece = reinterpret_cast<T*>(at_);
    for (std::size_t k = 0; k < count; ++k) { ::new (static_cast<void*>(piece + k)) T(value); }
    at_ += bytes<T>(count);
    return piece;
  }

 private:
  std::uintptr_t at_;
};

/// Values, and when each of them has changed. Who has seen all up to the change before the last one
/// finds the elements of the last one in a list of blocks; others look at the blocks' passes.
template <array_element T>
struct array_state {
  T* values = nullptr;
  std::uint64_t* element_at = nullptr;  ///< the pass in which each element has changed
  std::uint64_t* block_at = nullptr;    ///< the last of those of its elements
  std::uint64_t* bits = nullptr;        ///< which elements have changed then
  std::uint32_t* touched = nullptr;     ///< blocks that have changed in the pass `at`
  std::uint32_t touched_count = 0;
  std::uint32_t size = 0;
  std::uint64_t at = 0;      ///< the pass of the last change
  std::uint64_t before = 0;  ///< of the one before it

  [[nodiscard]] static std::size_t bytes(std::uint32_t size) noexcept {
    std::size_t const blocks = blocks_of(size);
    return carver::bytes<T>(size) + carver::bytes<std::uint64_t>(size) +
           2 * carver::bytes<std::uint64_t>(blocks) + carver::bytes<std::uint32_t>(blocks);
  }
  void lay_out(carver& from, std::uint32_t count, T const& value) noexcept {
    std::size_t const blocks = blocks_of(count);
    size = count;
    values = from.take<T>(count, value);
    element_at = from.take<std::uint64_t>(count);
    block_at = from.take<std::uint64_t>(blocks);
    bits = from.take<std::uint64_t>(blocks);
    touched = from.take<std::uint32_t>(blocks);
  }
  [[nodiscard]] std::uint64_t full(std::uint32_t block) const noexcept {
    return full_mask(size, block);
  }
  /// These elements of a block have changed in this pass.
  void mark(std::uint32_t block, std::uint64_t mask, std::uint64_t pass) noexcept {
    if (mask == 0) { return; }
    if (at != pass) {
      before = std::exchange(at, pass);
      touched_count = 0;
    }
    if (block_at[block] != pass) {
      block_at[block] = pass;
      bits[block] = 0;
      touched[touched_count++] = block;
    }
    bits[block] |= mask;
    std::uint64_t* const each = element_at + std::size_t{block} * block_size;
    for_each_range(mask, [&](std::uint32_t begin, std::uint32_t end) {
      for (std::uint32_t k = begin; k < end; ++k) { each[k] = pass; }
    });
  }
  /// Calls use(block, mask) for the elements that have changed after a pass.
  template <class Use>
  void visit_changes(std::uint64_t since, Use&& use) const noexcept {
    if (at <= since) { return; }
    if (before <= since) {
      for (std::uint32_t k = 0; k < touched_count; ++k) { use(touched[k], bits[touched[k]]); }
      return;
    }
    for (std::uint32_t b = 0; b < blocks_of(size); ++b) {
      if (block_at[b] <= since) { continue; }
      std::uint64_t mask = 0;
      for_each_bit(full(b), [&](std::uint32_t k) {
        bool const is = element_at[std::size_t{b} * block_size + k] > since;
        mask |= std::uint64_t{is} << k;
      });
      use(b, mask);
    }
  }
};

struct array_access;

}  // namespace detail

/// Values in a row that are one node of a graph. A change of some of them is theirs, not the row's:
/// what is computed from each runs for those.
template <array_element T>
class array {
 public:
  using value_type = T;

  array() noexcept = default;
  array(array&& other) noexcept : state_{std::exchange(other.state_, {})} {}
  array& operator=(array&& other) noexcept {
    state_ = std::exchange(other.state_, {});
    return *this;
  }
  [[nodiscard]] std::uint32_t size() const noexcept { return state_.size; }
  [[nodiscard]] T const& operator[](std::uint32_t i) const noexcept {
    MILLRACE_ASSERT(i < state_.size);
    return state_.values[i];
  }
  /// Valid until the next write.
  [[nodiscard]] cuda::std::span<T const> view() const noexcept {
    return {state_.values, state_.size};
  }

 private:
  friend struct detail::array_access;
  detail::array_state<T> state_;
};
/// A cell that is an array, of any origin.
template <array_element T>
using array_cell = cell<array<T>>;

/// An array whose elements transactions write.
template <array_element T>
class array_input : public array_cell<T> {
 public:
  using array_cell<T>::array_cell;
};

/// What an observer of an array is told: where it has changed since the last call. The first time
/// that is everywhere; after a failure it may be nowhere.
template <array_element T>
class array_changes {
 public:
  array_changes(array<T> const& of, cuda::std::span<std::uint32_t const> at) noexcept
      : of_{&of}, at_{at} {}
  [[nodiscard]] array<T> const& all() const noexcept { return *of_; }
  /// Indices, from the lowest.
  [[nodiscard]] cuda::std::span<std::uint32_t const> indices() const noexcept { return at_; }
  [[nodiscard]] std::uint32_t size() const noexcept {
    return static_cast<std::uint32_t>(at_.size());
  }
  /// The value at indices()[k].
  [[nodiscard]] T const& value(std::uint32_t k) const noexcept { return (*of_)[at_[k]]; }

 private:
  array<T> const* of_;
  cuda::std::span<std::uint32_t const> at_;
};

namespace detail {

template <class T>
inline constexpr bool is_array = false;
template <class T>
inline constexpr bool is_array<array<T>> = true;

/// An array's inside, for the kinds of nodes that are made of it.
struct array_access {
  template <class T>
  [[nodiscard]] static array_state<T>& of(array<T>& a) noexcept {
    return a.state_;
  }
  template <class T>
  [[nodiscard]] static array_state<T> const& of(array<T> const& a) noexcept {
    return a.state_;
  }
};

/// Elements that a write gives.
template <class T>
struct element_write {
  std::uint32_t first;
  std::uint32_t count;
  T const* values;
};

/// Which elements of which blocks are to be done.
struct block_marks {
  std::uint64_t* masks = nullptr;
  std::uint32_t* list = nullptr;  // blocks whose mask is not 0
  std::uint32_t count = 0;

  [[nodiscard]] static std::size_t bytes(std::uint32_t blocks) noexcept {
    return carver::bytes<std::uint64_t>(blocks) + carver::bytes<std::uint32_t>(blocks);
  }
  void lay_out(carver& from, std::uint32_t blocks) noexcept {
    masks = from.take<std::uint64_t>(blocks);
    list = from.take<std::uint32_t>(blocks);
  }
  void add(std::uint32_t block, std::uint64_t mask) noexcept {
    if (mask == 0) { return; }
    if (masks[block] == 0) { list[count++] = block; }
    masks[block] |= mask;
  }
  void clear() noexcept {
    for (std::uint32_t k = 0; k < count; ++k) { masks[list[k]] = 0; }
    count = 0;
  }
  /// Calls use(block, mask) for all, and is empty then.
  template <class Use>
  void take_all(Use&& use) {
    for (std::uint32_t k = 0; k < count; ++k) { use(list[k], std::exchange(masks[list[k]], 0)); }
    count = 0;
  }
};

}  // namespace detail

}  // namespace millrace::inline v0::propagate
