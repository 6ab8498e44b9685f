// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/propagate/array.hpp>
#include <millrace/propagate/array_each.hpp>
#include <millrace/propagate/array_kinds.hpp>
#include <millrace/propagate/array_reduce.hpp>
#include <millrace/propagate/cell.hpp>
#include <millrace/propagate/cutoff.hpp>
#include <millrace/propagate/fixpoint.hpp>
#include <millrace/propagate/kinds.hpp>

#include <cuda/std/span>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <tuple>
#include <type_traits>
#include <utility>

namespace millrace::inline v0::propagate {

/// What a graph has for arrays: one node for a row of values, of which only those run that have to.
/// Sizes never change.
/// @thread as the graph
template <class Graph, class P>
class array_calls {
 public:
  /// An array that batches write.
  /// @param same says whether a write of an element changes nothing
  /// @error errc::bad_argument (1): more than 2^31 - 1 elements; else as input
  /// @cost  memory: two values and 8 bytes an element, and half a byte
  template <array_element T, cutoff_policy<T> C = same_bits>
  [[nodiscard]] result<array_input<T>> input_array(cuda::std::span<T const> values,
                                                   C same = {}) noexcept {
    auto const made = input_array(values.size(), T{}, std::move(same));
    if (!made) { return made; }
    auto& mine = body_of<typename detail::array_input_kind<P, T, C>::body>(made->id().slot);
    std::copy(values.begin(), values.end(), detail::array_access::of(mine.value()).values);
    return made;
  }
  /// The same, with one value for all elements.
  template <array_element T, cutoff_policy<T> C = same_bits>
  [[nodiscard]] result<array_input<T>> input_array(std::size_t size, T value,
                                                   C same = {}) noexcept {
    using kind_type = detail::array_input_kind<P, T, C>;
    using body = typename kind_type::body;
    if (size > std::numeric_limits<std::int32_t>::max()) {
      return core::fail(errc::bad_argument, 1);
    }
    auto const count = static_cast<std::uint32_t>(size);
    auto& g = self();
    auto const made =
        g.template add<body>(&kind_type::is, {}, body::extra_bytes(count), std::move(same), count);
    if (!made) { return cuda::std::unexpected<error>(made.error()); }
    body_of<body>(*made).lay_out(value);
    g.engine_->nodes(g.engine_->index_of(*made))
        .clear(detail::unsettled | detail::must_run | detail::valueless);
    return array_input<T>(g.engine_->id_of(*made));
  }

  /// An array of f(elements with the same index). An argument that is a cell is the same for all
  /// elements. f runs for an element when one of its arguments has changed and somebody needs the
  /// array; what comes out the same is no change.
  ///
  /// If f gives no value for some elements, the array has none: its failure is the first one's,
  /// with the element's index as `native`. It ends when the elements that have failed run again,
  /// since their arguments have changed, and give one.
  /// @error errc::unknown_id: a cell is not the graph's, `native` is its number from 1;
  ///        errc::bad_argument: it has not the size of the first array; else as computed
  /// @cost  a run: O(arguments' changed elements). Of all elements f runs in a loop over neighbours
  template <cell_function F, cell_value... Ts>
    requires(detail::is_array<Ts> || ...)
  [[nodiscard]] auto computed_each(F f, cell<Ts>... from) noexcept
      -> result<array_cell<detail::held<std::invoke_result_t<F&, detail::element<Ts> const&...>>>> {
    using R = detail::held<std::invoke_result_t<F&, detail::element<Ts> const&...>>;
    static_assert(array_element<R>);
    using body = detail::each_body<F, R, Ts...>;
    auto& g = self();
    std::uint32_t const sources[] = {g.engine_->find(from)...};
    std::int64_t const sizes[] = {size_of(from)...};  // -1: not an array's
    std::int64_t size = -1;
    for (std::size_t k = 0; k < sizeof...(Ts); ++k) {
      if (sources[k] == g.engine_->none || sizes[k] < 0) { continue; }
      if (size >= 0 && sizes[k] != size) {
        return core::fail(errc::bad_argument, static_cast<std::int32_t>(k + 1));
      }
      size = sizes[k];
    }
    auto const count = static_cast<std::uint32_t>(size < 0 ? 0 : size);
    auto const made =
        g.template add<body>(&detail::each_kind<P, body, R>::is, sources, body::extra_bytes(count),
                             std::move(f), same_bits{}, count,
                             std::tuple<detail::each_of<Ts>...>(
                                 detail::each_of<Ts>{g.value_of(from), from.id().slot}...));
    if (!made) { return cuda::std::unexpected<error>(made.error()); }
    body_of<body>(*made).lay_out();
    return array_cell<R>(g.engine_->id_of(*made));
  }

