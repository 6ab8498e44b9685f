// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "scheduler.hpp"
#include <millrace/core/access.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace race {

using millrace::core::memory_order;
using millrace::core::relaxed;

/// The access policy under which the explorer runs protocol code: every atomic operation is a
/// point where another thread may run, and every load a choice of what it reads. Outside of the
/// threads of an exploration it touches memory directly.
struct access {
  static constexpr cuda::thread_scope scope = cuda::thread_scope_system;

  template <std::unsigned_integral T>
  [[nodiscard]] static T load(T const& word, memory_order order, char const* site) noexcept {
    if (!scheduler::exploring()) { return word; }
    return static_cast<T>(perform(operation_kind::load, word, order, order, 0, 0, site).value);
  }
  template <std::unsigned_integral T>
  static void store(T& word, std::type_identity_t<T> value, memory_order order,
                    char const* site) noexcept {
    if (!scheduler::exploring()) {
      word = value;
      return;
    }
    (void)perform(operation_kind::store, word, order, order, value, 0, site);
  }
  template <std::unsigned_integral T>
  [[nodiscard]] static bool compare_exchange(T& word, T& expected, std::type_identity_t<T> desired,
                                             memory_order success, memory_order failure,
                                             char const* site) noexcept {
    if (!scheduler::exploring()) {
      bool const same = word == expected;
      expected = same ? expected : word;
      word = same ? desired : word;
      return same;
    }
    outcome const o =
        perform(operation_kind::compare_exchange, word, success, failure, desired, expected, site);
    expected = static_cast<T>(o.value);
    return o.stored;
  }
  template <std::unsigned_integral T>
  static T fetch_add(T& word, std::type_identity_t<T> n, memory_order order,
                     char const* site) noexcept {
    return update(operation_kind::fetch_add, word, n, order, site);
  }
  template <std::unsigned_integral T>
  static T fetch_or(T& word, std::type_identity_t<T> bits, memory_order order,
                    char const* site) noexcept {
    return update(operation_kind::fetch_or, word, bits, order, site);
  }
  template <std::unsigned_integral T>
  static T fetch_and(T& word, std::type_identity_t<T> bits, memory_order order,
                     char const* site) noexcept {
    return update(operation_kind::fetch_and, word, bits, order, site);
  }
  static void read(void const* p, std::size_t bytes, char const* site) noexcept {
    if (scheduler::exploring()) { scheduler::current().payload(p, bytes, false, site); }
  }
  static void write(void* p, std::size_t bytes, char const* site) noexcept {
    if (scheduler::exploring()) { scheduler::current().payload(p, bytes, true, site); }
  }

  /// Sleeps while `word` holds `old`, as a futex does: the test and the falling asleep are one step
  /// with regard to `wake`, and give no order of their own.
  template <std::unsigned_integral T>
  static void wait(T const& word, std::type_identity_t<T> old, char const* site) noexcept {
    if (!scheduler::exploring()) { return; }
    (void)perform(operation_kind::wait, word, millrace::core::relaxed, millrace::core::relaxed, old,
                  0, site);
  }
  /// Wakes every thread that sleeps on `word`.
  template <std::unsigned_integral T>
  static void wake(T const& word, char const* site) noexcept {
    if (!scheduler::exploring()) { return; }
    (void)perform(operation_kind::wake, word, millrace::core::relaxed, millrace::core::relaxed, 0,
                  0, site);
  }

 private:
  template <class T>
  static T update(operation_kind kind, T& word, T operand, memory_order order,
                  char const* site) noexcept {
    if (!scheduler::exploring()) {
      T const old = word;
      word = static_cast<T>(updated(kind, old, operand));
      return old;
    }
    return static_cast<T>(perform(kind, word, order, order, operand, 0, site).value);
  }
  template <class T>
  static outcome perform(operation_kind kind, T const& word, memory_order success,
                         memory_order failure, std::uint64_t operand, std::uint64_t expected,
                         char const* site) noexcept {
    return scheduler::current().perform({kind, ordering_of(success), ordering_of(failure),
                                         sizeof(T), const_cast<T*>(&word), operand, expected,
                                         site});
  }
  [[nodiscard]] static ordering ordering_of(memory_order order) noexcept {
    switch (order) {
      case millrace::core::relaxed: return {false, false, false};
      case millrace::core::release: return {false, true, false};
      case millrace::core::acq_rel: return {true, true, false};
      case millrace::core::seq_cst: return {true, true, true};
      default: return {true, false, false};  // acquire, and consume taken as acquire
    }
  }
};
static_assert(millrace::core::access_policy<access>);

