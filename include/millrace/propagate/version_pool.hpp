// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/propagate/version.hpp>

#include <cstddef>
#include <cstdint>
#include <new>
#include <type_traits>
#include <utility>

/// \file
/// Memory for versions. Only who leads the lane takes from a pool and gives back.

namespace millrace::inline v0::propagate::detail {

template <class T>
struct typed_version : version {
  T value{};
};
template <class T>
[[nodiscard]] T const& value_of(version const& v) noexcept {
  return static_cast<typed_version<T> const&>(v).value;
}

/// Bytes of a value that a transaction keeps with the access itself until it commits.
inline constexpr std::size_t small_bytes = 8;
template <class T>
inline constexpr bool is_small =
    sizeof(T) <= small_bytes && alignof(T) <= small_bytes && std::is_trivially_copyable_v<T>;

/// What the versions of cells of one type have in common.
template <class R>
struct version_type {
  std::size_t bytes;
  std::size_t small;  ///< bytes of a value that is kept with the access; 0: it has a version there
  bool is_reusable;   ///< a value can be left where it is until another one takes its place
  version* (*make)(R& from) noexcept;  ///< null: no memory, or what makes a T has thrown
  void (*give_back)(R& from, version*) noexcept;
  void* (*value)(version*) noexcept;
};
template <class R, class T>
inline constexpr version_type<R> version_of{
    .bytes = sizeof(typed_version<T>),
    .small = is_small<T> ? sizeof(T) : 0,
    .is_reusable = std::is_trivially_destructible_v<T>,
    .make = [](R& from) noexcept -> version* {
      auto const given = from.try_allocate(sizeof(typed_version<T>), alignof(typed_version<T>));
      if (!given) { return nullptr; }
      try {
        return ::new (*given) typed_version<T>{};
      } catch (...) {
        from.deallocate(*given, sizeof(typed_version<T>), alignof(typed_version<T>));
        return nullptr;
      }
    },
    .give_back =
        [](R& from, version* v) noexcept {
          auto* const mine = static_cast<typed_version<T>*>(v);
          mine->~typed_version<T>();
          from.deallocate(mine, sizeof(typed_version<T>), alignof(typed_version<T>));
        },
    .value = [](version* v) noexcept -> void* {
      return &static_cast<typed_version<T>*>(v)->value;
    }};

/// Versions of one type that nobody needs, the last that was given back on top: its lines are near.
/// Before each epoch there is one for each cell of the type, so that to commit takes no memory; and
/// never more than twice as many and a few.
template <class R>
struct version_pool {
  version_type<R> const* of;
  version* top = nullptr;
  std::uint32_t size = 0;
  std::uint32_t cells = 0;  ///< published, of the type

  /// Room for a version of each cell. @return whether there is memory
  [[nodiscard]] bool fill(R& from) noexcept {
    while (size < cells) {
      version* const made = of->make(from);
      if (made == nullptr) { return false; }
      push(made);
    }
    return true;
  }
  /// One that says nothing; there is room.
  [[nodiscard]] version* take() noexcept {
    version* const v = std::exchange(top, top->older);
    --size;
    v->failure = {};
    v->gone = false;
    return v;
  }
  void put(R& from, version* v) noexcept {
    if (of->is_reusable && size < most()) {
      push(v);
    } else {
      of->give_back(from, v);
    }
  }
  /// There may be fewer cells than there were.
  void trim(R& from, std::uint32_t to) noexcept {
    while (size > to) {
      --size;
      of->give_back(from, std::exchange(top, top->older));
    }
  }
  [[nodiscard]] std::uint32_t most() const noexcept { return 2 * cells + few; }

 private:
  static constexpr std::uint32_t few = 128;

  void push(version* v) noexcept {
    v->older = std::exchange(top, v);
    ++size;
  }
};

}  // namespace millrace::inline v0::propagate::detail
