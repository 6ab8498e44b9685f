// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/memory/resource.hpp>
#include <millrace/propagate/array_calls.hpp>
#include <millrace/propagate/cell.hpp>
#include <millrace/propagate/column.hpp>
#include <millrace/propagate/cutoff.hpp>
#include <millrace/propagate/engine.hpp>
#include <millrace/propagate/kinds.hpp>
#include <millrace/propagate/probe.hpp>
#include <millrace/propagate/reader.hpp>
#include <millrace/propagate/team.hpp>

#include <cuda/std/span>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <new>
#include <tuple>
#include <type_traits>
#include <utility>

namespace millrace::inline v0::propagate {

/// What a graph is made of. Derive from default_graph, override what differs.
template <class P>
concept graph_policy = requires {
  typename P::resource;
  typename P::probe;
  requires memory::host_accessible_resource<typename P::resource>;
  requires graph_probe<typename P::probe>;
  { P::plan_width } -> std::convertible_to<std::uint32_t>;
  { P::plan_after } -> std::convertible_to<std::uint32_t>;
  typename P::team;
  { P::task_ns } -> std::convertible_to<std::uint32_t>;
  { P::small_bytes } -> std::convertible_to<std::size_t>;
};

struct default_graph {
  using resource = memory::host_resource;  ///< nodes, dependencies, functions and values
  using probe = null_graph_probe;          ///< is told what runs, and why
  /// The least number of computed cells of one type, as far from the inputs as each other or each
  /// of the one before, that are run from flat arrays, by a plan; 0: none ever are.
  static constexpr std::uint32_t plan_width = 32;
  /// A plan is made when this many times as many functions have run as there are cells, with no
  /// cell made, removed or replaced since.
  static constexpr std::uint32_t plan_after = 1;
  using team = propagate::team;  ///< threads that run wide levels, of a graph that is given some
  /// The least work that is handed to one of them, in ns; 0: a word of 64 cells, however short.
  static constexpr std::uint32_t task_ns = 2'000;
  /// Of what a cell keeps, blocks of up to so many bytes, at most 65536, stand side by side in few
  /// large blocks of the resource. What a removed cell has kept serves the next ones; the resource
  /// gets it back with the graph. 0: each is the resource's own, as under AddressSanitizer.
  static constexpr std::size_t small_bytes = 1024;
};
static_assert(graph_policy<default_graph>);

/// What is to be seen of a node.
struct node_view {
  node_id id;
  std::uint64_t name;  ///< 0: it has none
  role is;
  bool needed;  ///< an observer depends on it, by however many steps
  bool failed;  ///< its value is a failure
};

namespace detail {
template <class P>
struct graph_parts;
}  // namespace detail

/// Cells that depend on each other. A write runs exactly the functions whose results may have
/// changed and that an observer needs, each once and after all that it reads; what comes out the
/// same stops there. A function gives a value or a failure, which is then the value of all that
/// depends on it, until it gives a value again. One that throws fails with errc::function_failed.
///
/// Functions and observers must not call the graph: what they call is refused with errc::busy. But
/// an observer may read what observers keep up to date.
/// @thread one at a time
template <graph_policy P = default_graph>
class basic_graph : public array_calls<basic_graph<P>, P> {
  friend detail::graph_parts<P>;
  using engine_type = detail::engine<P>;
  using resource = typename P::resource;
  using probe_type = typename P::probe;
  using arrays = array_calls<basic_graph, P>;
  friend arrays;

 public:
  using arrays::read;
  using arrays::write;
  using reader_type = reader<P>;

