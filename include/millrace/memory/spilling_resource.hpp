// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/error.hpp>
#include <millrace/memory/resource.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <unordered_set>
#include <utility>

namespace millrace::inline v0::memory {

/// Allocates from `Primary`, and where that has no room, after whatever steps it knows, from
/// `Secondary`: slower memory, a device's before the host's. It remembers by address which blocks
/// the second gave. Its bytes may be touched where those of both may be.
/// @thread any   @cost Primary's while nothing is spilled; else a lock and a search for each free
template <resource Primary, resource Secondary>
class spilling_resource {
 public:
  static constexpr bool host_accessible = Primary::host_accessible && Secondary::host_accessible;
  static constexpr bool device_accessible =
      Primary::device_accessible && Secondary::device_accessible;

  /// @error errc::out_of_memory
  [[nodiscard]] static result<spilling_resource> make(Primary first,
                                                      Secondary second = {}) noexcept {
    try {
      return spilling_resource(std::make_shared<inside>(std::move(first), std::move(second)));
    } catch (std::bad_alloc const&) { return core::fail(errc::out_of_memory); }
  }

  /// @error Primary's for bad input; errc::out_of_memory when neither has room, or there is none to
  ///        note a spilled block
  [[nodiscard]] result<void*> try_allocate(std::size_t bytes, std::size_t alignment) noexcept {
    auto const given = has_->first.try_allocate(bytes, alignment);
    if (given || given.error().code != errc::out_of_memory) { return given; }
    auto const other = has_->second.try_allocate(bytes, alignment);
    if (!other) { return other; }
    if (!note(*other, bytes)) {
      has_->second.deallocate(*other, bytes, alignment);
      return core::fail(errc::out_of_memory);
    }
    return other;
  }
  void deallocate(void* p, std::size_t bytes, std::size_t alignment) noexcept {
    if (has_->blocks.load(std::memory_order_relaxed) != 0 && forget(p, bytes)) {
      has_->second.deallocate(p, bytes, alignment);
    } else {
      has_->first.deallocate(p, bytes, alignment);
    }
  }

  /// Blocks that `Secondary` gave and that are in use, and their bytes.
  [[nodiscard]] std::uint64_t spilled_blocks() const noexcept {
    return has_->blocks.load(std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t spilled_bytes() const noexcept {
    return has_->bytes.load(std::memory_order_relaxed);
  }

  // No moves, as for a heap: whoever is moved from goes on with what it has.
  spilling_resource(spilling_resource const&) noexcept = default;
  spilling_resource& operator=(spilling_resource const&) noexcept = default;
  ~spilling_resource() = default;

  [[nodiscard]] friend bool operator==(spilling_resource const& a,
                                       spilling_resource const& b) noexcept {
    return a.has_ == b.has_;
  }

 private:
  struct inside {
    inside(Primary f, Secondary s) noexcept : first{std::move(f)}, second{std::move(s)} {}

    Primary first;
    Secondary second;
    std::mutex door;
    std::unordered_set<void*> spilled;  ///< under `door`
    /// Relaxed: who frees a spilled block got it after it was counted.
    std::atomic<std::uint64_t> blocks{0}, bytes{0};
  };

  explicit spilling_resource(std::shared_ptr<inside> has) noexcept : has_{std::move(has)} {}

  [[nodiscard]] bool note(void* p, std::size_t bytes) noexcept {
    std::scoped_lock const alone(has_->door);
    try {
      has_->spilled.insert(p);
    } catch (std::bad_alloc const&) { return false; }
    has_->blocks.fetch_add(1, std::memory_order_relaxed);
    has_->bytes.fetch_add(bytes, std::memory_order_relaxed);
    return true;
  }
  /// Before the block goes back: from then on its address may be another's.
  [[nodiscard]] bool forget(void* p, std::size_t bytes) noexcept {
    std::scoped_lock const alone(has_->door);
    if (has_->spilled.erase(p) == 0) { return false; }
    has_->blocks.fetch_sub(1, std::memory_order_relaxed);
    has_->bytes.fetch_sub(bytes, std::memory_order_relaxed);
    return true;
  }

  std::shared_ptr<inside> has_;
};
static_assert(host_accessible_resource<spilling_resource<host_resource, host_resource>>);

}  // namespace millrace::inline v0::memory
