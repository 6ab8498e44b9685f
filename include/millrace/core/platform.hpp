// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>

#include <cerrno>
#include <climits>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <linux/futex.h>
#include <nv/target>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <type_traits>
#include <unistd.h>

/// \file
/// The one place where host and device part ways. Everything else is one body.

namespace millrace::inline v0::core {

/// Bytes that two writers must be apart to leave each other's cache lines alone. Two lines of 64:
/// the adjacent-line prefetcher pulls pairs, and a device line is 128 bytes.
inline constexpr std::size_t destructive_bytes = 128;

/// Bytes of a host's cache line.
inline constexpr std::size_t line_bytes = 64;

/// True in device code, false in host code.
[[nodiscard]] MILLRACE_HD inline bool is_device() noexcept {
  NV_IF_ELSE_TARGET(NV_IS_DEVICE, (return true;), (return false;))
}

/// Tells the processor that this thread polls. Host: one pause instruction; device: nothing, a
/// load that polls is slow enough.
MILLRACE_HD inline void relax() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  NV_IF_TARGET(NV_IS_HOST, (__builtin_ia32_pause();))
#elif defined(__aarch64__)
  NV_IF_TARGET(NV_IS_HOST, (asm volatile("yield");))
#endif
}

/// Monotonic time in nanoseconds. Host: CLOCK_MONOTONIC through the vDSO, no system call; device:
/// the global timer, whose resolution may be as coarse as a microsecond. The two do not share an
/// origin: a time taken on one side means nothing on the other.
/// @cost about 25 ns on the host
[[nodiscard]] MILLRACE_HD inline std::uint64_t now_ns() noexcept {
  NV_IF_ELSE_TARGET(
      NV_IS_HOST,
      (timespec t; ::clock_gettime(CLOCK_MONOTONIC, &t);
       return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000u +
              static_cast<std::uint64_t>(t.tv_nsec);),
      (std::uint64_t t; asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(t)); return t;))
}

/// Waits about `ns` nanoseconds without giving the processor away. Host: pauses until the time is
/// over, one pause at least; device: __nanosleep, which may take from nothing to twice as long.
MILLRACE_HD inline void relax_for(std::uint32_t ns) noexcept {
  NV_IF_ELSE_TARGET(
      NV_IS_HOST,
      (relax();
       // A pause takes 10 to 60 ns by processor: below that the clock costs more than the wait.
       if (ns > 64) {
         std::uint64_t const start = now_ns();
         while (now_ns() - start < ns) { relax(); }
       }),
      (asm volatile("nanosleep.u32 %0;" ::"r"(ns));))
}

/// Gives the rest of the time slice away. Host: sched_yield, a system call; device: a short sleep,
/// so that the other warps of the scheduler issue.
MILLRACE_HD inline void yield_thread() noexcept {
  NV_IF_ELSE_TARGET(NV_IS_HOST, (::sched_yield();), (asm volatile("nanosleep.u32 %0;" ::"r"(20));))
}

