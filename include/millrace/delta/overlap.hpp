// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/delta/change_set_ref.hpp>
#include <millrace/delta/merge_scalar.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace millrace::inline v0::delta {

namespace detail {

[[nodiscard]] inline bool overlap(void const* a, std::size_t a_bytes, void const* b,
                                  std::size_t b_bytes) noexcept {
  auto const x = reinterpret_cast<std::uintptr_t>(a), y = reinterpret_cast<std::uintptr_t>(b);
  return a_bytes != 0 && b_bytes != 0 && x < y + b_bytes && y < x + a_bytes;
}

/// Whether any column that `rows` may be written to shares bytes with a column of `in`.
template <class K, class... Vs, class... Ws, std::size_t... Is, std::size_t... Js>
[[nodiscard]] bool overlap(change_space<K, Vs...> const& out, std::size_t rows,
                           change_set_ref<K, Ws...> const& in, std::index_sequence<Is...>,
                           std::index_sequence<Js...>) noexcept {
  bool found = false;
  auto const inside = [&](void const* p, std::size_t bytes) {
    found = found || overlap(p, bytes, in.keys().data(), in.size() * sizeof(K));
    ((found = found || overlap(p, bytes, in.template values<Js>().data(), in.size() * sizeof(Ws))),
     ...);
  };
  inside(out.keys(), rows * sizeof(K));
  (inside(out.template values<Is>(), rows * sizeof(Vs)), ...);
  return found;
}

/// Whether `out` has room for what a pass may give, and none of it overlaps an input.
template <keep Keep, class K, class... Vs, class Newer>
[[nodiscard]] bool has_room(change_space<K, Vs...> const& out,
                            change_set_ref<K, Vs...> const& older, Newer const& newer) noexcept {
  std::size_t const smaller = older.size() < newer.size() ? older.size() : newer.size();
  std::size_t const needed = Keep == keep::both         ? smaller
                             : Keep == keep::older_only ? older.size()
                                                        : older.size() + newer.size();
  constexpr auto mine = std::index_sequence_for<Vs...>{};
  return out.capacity() >= needed && !overlap(out, needed, older, mine, mine) &&
         !overlap(out, needed, newer, mine, std::make_index_sequence<Newer::width>{});
}

}  // namespace detail

}  // namespace millrace::inline v0::delta