  /// @error errc::out_of_memory
  [[nodiscard]] static result<basic_graph> make(resource from = {},
                                                probe_type watch = {}) noexcept {
    auto const given = from.try_allocate(sizeof(engine_type), alignof(engine_type));
    if (!given) { return cuda::std::unexpected<error>(given.error()); }
    return basic_graph(::new (*given) engine_type(from, watch));
  }
  basic_graph(basic_graph&& other) noexcept : engine_{std::exchange(other.engine_, nullptr)} {}
  basic_graph& operator=(basic_graph&& other) noexcept {
    std::swap(engine_, other.engine_);
    return *this;
  }
  ~basic_graph() {
    if (engine_ == nullptr) { return; }
    if (engine_->batch_open && !engine_->is_shared) { *engine_->of_batch = nullptr; }
    for (std::uint32_t i = engine_->extent(); i-- > 0;) {
      auto& n = engine_->nodes(i);
      if (n.what != nullptr) { n.what->destroy(*engine_, n.body); }
    }
    resource from = engine_->from();
    engine_->~engine_type();
    from.deallocate(engine_, sizeof(engine_type), alignof(engine_type));
  }

  /// A cell that batches write.
  /// @param same says whether a write changes nothing
  /// @error errc::out_of_memory; errc::busy: inside a function; errc::function_failed: what was
  ///        given has thrown when it was moved
  template <cell_value T, cutoff_policy<T> C = same_bits>
  [[nodiscard]] result<propagate::input<T>> input(T value, C same = {}) noexcept {
    using kind_type = detail::input_kind<P, T, C>;
    auto const made = add<typename kind_type::body>(&kind_type::is, {}, 0, std::move(same));
    if (!made) { return cuda::std::unexpected<error>(made.error()); }
    auto& n = engine_->nodes(engine_->index_of(*made));
    detail::value_in<T>(n.body) = std::move(value);
    n.clear(detail::unsettled | detail::must_run | detail::valueless);
    return propagate::input<T>(engine_->id_of(*made));
  }

  /// f(values of the cells), which may be a result. It runs when somebody needs it.
  /// @error errc::unknown_id: a cell is not this graph's, `native` is its number from 1;
  ///        errc::out_of_memory; errc::busy, errc::function_failed: as input
  /// @cost  a run: some nanoseconds, and the function's own
  template <cell_function F, cell_value... Ts>
    requires(sizeof...(Ts) != 0)
  [[nodiscard]] auto computed(F f, cell<Ts>... from) noexcept {
    return computed_unless(same_bits{}, std::move(f), from...);
  }
  /// The same; `same` says whether a new value counts as the one before.
  template <class C, cell_function F, cell_value... Ts>
  [[nodiscard]] auto computed_unless(C same, F f, cell<Ts>... from) noexcept
      -> result<cell<detail::held<std::invoke_result_t<F&, Ts const&...>>>> {
    using T = detail::held<std::invoke_result_t<F&, Ts const&...>>;
    static_assert(cutoff_policy<C, T>);
    using body = detail::computed_body<F, C, Ts...>;
    using kind_type = detail::computed_kind<P, body, T>;
    std::uint32_t const sources[] = {engine_->find(from)...};
    auto const made = add<body>(&kind_type::is, sources, 0, std::move(f), std::move(same),
                                std::tuple<Ts const*...>(value_of(from)...));
    if (!made) { return cuda::std::unexpected<error>(made.error()); }
    return cell<T>(engine_->id_of(*made));
  }
  /// f(values<T>): of any number of cells of one type.
  /// @error as computed
  template <cell_function F, cell_value Arg>
  [[nodiscard]] auto combined(F f, cuda::std::span<cell<Arg> const> from) noexcept
      -> result<cell<detail::held<std::invoke_result_t<F&, values<Arg>>>>>;

  /// f(reader): of what it reads, which may differ from run to run.
  /// @error as computed
  template <cell_function F>
  [[nodiscard]] auto tracking(F f) noexcept {
    return tracking_unless(same_bits{}, std::move(f));
  }
  template <class C, cell_function F>
  [[nodiscard]] auto tracking_unless(C same, F f) noexcept
      -> result<cell<detail::held<std::invoke_result_t<F&, reader_type&>>>> {
    using T = detail::held<std::invoke_result_t<F&, reader_type&>>;
    static_assert(cutoff_policy<C, T>);
    using kind_type = detail::tracking_kind<P, F, C>;
    auto const made =
        add<typename kind_type::body>(&kind_type::is, {}, 0, std::move(f), std::move(same));
    if (!made) { return cuda::std::unexpected<error>(made.error()); }
    return cell<T>(engine_->id_of(*made));
  }

