// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/propagate/cell.hpp>
#include <millrace/propagate/cutoff.hpp>
#include <millrace/propagate/graph.hpp>
#include <millrace/propagate/kinds.hpp>

#include <cuda/std/span>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <new>
#include <utility>

/// \file
/// How nodes, and names, come to a graph and go.

namespace millrace::inline v0::propagate {

template <graph_policy P>
template <class Body, class... Parts>
result<std::uint32_t> basic_graph<P>::add(detail::kind<P> const* what,
                                          cuda::std::span<std::uint32_t const> sources,
                                          std::size_t extra_bytes, Parts&&... parts) noexcept {
  engine_type& e = *engine_;
  if (e.busy()) { return core::fail(errc::busy); }
  for (std::size_t k = 0; k < sources.size(); ++k) {
    if (sources[k] == e.none) {
      return core::fail(errc::unknown_id, static_cast<std::int32_t>(k + 1));
    }
  }
  if (e.extent() == e.none - 1) { return core::fail(errc::out_of_memory); }
  if (auto const room = e.reserve(e.extent() + 1); !room) {
    return cuda::std::unexpected<error>(room.error());
  }
  auto const body = detail::make_body<Body>(e, extra_bytes, std::forward<Parts>(parts)...);
  if (!body) { return cuda::std::unexpected<error>(body.error()); }
  std::uint32_t const slot = e.append(what, *body);
  std::uint32_t const i = e.index_of(slot);
  for (std::uint32_t source : sources) {
    if (auto const linked = link_new(i, source); !linked) {
      take_away(i);
      return cuda::std::unexpected<error>(linked.error());
    }
  }
  ++e.stats.nodes;
  return slot;
}

/// The newest node depends on another; once is enough.
template <graph_policy P>
result<void> basic_graph<P>::link_new(std::uint32_t i, std::uint32_t source) noexcept {
  if (engine_->last_depends_on(source)) { return {}; }
  if (auto const room = engine_->reserve_edge(i, source); !room) { return room; }
  engine_->link(i, source);
  return {};
}

template <graph_policy P>
template <cell_function F, cell_value Arg>
auto basic_graph<P>::combined(F f, cuda::std::span<cell<Arg> const> from) noexcept
    -> result<cell<detail::held<std::invoke_result_t<F&, values<Arg>>>>> {
  using T = detail::held<std::invoke_result_t<F&, values<Arg>>>;
  using body = detail::combined_body<F, Arg>;
  using kind_type = detail::computed_kind<P, body, T>;
  engine_type& e = *engine_;
  if (from.size() > std::numeric_limits<std::int32_t>::max()) {
    return core::fail(errc::bad_argument, 2);
  }
  auto const count = static_cast<std::uint32_t>(from.size());
  for (std::uint32_t k = 0; k < count; ++k) {
    if (e.find(from[k]) == e.none) {
      return core::fail(errc::unknown_id, static_cast<std::int32_t>(k + 1));
    }
  }
  std::size_t const extra = count * sizeof(Arg const*) + alignof(Arg const*);
  auto const made = add<body>(&kind_type::is, {}, extra, std::move(f), same_bits{}, count);
  if (!made) { return cuda::std::unexpected<error>(made.error()); }
  std::uint32_t const i = e.index_of(*made);
  Arg const** const values_of = static_cast<body*>(e.nodes(i).body)->from();
  for (std::uint32_t k = 0; k < count; ++k) {
    std::uint32_t const source = e.find(from[k]);
    if (auto const linked = link_new(i, source); !linked) {
      --e.stats.nodes;
      take_away(i);
      return cuda::std::unexpected<error>(linked.error());
    }
    ::new (values_of + k) Arg const*(value_of(from[k]));
  }
  return cell<T>(e.id_of(*made));
}

template <graph_policy P>
template <cell_value T>
result<observer> basic_graph<P>::keep(cuda::std::span<cell<T> const> cells) noexcept {
  using kind_type = detail::keeper_kind<P>;
  engine_type& e = *engine_;
  for (std::size_t k = 0; k < cells.size(); ++k) {
    if (e.find(cells[k]) == e.none) {
      return core::fail(errc::unknown_id, static_cast<std::int32_t>(k + 1));
    }
  }
  auto const made = add<typename kind_type::body>(&kind_type::is, {}, 0);
  if (!made) { return cuda::std::unexpected<error>(made.error()); }
  for (cell<T> const& each : cells) {
    std::uint32_t const i = e.index_of(*made);
    if (auto const linked = link_new(i, e.find(each)); !linked) {
      --e.stats.nodes;
      take_away(i);
      return cuda::std::unexpected<error>(linked.error());
    }
  }
  return told(made);
}

template <graph_policy P>
template <cell_value T>
result<void> basic_graph<P>::set_name(cell<T> of, std::uint64_t name) noexcept {
  auto& names = engine_->names;
  if (engine_->find(of) == engine_->none) { return core::fail(errc::unknown_id, 1); }
  if (name == 0) { return core::fail(errc::bad_argument, 2); }
  std::uint32_t const has = names.find(name), slot = of.id().slot;
  if (has == slot) { return {}; }
  if (has != engine_->none) { return core::fail(errc::duplicate, 2); }
  if (engine_->nodes(engine_->find(of)).has(detail::relied_on)) { return core::fail(errc::busy); }
  names.erase(slot);  // the place of the old name is enough for the new one
  return names.insert(name, slot);
}

template <graph_policy P>
void basic_graph<P>::take_away(std::uint32_t i) noexcept {
  auto& n = engine_->nodes(i);
  engine_->names.erase(n.slot);
  engine_->forget(i);
  while (n.sources != nullptr && n.sources->size != 0) { engine_->unlink_last(i); }
  engine_->set_failure(n, {});
  n.what->destroy(*engine_, n.body);
  engine_->take_away(i);
}

template <graph_policy P>
result<void> basic_graph<P>::remove(node_id id) noexcept {
  engine_type& e = *engine_;
  std::uint32_t const i = e.find(id);
  if (i == e.none) { return core::fail(errc::unknown_id, 1); }
  auto const& n = e.nodes(i);
  if (e.fixed() || n.has(detail::relied_on) || (n.targets != nullptr && n.targets->size != 0)) {
    return core::fail(errc::busy);
  }
  e.release(i);
  take_away(i);
  --e.stats.nodes;
  return {};
}

}  // namespace millrace::inline v0::propagate
