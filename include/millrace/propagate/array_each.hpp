// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/propagate/array.hpp>
#include <millrace/propagate/cell.hpp>
#include <millrace/propagate/engine.hpp>
#include <millrace/propagate/kinds.hpp>
#include <millrace/propagate/node.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <tuple>
#include <type_traits>
#include <utility>

/// \file
/// A function of each element of arrays.

namespace millrace::inline v0::propagate::detail {

/// What an elementwise function gets its arguments from: an array's elements, or one value for all.
template <class T>
struct each_of {
  T const* value;
  std::uint32_t slot;

  struct span {
    T const* value;
    [[nodiscard]] MILLRACE_HD T const& at(std::uint32_t) const noexcept { return *value; }
  };
  [[nodiscard]] span from(std::uint32_t) const noexcept { return {value}; }
  template <class P>
  void find_changes(engine<P> const& e, std::uint64_t since, bool& all, block_marks&) const {
    all = all || e.nodes(e.index_of(slot)).changed_at > since;
  }
  void repoint(void const* was, void const* is) noexcept { detail::repoint(value, was, is); }
};
template <class T>
struct each_of<array<T>> {
  array<T> const* value;
  std::uint32_t slot;

  struct span {
    T const* values;
    [[nodiscard]] MILLRACE_HD T const& at(std::uint32_t k) const noexcept { return values[k]; }
  };
  [[nodiscard]] span from(std::uint32_t i) const noexcept {
    return {array_access::of(*value).values + i};
  }
  template <class P>
  void find_changes(engine<P> const&, std::uint64_t since, bool& all, block_marks& to) const {
    if (all) { return; }
    array_access::of(*value).visit_changes(
        since, [&](std::uint32_t block, std::uint64_t mask) { to.add(block, mask); });
  }
  void repoint(void const* was, void const* is) noexcept { detail::repoint(value, was, is); }
};
template <class T>
struct element_of {
  using type = T;
};
template <class T>
struct element_of<array<T>> {
  using type = T;
};
/// What a function of each element is called with.
template <class T>
using element = typename element_of<T>::type;

/// A function's values for neighbours. This is the loop that a compiler turns into vectors.
template <class F, class R, class... From>
void call_each(F& f, R* got, std::uint32_t& k, std::uint32_t end, From... from) {
  for (; k < end; ++k) { got[k] = f(from.at(k)...); }
}

/// f of each element, where one of its arguments has changed.
template <class F, class R, class... From>
struct each_body : cell_head<array<R>> {
  using got_type = std::invoke_result_t<F&, element<From> const&...>;
  static constexpr bool gives_results = is_result<std::remove_cvref_t<got_type>>;
  static constexpr bool never_throws = std::is_nothrow_invocable_v<F&, element<From> const&...>;
  static constexpr bool may_fail = gives_results || !never_throws;

  F f;
  same_bits same;
  std::uint32_t size;
  std::tuple<each_of<From>...> from;
  std::uint64_t seen = 0;  // the pass up to which its arguments' changes are done
  block_marks marks{};
  std::uint64_t* failing = nullptr;  // which elements have no value, a word a block
  errc* codes = nullptr;             // why
  std::uint32_t failing_blocks = 0;

  [[nodiscard]] static std::size_t extra_bytes(std::uint32_t size) noexcept {
    std::size_t const failures =
        may_fail ? carver::bytes<std::uint64_t>(blocks_of(size)) + carver::bytes<errc>(size) : 0;
    return carver::line + array_state<R>::bytes(size) + block_marks::bytes(blocks_of(size)) +
           failures;
  }
  [[nodiscard]] std::size_t extra_bytes() const noexcept { return extra_bytes(size); }
  void lay_out() noexcept {
    carver at(this + 1);
    array_access::of(this->value()).lay_out(at, size, R{});
    marks.lay_out(at, blocks_of(size));
    if constexpr (may_fail) {
      failing = at.take<std::uint64_t>(blocks_of(size));
      codes = at.take<errc>(size);
    }
  }
  void repoint(void const* was, void const* is) noexcept {
    std::apply([&](auto&... each) { (each.repoint(was, is), ...); }, from);
  }