  /// A computed or tracking cell gets another function, and other dependencies; its handle, its
  /// name and what depends on it stay. What follows from that has run when this returns.
  /// @error as computed, of whose cells the first is 2; errc::bad_argument (1): an input;
  ///        errc::cycle: a dependency depends on the cell, see cycle_path. Nothing has changed
  template <cell_value T, cell_function F, cell_value... Ts>
    requires(sizeof...(Ts) != 0)
  [[nodiscard]] result<void> replace(cell<T> of, F f, cell<Ts>... from) noexcept {
    static_assert(std::is_same_v<T, detail::held<std::invoke_result_t<F&, Ts const&...>>>);
    using body = detail::computed_body<F, same_bits, Ts...>;
    std::uint32_t const sources[] = {engine_->find(from)...};
    return replace_by<body>(of, &detail::computed_kind<P, body, T>::is, sources, std::move(f),
                            same_bits{}, std::tuple<Ts const*...>(value_of(from)...));
  }
  template <cell_value T, cell_function F>
    requires std::invocable<F&, reader_type&>
  [[nodiscard]] result<void> replace(cell<T> of, F f) noexcept {
    static_assert(std::is_same_v<T, detail::held<std::invoke_result_t<F&, reader_type&>>>);
    using kind_type = detail::tracking_kind<P, F, same_bits>;
    return replace_by<typename kind_type::body>(of, &kind_type::is, {}, std::move(f), same_bits{});
  }

  /// Calls f(value) now, and after each batch that has changed the cell. A failure is not told.
  /// @error as computed
  template <cell_function F, cell_value T>
    requires std::invocable<F&, T const&>
  [[nodiscard]] result<observer> observe(cell<T> from, F f) noexcept {
    using kind_type = detail::observer_kind<P, F, T>;
    std::uint32_t const sources[] = {engine_->find(from)};
    return told(
        add<typename kind_type::body>(&kind_type::is, sources, 0, std::move(f), value_of(from)));
  }
  /// Calls f(reader) now, and after each batch that has changed what the last call has read.
  /// @error as computed
  template <cell_function F>
    requires std::invocable<F&, reader_type&>
  [[nodiscard]] result<observer> observe(F f) noexcept {
    using kind_type = detail::tracking_observer_kind<P, F>;
    return told(add<typename kind_type::body>(&kind_type::is, {}, 0, std::move(f)));
  }

  /// Lets threads help with wide levels from here on, where that has taken less time; null: none.
  /// Values and runs are the same. Functions of different cells are called at the same time then,
  /// on any of them, so what two functions share is theirs to guard.
  /// @param with lives as long as the graph, or until another is given; graphs may share it
  /// @error errc::busy: inside a function
  [[nodiscard]] result<void> use(typename P::team* with) noexcept {
    if (engine_->busy()) { return core::refuse<void>(errc::busy); }
    engine_->team = with;
    return {};
  }

  /// Keeps cells up to date, so that they are read for nothing, and tells nobody.
  /// @error as computed
  template <cell_value T>
  [[nodiscard]] result<observer> keep(cuda::std::span<cell<T> const> cells) noexcept;

  /// The value, computed if nobody keeps it up to date.
  /// @error the cell's failure; errc::unknown_id; errc::busy: inside a function, and in an observer
  ///        what none needs; errc::out_of_memory, errc::function_failed: the copy has thrown
  template <cell_value T>
    requires std::copy_constructible<T>
  [[nodiscard]] result<T> read(cell<T> from) noexcept {
    std::uint32_t const i = engine_->find(from);
    if (i == engine_->none) { return core::refuse<T>(errc::unknown_id, 1); }
    if (!engine_->is_right(i)) { return read_late(from); }
    auto const& n = engine_->nodes(i);
    if (n.has(detail::failed)) { return core::refuse<T>(n.body->failure); }
    return detail::copy_of(detail::value_in<T>(n.body));
  }