  /// op(op(a[0], a[1]), op(a[2], a[3])) and so on, by a tree over the indices: the same bits
  /// whatever has changed. `identity` is the value of no elements, and of nothing else.
  /// @error errc::unknown_id; else as computed
  /// @cost  a run: O(changed elements * log size) calls of op. Memory: a value an element
  template <array_element T, cell_function Op>
    requires std::is_invocable_r_v<T, Op&, T const&, T const&>
  [[nodiscard]] result<cell<T>> reduced(array_cell<T> from, Op op,
                                        std::type_identity_t<T> identity) noexcept {
    using body = detail::reduced_body<Op, T>;
    auto const size = static_cast<std::uint32_t>(std::max<std::int64_t>(size_of(from), 0));
    return of_array<body, T>(from, &detail::reduced_kind<P, body, T>::is, body::extra_bytes(size),
                             std::move(op), self().value_of(from), identity, size);
  }
  /// Members that depend on each other, in cycles as well: the least array x in which x[i] is
  /// base[i] joined with law.along(weight, x[from]) for each arc to i. What rises flows on from
  /// what there is; where a base falls or an arc goes, those who may owe something to it are found
  /// anew. What comes out the same is no change.
  ///
  /// Its failure is errc::exhausted if members still rise after `most_rounds`, in each of which
  /// what has risen flows along one arc; 0: one more than there are members, which is enough
  /// wherever no cycle raises what goes around in it. It is errc::bad_argument if an arc is to or
  /// from what is no member, `native` is the first such arc's index. Other arcs or bases end it.
  /// @error errc::unknown_id; else as computed
  /// @cost  a run: O(arcs from members that have risen, or have begun again); each is counted as a
  ///        run. Memory: three values and 34 bytes a member, and 20 bytes beside each arc
  template <array_element T, class W, class L>
    requires fixpoint_law<L, T, W>
  [[nodiscard]] result<array_cell<T>> fixpoint(L law, array_cell<T> base, array_cell<arc<W>> arcs,
                                               std::uint32_t most_rounds = 0) noexcept {
    using body = detail::fixpoint_body<L, T, W>;
    auto& g = self();
    std::uint32_t const sources[] = {g.engine_->find(base), g.engine_->find(arcs)};
    auto const size = static_cast<std::uint32_t>(std::max<std::int64_t>(size_of(base), 0));
    auto const count = static_cast<std::uint32_t>(std::max<std::int64_t>(size_of(arcs), 0));
    auto const made = g.template add<body>(&detail::fixpoint_kind<P, body, T>::is, sources,
                                           body::extra_bytes(size, count), std::move(law),
                                           g.value_of(base), g.value_of(arcs), size, count,
                                           most_rounds == 0 ? size + 1 : most_rounds);
    if (!made) { return cuda::std::unexpected<error>(made.error()); }
    body_of<body>(*made).lay_out();
    return array_cell<T>(g.engine_->id_of(*made));
  }
  /// One element. Each change of the array is a run of each of its element cells.
  /// @error errc::unknown_id; errc::bad_argument (2): there is no such element; else as computed
  template <array_element T>
  [[nodiscard]] result<cell<T>> element(array_cell<T> from, std::uint32_t i) noexcept {
    using body = detail::element_body<T>;
    if (size_of(from) >= 0 && i >= size_of(from)) { return core::fail(errc::bad_argument, 2); }
    return of_array<body, T>(from, &detail::computed_kind<P, body, T>::is, 0, same_bits{},
                             self().value_of(from), i);
  }
  /// Calls f(array_changes<T>) now, and after each batch that has changed the array. A failure is
  /// not told.
  /// @error as computed
  /// @cost  memory: 4 bytes an element
  template <array_element T, cell_function F>
    requires std::invocable<F&, array_changes<T> const&>
  [[nodiscard]] result<observer> observe_each(array_cell<T> from, F f) noexcept {
    using kind_type = detail::array_observer_kind<P, F, T>;
    using body = typename kind_type::body;
    auto& g = self();
    std::uint32_t const sources[] = {g.engine_->find(from)};
    auto const size = static_cast<std::uint32_t>(std::max<std::int64_t>(size_of(from), 0));
    auto const made = g.template add<body>(&kind_type::is, sources, body::extra_bytes(size),
                                           std::move(f), g.value_of(from), size);
    if (made) { body_of<body>(*made).lay_out(); }
    return g.told(made);
  }