  /// Runs what is out of date; how many functions that were. `differs`: a value has changed.
  template <class P>
  std::uint64_t update(engine<P>& e, bool first, bool& differs) noexcept {
    bool all = first;
    std::apply([&](auto const&... each) { (each.find_changes(e, seen, all, marks), ...); }, from);
    seen = e.pass;
    array_state<R>& to = array_access::of(this->value());
    std::uint64_t runs = 0;
    auto const run = [&](std::uint32_t block, std::uint64_t mask) {
      runs += static_cast<std::uint64_t>(std::popcount(mask));
      std::uint64_t const changed = run_block(to, block, mask, first);
      to.mark(block, changed, e.pass);
      differs = differs || changed != 0;
    };
    if (all) {
      marks.clear();
      for (std::uint32_t b = 0; b < blocks_of(size); ++b) { run(b, to.full(b)); }
    } else {
      marks.take_all(run);
    }
    return runs;
  }
  /// Of the first element that has one.
  [[nodiscard]] error failure_of_elements() const noexcept {
    if constexpr (may_fail) {
      for (std::uint32_t b = 0; failing_blocks != 0 && b < blocks_of(size); ++b) {
        if (failing[b] == 0) { continue; }
        std::uint32_t const i =
            b * block_size + static_cast<std::uint32_t>(std::countr_zero(failing[b]));
        return {codes[i], {}, static_cast<std::int32_t>(i)};
      }
    }
    return {};
  }

 private:
  /// @return elements that have changed; the first time all are new
  [[nodiscard]] std::uint64_t run_block(array_state<R>& to, std::uint32_t block, std::uint64_t mask,
                                        bool first) noexcept {
    R got[block_size];
    std::uint64_t failed_now = 0;
    std::uint32_t const base = block * block_size;
    for_each_range(mask, [&](std::uint32_t begin, std::uint32_t end) {
      failed_now |= run_range(got, base, begin, end);
    });
    if constexpr (may_fail) {
      if ((failing[block] & mask) != failed_now) {
        bool const was = failing[block] != 0;
        failing[block] = (failing[block] & ~mask) | failed_now;
        failing_blocks += (failing[block] != 0 ? 1u : 0u) - (was ? 1u : 0u);
      }
    }
    R* const values = to.values + base;
    std::uint64_t changed = 0;
    for_each_range(mask & ~failed_now, [&](std::uint32_t begin, std::uint32_t end) {
      for (std::uint32_t k = begin; k < end; ++k) {
        bool const differs = !same(std::as_const(values[k]), std::as_const(got[k]));
        changed |= std::uint64_t{differs} << k;
        if (differs) { values[k] = got[k]; }
      }
    });
    return first ? mask : changed;
  }
  /// @return elements that have failed
  [[nodiscard]] std::uint64_t run_range(R* got, std::uint32_t base, std::uint32_t begin,
                                        std::uint32_t end) noexcept {
    std::uint32_t k = begin;
    [[maybe_unused]] auto const call = [&](auto const&... each) {
      call_each(f, got, k, end, each.from(base)...);
    };
    if constexpr (!may_fail) {
      std::apply(call, from);
      return 0;
    } else {
      std::uint64_t failed_now = 0;
      auto const fails = [&](errc why) {
        codes[base + k] = why;
        failed_now |= std::uint64_t{1} << k;
      };
      while (k < end) {
        try {
          if constexpr (gives_results) {
            for (; k < end; ++k) {
              auto one = std::apply(
                  [&](auto const&... each) { return f(each.from(base).at(k)...); }, from);
              if (one) {
                got[k] = *one;
              } else {
                fails(one.error().code);
              }
            }
          } else {
            std::apply(call, from);
          }
        } catch (...) {
          fails(errc::function_failed);
          ++k;
        }
      }
      return failed_now;
    }
  }
};
template <class P, class Body, class R>
struct each_kind {
  static bool run(engine<P>& e, std::uint32_t i) noexcept {
    node<P>& n = e.nodes(i);
    if (error const why = e.source_failure(n); why.code != errc::ok) {
      return e.set_failure(n, why);  // what has changed meanwhile is done when it is gone
    }
    auto& mine = *static_cast<Body*>(n.body);
    bool differs = false;
    e.count_runs(mine.update(e, n.has(valueless), differs));
    n.clear(valueless);
    bool const failure_differs = e.set_failure(n, mine.failure_of_elements());
    return failure_differs || (differs && !n.has(failed));
  }
  static constexpr kind<P> is{.is = role::computed,
                              .sweep = engine<P>::step,
                              .run = run,
                              .destroy = destroy_body<Body, P>,
                              .type = type_of<array<R>>,
                              .repoint = repoint_body<Body>};
};

}  // namespace millrace::inline v0::propagate::detail
