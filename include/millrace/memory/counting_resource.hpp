// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/access.hpp>
#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/memory/resource.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace millrace::inline v0::memory {

/// What a counting resource saw: each number is its own relaxed atomic, and exact. Read it through
/// `snapshot` while others allocate.
struct allocation_counts {
  std::uint64_t live = 0;        ///< allocations not yet given back
  std::uint64_t live_bytes = 0;  ///< their bytes
  std::uint64_t peak_bytes = 0;  ///< the most that live_bytes has been
  std::uint64_t total = 0;       ///< allocations given
  std::uint64_t refused = 0;     ///< requests that got an error

  void took(std::uint64_t bytes) noexcept {
    add(total, 1);
    add(live, 1);
    core::raise<words>(peak_bytes, add(live_bytes, bytes) + bytes, "counts.peak");
  }
  void gave(std::uint64_t bytes) noexcept {
    add(live, ~std::uint64_t{0});
    add(live_bytes, 0 - bytes);
  }
  void refuse() noexcept { add(refused, 1); }
  /// Not all of one instant.
  [[nodiscard]] allocation_counts snapshot() const noexcept {
    return {look(live), look(live_bytes), look(peak_bytes), look(total), look(refused)};
  }

 private:
  using words = core::direct_access<cuda::thread_scope_system>;
  static std::uint64_t add(std::uint64_t& word, std::uint64_t n) noexcept {
    return words::fetch_add(word, n, core::relaxed, "counts.add");
  }
  [[nodiscard]] static std::uint64_t look(std::uint64_t const& word) noexcept {
    return words::load(word, core::relaxed, "counts.snapshot");
  }
};

/// Who counts: told of each allocation after it was made, and of each free after it.
template <class C>
concept allocation_counter = requires(C& c, C const& seen, std::uint64_t bytes) {
  { c.took(bytes) } noexcept -> std::same_as<void>;
  { c.gave(bytes) } noexcept -> std::same_as<void>;
  { c.refuse() } noexcept -> std::same_as<void>;
  { seen.snapshot() } noexcept -> std::same_as<allocation_counts>;
};
static_assert(allocation_counter<allocation_counts>);

/// Passes everything on to `Upstream` and counts it where the caller says, who keeps the counter.
/// Copies count into the same one.
/// @thread any
template <resource Upstream = host_resource, allocation_counter Counter = allocation_counts>
class counting_resource {
 public:
  static constexpr bool host_accessible = Upstream::host_accessible;
  static constexpr bool device_accessible = Upstream::device_accessible;

  explicit counting_resource(Counter& counts, Upstream upstream = {}) noexcept
      : counts_{&counts}, upstream_{std::move(upstream)} {}

  /// @error as the upstream's
  [[nodiscard]] result<void*> try_allocate(std::size_t bytes, std::size_t alignment) noexcept {
    auto const given = upstream_.try_allocate(bytes, alignment);
    given ? counts_->took(bytes) : counts_->refuse();
    return given;
  }

  void deallocate(void* p, std::size_t bytes, std::size_t alignment) noexcept {
    upstream_.deallocate(p, bytes, alignment);
    counts_->gave(bytes);
  }

  [[nodiscard]] allocation_counts snapshot() const noexcept { return counts_->snapshot(); }

  [[nodiscard]] friend bool operator==(counting_resource const& a,
                                       counting_resource const& b) noexcept {
    return a.counts_ == b.counts_ && a.upstream_ == b.upstream_;
  }

 private:
  Counter* counts_;
  [[no_unique_address]] Upstream upstream_;
};

static_assert(host_accessible_resource<counting_resource<>>);

}  // namespace millrace::inline v0::memory
