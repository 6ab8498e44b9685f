// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

namespace millrace::inline v0::memory {

/// Where bytes come from. A resource is a small copyable handle; copies give and take back each
/// other's memory, and compare equal. `host_accessible` and `device_accessible` say who may touch
/// the bytes. try_allocate gives at least `bytes` at a multiple of `alignment`, a power of two, and
/// reports bad input and missing memory as results; deallocate is told the same bytes and
/// alignment.
template <class R>
concept resource = requires(R r, R const& c, void* p, std::size_t n) {
  requires std::copyable<R>;
  { r.try_allocate(n, n) } noexcept -> std::same_as<result<void*>>;
  { r.deallocate(p, n, n) } noexcept -> std::same_as<void>;
  { c == c } -> std::convertible_to<bool>;
  { bool{R::host_accessible} };
  { bool{R::device_accessible} };
};

/// A resource whose bytes host code may touch.
template <class R>
concept host_accessible_resource = requires {
  requires resource<R>;
  requires R::host_accessible;
};

/// The largest request that any resource looks at: a pointer difference must hold it.
inline constexpr std::size_t max_request_bytes = PTRDIFF_MAX;

/// True for 1, 2, 4, 8 and so on.
[[nodiscard]] MILLRACE_HD constexpr bool is_alignment(std::size_t n) noexcept {
  return n != 0 && (n & (n - 1)) == 0;
}

/// What every resource checks first. `max_alignment` is the most that the resource can promise.
/// @error errc::bad_argument with the argument's number (1 bytes, 2 alignment), errc::out_of_memory
///        when no address space holds so many bytes
[[nodiscard]] MILLRACE_HD constexpr result<void> check_request(std::size_t bytes,
                                                               std::size_t alignment,
                                                               std::size_t max_alignment) noexcept {
  if (bytes == 0) { return core::fail(errc::bad_argument, 1); }
  if (!is_alignment(alignment) || alignment > max_alignment) {
    return core::fail(errc::bad_argument, 2);
  }
  if (bytes > max_request_bytes - alignment) { return core::fail(errc::out_of_memory); }
  return {};
}

/// The C library's heap.
/// @thread any   @cost a malloc
struct host_resource {
  static constexpr bool host_accessible = true;
  static constexpr bool device_accessible = false;
  /// Larger alignments are a mistake sooner than a wish: 1 GiB is the largest page.
  static constexpr std::size_t max_alignment = std::size_t{1} << 30;

  /// @error as check_request; errc::out_of_memory when the heap has no room
  [[nodiscard]] static result<void*> try_allocate(std::size_t bytes,
                                                  std::size_t alignment) noexcept {
    if (auto const ok = check_request(bytes, alignment, max_alignment); !ok) {
      return cuda::std::unexpected(ok.error());
    }
    // aligned_alloc wants a multiple of the alignment; check_request left room to round up
    std::size_t const rounded = (bytes + alignment - 1) & ~(alignment - 1);
    void* const p = alignment <= alignof(std::max_align_t) ? std::malloc(bytes)
                                                           : std::aligned_alloc(alignment, rounded);
    if (p == nullptr) { return core::fail(errc::out_of_memory); }
    return p;
  }

  static void deallocate(void* p, std::size_t, std::size_t) noexcept { std::free(p); }

  [[nodiscard]] friend bool operator==(host_resource, host_resource) noexcept { return true; }
};
static_assert(host_accessible_resource<host_resource>);

}  // namespace millrace::inline v0::memory
