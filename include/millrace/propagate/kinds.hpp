// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/propagate/cell.hpp>
#include <millrace/propagate/cutoff.hpp>
#include <millrace/propagate/engine.hpp>
#include <millrace/propagate/node.hpp>
#include <millrace/propagate/plan_loop.hpp>
#include <millrace/propagate/reader.hpp>

#include <cstddef>
#include <cstdint>
#include <new>
#include <tuple>
#include <type_traits>
#include <utility>

/// \file
/// What nodes of each type keep, and how they run.

namespace millrace::inline v0::propagate::detail {

/// A body in the engine's memory, made of a type's parts.
/// @error errc::out_of_memory; errc::function_failed: a part could not be moved
template <class Body, class P, class... Parts>
[[nodiscard]] result<Body*> make_body(engine<P>& e, std::size_t extra_bytes,
                                      Parts&&... parts) noexcept {
  std::size_t const bytes = sizeof(Body) + extra_bytes;
  auto const given = e.blocks.try_allocate(bytes, alignof(Body));
  if (!given) { return core::fail(errc::out_of_memory); }
  errc why = errc::function_failed;
  try {
    return ::new (*given) Body{{}, std::forward<Parts>(parts)...};
  } catch (std::bad_alloc const&) { why = errc::out_of_memory; } catch (...) {
  }
  e.blocks.deallocate(*given, bytes, alignof(Body));
  return core::fail(why);
}
template <class Body, class P>
void destroy_body(engine<P>& e, void* body) noexcept {
  auto* const mine = static_cast<Body*>(body);
  std::size_t extra = 0;
  if constexpr (requires { mine->extra_bytes(); }) { extra = mine->extra_bytes(); }
  mine->~Body();
  e.blocks.deallocate(body, sizeof(Body) + extra, alignof(Body));
}
template <class Body>
void repoint_body(void* body, void const* from, void const* to) noexcept {
  static_cast<Body*>(body)->repoint(from, to);
}
template <class T>
void repoint(T const*& at, void const* from, void const* to) noexcept {
  if (at == from) { at = static_cast<T const*>(to); }
}

/// Whether a T takes what a function has given without a copy that may throw.
template <class T, class R>
inline constexpr bool kept_safely = std::is_nothrow_assignable_v<T&, R>;
template <class T, class R>
  requires is_result<std::remove_cvref_t<R>>
inline constexpr bool kept_safely<T, R> =
    std::is_nothrow_assignable_v<T&, decltype(std::move(*std::declval<R>()))>;

/// Keeps what a function has given, or why it gave nothing; true when that is a change.
/// @throws what a copy throws
template <class P, class Body, class R>
bool keep(engine<P>& e, node<P>& n, Body& body,
          R&& got) noexcept(kept_safely<decltype(body.own), R>) {
  if constexpr (is_result<std::remove_cvref_t<R>>) {
    if (!got) { return e.set_failure(n, got.error()); }
    return keep(e, n, body, std::move(*got));
  } else {
    bool const first = n.has(failed | valueless);
    auto& value = body.value();
    if (!first && body.same(std::as_const(value), std::as_const(got))) { return false; }
    value = std::forward<R>(got);
    if (first) {
      e.set_failure(n, {});
      n.clear(valueless);
    }
    return true;
  }
}

/// A cell that transactions write.
template <class P, class T, class C>
struct input_kind {
  struct body : cell_head<T> {
    C same;
    T staged{};
    bool is_staged = false;
  };
  /// Takes over what is staged.
  static bool run(engine<P>& e, std::uint32_t i) noexcept {
    node<P>& n = e.nodes(i);
    auto& mine = *static_cast<body*>(n.body);
    mine.is_staged = false;
    return keep(e, n, mine, std::move(mine.staged));
  }
  static bool stage(void* to, void* value) noexcept {
    auto& mine = *static_cast<body*>(to);
    __builtin_prefetch(&mine.value(), 1);
    mine.staged = std::move(*static_cast<T*>(value));
    return std::exchange(mine.is_staged, true);
  }
  static void unstage(void* of) noexcept { static_cast<body*>(of)->is_staged = false; }
  static bool assign(engine<P>& e, std::uint32_t i, void* value) noexcept {
    node<P>& n = e.nodes(i);
    return keep(e, n, *static_cast<body*>(n.body), std::move(*static_cast<T*>(value)));
  }
  static constexpr kind<P> is{.is = role::input,
                              .run = run,
                              .destroy = destroy_body<body, P>,
                              .type = type_of<T>,
                              .stage = stage,
                              .unstage = unstage,
                              .assign = assign,
                              .value_bytes = placed_bytes<T>};
};

/// A function of dependencies that never change. `Body` has apply(): what the function gives.
template <class P, class Body, class T>
struct computed_kind {
  static bool run(engine<P>& e, std::uint32_t i) noexcept {
    node<P>& n = e.nodes(i);
    if (error const why = e.source_failure(n); why.code != errc::ok) {
      return e.set_failure(n, why);
    }
    e.count_runs();
    return apply(e, n);
  }
  static turn sweep(engine<P>& e, turn now) noexcept {
    auto held = e.hold(now);
    auto i = static_cast<std::uint32_t>(now.index);
    std::uint64_t runs = 0;
    do {
      node<P>& n = e.nodes(i);
      if ((n.eager == 0 || n.has(unsettled | must_run | planned)) && !e.is_plain(n)) [[unlikely]] {
        e.count_runs(runs);
        return e.step(e, {held.bits, i});
      }
      bool differs = false;
      e.begins(i, run_cause::changed, e.pass - 1);
      if (e.stats.failed == 0) [[likely]] {
        ++runs;
        differs = apply(e, n);
      } else {
        differs = run(e, i);
      }
      if (differs) { e.changed(i, held); }
      e.ends(i, differs);
      i = e.pending.pop(held, i);
    } while (i != engine<P>::none && e.nodes(i).what == &is);
    e.count_runs(runs);
    return {held.bits, i};
  }
  [[gnu::always_inline]] static inline bool apply(engine<P>& e, node<P>& n) noexcept {
    auto& mine = *static_cast<Body*>(n.body);
    if constexpr (noexcept(keep(e, n, mine, mine.apply()))) {
      return keep(e, n, mine, mine.apply());
    } else {
      try {
        return keep(e, n, mine, mine.apply());
      } catch (...) { return e.set_failure(n, {errc::function_failed, {}, 0}); }
    }
  }
  static constexpr kind<P> is{.is = role::computed,
                              .sweep = sweep,
                              .run = run,
                              .destroy = destroy_body<Body, P>,
                              .type = type_of<T>,
                              .repoint = repoint_body<Body>,
                              .plan = plan_of<Body>(),
                              .value_bytes = placed_bytes<T>};
};

/// Of a fixed number of dependencies.
template <class F, class C, class... Args>
struct computed_body : cell_head<held<std::invoke_result_t<F&, Args const&...>>> {
  using loop = plan_loop<F, C, Args...>;

