// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>

#include <cuda/std/span>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace millrace::inline v0::propagate {

/// Where a store writes down what transactions have written, before it takes effect: one record for
/// each epoch, in their order. Called by one thread at a time.
///
/// `append` returns when the record will last. Where it fails nothing has been appended: the
/// transactions fail with its error, and the epoch is given again.
template <class J>
concept journal = std::movable<J> && std::is_nothrow_move_constructible_v<J> &&
                  requires(J& j, std::uint64_t epoch, cuda::std::span<std::byte const> record) {
                    { j.append(epoch, record) } noexcept -> std::same_as<result<void>>;
                  };

/// Nothing is written down: what a store holds ends with it.
struct null_journal {
  [[nodiscard]] result<void> append(std::uint64_t, cuda::std::span<std::byte const>) noexcept {
    return {};
  }
};
static_assert(journal<null_journal>);

/// Whether a store writes records at all.
template <class J>
inline constexpr bool keeps_records = !std::is_same_v<J, null_journal>;

}  // namespace millrace::inline v0::propagate
