// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/memory/buffer.hpp>
#include <millrace/memory/reservation.hpp>
#include <millrace/memory/resource.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

namespace millrace::inline v0::propagate::detail {

/// Where blocks of so many bytes begin: large ones on whole huge pages, which spare who goes far
/// and wide in them a walk through the page table for each access.
[[nodiscard]] constexpr std::size_t block_alignment(std::size_t bytes, std::size_t least) noexcept {
  constexpr std::size_t huge = memory::reservation::huge_page_bytes;
  return bytes >= 2 * huge ? huge : least;
}
/// A block, its length rounded up to its alignment; asks for huge pages where it is large.
/// @error errc::out_of_memory
template <memory::host_accessible_resource R>
[[nodiscard]] result<std::byte*> take_block(R& from, std::size_t& bytes,
                                            std::size_t least) noexcept {
  std::size_t const alignment = block_alignment(bytes, least);
  bytes = (bytes + alignment - 1) & ~(alignment - 1);
  auto const given = from.try_allocate(bytes, alignment);
  if (!given) { return core::fail(errc::out_of_memory); }
  auto* const block = static_cast<std::byte*>(*given);
  if (alignment != least) { memory::reservation::prefer_huge_pages(block, bytes); }
  return block;
}

/// Elements in a row that grow at the end, from a resource. Growing is a step of its own that may
/// fail; what is written afterwards cannot.
template <memory::buffer_element T, memory::host_accessible_resource R>
class column {
 public:
  explicit column(R from) noexcept : from_{std::move(from)} {}
  column(column const&) = delete;
  column& operator=(column const&) = delete;
  column(column&& other) noexcept
      : data_{std::exchange(other.data_, nullptr)},
        capacity_{std::exchange(other.capacity_, 0)},
        bytes_{std::exchange(other.bytes_, 0)},
        size_{std::exchange(other.size_, 0)},
        from_{other.from_} {}
  column& operator=(column&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(capacity_, other.capacity_);
    std::swap(bytes_, other.bytes_);
    std::swap(size_, other.size_);
    std::swap(from_, other.from_);
    return *this;
  }
  ~column() { give_back(); }

  [[nodiscard]] std::uint32_t size() const noexcept { return size_; }
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] T* data() const noexcept { return data_; }
  [[nodiscard]] T& operator[](std::uint32_t i) const noexcept {
    MILLRACE_ASSERT(i < size_);
    return data_[i];
  }
  [[nodiscard]] T& back() const noexcept { return (*this)[size_ - 1]; }
  [[nodiscard]] T* begin() const noexcept { return data_; }
  [[nodiscard]] T* end() const noexcept { return data_ + size_; }

  /// Room for `count` elements in all, at least half as much again when it grows.
  /// @error errc::out_of_memory; nothing has changed
  [[nodiscard]] result<void> reserve(std::uint32_t count) noexcept {
    if (count <= capacity_) { return {}; }
    std::size_t const most = std::max<std::size_t>({count, capacity_ + capacity_ / 2, 16});
    std::size_t bytes = most * sizeof(T);
    auto const grown = take_block(from_, bytes, alignof(T));
    if (!grown) { return core::fail(errc::out_of_memory); }
    if (size_ != 0) { std::memcpy(*grown, static_cast<void const*>(data_), size_ * sizeof(T)); }
    give_back();
    data_ = reinterpret_cast<T*>(*grown);
    bytes_ = bytes;
    capacity_ = bytes / sizeof(T);
    return {};
  }
  /// One more; there is room.
  void push(T const& value) noexcept {
    MILLRACE_ASSERT(size_ < capacity_);
    data_[size_++] = value;
  }
  [[nodiscard]] result<void> try_push(T const& value) noexcept {
    if (auto const room = reserve(size_ + 1); !room) { return room; }
    push(value);
    return {};
  }
  void pop() noexcept {
    MILLRACE_ASSERT(size_ != 0);
    --size_;
  }
  void shrink(std::uint32_t size) noexcept {
    MILLRACE_ASSERT(size <= size_);
    size_ = size;
  }
  void clear() noexcept { size_ = 0; }
  /// With another column of the same resource.
  void swap(column& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(capacity_, other.capacity_);
    std::swap(bytes_, other.bytes_);
    std::swap(size_, other.size_);
  }
  /// `count` elements of one value, and no others.
  [[nodiscard]] result<void> assign(std::uint32_t count, T const& value) noexcept {
    size_ = 0;
    if (auto const room = reserve(count); !room) { return room; }
    std::fill_n(data_, count, value);
    size_ = count;
    return {};
  }
  /// So many more, whose bytes are there already; there is room.
  void extend(std::uint32_t count) noexcept {
    MILLRACE_ASSERT(count <= capacity_ - size_);
    size_ += count;
  }

 private:
  void give_back() noexcept {
    if (data_ != nullptr) { from_.deallocate(data_, bytes_, block_alignment(bytes_, alignof(T))); }
  }

  T* data_ = nullptr;
  std::size_t capacity_ = 0;
  std::size_t bytes_ = 0;
  std::uint32_t size_ = 0;
  R from_;
};

}  // namespace millrace::inline v0::propagate::detail