  /// The value of an element, computed if nobody keeps it up to date.
  /// @error errc::bad_argument (2): there is no such element; else as read of a cell
  template <array_element T>
  [[nodiscard]] result<T> read(array_cell<T> from, std::uint32_t i) noexcept {
    auto& g = self();
    std::int64_t const size = size_of(from);
    if (size < 0) { return core::fail(errc::unknown_id, 1); }
    if (i >= size) { return core::fail(errc::bad_argument, 2); }
    auto const all = g.settled(from);
    if (!all) { return cuda::std::unexpected<error>(all.error()); }
    return (**all)[i];
  }
  /// Copies all elements.
  /// @error errc::bad_argument (2): `to` has not the array's size; else as read of a cell
  template <array_element T>
  [[nodiscard]] result<void> read(array_cell<T> from, cuda::std::span<T> to) noexcept {
    auto& g = self();
    std::int64_t const size = size_of(from);
    if (size < 0) { return core::fail(errc::unknown_id, 1); }
    if (static_cast<std::int64_t>(to.size()) != size) { return core::fail(errc::bad_argument, 2); }
    auto const all = g.settled(from);
    if (!all) { return cuda::std::unexpected<error>(all.error()); }
    for (std::uint32_t k = 0; k < to.size(); ++k) { to[k] = (**all)[k]; }
    return {};
  }

  /// Writes one element, and brings all that is needed up to date.
  /// @error errc::bad_argument (2): there is no such element; else as write of an input
  template <array_element T>
  [[nodiscard]] result<void> write(array_input<T> to, std::uint32_t i,
                                   std::type_identity_t<T> value) noexcept {
    return write_range(to, i, cuda::std::span<T const>(&value, 1));
  }
  /// Writes the elements from `first` on.
  template <array_element T>
  [[nodiscard]] result<void> write_range(
      array_input<T> to, std::uint32_t first,
      cuda::std::span<std::type_identity_t<T> const> values) noexcept {
    auto& e = *self().engine_;
    if (e.busy() || e.batch_open) { return core::refuse<void>(errc::busy); }
    auto write = detail::checked_write<T>(e, to, first, values);
    if (!write) { return core::refuse<void>(write.error()); }
    e.begin_pass();
    auto pending = e.pending.nothing();
    std::uint32_t const i = e.find(static_cast<array_cell<T> const&>(to));
    e.write_input(i, pending, [&] { return e.nodes(i).what->assign(e, i, &*write); });
    e.end_pass(pending);
    return {};
  }

 private:
  [[nodiscard]] Graph& self() noexcept { return static_cast<Graph&>(*this); }
  template <class Body>
  [[nodiscard]] Body& body_of(std::uint32_t slot) noexcept {
    auto& e = *self().engine_;
    return *static_cast<Body*>(e.nodes(e.index_of(slot)).body);
  }
  /// -1: there is no such array.
  template <class T>
  [[nodiscard]] std::int64_t size_of(cell<T> of) noexcept {
    if constexpr (detail::is_array<T>) {
      T const* const value = self().value_of(of);
      if (value != nullptr) { return value->size(); }
    }
    return -1;
  }
  /// A cell of one array.
  template <class Body, class T, class... Parts>
  [[nodiscard]] result<cell<T>> of_array(array_cell<T> from, detail::kind<P> const* what,
                                         std::size_t extra_bytes, Parts&&... parts) noexcept {
    auto& g = self();
    std::uint32_t const sources[] = {g.engine_->find(from)};
    auto const made =
        g.template add<Body>(what, sources, extra_bytes, std::forward<Parts>(parts)...);
    if (!made) { return cuda::std::unexpected<error>(made.error()); }
    if constexpr (requires(Body& body) { body.lay_out(); }) { body_of<Body>(*made).lay_out(); }
    return cell<T>(g.engine_->id_of(*made));
  }
};

}  // namespace millrace::inline v0::propagate