/// Blocks the calling host thread while `word` holds `expected`, for at most `timeout_ns`; wakes on
/// wake_threads, on the timeout, on a signal, or for no reason: the caller looks again.
/// The kernel compares `word` itself, so a wake between the caller's look and the block is not
/// lost.
/// @cost a system call   @thread any; words of memory shared between processes too
inline void park_thread(std::uint32_t const& word, std::uint32_t expected,
                        std::uint64_t timeout_ns) noexcept {
  timespec limit{};
  // a year is for ever: it keeps tv_sec in range
  std::uint64_t const seconds = timeout_ns / 1'000'000'000u;
  limit.tv_sec = static_cast<time_t>(seconds < 31'536'000u ? seconds : 31'536'000u);
  limit.tv_nsec = static_cast<long>(timeout_ns % 1'000'000'000u);
  int const kept = errno;
  ::syscall(SYS_futex, &word, FUTEX_WAIT, expected, &limit, nullptr, 0);
  errno = kept;
}

/// Wakes up to `count` threads that are parked on `word`. The word's new value must be stored
/// first.
/// @cost a system call
inline void wake_threads(std::uint32_t const& word, int count = INT_MAX) noexcept {
  int const kept = errno;
  ::syscall(SYS_futex, &word, FUTEX_WAKE, count, nullptr, nullptr, 0);
  errno = kept;
}

/// Asks the cache for the line at `p`, to read it. Never faults.
MILLRACE_HD inline void prefetch_read(void const* p) noexcept {
  NV_IF_ELSE_TARGET(NV_IS_HOST, (__builtin_prefetch(p, 0, 3);),
                    (asm volatile("prefetch.global.L2 [%0];" ::"l"(p));))
}

/// Asks the cache for the line at `p`, to write it. Never faults.
MILLRACE_HD inline void prefetch_write(void const* p) noexcept {
  NV_IF_ELSE_TARGET(NV_IS_HOST, (__builtin_prefetch(p, 1, 3);),
                    (asm volatile("prefetch.global.L2 [%0];" ::"l"(p));))
}

/// Makes the cache lines that end in the `size` bytes at `at` this processor's own, by writing back
/// a word of each; a line's last reader calls it before the line goes back to its writer. Lines
/// that a reader holds shared cost their next writer one invalidation after the other, while lines
/// that it owns cross several at a time: on processors whose cores share no cache the writer is up
/// to eight times as fast. Host only.
/// @pre the bytes are the caller's alone, and `at` is a multiple of 8
inline void own_lines(std::byte* at, std::size_t size) noexcept {
  using word [[gnu::may_alias]] = std::uint64_t volatile;
  auto const begin = reinterpret_cast<std::uintptr_t>(at);
  std::uintptr_t end = (begin + line_bytes) & ~std::uintptr_t{line_bytes - 1};
  for (; end <= begin + size; end += line_bytes) {
    auto& last = *reinterpret_cast<word*>(end - sizeof(std::uint64_t));
    last = last;
  }
}

/// Stores 16 aligned bytes that the system sees at once, after every load of this thread. Device:
/// one store, which a host that maps the memory sees whole too; host: the second word, then the
/// first with release.
MILLRACE_HD inline void store_16_bytes(void* at, std::uint64_t first,
                                       std::uint64_t second) noexcept {
  NV_IF_ELSE_TARGET(NV_IS_DEVICE,
                    (asm volatile("fence.acq_rel.cta;\n\t"
                                  "{\n\t.reg .b128 both;\n\tmov.b128 both, {%1, %2};\n\t"
                                  "st.relaxed.sys.b128 [%0], both;\n\t}" ::"l"(at),
                                  "l"(first), "l"(second) : "memory");),
                    (auto* const words = static_cast<std::uint64_t*>(at);
                     __atomic_store_n(words + 1, second, __ATOMIC_RELAXED);
                     __atomic_store_n(words, first, __ATOMIC_RELEASE);))
}

/// True on a device, where, if `fence` says so, what this thread did so far comes before what it
/// stores from here on, for the device's threads or those of the whole system. A host has to give
/// each store its own order.
[[nodiscard]] MILLRACE_HD inline bool behind_device_fence(bool fence, bool system) noexcept {
  NV_IF_ELSE_TARGET(NV_IS_DEVICE,
                    (
                        if (fence && system) {
                          asm volatile("fence.acq_rel.sys;" ::: "memory");
                        } if (fence && !system) {
                          asm volatile("fence.acq_rel.gpu;" ::: "memory");
                        } return true;),
                    (static_cast<void>(fence); static_cast<void>(system); return false;))
}

/// Threads that run in step: 32 on the device, 1 on the host.
[[nodiscard]] MILLRACE_HD inline std::uint32_t warp_width() noexcept {
  NV_IF_ELSE_TARGET(NV_IS_DEVICE, (return 32u;), (return 1u;))
}

/// The caller's place in its warp; 0 on the host.
[[nodiscard]] MILLRACE_HD inline std::uint32_t warp_lane() noexcept {
  NV_IF_ELSE_TARGET(NV_IS_DEVICE,
                    (std::uint32_t lane; asm("mov.u32 %0, %%laneid;" : "=r"(lane)); return lane;),
                    (return 0u;))
}

/// The caller's place in its block (one-dimensional); 0 on the host.
[[nodiscard]] MILLRACE_HD inline std::uint32_t block_lane() noexcept {
  NV_IF_ELSE_TARGET(NV_IS_DEVICE, (return threadIdx.x;), (return 0u;))
}

/// Threads of the caller's block (one-dimensional); 1 on the host.
[[nodiscard]] MILLRACE_HD inline std::uint32_t block_width() noexcept {
  NV_IF_ELSE_TARGET(NV_IS_DEVICE, (return blockDim.x;), (return 1u;))
}

/// The caller's block in the grid (one-dimensional); 0 on the host. Never a task's id.
[[nodiscard]] MILLRACE_HD inline std::uint32_t grid_block() noexcept {
  NV_IF_ELSE_TARGET(NV_IS_DEVICE, (return blockIdx.x;), (return 0u;))
}

/// Waits for every thread of the warp; nothing on the host.
MILLRACE_HD inline void sync_warp() noexcept { NV_IF_TARGET(NV_IS_DEVICE, (__syncwarp();)) }

/// Waits for every thread of the block; nothing on the host.
MILLRACE_HD inline void sync_block() noexcept { NV_IF_TARGET(NV_IS_DEVICE, (__syncthreads();)) }

/// The value of lane `from`, in every lane of a whole warp; the value itself on the host.
/// @cost on a device one shuffle for each 4 bytes
template <std::integral T>
[[nodiscard]] MILLRACE_HD T warp_broadcast(T value, std::uint32_t from = 0) noexcept {
  using word [[maybe_unused]] = std::conditional_t<sizeof(T) <= 4, unsigned, unsigned long long>;
  NV_IF_ELSE_TARGET(NV_IS_DEVICE,
                    (return static_cast<T>(__shfl_sync(0xffffffffu, static_cast<word>(value),
                                                       static_cast<int>(from)));),
                    (static_cast<void>(from); return value;))
}

/// Threads of a warp that are at the same place together, a bit each; on the host the caller alone.
/// Whoever calls a function of `lanes` names its own bit, and all that are named call it.
using lanes = std::uint32_t;

/// Those that are here with the caller.
[[nodiscard]] MILLRACE_HD inline lanes lanes_here() noexcept {
  NV_IF_ELSE_TARGET(NV_IS_DEVICE, (return __activemask();), (return 1u;))
}

/// Those of `among` that hold the same value as the caller.
/// @cost on a device one instruction, which takes as long as there are different values
template <std::unsigned_integral T>
[[nodiscard]] MILLRACE_HD lanes lanes_with([[maybe_unused]] lanes among,
                                           [[maybe_unused]] T value) noexcept {
  using word [[maybe_unused]] = std::conditional_t<sizeof(T) <= 4, unsigned, unsigned long long>;
  NV_IF_ELSE_TARGET(NV_IS_DEVICE, (return __match_any_sync(among, static_cast<word>(value));),
                    (return 1u;))
}

/// Those of `among` for which `is` is true.
[[nodiscard]] MILLRACE_HD inline lanes lanes_where([[maybe_unused]] lanes among, bool is) noexcept {
  NV_IF_ELSE_TARGET(NV_IS_DEVICE, (return __ballot_sync(among, is ? 1 : 0);),
                    (return is ? 1u : 0u;))
}

/// The value of lane `from`, one of `among`.
template <std::unsigned_integral T>
[[nodiscard]] MILLRACE_HD T lane_value([[maybe_unused]] lanes among, T value,
                                       [[maybe_unused]] std::uint32_t from) noexcept {
  using word [[maybe_unused]] = std::conditional_t<sizeof(T) <= 4, unsigned, unsigned long long>;
  NV_IF_ELSE_TARGET(NV_IS_DEVICE,
                    (return static_cast<T>(__shfl_sync(among, static_cast<word>(value),
                                                       static_cast<int>(from)));),
                    (return value;))
}

/// All bits that any lane of `alike` holds, which is the caller's own choice of `among`.
[[nodiscard]] MILLRACE_HD inline std::uint64_t lanes_or(lanes among, lanes alike,
                                                        std::uint64_t bits) noexcept {
  std::uint64_t all = 0;
  for (std::uint32_t from = 0; from < 32; ++from) {
    if ((among >> from & 1) == 0) { continue; }
    std::uint64_t const theirs = lane_value(among, bits, from);
    if ((alike >> from & 1) != 0) { all |= theirs; }
  }
  return all;
}

/// All bits that any lane of `among` holds.
[[nodiscard]] MILLRACE_HD inline std::uint64_t lanes_or(lanes among, std::uint64_t bits) noexcept {
  NV_IF_ELSE_TARGET(
      NV_PROVIDES_SM_80,
      (return std::uint64_t{__reduce_or_sync(among, static_cast<unsigned>(bits))} |
                  std::uint64_t{__reduce_or_sync(among, static_cast<unsigned>(bits >> 32))} << 32;),
      (return lanes_or(among, among, bits);))
}

/// Waits for all of `among`; what each did before, every one sees afterwards.
MILLRACE_HD inline void sync_lanes([[maybe_unused]] lanes among) noexcept {
  NV_IF_TARGET(NV_IS_DEVICE, (__syncwarp(among);))
}

/// A number that differs between those that run at the same time, mostly: of the place where the
/// caller runs. Device: its multiprocessor and, in the low six bits, its warp's slot there; host:
/// its processor. A guess, old as soon as it is known.
[[nodiscard]] MILLRACE_HD inline std::uint32_t running_place() noexcept {
  NV_IF_ELSE_TARGET(NV_IS_DEVICE,
                    (std::uint32_t sm; std::uint32_t warp; asm("mov.u32 %0, %%smid;" : "=r"(sm));
                     asm volatile("mov.u32 %0, %%warpid;" : "=r"(warp)); return sm << 6 | warp;),
                    (int const cpu = ::sched_getcpu();
                     return cpu < 0 ? 0u : static_cast<std::uint32_t>(cpu) << 6;))
}

}  // namespace millrace::inline v0::core
