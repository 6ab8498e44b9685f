// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/memory/resource.hpp>

#include <cuda/std/span>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

namespace millrace::inline v0::memory {

/// What a buffer may hold: bytes that mean the same after a copy and need no end.
template <class T>
concept buffer_element = requires {
  requires std::is_trivially_copyable_v<T>;
  requires std::is_trivially_destructible_v<T>;
  requires !std::is_const_v<T>;
};

/// A buffer's elements without their ownership. Goes into kernels by value; dangles when its buffer
/// is gone.
template <class T>
class buffer_ref {
 public:
  buffer_ref() noexcept = default;
  MILLRACE_HD constexpr buffer_ref(T* data, std::size_t size) noexcept : data_{data}, size_{size} {}

  [[nodiscard]] MILLRACE_HD constexpr T* data() const noexcept { return data_; }
  [[nodiscard]] MILLRACE_HD constexpr std::size_t size() const noexcept { return size_; }
  [[nodiscard]] MILLRACE_HD constexpr std::size_t size_bytes() const noexcept {
    return size_ * sizeof(T);
  }
  [[nodiscard]] MILLRACE_HD constexpr bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] MILLRACE_HD constexpr T& operator[](std::size_t i) const noexcept {
    MILLRACE_ASSERT(i < size_);
    return data_[i];
  }
  [[nodiscard]] MILLRACE_HD constexpr cuda::std::span<T> span() const noexcept {
    return {data_, size_};
  }
  [[nodiscard]] MILLRACE_HD constexpr T* begin() const noexcept { return data_; }
  [[nodiscard]] MILLRACE_HD constexpr T* end() const noexcept { return data_ + size_; }

 private:
  T* data_ = nullptr;
  std::size_t size_ = 0;
};
static_assert(std::is_trivially_copyable_v<buffer_ref<int>>);

/// Owns `size()` elements of `T` in memory of a resource, and gives them back at its end. Elements
/// start undefined; make_zeroed starts them at zero bytes. Moves, never copies; a moved-from buffer
/// is empty.
/// @thread one at a time, as for any container
template <buffer_element T, resource Resource = host_resource>
class buffer {
 public:
  /// Owns nothing. Not defaulted, which nvcc would take for a device's function too.
  buffer() noexcept
    requires std::default_initializable<Resource>
      : from_{} {}

  /// `count` elements whose values are undefined.
  /// @error errc::bad_argument for a count of zero (1) or an alignment that is no power of two, is
  ///        below T's or above the resource's (3); errc::out_of_memory when there is no room
  [[nodiscard]] static result<buffer> make(std::size_t count, Resource from = {},
                                           std::size_t alignment = alignof(T)) noexcept {
    if (count == 0) { return core::fail(errc::bad_argument, 1); }
    if (!is_alignment(alignment) || alignment < alignof(T)) {
      return core::fail(errc::bad_argument, 3);
    }
    if (count > max_request_bytes / sizeof(T)) { return core::fail(errc::out_of_memory); }
    auto const given = from.try_allocate(count * sizeof(T), alignment);
    if (!given) {
      bool const bad_alignment = given.error().code == errc::bad_argument;
      return bad_alignment ? core::fail(errc::bad_argument, 3)
                           : cuda::std::unexpected<error>(given.error());
    }
    return buffer(static_cast<T*>(*given), count, alignment, std::move(from));
  }

  /// As make, with every byte zero.
  /// @cost O(count)
  [[nodiscard]] static result<buffer> make_zeroed(std::size_t count, Resource from = {},
                                                  std::size_t alignment = alignof(T)) noexcept
    requires host_accessible_resource<Resource>
  {
    auto made = make(count, std::move(from), alignment);
    if (made) { std::memset(static_cast<void*>(made->data()), 0, made->size_bytes()); }
    return made;
  }

  buffer(buffer&& other) noexcept
      : data_{std::exchange(other.data_, nullptr)},
        size_{std::exchange(other.size_, 0)},
        alignment_{other.alignment_},
        from_{other.from_} {}
  buffer& operator=(buffer&& other) noexcept {
    buffer moved(std::move(other));
    std::swap(data_, moved.data_);
    std::swap(size_, moved.size_);
    std::swap(alignment_, moved.alignment_);
    std::swap(from_, moved.from_);
    return *this;
  }
  ~buffer() {
    if (data_ != nullptr) { from_.deallocate(data_, size_bytes(), alignment_); }
  }

  [[nodiscard]] T* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::size_t size_bytes() const noexcept { return size_ * sizeof(T); }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] T& operator[](std::size_t i) const noexcept
    requires host_accessible_resource<Resource>
  {
    MILLRACE_ASSERT(i < size_);
    return data_[i];
  }
  [[nodiscard]] cuda::std::span<T> span() const noexcept { return {data_, size_}; }
  [[nodiscard]] buffer_ref<T> ref() const noexcept { return {data_, size_}; }
  [[nodiscard]] Resource const& resource() const noexcept { return from_; }

 private:
  buffer(T* data, std::size_t size, std::size_t alignment, Resource from) noexcept
      : data_{data}, size_{size}, alignment_{alignment}, from_{std::move(from)} {}

  T* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t alignment_ = alignof(T);
  [[no_unique_address]] Resource from_{};
};

}  // namespace millrace::inline v0::memory
