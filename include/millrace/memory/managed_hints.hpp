// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/cuda_status.hpp>
#include <millrace/core/error.hpp>

#include <cuda/std/span>

#include <concepts>
#include <cstddef>
#include <cstdint>

namespace millrace::inline v0::memory {

/// Where managed memory may lie.
struct location {
  enum class kind : std::uint8_t { device, host, node };

  kind what = kind::host;
  std::int32_t id = 0;  ///< a device's ordinal, a NUMA node's number; 0 for the host

  [[nodiscard]] static constexpr location device(std::int32_t ordinal) noexcept {
    return {kind::device, ordinal};
  }
  [[nodiscard]] static constexpr location host() noexcept { return {kind::host, 0}; }
  /// A NUMA node of the host.
  [[nodiscard]] static constexpr location node(std::int32_t number) noexcept {
    return {kind::node, number};
  }
  [[nodiscard]] friend constexpr bool operator==(location a, location b) noexcept {
    return a.what == b.what && a.id == b.id;
  }
};

/// What cudaMemAdvise is told of memory.
enum class advice : std::uint8_t {
  read_mostly,      ///< whoever reads gets a copy of its own; a write drops the others
  not_read_mostly,  ///< undoes it
  prefer,           ///< pages stay at the location when others can map them there
  no_preference,    ///< undoes it
  accessed_by,      ///< the location keeps the pages mapped, wherever they lie
  not_accessed_by,  ///< undoes it
};

/// What came of a hint.
enum class hint : std::uint8_t {
  nothing = 0,  ///< the device cannot, or the memory is not managed: all works on as it did before
  asked = 1,    ///< the driver took it
};

/// The runtime's calls that hints need; statuses are cudaError_t by number. A test has answers of
/// its own.
template <class R>
concept managed_runtime =
    requires(R const r, typename R::stream s, void* p, void** ps, std::size_t* ns, std::size_t n,
             int& i, bool& b, location l, advice a) {
      requires std::copyable<R>;
      { r.device_count(i) } noexcept -> std::same_as<std::int32_t>;
      { r.concurrent(0, b) } noexcept -> std::same_as<std::int32_t>;
      { r.stream_device(s, i) } noexcept -> std::same_as<std::int32_t>;
      { r.is_legacy(s) } noexcept -> std::same_as<bool>;
      { r.is_managed(p) } noexcept -> std::same_as<bool>;
      { r.prefetch(p, n, l, s) } noexcept -> std::same_as<std::int32_t>;
      { r.advise(p, n, a, l) } noexcept -> std::same_as<std::int32_t>;
      { r.discard(ps, ns, n, s) } noexcept -> std::same_as<std::int32_t>;
      { r.discard_and_prefetch(ps, ns, n, l, s) } noexcept -> std::same_as<std::int32_t>;
    };

/// Hints on managed memory. They change no value and no program needs them: where a device has no
/// concurrent access to managed memory, and on memory that is not managed, they do nothing and say
/// so, so that one program runs everywhere.
/// @thread any   @cost a driver call, and one for each device that is asked what it can
template <managed_runtime Runtime>
class managed_hints {
 public:
  using stream = typename Runtime::stream;

  explicit constexpr managed_hints(Runtime runtime) noexcept : runtime_{runtime} {}

  /// Brings bytes to a location, in the order of the stream. To the host, the stream's device does
  /// it.
  /// @error errc::bad_argument for null (1), no bytes (2), a negative device or node (3);
  ///        errc::no_device for a device that is not there; else what the runtime says
  [[nodiscard]] result<hint> prefetch(void const* p, std::size_t bytes, location to,
                                      stream in) const noexcept {
    if (auto const bad = wrong(p, bytes, to); bad != 0) {
      return core::fail(errc::bad_argument, bad);
    }
    auto const able = can_move(to, in);
    if (!able || !*able) { return answer(able); }
    return outcome(runtime_.prefetch(p, bytes, to, in), p);
  }

  /// Tells the driver how bytes will be used, from now on and not in a stream's order. Advice on
  /// reading ignores the location.
  /// @error as prefetch, the location being argument 4
  [[nodiscard]] result<hint> advise(void const* p, std::size_t bytes, advice how,
                                    location where) const noexcept {
    if (auto const bad = wrong(p, bytes, where); bad != 0) {
      return core::fail(errc::bad_argument, bad == 3 ? 4 : bad);
    }
    if (where.what == location::kind::device) {
      auto const able = concurrent(where.id);
      if (!able || !*able) { return answer(able); }
    }
    return outcome(runtime_.advise(p, bytes, how, where), p);
  }

