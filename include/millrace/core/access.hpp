// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/platform.hpp>

#include <cuda/atomic>
#include <cuda/std/atomic>

#include <concepts>
#include <cstddef>
#include <cstdint>

namespace millrace::inline v0::core {

using cuda::std::memory_order;
inline constexpr memory_order relaxed = cuda::std::memory_order_relaxed;
inline constexpr memory_order acquire = cuda::std::memory_order_acquire;
inline constexpr memory_order release = cuda::std::memory_order_release;
inline constexpr memory_order acq_rel = cuda::std::memory_order_acq_rel;
inline constexpr memory_order seq_cst = cuda::std::memory_order_seq_cst;

/// How protocol code touches memory that threads share. Words are plain integers inside plain
/// structs, so that a control block can lie in any memory; each atomic operation, and each range
/// of payload bytes, is announced here with the name of its place in the protocol. A checking
/// policy sees every access; the direct one compiles to the bare operation.
template <class A>
concept access_policy = requires(std::uint32_t& w, std::uint32_t const& c, std::uint32_t v,
                                 memory_order o, void* p, void const* q, std::size_t n) {
  { A::load(c, o, "site") } noexcept -> std::same_as<std::uint32_t>;
  { A::store(w, v, o, "site") } noexcept;
  { A::compare_exchange(w, w, v, o, o, "site") } noexcept -> std::same_as<bool>;
  { A::fetch_add(w, v, o, "site") } noexcept -> std::same_as<std::uint32_t>;
  { A::fetch_or(w, v, o, "site") } noexcept -> std::same_as<std::uint32_t>;
  { A::fetch_and(w, v, o, "site") } noexcept -> std::same_as<std::uint32_t>;
  { A::read(q, n, "site") } noexcept;
  { A::write(p, n, "site") } noexcept;
};

/// The machine's own atomics at one thread scope.
template <cuda::thread_scope Scope>
struct direct_access {
  static constexpr cuda::thread_scope scope = Scope;

  template <class T>
  [[nodiscard]] static MILLRACE_HD T load(T const& word, memory_order order, char const*) noexcept {
    return cuda::atomic_ref<T, Scope>(const_cast<T&>(word)).load(order);
  }
  template <class T>
  static MILLRACE_HD void store(T& word, T value, memory_order order, char const*) noexcept {
    cuda::atomic_ref<T, Scope>(word).store(value, order);
  }
  template <class T>
  [[nodiscard]] static MILLRACE_HD bool compare_exchange(T& word, T& expected, T desired,
                                                         memory_order success, memory_order failure,
                                                         char const*) noexcept {
    return cuda::atomic_ref<T, Scope>(word).compare_exchange_strong(expected, desired, success,
                                                                    failure);
  }
  template <class T>
  static MILLRACE_HD T fetch_add(T& word, T n, memory_order order, char const*) noexcept {
    return cuda::atomic_ref<T, Scope>(word).fetch_add(n, order);
  }
  template <class T>
  static MILLRACE_HD T fetch_or(T& word, T bits, memory_order order, char const*) noexcept {
    return cuda::atomic_ref<T, Scope>(word).fetch_or(bits, order);
  }
  template <class T>
  static MILLRACE_HD T fetch_and(T& word, T bits, memory_order order, char const*) noexcept {
    return cuda::atomic_ref<T, Scope>(word).fetch_and(bits, order);
  }
  /// A store with release, `first` of several that a thread makes in a row: a device orders them
  /// all by one fence. No part of the concept: each a release does the same.
  template <class T>
  static MILLRACE_HD void store_released(T& word, T value, bool first, char const*) noexcept {
    bool const ordered = behind_device_fence(first, Scope == cuda::thread_scope_system);
    if (ordered) {
      cuda::atomic_ref<T, Scope>(word).store(value, relaxed);
    } else {
      cuda::atomic_ref<T, Scope>(word).store(value, release);
    }
  }
  /// Stores two words as one, at once and in no order with other stores. For devices alone, and no
  /// part of the concept: on a host a release of the first word does the same.
  static MILLRACE_HD void store_whole(void* at, std::uint64_t const (&words)[2],
                                      char const*) noexcept {
    store_16_bytes(at, words[0], words[1]);
  }
  /// Payload bytes are about to be read in place; they must not change until the reader is done.
  static MILLRACE_HD void read(void const*, std::size_t, char const*) noexcept {}
  /// Payload bytes are about to be written in place; nobody may read them yet.
  static MILLRACE_HD void write(void*, std::size_t, char const*) noexcept {}
};
static_assert(access_policy<direct_access<cuda::thread_scope_system>>);
static_assert(access_policy<direct_access<cuda::thread_scope_block>>);

/// Raises a word that several threads raise to `to` at least: a peak. Relaxed.
template <access_policy A, class T>
MILLRACE_HD void raise(T& word, T to, char const* site) noexcept {
  T seen = A::load(word, relaxed, site);
  while (seen < to && !A::compare_exchange(word, seen, to, relaxed, relaxed, site)) {}
}

}  // namespace millrace::inline v0::core
