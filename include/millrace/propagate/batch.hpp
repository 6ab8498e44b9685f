// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/propagate/array.hpp>
#include <millrace/propagate/array_kinds.hpp>
#include <millrace/propagate/cell.hpp>
#include <millrace/propagate/graph.hpp>

#include <cuda/std/span>

#include <cstdint>
#include <type_traits>
#include <utility>

namespace millrace::inline v0::propagate {

/// Values for inputs, kept beside them until commit; of several for one input the last counts. A
/// batch that outlives its graph is closed.
/// @thread one at a time, with its graph
template <graph_policy P>
class basic_graph<P>::batch {
 public:
  batch(batch&& other) noexcept : engine_{std::exchange(other.engine_, nullptr)} { settle_in(); }
  batch& operator=(batch&& other) noexcept {
    std::swap(engine_, other.engine_);
    settle_in();
    other.settle_in();
    return *this;
  }
  /// Aborts what has not been committed.
  ~batch() { abort(); }

  /// @error errc::unknown_id; errc::closed: committed or aborted before; errc::busy: inside a
  ///        function
  template <cell_value T>
  [[nodiscard]] result<void> write(propagate::input<T> to, std::type_identity_t<T> value) noexcept {
    if (engine_ == nullptr) { return core::refuse<void>(errc::closed); }
    if (engine_->busy()) { return core::refuse<void>(errc::busy); }
    std::uint32_t const i = input_index(*engine_, to);
    if (i == engine_->none) { return core::refuse<void>(errc::unknown_id, 1); }
    stage(i, value);
    return {};
  }
  /// Values for many inputs. Inputs stand far apart in memory: those to come are fetched while one
  /// is written, so this is faster than as many writes by themselves.
  /// @error errc::bad_argument (2): not as many values as inputs; errc::unknown_id: an input,
  ///        `native` is its number from 1, and those before it are written; else as `write`
  template <cell_value T>
    requires std::is_nothrow_copy_constructible_v<T>
  [[nodiscard]] result<void> write_all(
      cuda::std::span<propagate::input<T> const> to,
      cuda::std::span<std::type_identity_t<T> const> values) noexcept {
    if (engine_ == nullptr) { return core::refuse<void>(errc::closed); }
    if (engine_->busy()) { return core::refuse<void>(errc::busy); }
    if (to.size() != values.size()) { return core::refuse<void>(errc::bad_argument, 2); }
    auto const after = [&](std::size_t k) { return k < to.size() ? to[k].id() : node_id{}; };
    for (std::size_t k = 0; k < to.size(); ++k) {
      fetch_slot(after(k + 3 * step));
      fetch_node(engine_->find(after(k + 2 * step)));
      fetch_body(engine_->find(after(k + step)));
      std::uint32_t const i = input_index(*engine_, to[k]);
      if (i == engine_->none) {
        return core::refuse<void>(errc::unknown_id, static_cast<std::int32_t>(k + 1));
      }
      T value = values[k];
      stage(i, value);
    }
    return {};
  }
  /// An element of an array.
  /// @error errc::bad_argument (2): there is no such element; else as of an input
  template <array_element T>
  [[nodiscard]] result<void> write(array_input<T> to, std::uint32_t i,
                                   std::type_identity_t<T> value) noexcept {
    return write_range(to, i, cuda::std::span<T const>(&value, 1));
  }
  /// Elements of an array, from `first` on.
  template <array_element T>
  [[nodiscard]] result<void> write_range(
      array_input<T> to, std::uint32_t first,
      cuda::std::span<std::type_identity_t<T> const> values) noexcept {
    if (engine_ == nullptr) { return core::refuse<void>(errc::closed); }
    if (engine_->busy()) { return core::refuse<void>(errc::busy); }
    auto const write = detail::checked_write<T>(*engine_, to, first, values);
    if (!write) { return core::refuse<void>(write.error()); }
    auto& n = engine_->nodes(engine_->find(static_cast<array_cell<T> const&>(to)));
    auto& staging = *static_cast<detail::array_staging<T>*>(n.body);
    bool const was = staging.marks.count != 0;
    staging.stage(*write);
    if (!was && staging.marks.count != 0) { engine_->staged.push(n.slot); }
    return {};
  }
  /// Brings all that is needed up to date, and tells observers.
  /// @error errc::closed: committed or aborted before; errc::busy: inside a function
  [[nodiscard]] result<void> commit() noexcept {
    if (engine_ == nullptr) { return core::refuse<void>(errc::closed); }
    if (engine_->busy()) { return core::refuse<void>(errc::busy); }
    engine_->begin_pass();
    auto first = engine_->pending.nothing();
    auto const& staged = engine_->staged;
    auto const after = [&](std::uint32_t k) {
      return k < staged.size() ? engine_->index_of(staged[k]) : engine_->none;
    };
    for (std::uint32_t k = 0; k < staged.size(); ++k) {
      fetch_node(after(k + 2 * step));
      fetch_body(after(k + step));
      std::uint32_t const i = engine_->index_of(staged[k]);
      engine_->write_input(i, first, [&] { return engine_->nodes(i).what->run(*engine_, i); });
    }
    close();
    std::exchange(engine_, nullptr)->end_pass(first);
    return {};
  }
  void abort() noexcept {
    if (engine_ == nullptr) { return; }
    for (std::uint32_t slot : engine_->staged) {
      auto& n = engine_->nodes(engine_->index_of(slot));
      n.what->unstage(n.body);
    }
    close();
    engine_ = nullptr;
  }

 private:
  friend class basic_graph;
  static constexpr std::uint32_t step = 8;  // inputs whose memory is fetched at a time

  template <class T>
  void stage(std::uint32_t i, T& value) noexcept {
    auto& n = engine_->nodes(i);
    __builtin_prefetch(n.targets);  // for commit
    if (!n.what->stage(n.body, &value)) { engine_->staged.push(n.slot); }
  }
  // Begin to fetch what a write goes through, one after the other; nothing of what is no node.
  void fetch_slot(node_id id) const noexcept {
    if (id.graph == engine_) { engine_->fetch_slot(id.slot); }
  }
  void fetch_node(std::uint32_t i) const noexcept {
    if (i != engine_->none) { __builtin_prefetch(&engine_->nodes(i), 1); }
  }
  void fetch_body(std::uint32_t i) const noexcept {
    if (i == engine_->none) { return; }
    __builtin_prefetch(engine_->nodes(i).body, 1);
    __builtin_prefetch(engine_->nodes(i).targets);
  }
  explicit batch(engine_type& of) noexcept : engine_{&of} {
    of.batch_open = true;
    settle_in();
  }
  void settle_in() noexcept {
    if (engine_ != nullptr) { engine_->of_batch = &engine_; }
  }
  void close() noexcept {
    engine_->staged.clear();
    engine_->batch_open = false;
  }

  engine_type* engine_;
};

template <graph_policy P>
auto basic_graph<P>::begin() noexcept -> result<batch> {
  if (engine_->busy() || engine_->batch_open) { return core::fail(errc::busy); }
  return batch(*engine_);
}

}  // namespace millrace::inline v0::propagate