  /// Says, in the order of the stream, that the bytes' values are no longer wanted: they are
  /// indeterminate until they are written, and need not be moved meanwhile. Nothing may touch them
  /// at the same time.
  /// @error errc::bad_argument for null (1), no bytes (2), the legacy default stream (3); else what
  ///        the runtime says
  [[nodiscard]] result<hint> discard(void* p, std::size_t bytes, stream in) const noexcept {
    return discard(cuda::std::span<void*>(&p, 1), cuda::std::span<std::size_t>(&bytes, 1), in);
  }
  /// As many ranges at once, in no order among each other.
  /// @error and for lists of different length (2) or empty ones (1)
  [[nodiscard]] result<hint> discard(cuda::std::span<void*> pointers,
                                     cuda::std::span<std::size_t> sizes, stream in) const noexcept {
    if (auto const bad = wrong(pointers, sizes); bad != 0) {
      return core::fail(errc::bad_argument, bad);
    }
    if (runtime_.is_legacy(in)) { return core::fail(errc::bad_argument, 3); }
    auto const able = all_concurrent();
    if (!able || !*able) { return answer(able); }
    return outcome(runtime_.discard(pointers.data(), sizes.data(), pointers.size(), in),
                   pointers[0]);
  }

  /// discard, then room at the location for what will be written there: no old value crosses a bus.
  /// @error as discard; a negative device or node is 3, the legacy default stream 4
  [[nodiscard]] result<hint> discard_and_prefetch(void* p, std::size_t bytes, location to,
                                                  stream in) const noexcept {
    return discard_and_prefetch(cuda::std::span<void*>(&p, 1),
                                cuda::std::span<std::size_t>(&bytes, 1), to, in);
  }
  [[nodiscard]] result<hint> discard_and_prefetch(cuda::std::span<void*> pointers,
                                                  cuda::std::span<std::size_t> sizes, location to,
                                                  stream in) const noexcept {
    if (auto const bad = wrong(pointers, sizes); bad != 0) {
      return core::fail(errc::bad_argument, bad);
    }
    if (to.id < 0) { return core::fail(errc::bad_argument, 3); }
    if (runtime_.is_legacy(in)) { return core::fail(errc::bad_argument, 4); }
    if (to.what == location::kind::device) {
      // a device that is not there is an error, whatever the others can
      if (auto const there = concurrent(to.id); !there) { return answer(there); }
    }
    auto const able = all_concurrent();
    if (!able || !*able) { return answer(able); }
    return outcome(
        runtime_.discard_and_prefetch(pointers.data(), sizes.data(), pointers.size(), to, in),
        pointers[0]);
  }

 private:
  /// The number of the first wrong argument, or 0.
  [[nodiscard]] static constexpr std::int32_t wrong(void const* p, std::size_t bytes,
                                                    location where) noexcept {
    if (p == nullptr) { return 1; }
    if (bytes == 0) { return 2; }
    return where.id < 0 ? 3 : 0;
  }
  [[nodiscard]] static constexpr std::int32_t wrong(cuda::std::span<void*> pointers,
                                                    cuda::std::span<std::size_t> sizes) noexcept {
    if (pointers.empty()) { return 1; }
    if (sizes.size() != pointers.size()) { return 2; }
    for (std::size_t i = 0; i < pointers.size(); ++i) {
      if (auto const bad = wrong(pointers[i], sizes[i], location::host()); bad != 0) { return bad; }
    }
    return 0;
  }

  [[nodiscard]] result<bool> concurrent(int ordinal) const noexcept {
    bool able = false;
    auto const ok = core::cuda_result(runtime_.concurrent(ordinal, able));
    if (!ok) { return cuda::std::unexpected<error>(ok.error()); }
    return able;
  }
  [[nodiscard]] result<bool> all_concurrent() const noexcept {
    int count = 0;
    auto const ok = core::cuda_result(runtime_.device_count(count));
    if (!ok) { return cuda::std::unexpected<error>(ok.error()); }
    for (int ordinal = 0; ordinal < count; ++ordinal) {
      auto const able = concurrent(ordinal);
      if (!able || !*able) { return able; }
    }
    return count > 0;
  }
  /// Whether the device that would do the moving has concurrent access.
  [[nodiscard]] result<bool> can_move(location to, stream in) const noexcept {
    int ordinal = to.id;
    if (to.what != location::kind::device) {
      auto const ok = core::cuda_result(runtime_.stream_device(in, ordinal));
      if (!ok) { return cuda::std::unexpected<error>(ok.error()); }
    }
    return concurrent(ordinal);
  }
  /// What a hint is that nobody was asked for.
  [[nodiscard]] static result<hint> answer(result<bool> const& able) noexcept {
    if (!able) { return cuda::std::unexpected<error>(able.error()); }
    return hint::nothing;
  }
  /// The driver refuses memory that is not managed; a hint on it does nothing.
  [[nodiscard]] result<hint> outcome(std::int32_t status, void const* p) const noexcept {
    auto const ok = core::cuda_result(status);
    if (ok) { return hint::asked; }
    bool const refused =
        ok.error().code == errc::bad_argument || ok.error().code == errc::no_device;
    if (refused && !runtime_.is_managed(p)) { return hint::nothing; }
    return cuda::std::unexpected<error>(ok.error());
  }

  Runtime runtime_;
};

}  // namespace millrace::inline v0::memory