  /// Gives a cell a name of the user's, by which it is found again; it may have had another.
  /// @param name not 0
  /// @error errc::unknown_id; errc::bad_argument (2); errc::duplicate: another cell has the name;
  ///        errc::busy: a store has published the cell; errc::out_of_memory
  template <cell_value T>
  [[nodiscard]] result<void> set_name(cell<T> of, std::uint64_t name) noexcept;
  /// The cell of this name.
  /// @error errc::unknown_id: no cell of this type has the name
  template <cell_value T>
  [[nodiscard]] result<cell<T>> find(std::uint64_t name) const noexcept {
    std::uint32_t const slot = engine_->names.find(name);
    if (slot == engine_->none) { return core::fail(errc::unknown_id, 1); }
    cell<T> const found(engine_->id_of(slot));
    if (engine_->find(found) == engine_->none) { return core::fail(errc::unknown_id, 1); }
    return found;
  }

  /// Calls see(node_view) for each node, in an order in which none comes before what it depends on,
  /// except that inputs stand anywhere.
  /// @cost O(nodes)
  template <class See>
  void visit(See&& see) const {
    for (std::uint32_t i = 0; i < engine_->extent(); ++i) {
      if (auto const& n = engine_->nodes(i); n.what != nullptr) {
        see(node_view{engine_->id_of(n.slot), engine_->names.name_of(n.slot), n.what->is,
                      n.has(detail::linked), n.has(detail::failed)});
      }
    }
  }
  /// Calls see(node_id) for each node that a node depends on now.
  template <class See>
  void visit_sources(node_id of, See&& see) const {
    std::uint32_t const i = engine_->find(of);
    if (i == engine_->none) { return; }
    auto* const from = engine_->nodes(i).sources;
    for (std::uint32_t k = 0; from != nullptr && k < from->size; ++k) {
      see(engine_->id_of(engine_->nodes(from->edges()[k].node).slot));
    }
  }

  /// Removes a node on which none depends.
  /// @error errc::unknown_id; errc::busy: a node depends on it, a store has published it, a batch
  ///        is open, or inside a function
  [[nodiscard]] result<void> remove(node_id id) noexcept;

  /// Writes one cell, and brings all that is needed up to date.
  /// @error errc::unknown_id; errc::busy: a batch is open, or inside a function
  /// @cost  some nanoseconds where nobody needs the cell
  template <cell_value T>
  [[nodiscard]] result<void> write(propagate::input<T> to, std::type_identity_t<T> value) noexcept {
    if (engine_->busy() || engine_->batch_open) { return core::refuse<void>(errc::busy); }
    std::uint32_t const i = input_index(*engine_, to);
    if (i == engine_->none) { return core::refuse<void>(errc::unknown_id, 1); }
    engine_->begin_pass();
    auto first = engine_->pending.nothing();
    engine_->write_input(i, first, [&] { return assign(i, value); });
    engine_->end_pass(first);
    return {};
  }

  /// Writes that take effect together, or not at all. One at a time is open.
  class batch;
  [[nodiscard]] result<batch> begin() noexcept;

  /// Cells, in an order in which each depends on the one before it and the first on the last: why
  /// the last errc::cycle was one.
  /// @return ids written, at most `most`
  [[nodiscard]] std::uint32_t cycle_path(node_id* to, std::uint32_t most) const noexcept {
    std::uint32_t n = 0;
    for (std::uint32_t slot : engine_->cycle()) {
      if (n == most) { break; }
      to[n++] = engine_->id_of(slot);
    }
    return n;
  }
  [[nodiscard]] graph_stats const& stats() const noexcept {
    engine_->stats.planned = engine_->in_plan.size();
    return engine_->stats;
  }
  [[nodiscard]] probe_type probe() const noexcept { return engine_->probe; }
  /// Whether a handle is one of a node that is there.
  [[nodiscard]] bool has(node_id id) const noexcept { return engine_->find(id) != engine_->none; }

