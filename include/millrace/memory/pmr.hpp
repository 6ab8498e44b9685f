// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/error.hpp>
#include <millrace/memory/heap.hpp>
#include <millrace/memory/resource.hpp>

#include <concepts>
#include <cstddef>
#include <limits>
#include <memory_resource>
#include <new>
#include <type_traits>
#include <utility>

namespace millrace::inline v0::memory {

/// What a resource's try_allocate gives, or null.
template <host_accessible_resource R>
[[nodiscard]] void* allocate_or_null(R& from, std::size_t bytes, std::size_t alignment) noexcept {
  if constexpr (requires { from.allocate_or_null(bytes, alignment); }) {
    return from.allocate_or_null(bytes, alignment);
  } else {
    auto const got = from.try_allocate(bytes, alignment);
    return got ? *got : nullptr;
  }
}

/// A resource as the standard's containers want it: where try_allocate gives an error, allocate
/// throws std::bad_alloc. No bytes are a byte.
/// @thread as the resource's
template <host_accessible_resource R>
class pmr_resource final : public std::pmr::memory_resource {
 public:
  explicit pmr_resource(R upstream) noexcept : upstream_{std::move(upstream)} {}

  [[nodiscard]] R const& upstream() const noexcept { return upstream_; }

 private:
  [[nodiscard]] void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    void* const p = memory::allocate_or_null(upstream_, bytes == 0 ? 1 : bytes, alignment);
    if (p == nullptr) [[unlikely]] { throw std::bad_alloc(); }
    return p;
  }
  void do_deallocate(void* p, std::size_t bytes, std::size_t alignment) override {
    upstream_.deallocate(p, bytes == 0 ? 1 : bytes, alignment);
  }
  [[nodiscard]] bool do_is_equal(std::pmr::memory_resource const& other) const noexcept override {
    auto const* const same = dynamic_cast<pmr_resource const*>(&other);
    return same != nullptr && same->upstream_ == upstream_;
  }

  R upstream_;
};

/// The same without a virtual call: a standard allocator over a resource. Containers take it along
/// when they move or swap.
template <class T, host_accessible_resource R = heap<>>
class allocator {
 public:
  using value_type = T;
  using propagate_on_container_copy_assignment = std::true_type;
  using propagate_on_container_move_assignment = std::true_type;
  using propagate_on_container_swap = std::true_type;
  using is_always_equal = std::is_empty<R>;

  allocator() noexcept
    requires std::default_initializable<R>
      : from_{} {}
  explicit allocator(R from) noexcept : from_{std::move(from)} {}
  template <class U>
  allocator(allocator<U, R> const& other) noexcept : from_{other.upstream()} {}

  /// @throws std::bad_array_new_length, std::bad_alloc
  [[nodiscard]] T* allocate(std::size_t n) {
    if (n > max_request_bytes / sizeof(T)) { throw std::bad_array_new_length(); }
    void* const p = memory::allocate_or_null(from_, n == 0 ? 1 : n * sizeof(T), alignof(T));
    if (p == nullptr) [[unlikely]] { throw std::bad_alloc(); }
    return static_cast<T*>(p);
  }
  void deallocate(T* p, std::size_t n) noexcept {
    from_.deallocate(p, n == 0 ? 1 : n * sizeof(T), alignof(T));
  }

  [[nodiscard]] R const& upstream() const noexcept { return from_; }

  template <class U>
  [[nodiscard]] friend bool operator==(allocator const& a, allocator<U, R> const& b) noexcept {
    return a.upstream() == b.upstream();
  }

 private:
  R from_;
};

}  // namespace millrace::inline v0::memory
