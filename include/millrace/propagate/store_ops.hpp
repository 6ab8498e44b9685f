// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/propagate/store.hpp>

#include <cuda/std/span>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>

/// \file
/// What a store does in its lane, transactions apart.

namespace millrace::inline v0::propagate {

template <store_policy P>
auto basic_store<P>::make(graph_type&& g, store_options const& options,
                          typename P::journal j) noexcept -> result<basic_store> {
  engine_type* const in = detail::graph_parts<typename P::graph_policy>::engine_of(g);
  if (in->batch_open || in->busy()) { return core::fail(errc::bad_argument, 1); }
  if (options.most_pins == 0) { return core::fail(errc::bad_argument, 2); }
  resource from = in->from();
  std::size_t const pin_bytes = std::size_t{options.most_pins} * sizeof(detail::epoch_pin);
  auto const pins = from.try_allocate(pin_bytes, alignof(detail::epoch_pin));
  if (!pins) { return core::fail(errc::out_of_memory); }
  auto const given = from.try_allocate(sizeof(core_type), alignof(core_type));
  if (!given) {
    from.deallocate(*pins, pin_bytes, alignof(detail::epoch_pin));
    return core::fail(errc::out_of_memory);
  }
  auto* const words = static_cast<detail::epoch_pin*>(*pins);
  std::uninitialized_default_construct_n(words, options.most_pins);
  in->batch_open = true;  // writes are refused from here on
  in->is_shared = true;
  return basic_store(::new (*given)
                         core_type(std::move(g), in, std::move(j), options, words, from));
}

template <store_policy P>
basic_store<P>::~basic_store() {
  if (core_ == nullptr) { return; }
  resource from = core_->from;
  std::size_t const pin_bytes = std::size_t{core_->options.most_pins} * sizeof(detail::epoch_pin);
  detail::epoch_pin* const words = core_->pins.words();
  core_->~core_type();
  from.deallocate(core_, sizeof(core_type), alignof(core_type));
  from.deallocate(words, pin_bytes, alignof(detail::epoch_pin));
}

template <store_policy P>
template <class F>
  requires std::invocable<F&, basic_graph<typename P::graph_policy>&>
auto basic_store<P>::edit(F f) noexcept
    -> result<detail::held<std::invoke_result_t<F&, graph_type&>>> {
  using R = std::invoke_result_t<F&, graph_type&>;
  using T = detail::held<R>;
  std::optional<result<T>> got;
  auto const done = in_epoch([&](core_type& c) -> error {
    try {
      if constexpr (std::is_void_v<R>) {
        f(c.graph);
        got.emplace();
      } else {
        got.emplace(f(c.graph));
      }
    } catch (...) { return {errc::function_failed, {}, 0}; }
    return {};
  });
  if (!done) { return core::refuse<T>(done.error()); }
  return std::move(*got);
}

template <store_policy P>
template <cell_value T>
  requires std::copyable<T>
result<void> basic_store<P>::publish(cell<T> of) noexcept {
  using kind_type = detail::publisher_kind<P, T>;
  return in_epoch([&](core_type& c) -> error {
    std::uint32_t const i = c.in->find(of);
    if (i == c.in->none) { return {errc::unknown_id, {}, 1}; }
    std::uint32_t const slot = of.id().slot;
    bool const is_input = c.in->nodes(i).what->is == role::input;
    std::uint64_t const name = c.in->names.name_of(slot);
    detail::record_type const* record = nullptr;
    if constexpr (detail::is_recordable<T>) { record = &detail::record_of<T>; }
    if (is_input && keeps_records<typename P::journal> && (name == 0 || record == nullptr)) {
      return {errc::bad_argument, {}, 1};
    }
    if (!c.tracks.reserve(slot)) { return {errc::out_of_memory, {}, 0}; }
    if (is_input && record != nullptr && !c.know(record)) { return {errc::out_of_memory, {}, 0}; }
    track_type* const known = c.tracks.find(slot);
    bool const again = known != nullptr && known->cell == of.id();
    if (again && !known->is_gone()) { return {errc::duplicate, {}, 1}; }
    track_type* const t = again ? known
                                : c.add_track({.cell = of.id(),
                                               .type = detail::type_of<T>,
                                               .of = &detail::version_of<T>,
                                               .spare = nullptr,
                                               .record = record,
                                               .is_input = is_input});
    if (t == nullptr) { return {errc::out_of_memory, {}, 0}; }
    auto const made =
        detail::graph_parts<typename P::graph_policy>::template observe<typename kind_type::body>(
            c.graph, &kind_type::is, of, t);
    if (!made) {
      if (!again) { c.drop(t); }
      return made.error();
    }
    t->publisher = made->id();
    t->name = name;
    c.keep(*t, true);
    if (!again) { c.list(*t); }
    return {};
  });
}

template <store_policy P>
template <cell_value T>
result<void> basic_store<P>::unpublish(cell<T> of) noexcept {
  return in_epoch([&](core_type& c) -> error {
    track_type* const t = c.find(of);
    if (t == nullptr || t->is_gone()) { return {errc::unknown_id, {}, 1}; }
    if (!t->subscribers.empty()) { return {errc::busy, {}, 1}; }
    c.keep(*t, false);
    if (auto const done = c.graph.remove(t->publisher); !done) { return done.error(); }
    c.end(*t);
    return {};
  });
}

template <store_policy P>
auto basic_store<P>::at(std::uint64_t epoch) noexcept -> result<snapshot_type> {
  std::uint32_t pin = core_->pins.none;
  auto const done = in_lane([&](core_type& c) -> error {
    if (epoch > c.epoch) { return {errc::bad_argument, {}, 1}; }
    if (epoch < c.kept_from) { return {errc::released, {}, 0}; }
    pin = c.pins.pin_at(epoch);
    return pin != c.pins.none ? error{} : error{errc::full, {}, 0};
  });
  if (!done) { return core::refuse<snapshot_type>(done.error()); }
  return snapshot_type(*core_, pin, epoch);
}

template <store_policy P>
template <cell_value T, mailbox<T> M>
  requires delta::change_value<T>
result<subscription_id> basic_store<P>::subscribe(cuda::std::span<cell<T> const> cells,
                                                  M to) noexcept {
  using made_type = detail::typed_subscription<P, T, M>;
  subscription_id number{};
  auto const done = in_lane([&](core_type& c) -> error {
    if (cells.empty()) { return {errc::bad_argument, {}, 0}; }
    if (cells.size() > 0x7FFF'FFFF) { return {errc::bad_argument, {}, 1}; }
    auto const count = static_cast<std::uint32_t>(cells.size());
    for (std::uint32_t k = 0; k < count; ++k) {
      auto const at = static_cast<std::int32_t>(k + 1);
      track_type* const t = c.find(cells[k]);
      if (t == nullptr || t->is_gone()) { return {errc::unknown_id, {}, at}; }
      if (t->name == 0) { return {errc::bad_argument, {}, at}; }
      if (!t->subscribers.reserve(t->subscribers.size() + 1)) {
        return {errc::out_of_memory, {}, 0};
      }
    }
    auto const given = c.from.try_allocate(sizeof(made_type), alignof(made_type));
    if (!given) { return {errc::out_of_memory, {}, 0}; }
    auto* const made = ::new (*given) made_type(c.from, std::move(to));
    if (!made->reserve(count)) {
      made->destroy(c, made);
      return {errc::out_of_memory, {}, 0};
    }
    for (cell<T> const& each : cells) {
      made->cells.push(c.find(each));
      made->is_changed.push(false);
    }
    std::sort(made->cells.begin(), made->cells.end(),
              [](track_type* a, track_type* b) { return a->name < b->name; });
    for (std::uint32_t k = 1; k < count; ++k) {
      if (made->cells[k] == made->cells[k - 1]) {
        made->destroy(c, made);
        return {errc::duplicate, {}, 1};
      }
    }
    for (std::uint32_t k = 0; k < count; ++k) { made->cells[k]->subscribers.push({made, k}); }
    number.number = made->number = ++c.last_subscription;
    made->later = std::exchange(c.first_subscription, made);
    return {};
  });
  if (!done) { return core::refuse<subscription_id>(done.error()); }
  return number;
}

template <store_policy P>
result<void> basic_store<P>::unsubscribe(subscription_id which) noexcept {
  return in_lane([&](core_type& c) -> error { return c.unsubscribe(which.number); });
}

template <store_policy P>
result<std::uint64_t> basic_store<P>::replay(cuda::std::span<std::byte const> record) noexcept {
  std::uint64_t made = 0;
  auto const done = in_lane([&](core_type& c) -> error {
    error const why = c.replay(record);
    made = c.epoch;
    return why;
  });
  if (!done) { return core::refuse<std::uint64_t>(done.error()); }
  return made;
}

template <store_policy P>
store_stats basic_store<P>::stats() const noexcept {
  using A = typename P::access;
  auto const of = [](std::uint64_t const& counter) {
    return A::load(counter, core::relaxed, "store.stats");
  };
  core_type const& c = *core_;
  store_stats s;
  s.epoch = c.pins.newest();
  s.oldest_pinned = c.pins.oldest();
  s.oldest_kept = of(c.kept_from);
  s.commits = of(c.commits);
  s.conflicts = of(c.conflicts);
  s.versions = of(c.versions);
  s.version_bytes = of(c.version_bytes);
  s.spare_bytes = of(c.spare_bytes);
  s.undelivered = of(c.undelivered);
  return s;
}

}  // namespace millrace::inline v0::propagate
