// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <new>
#include <type_traits>

namespace millrace::inline v0::propagate {

/// What a cell holds: made without arguments until its function has run, and assigned from then on.
/// Copies may throw, moves may not.
template <class T>
concept cell_value = requires {
  requires std::is_object_v<T> && !std::is_const_v<T>;
  requires std::default_initializable<T>;
  requires std::movable<T>;
  requires std::is_nothrow_move_assignable_v<T>;
};

/// A function that a graph can keep.
template <class F>
concept cell_function = std::is_object_v<F> && std::is_move_constructible_v<F>;

/// What a node is.
enum class role : std::uint8_t {
  input,             ///< written by batches
  computed,          ///< a function of dependencies that never change
  tracking,          ///< a function of what its last run has read
  observer,          ///< told of a dependency that never changes
  tracking_observer  ///< told of what it has read
};
[[nodiscard]] constexpr bool tracks(role r) noexcept {
  return r == role::tracking || r == role::tracking_observer;
}
[[nodiscard]] constexpr bool observes(role r) noexcept {
  return r == role::observer || r == role::tracking_observer;
}
/// The role's name; never null.
[[nodiscard]] constexpr char const* describe(role r) noexcept {
  switch (r) {
    case role::input: return "input";
    case role::computed: return "computed";
    case role::tracking: return "tracking";
    case role::observer: return "observer";
    case role::tracking_observer: return "tracking observer";
  }
  return "unknown role";
}

/// Which node of which graph. A handle whose node has been removed, or that belongs to another
/// graph, is refused wherever it is used.
struct node_id {
  void const* graph = nullptr;
  std::uint32_t slot = 0;
  std::uint32_t generation = 0;

  [[nodiscard]] friend bool operator==(node_id const&, node_id const&) noexcept = default;
};

/// A cell with a value of type T, of any origin. A handle: copyable, owns nothing.
template <cell_value T>
class cell {
 public:
  using value_type = T;

  cell() noexcept = default;
  explicit cell(node_id id) noexcept : id_{id} {}
  [[nodiscard]] node_id id() const noexcept { return id_; }
  [[nodiscard]] friend bool operator==(cell const&, cell const&) noexcept = default;

 private:
  node_id id_;
};

/// A cell that transactions write.
template <cell_value T>
class input : public cell<T> {
 public:
  using cell<T>::cell;
};

/// Something that is told of changes, until it is removed.
class observer {
 public:
  observer() noexcept = default;
  explicit observer(node_id id) noexcept : id_{id} {}
  [[nodiscard]] node_id id() const noexcept { return id_; }

 private:
  node_id id_;
};

/// Values of cells, in the order in which they were given.
template <class T>
class values {
 public:
  values(T const* const* from, std::size_t size) noexcept : from_{from}, size_{size} {}
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] T const& operator[](std::size_t i) const noexcept {
    MILLRACE_ASSERT(i < size_);
    return *from_[i];
  }

 private:
  T const* const* from_;
  std::size_t size_;
};

namespace detail {

template <class T>
inline constexpr bool is_result = false;
template <class T>
inline constexpr bool is_result<result<T>> = true;
template <class T>
struct value_of_result {
  using type = T;
};
template <class T>
struct value_of_result<result<T>> {
  using type = T;
};
/// What a cell holds whose function returns R.
template <class R>
using held = typename value_of_result<std::remove_cvref_t<R>>::type;

/// A copy of a cell's value.
/// @error errc::out_of_memory, errc::function_failed: the copy has thrown
template <class T>
[[nodiscard]] result<T> copy_of(T const& value) noexcept {
  if constexpr (std::is_nothrow_copy_constructible_v<T>) {
    return value;
  } else {
    try {
      return value;
    } catch (std::bad_alloc const&) { return core::fail(errc::out_of_memory); } catch (...) {
      return core::fail(errc::function_failed);
    }
  }
}

}  // namespace detail

}  // namespace millrace::inline v0::propagate