/// A string as a template argument.
template <std::size_t N>
struct site_name {
  char text[N]{};
  consteval site_name(char const (&from)[N]) { std::copy_n(from, N, text); }
  [[nodiscard]] bool operator==(char const* other) const noexcept {
    return std::strcmp(text, other) == 0;
  }
};

/// `access` with the atomic operations at the named sites made relaxed: a planted bug.
template <site_name... Sites>
struct weakened : access {
  template <class T>
  [[nodiscard]] static T load(T const& word, memory_order order, char const* site) noexcept {
    return access::load(word, weaken(order, site), site);
  }
  template <class T>
  static void store(T& word, std::type_identity_t<T> value, memory_order order,
                    char const* site) noexcept {
    access::store(word, value, weaken(order, site), site);
  }
  template <class T>
  [[nodiscard]] static bool compare_exchange(T& word, T& expected, std::type_identity_t<T> desired,
                                             memory_order success, memory_order failure,
                                             char const* site) noexcept {
    return access::compare_exchange(word, expected, desired, weaken(success, site),
                                    weaken(failure, site), site);
  }
  template <class T>
  static T fetch_add(T& word, std::type_identity_t<T> n, memory_order order,
                     char const* site) noexcept {
    return access::fetch_add(word, n, weaken(order, site), site);
  }
  template <class T>
  static T fetch_or(T& word, std::type_identity_t<T> bits, memory_order order,
                    char const* site) noexcept {
    return access::fetch_or(word, bits, weaken(order, site), site);
  }
  template <class T>
  static T fetch_and(T& word, std::type_identity_t<T> bits, memory_order order,
                     char const* site) noexcept {
    return access::fetch_and(word, bits, weaken(order, site), site);
  }

  [[nodiscard]] static memory_order weaken(memory_order order, char const* site) noexcept {
    return ((Sites == site) || ...) ? millrace::core::relaxed : order;
  }
};
static_assert(millrace::core::access_policy<weakened<"site">>);

/// `access` with seq_cst at the named sites lowered to what release and acquire give.
template <site_name... Sites>
struct without_total_order : access {
  template <class T>
  [[nodiscard]] static T load(T const& word, memory_order order, char const* site) noexcept {
    return access::load(word, lower(order, site, millrace::core::acquire), site);
  }
  template <class T>
  static void store(T& word, std::type_identity_t<T> value, memory_order order,
                    char const* site) noexcept {
    access::store(word, value, lower(order, site, millrace::core::release), site);
  }
  template <class T>
  [[nodiscard]] static bool compare_exchange(T& word, T& expected, std::type_identity_t<T> desired,
                                             memory_order success, memory_order failure,
                                             char const* site) noexcept {
    return access::compare_exchange(word, expected, desired,
                                    lower(success, site, millrace::core::acq_rel),
                                    lower(failure, site, millrace::core::acquire), site);
  }
  template <class T>
  static T fetch_add(T& word, std::type_identity_t<T> n, memory_order order,
                     char const* site) noexcept {
    return access::fetch_add(word, n, lower(order, site, millrace::core::acq_rel), site);
  }
  template <class T>
  static T fetch_or(T& word, std::type_identity_t<T> bits, memory_order order,
                    char const* site) noexcept {
    return access::fetch_or(word, bits, lower(order, site, millrace::core::acq_rel), site);
  }
  template <class T>
  static T fetch_and(T& word, std::type_identity_t<T> bits, memory_order order,
                     char const* site) noexcept {
    return access::fetch_and(word, bits, lower(order, site, millrace::core::acq_rel), site);
  }

  [[nodiscard]] static memory_order lower(memory_order order, char const* site,
                                          memory_order to) noexcept {
    bool const here = ((Sites == site) || ...);
    return here && order == millrace::core::seq_cst ? to : order;
  }
};
static_assert(millrace::core::access_policy<without_total_order<"site">>);

}  // namespace race
