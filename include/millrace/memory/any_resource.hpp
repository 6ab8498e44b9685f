// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/error.hpp>
#include <millrace/memory/resource.hpp>

#include <concepts>
#include <cstddef>
#include <new>
#include <type_traits>
#include <utility>

namespace millrace::inline v0::memory {

/// A handle of up to five words that says of itself that hosts may touch what it gives. Looked at
/// before anything that asks whether a type converts to any_resource, which would ask this again.
template <class R>
concept small_handle = requires {
  requires R::host_accessible;
  requires sizeof(R) <= 5 * sizeof(void*);
  requires alignof(R) <= alignof(std::max_align_t);
};
/// What any_resource can hold.
template <class R>
concept small_resource = small_handle<R> && host_accessible_resource<R>;

/// Any host-accessible resource, for whoever allocates seldom and would not be a template for its
/// sake: the objects that a program makes at its start. By itself host_resource. It holds the
/// handle itself, so it allocates nothing, and lives as long as what the handle holds: a heap goes
/// with its last handle, a budget has to outlive them.
/// @thread as the resource's   @cost one indirect call more than the resource's
class any_resource {
 public:
  static constexpr bool host_accessible = true;
  static constexpr bool device_accessible = false;

  any_resource() noexcept : any_resource(host_resource{}) {}
  template <class R>
    requires(!std::same_as<R, any_resource> && small_resource<R>)
  any_resource(R from) noexcept : does_{&what<R>} {
    static_assert(std::is_nothrow_copy_constructible_v<R>);
    ::new (static_cast<void*>(room_)) R(std::move(from));
  }
  any_resource(any_resource const& other) noexcept : does_{other.does_} {
    does_->copy(room_, other.room_);
  }
  any_resource& operator=(any_resource const& other) noexcept {
    if (this != &other) {
      does_->end(room_);
      does_ = other.does_;
      does_->copy(room_, other.room_);
    }
    return *this;
  }
  ~any_resource() { does_->end(room_); }

  /// @error as the resource's
  [[nodiscard]] result<void*> try_allocate(std::size_t bytes, std::size_t alignment) noexcept {
    return does_->allocate(room_, bytes, alignment);
  }
  void deallocate(void* p, std::size_t bytes, std::size_t alignment) noexcept {
    does_->deallocate(room_, p, bytes, alignment);
  }

  [[nodiscard]] friend bool operator==(any_resource const& a, any_resource const& b) noexcept {
    return a.does_ == b.does_ && a.does_->equal(a.room_, b.room_);
  }

 private:
  struct actions {
    result<void*> (*allocate)(void* self, std::size_t, std::size_t) noexcept;
    void (*deallocate)(void* self, void*, std::size_t, std::size_t) noexcept;
    void (*copy)(void* to, void const* from) noexcept;
    void (*end)(void* self) noexcept;
    bool (*equal)(void const* a, void const* b) noexcept;
  };
  template <class R>
  static constexpr actions what{
      [](void* self, std::size_t bytes, std::size_t alignment) noexcept {
        return static_cast<R*>(self)->try_allocate(bytes, alignment);
      },
      [](void* self, void* p, std::size_t bytes, std::size_t alignment) noexcept {
        static_cast<R*>(self)->deallocate(p, bytes, alignment);
      },
      [](void* to, void const* from) noexcept { ::new (to) R(*static_cast<R const*>(from)); },
      [](void* self) noexcept { static_cast<R*>(self)->~R(); },
      [](void const* a, void const* b) noexcept {
        return static_cast<bool>(*static_cast<R const*>(a) == *static_cast<R const*>(b));
      }};

  actions const* does_;
  alignas(std::max_align_t) std::byte room_[5 * sizeof(void*)];
};
static_assert(host_accessible_resource<any_resource>);

}  // namespace millrace::inline v0::memory
