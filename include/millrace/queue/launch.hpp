// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/devices.hpp>
#include <millrace/queue/launch_host.hpp>
#if defined(MILLRACE_CUDACC)
#include <millrace/queue/launch_device.cuh>
#endif

#include <new>
#include <utility>

namespace millrace::inline v0::queue {

/// Whether this translation unit can launch on a device: it is compiled by a CUDA compiler.
#if defined(MILLRACE_CUDACC)
inline constexpr bool compiles_device_code = true;
#else
inline constexpr bool compiles_device_code = false;
#endif

/// Starts workers where `where` says: host threads, one CUDA device, or automatically the first
/// usable device and host threads where there is none, or where only they can do what the policy
/// asks for: total order, or to drop the oldest messages.
/// `consumer::where` and `consumer::why` tell what was chosen. Under `automatic` whatever `process`
/// points to must be within the reach of both.
///
/// The last parameter keeps the two compilers' versions apart in one program; leave it alone.
/// @error errc::bad_argument, native 5, for a CUDA device and a policy that only host threads can
///        follow; errc::no_device, native holding a core::device_fault; errc::not_compiled for a
///        CUDA device in a translation unit without a CUDA compiler; else as launch_host,
///        launch_device
template <consumer_policy P, bool Device = compiles_device_code>
[[nodiscard]] result<consumer<P>> launch(core::backend where, options const& with,
                                         typename P::processor process = {}) noexcept {
  try {
    if (where.kind() == core::backend_kind::host) {
      return launch_host<P>(with, std::move(process));
    }
    if constexpr (detail::host_only<P>) {
      if (where.kind() == core::backend_kind::cuda) { return core::fail(errc::bad_argument, 5); }
      auto made = launch_host<P>(with, std::move(process));
      if (made) {
        made->explain(detail::one_ring<P>
                          ? "host threads: total order needs what no bus to a device has"
                          : "host threads: the policy asks for what only they can do");
      }
      return made;
    }
    core::device_report const there = core::devices();
    auto const chosen = core::resolve(where, there);
    if (!chosen) { return cuda::std::unexpected(chosen.error()); }
    std::string why = core::explain(where, there);
    bool const on_device = chosen->kind() == core::backend_kind::cuda;
    if constexpr (Device && !detail::host_only<P>) {
#if defined(MILLRACE_CUDACC)
      if (on_device) {
        auto made = launch_device<P>(chosen->ordinal(), with, std::move(process));
        if (made) { made->explain(std::move(why)); }
        return made;
      }
#endif
    } else if (on_device) {
      if (where.kind() == core::backend_kind::cuda) { return core::fail(errc::not_compiled); }
      why = "host threads: this program was built without a CUDA compiler";
    }
    auto made = launch_host<P>(with, std::move(process));
    if (made) { made->explain(std::move(why)); }
    return made;
  } catch (std::bad_alloc const&) { return core::fail(errc::out_of_memory); }
}

/// Parks a consumer's workers, lets them go on with another functor, and brings them back: no
/// message is lost, none done twice, and producers notice nothing but a pause. Q is the consumer's
/// own policy or one of the same shape (on a device: of the same grid).
/// @error errc::deadline_passed when the workers did not park in time, and they stay parking; as
/// park,
///        resume and the launchers. When the new functor cannot be had the old one goes on.
template <consumer_policy Q, consumer_policy P, bool Device = compiles_device_code>
  requires same_shape<P, Q>
[[nodiscard]] result<void> swap(consumer<P>& of, typename Q::processor process,
                                recover::deadline until) noexcept {
  if (auto const ended = of.park(until); !ended) { return ended; }
  result<void> replaced = core::fail(errc::not_compiled);
  if (of.where().kind() == core::backend_kind::host) {
    replaced = replace_host<Q>(of, std::move(process));
  } else {
    if constexpr (Device) {
#if defined(MILLRACE_CUDACC)
      if constexpr (same_grid<P, Q>) { replaced = replace_device<Q>(of, std::move(process)); }
#endif
    }
  }
  auto const resumed = of.resume();
  return replaced ? resumed : replaced;
}

}  // namespace millrace::inline v0::queue
