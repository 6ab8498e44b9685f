// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace millrace::inline v0::delta {

/// What changes are keyed by.
template <class K>
concept change_key = std::is_same_v<K, std::uint32_t> || std::is_same_v<K, std::uint64_t>;

/// What a value column holds: bytes that mean the same after a copy. Values compare by their bytes,
/// so a struct with padding is compared by its padding as well.
template <class V>
concept change_value =
    std::is_trivially_copyable_v<V> && std::is_trivially_destructible_v<V> &&
    std::is_default_constructible_v<V> && !std::is_const_v<V> && !std::is_volatile_v<V>;

/// Whether two values are the same bytes: NaN equals itself, and -0 is not +0.
template <change_value V>
[[nodiscard]] MILLRACE_HD bool same_bits(V const& a, V const& b) noexcept {
  if constexpr (std::is_integral_v<V>) {
    return a == b;
  } else {
    unsigned char x[sizeof(V)], y[sizeof(V)];
    std::memcpy(x, &a, sizeof(V));
    std::memcpy(y, &b, sizeof(V));
    bool same = true;
    for (std::size_t i = 0; i < sizeof(V); ++i) { same = same && x[i] == y[i]; }
    return same;
  }
}

}  // namespace millrace::inline v0::delta