 private:
  explicit basic_graph(engine_type* made) noexcept : engine_{made} {}

  /// A value that is right, where it is.
  /// @error as read
  template <class T>
  [[nodiscard]] result<T const*> settled(cell<T> from) noexcept {
    std::uint32_t i = engine_->find(from);
    if (i == engine_->none) { return core::fail(errc::unknown_id, 1); }
    if (!engine_->is_right(i)) {
      if (engine_->busy()) { return core::fail(errc::busy); }
      engine_->settle_now(i);
      i = engine_->find(from);
    }
    auto const& n = engine_->nodes(i);
    if (n.has(detail::failed)) { return cuda::std::unexpected<error>(n.body->failure); }
    return &detail::value_in<T>(n.body);
  }
  /// read, of a cell that nobody keeps up to date.
  template <class T>
  [[nodiscard, gnu::noinline]] result<T> read_late(cell<T> from) noexcept {
    auto const value = settled(from);
    if (!value) { return core::refuse<T>(value.error()); }
    return detail::copy_of(**value);
  }

  template <class T>
  [[nodiscard]] T const* value_of(cell<T> from) const noexcept {
    std::uint32_t const i = engine_->find(from);
    if (i == engine_->none) { return nullptr; }
    return &detail::value_in<T>(engine_->nodes(i).body);
  }
  /// A node and its dependencies; its slot.
  template <class Body, class... Parts>
  [[nodiscard]] result<std::uint32_t> add(detail::kind<P> const* what,
                                          cuda::std::span<std::uint32_t const> sources,
                                          std::size_t extra_bytes, Parts&&... parts) noexcept;
  template <class Body, class T, class... Parts>
  [[nodiscard]] result<void> replace_by(cell<T> of, detail::kind<P> const* what,
                                        cuda::std::span<std::uint32_t const> sources,
                                        Parts&&... parts) noexcept;
  [[nodiscard]] result<void> link_new(std::uint32_t i, std::uint32_t source) noexcept;
  void take_away(std::uint32_t i) noexcept;
  [[nodiscard]] result<observer> told(result<std::uint32_t> made) noexcept {
    if (!made) { return cuda::std::unexpected<error>(made.error()); }
    engine_->tell_first(engine_->index_of(*made));
    return observer(engine_->id_of(*made));
  }
  /// Whether a node is an input of this type with the usual cutoff: what is known of its kind is
  /// inlined.
  template <class T>
  [[nodiscard]] static bool is_usual_input(detail::node<P> const& n) noexcept {
    if constexpr (cutoff_policy<same_bits, T>) {
      return n.what == &detail::input_kind<P, T, same_bits>::is;
    } else {
      return false;
    }
  }
  template <class T>
  [[nodiscard]] static std::uint32_t input_index(engine_type const& e,
                                                 propagate::input<T> of) noexcept {
    std::uint32_t const i = e.find(of.id());
    if (i == e.none || is_usual_input<T>(e.nodes(i))) { return i; }
    auto const& what = *e.nodes(i).what;
    return what.type == detail::type_of<T> && what.stage != nullptr ? i : e.none;
  }
  template <class T>
  [[nodiscard]] bool assign(std::uint32_t i, T& value) noexcept {
    auto const& n = engine_->nodes(i);
    if constexpr (cutoff_policy<same_bits, T>) {
      if (is_usual_input<T>(n)) {
        return detail::input_kind<P, T, same_bits>::assign(*engine_, i, &value);
      }
    }
    return n.what->assign(*engine_, i, &value);
  }

  engine_type* engine_;
};
using graph = basic_graph<>;

}  // namespace millrace::inline v0::propagate

#include <millrace/propagate/batch.hpp>
#include <millrace/propagate/edit.hpp>
#include <millrace/propagate/replace.hpp>
