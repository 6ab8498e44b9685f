// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/delta/change_set_ref.hpp>
#include <millrace/delta/key.hpp>
#include <millrace/memory/buffer.hpp>
#include <millrace/memory/resource.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace millrace::inline v0::delta {

/// Owns a sorted run of changes: a column of unique, strictly increasing keys and columns of
/// values, each 64-byte aligned, in one block of a resource. Moves, never copies by itself:
/// make(ref()).
/// @thread one at a time, as for any container
template <memory::resource Resource, change_key K, change_value... Vs>
class basic_change_set {
  static_assert(((alignof(Vs) <= 64) && ...), "basic_change_set: columns are 64-byte aligned");

 public:
  using key_type = K;
  using ref_type = change_set_ref<K, Vs...>;
  using space_type = change_space<K, Vs...>;

  /// No changes, and no room. Not defaulted, which nvcc would take for a device's function too.
  basic_change_set() noexcept
    requires std::default_initializable<Resource>
  {}

  /// Room for `capacity` changes, and none yet.
  /// @error errc::out_of_memory; errc::bad_argument (2) from a resource whose alignment is below 64
  [[nodiscard]] static result<basic_change_set> make(std::size_t capacity,
                                                     Resource from = {}) noexcept {
    constexpr std::size_t row = sizeof(K) + (std::size_t{0} + ... + sizeof(Vs));
    if (capacity > memory::max_request_bytes / row - 64 * (1 + sizeof...(Vs))) {
      return core::fail(errc::out_of_memory);
    }
    std::size_t const bytes = capacity == 0 ? 64 : bytes_of(capacity);
    auto block = memory::buffer<std::byte, Resource>::make(bytes, std::move(from), 64);
    if (!block) {
      return block.error().code == errc::bad_argument ? core::fail(errc::bad_argument, 2)
                                                      : cuda::std::unexpected<error>(block.error());
    }
    return basic_change_set(std::move(*block), capacity);
  }

  /// A copy of `rows`.
  /// @error as above  @cost O(n)
  [[nodiscard]] static result<basic_change_set> make(ref_type rows, Resource from = {}) noexcept
    requires memory::host_accessible_resource<Resource>
  {
    auto made = make(rows.size(), std::move(from));
    if (made && !rows.empty()) {
      copy_rows(rows, made->space());
      made->size_ = rows.size();
    }
    return made;
  }

  basic_change_set(basic_change_set&& other) noexcept
      : block_{std::move(other.block_)},
        size_{std::exchange(other.size_, 0)},
        capacity_{std::exchange(other.capacity_, 0)} {}
  basic_change_set& operator=(basic_change_set&& other) noexcept {
    block_ = std::move(other.block_);
    size_ = std::exchange(other.size_, 0);
    capacity_ = std::exchange(other.capacity_, 0);
    return *this;
  }

  ~basic_change_set() {}  // NOLINT(modernize-use-equals-default): the host's alone, as above

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
  /// Bytes that it holds, whether filled or not.
  [[nodiscard]] std::size_t size_bytes() const noexcept { return block_.size(); }
  /// The rows; dangles when the set is gone or assigned.
  [[nodiscard]] ref_type ref() const noexcept { return space().filled(size_); }
  [[nodiscard]] operator ref_type() const noexcept { return ref(); }
  /// All of its room, to be written; then set_size.
  [[nodiscard]] space_type space() const noexcept {
    return space(std::index_sequence_for<Vs...>{});
  }
  /// Says how many rows have been written into space().
  void set_size(std::size_t size) noexcept {
    MILLRACE_ASSERT(size <= capacity_);
    size_ = size;
  }
  [[nodiscard]] Resource const& resource() const noexcept { return block_.resource(); }

 private:
  basic_change_set(memory::buffer<std::byte, Resource> block, std::size_t capacity) noexcept
      : block_{std::move(block)}, capacity_{capacity} {}

  [[nodiscard]] static constexpr std::size_t whole_lines(std::size_t bytes) noexcept {
    return (bytes + 63) / 64 * 64;
  }
  [[nodiscard]] static constexpr std::size_t bytes_of(std::size_t capacity) noexcept {
    return whole_lines(capacity * sizeof(K)) +
           (std::size_t{0} + ... + whole_lines(capacity * sizeof(Vs)));
  }
  template <std::size_t... Is>
  [[nodiscard]] space_type space(std::index_sequence<Is...>) const noexcept {
    std::size_t const sizes[] = {sizeof(K), sizeof(Vs)...};
    std::size_t at[1 + sizeof...(Vs)] = {};
    for (std::size_t i = 1; i < 1 + sizeof...(Vs); ++i) {
      at[i] = at[i - 1] + whole_lines(capacity_ * sizes[i - 1]);
    }
    return space_type(reinterpret_cast<K*>(block_.data()), capacity_,
                      reinterpret_cast<Vs*>(block_.data() + at[Is + 1])...);
  }

  memory::buffer<std::byte, Resource> block_{};
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

/// A run of changes in the host's memory.
template <change_key K, change_value... Vs>
using change_set = basic_change_set<memory::host_resource, K, Vs...>;

}  // namespace millrace::inline v0::delta
