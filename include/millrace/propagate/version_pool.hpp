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
struct version_type {
  std::size_t bytes;
  std::size_t alignment;
  std::size_t small;  ///< bytes of a value that is kept with the access; 0: it has a version there
  bool is_reusable;   ///< a value can be left where it is until another one takes its place
  version* (*construct)(void* at) noexcept;  ///< null: what makes a T has thrown
  void (*destroy)(version*) noexcept;
  void* (*value)(version*) noexcept;

  /// Null: no memory, or what makes a T has thrown. @param from a resource, or as one
  template <class From>
  [[nodiscard]] version* make(From& from) const noexcept {
    auto const given = from.try_allocate(bytes, alignment);
    if (!given) { return nullptr; }
    version* const made = construct(*given);
    if (made == nullptr) { from.deallocate(*given, bytes, alignment); }
    return made;
  }
  template <class From>
  void give_back(From& from, version* v) const noexcept {
    destroy(v);
    from.deallocate(v, bytes, alignment);
  }
};
template <class T>
inline constexpr version_type version_of{
    .bytes = sizeof(typed_version<T>),
    .alignment = alignof(typed_version<T>),
    .small = is_small<T> ? sizeof(T) : 0,
    .is_reusable = std::is_trivially_destructible_v<T>,
    .construct = [](void* at) noexcept -> version* {
      try {
        return ::new (at) typed_version<T>{};
      } catch (...) { return nullptr; }
    },
    .destroy = [](version* v) noexcept { static_cast<typed_version<T>*>(v)->~typed_version<T>(); },
    .value = [](version* v) noexcept -> void* {
      return &static_cast<typed_version<T>*>(v)->value;
    }};

/// Versions of one type that nobody needs, the last that was given back on top: its lines are near.
/// Before each epoch there is one for each cell of the type, so that to commit takes no memory; and
/// never more than twice as many and a few.
struct version_pool {
  version_type const* of;
  version* top = nullptr;
  std::uint32_t size = 0;
  std::uint32_t cells = 0;     ///< published, of the type
  std::uint32_t in_block = 0;  ///< versions of the type, wherever they are

  /// Room for a version of each cell: of the graph's blocks as many as are needed where nobody
  /// reads old epochs for long, since these keep their memory; the others are the resource's own.
  /// @return whether there is memory
  template <class Blocks, class R>
  [[nodiscard]] bool fill(Blocks& blocks, R& from) noexcept {
    while (size < cells) {
      bool const shares = in_block < cells + most();
      version* const made = shares ? of->make(blocks) : of->make(from);
      if (made == nullptr) { return false; }
      made->in_block = shares;
      in_block += shares ? 1 : 0;
      push(made);
    }
    return true;
  }
  /// A version that is not kept.
  template <class Blocks, class R>
  void release(version* v, Blocks& blocks, R& from) noexcept {
    if (v->in_block) {
      --in_block;
      of->give_back(blocks, v);
    } else {
      of->give_back(from, v);
    }
  }
  /// One that says nothing; there is room.
  [[nodiscard]] version* take() noexcept {
    version* const v = std::exchange(top, top->older);
    --size;
    v->failure = {};
    v->gone = false;
    return v;
  }
  /// Whether it keeps one that nobody needs any more.
  [[nodiscard]] bool put(version* v) noexcept {
    bool const keeps = of->is_reusable && size < most();
    if (keeps) { push(v); }
    return keeps;
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
