// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/delta/change_set_ref.hpp>

#include <concepts>
#include <cstdint>
#include <type_traits>

namespace millrace::inline v0::propagate {

/// What has changed of the cells of a subscription: their names, ascending, their values, and their
/// failures (code ok: there is a value).
template <class T>
using cell_changes = delta::change_set_ref<std::uint64_t, T, error>;

/// Where a subscription's changes go. Called in the order of epochs, by one thread at a time, after
/// the epoch can be read; it must not call the store. What a failed call was given is given again
/// with what changes next, the newest value of each cell: a mailbox that is full loses no cell's
/// last value, and never holds up a commit.
template <class M, class T>
concept mailbox = std::movable<M> && std::is_nothrow_move_constructible_v<M> &&
                  requires(M& m, std::uint64_t epoch, cell_changes<T> changes) {
                    { m.deliver(epoch, changes) } noexcept -> std::same_as<result<void>>;
                  };

}  // namespace millrace::inline v0::propagate
