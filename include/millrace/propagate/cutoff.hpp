// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>

#include <cuda/std/cstring>

#include <concepts>
#include <cstddef>
#include <limits>
#include <type_traits>

namespace millrace::inline v0::propagate {

/// Says whether a cell's new value counts as the one it had: then nothing that depends on it runs.
template <class C, class T>
concept cutoff_policy = requires(C const& c, T const& value) {
  requires std::copyable<C>;
  { c(value, value) } noexcept -> std::same_as<bool>;
};

/// The same bits: NaN is itself, and 0.0 is not -0.0. A class whose bits are not all its value
/// (padding, pointers to what it owns), or may be several of one (members of a floating type), is
/// compared by its == if it has one.
struct same_bits {
  /// Of 16 bytes of a long double six may be anything.
  template <class T>
  static constexpr std::size_t value_bytes =
      std::numeric_limits<T>::digits == 64 && std::is_floating_point_v<T> ? 10 : sizeof(T);
  template <class T>
    requires(std::is_trivially_copyable_v<T> || std::equality_comparable<T>)
  [[nodiscard]] MILLRACE_HD bool operator()(T const& before, T const& after) const noexcept {
    if constexpr (std::is_floating_point_v<T> || std::has_unique_object_representations_v<T> ||
                  !std::equality_comparable<T>) {
      return cuda::std::memcmp(&before, &after, value_bytes<T>) == 0;
    } else {
      return before == after;
    }
  }
};

/// The type's own ==. A NaN is then always a change.
struct equal {
  template <std::equality_comparable T>
  [[nodiscard]] MILLRACE_HD bool operator()(T const& before, T const& after) const noexcept {
    return before == after;
  }
};

/// Never: each run counts as a change.
struct never_same {
  template <class T>
  [[nodiscard]] MILLRACE_HD constexpr bool operator()(T const&, T const&) const noexcept {
    return false;
  }
};

static_assert(cutoff_policy<same_bits, double>);
static_assert(cutoff_policy<equal, int>);
static_assert(cutoff_policy<never_same, double>);

}  // namespace millrace::inline v0::propagate
