// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/propagate/cell.hpp>
#include <millrace/propagate/graph.hpp>
#include <millrace/propagate/kinds.hpp>

#include <cuda/std/span>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace millrace::inline v0::propagate {

/// New dependencies are linked beside the old ones, and only then do these go: so an error on the
/// way takes back what it has linked, and nobody is let go whom the new function needs as well.
template <graph_policy P>
template <class Body, class T, class... Parts>
result<void> basic_graph<P>::replace_by(cell<T> of, detail::kind<P> const* what,
                                        cuda::std::span<std::uint32_t const> sources,
                                        Parts&&... parts) noexcept {
  engine_type& e = *engine_;
  if (e.fixed()) { return core::fail(errc::busy); }
  std::uint32_t i = e.find(of);
  if (i == e.none) { return core::fail(errc::unknown_id, 1); }
  if (e.nodes(i).what->is == role::input) { return core::fail(errc::bad_argument, 1); }
  for (std::size_t k = 0; k < sources.size(); ++k) {
    if (sources[k] == e.none) {
      return core::fail(errc::unknown_id, static_cast<std::int32_t>(k + 2));
    }
  }
  auto const made = detail::make_body<Body>(e, 0, std::forward<Parts>(parts)...);
  if (!made) { return cuda::std::unexpected<error>(made.error()); }
  Body* const body = *made;

  std::uint32_t const had = e.nodes(i).sources == nullptr ? 0 : e.nodes(i).sources->size;
  std::uint32_t linked = 0;
  auto const link = [&](std::uint32_t slot) -> result<void> {
    if (e.index_of(slot) >= i && e.nodes(e.index_of(slot)).what->is != role::input) {
      if (auto const moved = e.move_behind(i, e.index_of(slot)); !moved) { return moved; }
      i = e.find(of);
    }
    if (auto const room = e.reserve_edge(i, e.index_of(slot)); !room) { return room; }
    e.link(i, e.index_of(slot));
    ++linked;
    return {};
  };
  // as slots, since places may change on the way
  detail::column<std::uint32_t, resource> slots(e.from());
  auto done = slots.reserve(static_cast<std::uint32_t>(sources.size()));
  if (done) {
    for (std::uint32_t source : sources) { slots.push(e.nodes(source).slot); }
    for (std::uint32_t slot : slots) {
      done = link(slot);
      if (!done) { break; }
    }
  }
  if (!done) {
    for (; linked != 0; --linked) { e.unlink_last(i); }
    detail::destroy_body<Body>(e, body);
    return done;
  }

  auto& n = e.nodes(i);
  auto* const old = n.body;
  auto const* const old_kind = n.what;
  T* const value = &detail::value_in<T>(old);
  body->own = std::move(*value);  // what those that depend on it have seen
  if constexpr (detail::placeable<T>) {
    if (e.is_placed(value)) { body->where = value; }
  }
  body->failure = old->failure;
  e.become(i, what, body);
  for (std::uint32_t k = 0; n.targets != nullptr && k < n.targets->size; ++k) {
    auto& target = e.nodes(n.targets->edges()[k].node);
    if (target.what->repoint != nullptr) {
      target.what->repoint(target.body, value, &body->value());
    }
  }
  old_kind->destroy(e, old);
  if (n.has(detail::linked)) {
    for (std::uint32_t k = had; k < had + linked; ++k) { e.enliven(i, k); }
  }
  // the last new one takes the place of the first old one, and so on, until all stand in front
  for (std::uint32_t k = 0; k < had; ++k) {
    if (k < linked) { e.swap_sources(i, k, n.sources->size - 1); }
    e.unlink_last(i);
  }
  for (std::uint32_t k = 0; k < linked; ++k) {  // in the order of the function's arguments
    std::uint32_t at = k;
    while (e.nodes(n.sources->edges()[at].node).slot != slots[k]) { ++at; }
    e.swap_sources(i, k, at);
  }
  e.run_again(i);
  return {};
}

}  // namespace millrace::inline v0::propagate
