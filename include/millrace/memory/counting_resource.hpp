// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/access.hpp>
#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/memory/resource.hpp>

#include <cstddef>
#include <cstdint>

namespace millrace::inline v0::memory {

/// What a counting resource saw. Read it through `snapshot` while others allocate.
struct allocation_counts {
  std::uint64_t live = 0;        ///< allocations not yet given back
  std::uint64_t live_bytes = 0;  ///< their bytes
  std::uint64_t peak_bytes = 0;  ///< the most that live_bytes has been
  std::uint64_t total = 0;       ///< allocations given
  std::uint64_t refused = 0;     ///< requests that got an error
};

/// Passes everything on to `Upstream` and counts it in a record that the caller owns and keeps.
/// Copies count into the same record.
/// @thread any; every count is its own relaxed atomic
template <resource Upstream = host_resource>
class counting_resource {
 public:
  static constexpr bool host_accessible = Upstream::host_accessible;
  static constexpr bool device_accessible = Upstream::device_accessible;

  explicit counting_resource(allocation_counts& counts, Upstream upstream = {}) noexcept
      : counts_{&counts}, upstream_{upstream} {}

  /// @error as the upstream's
  [[nodiscard]] result<void*> try_allocate(std::size_t bytes, std::size_t alignment) noexcept {
    auto const given = upstream_.try_allocate(bytes, alignment);
    if (!given) {
      add(counts_->refused, 1);
      return given;
    }
    add(counts_->total, 1);
    add(counts_->live, 1);
    std::uint64_t const now = add(counts_->live_bytes, bytes) + bytes;
    std::uint64_t peak = words::load(counts_->peak_bytes, core::relaxed, "counts.peak");
    while (peak < now && !words::compare_exchange(counts_->peak_bytes, peak, now, core::relaxed,
                                                  core::relaxed, "counts.peak")) {}
    return given;
  }

  void deallocate(void* p, std::size_t bytes, std::size_t alignment) noexcept {
    upstream_.deallocate(p, bytes, alignment);
    add(counts_->live, ~std::uint64_t{0});
    add(counts_->live_bytes, ~std::uint64_t{bytes} + 1);
  }

  /// The counts, each exact, not all of one instant.
  [[nodiscard]] allocation_counts snapshot() const noexcept {
    auto const look = [](std::uint64_t const& word) {
      return words::load(word, core::relaxed, "counts.snapshot");
    };
    return {look(counts_->live), look(counts_->live_bytes), look(counts_->peak_bytes),
            look(counts_->total), look(counts_->refused)};
  }

  [[nodiscard]] friend bool operator==(counting_resource const& a,
                                       counting_resource const& b) noexcept {
    return a.counts_ == b.counts_ && a.upstream_ == b.upstream_;
  }

 private:
  using words = core::direct_access<cuda::thread_scope_system>;
  static std::uint64_t add(std::uint64_t& word, std::uint64_t n) noexcept {
    return words::fetch_add(word, n, core::relaxed, "counts.add");
  }

  allocation_counts* counts_;
  [[no_unique_address]] Upstream upstream_;
};

static_assert(host_accessible_resource<counting_resource<>>);

}  // namespace millrace::inline v0::memory
