// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/device_fault.hpp>

#include <cuda/std/expected>

#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>

namespace millrace::inline v0::core {

/// What went wrong. Values are frozen: they cross the C ABI and the wire.
enum class errc : std::uint16_t {
  ok = 0,
  bad_argument = 1,       ///< an argument is outside what the function admits
  out_of_memory = 2,      ///< a resource could not give the bytes
  closed = 3,             ///< the lane or consumer takes no more messages
  native_failure = 4,     ///< the system named by `origin` failed; see `native`
  full = 5,               ///< no room now; room appears as results are taken
  not_ready = 6,          ///< the result is not there yet
  unknown_id = 7,         ///< no message with this id is outstanding
  payload_too_large = 8,  ///< more bytes than the slot carries
  deadline_passed = 9,    ///< the wait ended before what it waited for
  no_device = 10,         ///< no usable device; `core::devices()` says why
  not_compiled = 11,      ///< the program was built without the backend asked for
  not_co_resident = 12,   ///< more workers than the device can keep resident
  device_lost = 13,       ///< a sticky device error: the context is gone
  layout_mismatch = 14,   ///< a control block of another version or shape
  busy = 15,              ///< a reservation is open, or the resource is taken
  exhausted = 16,         ///< every retry was spent
  fenced = 17,            ///< another producer has this one's name by now
  duplicate = 18,         ///< the message was accepted before
  corrupt = 19,           ///< stored bytes are damaged or cut; `native`: at which byte
  /// Stored bytes of a version that this build does not know; `native`: at which byte.
  unsupported_version = 20,
  cycle = 21,            ///< the dependency would make a cell depend on itself
  function_failed = 22,  ///< a function of the user's has thrown
  conflict = 23,         ///< another transaction has changed what this one relied on
  released = 24,         ///< an epoch whose versions are not kept any more
};

/// Whose status `error::native` holds.
enum class origin : std::uint16_t {
  millrace = 0,
  cuda = 1,         ///< cudaError_t
  cuda_driver = 2,  ///< CUresult
  posix = 3,        ///< errno
  nccl = 4,         ///< ncclResult_t
  mpi = 5,          ///< MPI error class
};

/// An error as a value: 8 bytes, trivially copyable, the same on host and device.
struct error {
  errc code = errc::ok;
  core::origin origin = core::origin::millrace;
  std::int32_t native = 0;

  [[nodiscard]] friend MILLRACE_HD constexpr bool operator==(error a, error b) noexcept {
    return a.code == b.code && a.origin == b.origin && a.native == b.native;
  }
};
static_assert(sizeof(error) == 8);

/// A value or an error. One type in every language mode, on host and device.
template <class T>
using result = cuda::std::expected<T, error>;

/// An error of millrace's own; `native` may carry the offending argument's number.
[[nodiscard]] MILLRACE_HD constexpr cuda::std::unexpected<error> fail(
    errc code, std::int32_t native = 0) noexcept {
  return cuda::std::unexpected<error>(error{code, origin::millrace, native});
}

/// An error that the system `from` reported as `native`.
[[nodiscard]] MILLRACE_HD constexpr cuda::std::unexpected<error> fail(
    errc code, origin from, std::int32_t native) noexcept {
  return cuda::std::unexpected<error>(error{code, from, native});
}

/// An error of millrace's own, made out of line. For functions on a message's path: an error that
/// is built inline makes compilers assemble the whole result in memory, and the wide load that
/// takes it from there waits until every earlier store has left the processor.
template <class T>
[[nodiscard, gnu::cold, gnu::noinline]] result<T> refuse(errc code,
                                                         std::int32_t native = 0) noexcept {
  return fail(code, native);
}
/// The same, of an error that came from elsewhere.
template <class T>
[[nodiscard, gnu::cold, gnu::noinline]] result<T> refuse(error why) noexcept {
  return cuda::std::unexpected<error>(why);
}

/// The words for a code; never null.
[[nodiscard]] constexpr char const* describe(errc code) noexcept {
  switch (code) {
    case errc::ok: return "ok";
    case errc::bad_argument: return "argument outside what the function admits";
    case errc::out_of_memory: return "out of memory";
    case errc::closed: return "closed: takes no more messages";
    case errc::native_failure: return "failure of an underlying system";
    case errc::full: return "full: take results to make room";
    case errc::not_ready: return "result not ready yet";
    case errc::unknown_id: return "no outstanding message has this id";
    case errc::payload_too_large: return "payload larger than the slot";
    case errc::deadline_passed: return "deadline passed";
    case errc::no_device: return "no usable CUDA device";
    case errc::not_compiled: return "built without the backend asked for";
    case errc::not_co_resident: return "more workers than can be resident at once";
    case errc::device_lost: return "device lost: its context cannot be used again";
    case errc::layout_mismatch: return "control block of another version or shape";
    case errc::busy: return "busy: a reservation is open or the resource is taken";
    case errc::exhausted: return "every retry was spent";
    case errc::fenced: return "fenced: another producer goes on under this one's name";
    case errc::duplicate: return "duplicate: the message was accepted before";
    case errc::corrupt: return "stored bytes are damaged or cut";
    case errc::unsupported_version: return "stored bytes of a version unknown to this build";
    case errc::cycle: return "the dependency would make a cell depend on itself";
    case errc::function_failed: return "a function of the user's has thrown";
    case errc::conflict: return "another transaction has changed what this one relied on";
    case errc::released: return "an epoch whose versions are not kept any more";
  }
  return "unknown error code";
}

/// The words for an origin; never null.
[[nodiscard]] constexpr char const* describe(origin from) noexcept {
  switch (from) {
    case origin::millrace: return "millrace";
    case origin::cuda: return "CUDA";
    case origin::cuda_driver: return "CUDA driver";
    case origin::posix: return "POSIX";
    case origin::nccl: return "NCCL";
    case origin::mpi: return "MPI";
  }
  return "unknown origin";
}

/// One line for a person: the code's words and, when there is one, the native status.
/// @cost allocates a string; host only
[[nodiscard]] inline std::string describe(error e) {
  std::string text = describe(e.code);
  if (e.origin == origin::posix) {
    text += std::string(" (POSIX: ") + std::strerror(e.native) + ")";
  } else if (e.code == errc::no_device && e.origin == origin::millrace && e.native != 0) {
    text += std::string(": ") + describe(static_cast<device_fault>(e.native));
  } else if (e.code == errc::corrupt || e.code == errc::unsupported_version) {
    text += " at byte " + std::to_string(e.native);
  } else if (e.native != 0) {
    text += std::string(" (") + describe(e.origin) + " " + std::to_string(e.native) + ")";
  }
  return text;
}

/// Throws a std::runtime_error with `describe(why)`: the one function that throws.
[[noreturn, gnu::cold, gnu::noinline]] inline void throw_failure(error why) {
  throw std::runtime_error(describe(why));
}
/// The value, or throw_failure of the error.
template <class T>
[[nodiscard]] T value_or_throw(result<T> r) {
  if (!r) [[unlikely]] { throw_failure(r.error()); }
  if constexpr (!std::is_void_v<T>) { return std::move(*r); }
}

}  // namespace millrace::inline v0::core

namespace millrace::inline v0 {
using core::errc;
using core::error;
using core::result;
}  // namespace millrace::inline v0