  F f;
  C same;
  std::tuple<Args const*...> from;

  [[nodiscard]] decltype(auto) apply() noexcept(std::is_nothrow_invocable_v<F&, Args const&...>) {
    return std::apply([this](Args const*... each) -> decltype(auto) { return f(*each...); }, from);
  }
  void repoint(void const* was, void const* is) noexcept {
    std::apply([&](Args const*&... each) { (detail::repoint(each, was, is), ...); }, from);
  }
};

/// Of any number of dependencies of one type, which stand behind the body.
template <class F, class Arg>
struct combined_body : cell_head<held<std::invoke_result_t<F&, values<Arg>>>> {
  F f;
  same_bits same;
  std::uint32_t size;

  [[nodiscard]] std::size_t extra_bytes() const noexcept {
    return size * sizeof(Arg const*) + alignof(Arg const*);
  }
  [[nodiscard]] Arg const** from() noexcept {
    auto at = reinterpret_cast<std::uintptr_t>(this + 1);
    at = (at + alignof(Arg const*) - 1) & ~(alignof(Arg const*) - 1);
    return reinterpret_cast<Arg const**>(at);
  }
  [[nodiscard]] decltype(auto) apply() noexcept(std::is_nothrow_invocable_v<F&, values<Arg>>) {
    return f(values<Arg>(from(), size));
  }
  void repoint(void const* was, void const* is) noexcept {
    for (std::uint32_t k = 0; k < size; ++k) { detail::repoint(from()[k], was, is); }
  }
};

/// Runs a function that reads through a reader, gives what it returns to `use`, and lets go of what
/// it has not read this time.
/// @return the failure that ended it early
/// @throws unwound
template <class P, class F, class Use>
[[nodiscard]] error track_run(engine<P>& e, std::uint32_t i, F& f, Use use) {
  error why{};
  std::uint32_t const slot = e.nodes(i).slot;
  reader<P> read(e, {i, slot});
  try {
    if constexpr (std::is_void_v<std::invoke_result_t<F&, reader<P>&>>) {
      f(read);
    } else {
      auto&& got = f(read);
      if (!read.left()) { use(std::forward<decltype(got)>(got)); }
    }
  } catch (refusal const& refused) { why = refused.failure; } catch (...) {
    why = {errc::function_failed, {}, 0};
  }
  if (read.left()) {  // whether the function has let the exception through, kept it or changed it
    e.nodes(e.index_of(slot)).set(must_run);
    throw unwound(*read.left());
  }
  read.forget_rest();
  return why;
}

/// A function of what it reads.
template <class P, class F, class C>
struct tracking_kind {
  using T = held<std::invoke_result_t<F&, reader<P>&>>;
  struct body : cell_head<T> {
    F f;
    C same;
  };
  static bool run(engine<P>& e, std::uint32_t i) {
    auto& mine = *static_cast<body*>(e.nodes(i).body);
    std::uint32_t const slot = e.nodes(i).slot;
    auto const n = [&e, slot]() -> node<P>& { return e.nodes(e.index_of(slot)); };
    bool differs = false;
    error const why = track_run(e, i, mine.f, [&](auto&& got) {
      differs = keep(e, n(), mine, std::forward<decltype(got)>(got));
    });
    e.count_runs();
    return why.code == errc::ok ? differs : e.set_failure(n(), why);
  }
  static constexpr kind<P> is{.is = role::tracking,
                              .sweep = engine<P>::step,
                              .run = run,
                              .destroy = destroy_body<body, P>,
                              .type = type_of<T>,
                              .value_bytes = placed_bytes<T>};
};

/// Tells an observer of its one source, unless that has failed.
template <class P, class Call>
bool tell(engine<P>& e, node<P>& n, Call&& call) noexcept {
  if (error const why = e.source_failure(n); why.code != errc::ok) { return e.set_failure(n, why); }
  ++e.stats.told;
  if (n.has(failed)) { e.set_failure(n, {}); }
  try {
    call();
    return false;
  } catch (...) { return e.set_failure(n, {errc::function_failed, {}, 0}); }
}

/// Told of one cell's values.
template <class P, class F, class T>
struct observer_kind {
  struct body : body_head {
    F f;
    T const* from;
    void repoint(void const* was, void const* is) noexcept { detail::repoint(from, was, is); }
  };
  static bool run(engine<P>& e, std::uint32_t i) noexcept {
    node<P>& n = e.nodes(i);
    auto& mine = *static_cast<body*>(n.body);
    return tell(e, n, [&mine] { mine.f(*mine.from); });
  }
  static constexpr kind<P> is{.is = role::observer,
                              .sweep = engine<P>::fire_in_turn,
                              .run = run,
                              .destroy = destroy_body<body, P>,
                              .repoint = repoint_body<body>};
};

/// Needs cells, and is told nothing.
template <class P>
struct keeper_kind {
  struct body : body_head {};
  static constexpr kind<P> is{.is = role::observer,
                              .sweep = engine<P>::fire_in_turn,
                              .run = [](engine<P>&, std::uint32_t) { return false; },
                              .destroy = destroy_body<body, P>,
                              .keeps = true};
};

/// Told of what it has read.
template <class P, class F>
struct tracking_observer_kind {
  struct body : body_head {
    F f;
  };
  static bool run(engine<P>& e, std::uint32_t i) {
    auto& mine = *static_cast<body*>(e.nodes(i).body);
    std::uint32_t const slot = e.nodes(i).slot;
    error const why = track_run(e, i, mine.f, [](auto&&) {});
    ++e.stats.told;
    return e.set_failure(e.nodes(e.index_of(slot)), why);
  }
  static constexpr kind<P> is{.is = role::tracking_observer,
                              .sweep = engine<P>::fire_in_turn,
                              .run = run,
                              .destroy = destroy_body<body, P>};
};

}  // namespace millrace::inline v0::propagate::detail
