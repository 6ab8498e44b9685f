// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/propagate/array.hpp>
#include <millrace/propagate/cell.hpp>
#include <millrace/propagate/cutoff.hpp>
#include <millrace/propagate/engine.hpp>
#include <millrace/propagate/kinds.hpp>
#include <millrace/propagate/node.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>

/// \file
/// Values that depend on each other in cycles: members of one node, which it raises until none
/// changes any more.

namespace millrace::inline v0::propagate {

/// Stands for no member.
inline constexpr std::uint32_t no_member = ~std::uint32_t{0};

/// Has nothing to say about what flows along an arc.
struct unweighted {
  [[nodiscard]] friend MILLRACE_HD bool operator==(unweighted, unweighted) noexcept { return true; }
};

/// What one member has flows into another. Without a `from` or a `to` it is no arc: room for one.
template <class W = unweighted>
struct arc {
  std::uint32_t from = no_member;
  std::uint32_t to = no_member;
  W weight{};

  [[nodiscard]] friend MILLRACE_HD bool operator==(arc const& a, arc const& b) noexcept {
    return a.from == b.from && a.to == b.to && same_bits{}(a.weight, b.weight);
  }
};

/// What flows along arcs, and how a member takes it. `join` is the least upper bound of a
/// semilattice: associative, commutative, and join(x, x) is x. `along` never falls where its value
/// rises: join(along(w, x), along(w, join(x, y))) is the second.
///
/// A law may say more, which spares work when something falls:
/// - rises(v, w): that along(w, x) is never below along(v, x). Then it is no fall that a weight v
///   becomes w.
/// - strict, a constant: that join gives one of its arguments, and that along gives less where its
///   value is less, as a sum of lengths does and the narrowest of widths does not.
template <class L, class T, class W>
concept fixpoint_law = requires(L const& law, T const& value, W const& weight) {
  requires cell_function<L>;
  { law.join(value, value) } noexcept -> std::same_as<T>;
  { law.along(weight, value) } noexcept -> std::same_as<T>;
};

namespace detail {

/// Indices below a bound, each once, in the order in which they have come.
struct index_set {
  std::uint64_t* bits = nullptr;
  std::uint32_t* list = nullptr;
  std::uint32_t count = 0;

  [[nodiscard]] static std::size_t bytes(std::uint32_t bound) noexcept {
    return carver::bytes<std::uint64_t>(blocks_of(bound)) + carver::bytes<std::uint32_t>(bound);
  }
  void lay_out(carver& from, std::uint32_t bound) noexcept {
    bits = from.take<std::uint64_t>(blocks_of(bound));
    list = from.take<std::uint32_t>(bound);
  }
  [[nodiscard]] bool has(std::uint32_t i) const noexcept {
    return (bits[i / block_size] >> i % block_size & 1) != 0;
  }
  void add(std::uint32_t i) noexcept {
    if (has(i)) { return; }
    bits[i / block_size] |= std::uint64_t{1} << i % block_size;
    list[count++] = i;
  }
  void clear() noexcept {
    for (std::uint32_t k = 0; k < count; ++k) { bits[list[k] / block_size] = 0; }
    count = 0;
  }
  /// Calls use(i) for all, of which each has left before.
  template <class Use>
  void take_all(Use&& use) noexcept {
    for (std::uint32_t k = 0; k < count; ++k) {
      std::uint32_t const i = list[k];
      bits[i / block_size] &= ~(std::uint64_t{1} << i % block_size);
      use(i);
    }
    count = 0;
  }
  /// Calls use(i) for all, those as well that come meanwhile.
  template <class Use>
  void visit(Use&& use) const noexcept {
    for (std::uint32_t k = 0; k < count; ++k) { use(list[k]); }
  }
};

/// The arcs at each member's one side, in lists that an arc joins and leaves in its place.
struct incidence {
  struct link {
    std::uint32_t next;
    std::uint32_t before;
  };
  std::uint32_t* first = nullptr;
  link* links = nullptr;

  [[nodiscard]] static std::size_t bytes(std::uint32_t members, std::uint32_t arcs) noexcept {
    return carver::bytes<std::uint32_t>(members) + carver::bytes<link>(arcs);
  }
  void lay_out(carver& from, std::uint32_t members, std::uint32_t arcs) noexcept {
    first = from.take<std::uint32_t>(members, no_member);
    links = from.take<link>(arcs);
  }
  void add(std::uint32_t member, std::uint32_t a) noexcept {
    links[a] = {first[member], no_member};
    if (first[member] != no_member) { links[first[member]].before = a; }
    first[member] = a;
  }
  void remove(std::uint32_t member, std::uint32_t a) noexcept {
    link const gone = links[a];
    if (gone.next != no_member) { links[gone.next].before = gone.before; }
    (gone.before != no_member ? links[gone.before].next : first[member]) = gone.next;
  }
  template <class Use>
  void visit(std::uint32_t member, Use&& use) const noexcept {
    for (std::uint32_t a = first[member]; a != no_member; a = links[a].next) { use(a); }
  }
};

/// The least x with x[i] = base[i], joined with along(weight, x[from]) of all arcs to i. What rises
/// goes on from what there is: only arcs from members that have risen are looked at. Where a base
/// falls or an arc goes, who may owe something to it begins at its base again.
template <class L, class T, class W>
struct fixpoint_body : cell_head<array<T>> {
  L law;
  array<T> const* base;
  array<arc<W>> const* arcs;
  std::uint32_t size;
  std::uint32_t arc_count;
  std::uint32_t most_rounds;
  same_bits same{};
  std::uint64_t seen = 0;  // the pass up to which changes are done
  bool whole = false;      // what follows is what came out of it
  T* now = nullptr;        // members' values
  T* base_now = nullptr;
  arc<W>* arcs_now = nullptr;
  incidence out{};
  incidence in{};
  index_set rising{};   // members whose value is to flow on
  index_set next{};     // the same, of the next round
  index_set touched{};  // members whose value may be another than the one that others see
  index_set fallen{};   // members that begin again
  index_set fresh{};    // new arcs
  std::uint64_t calls = 0;

  [[nodiscard]] static std::size_t extra_bytes(std::uint32_t size, std::uint32_t arcs) noexcept {
    return carver::line + array_state<T>::bytes(size) + 2 * carver::bytes<T>(size) +
           carver::bytes<arc<W>>(arcs) + 2 * incidence::bytes(size, arcs) +
           4 * index_set::bytes(size) + index_set::bytes(arcs);
  }
  [[nodiscard]] std::size_t extra_bytes() const noexcept { return extra_bytes(size, arc_count); }
  void lay_out() noexcept {
    carver from(this + 1);
    array_access::of(this->value()).lay_out(from, size, T{});
    now = from.take<T>(size);
    base_now = from.take<T>(size);
    arcs_now = from.take<arc<W>>(arc_count);
    for (incidence* each : {&in, &out}) { each->lay_out(from, size, arc_count); }
    for (index_set* each : {&rising, &next, &touched, &fallen}) { each->lay_out(from, size); }
    fresh.lay_out(from, arc_count);
  }
  void repoint(void const* was, void const* is) noexcept {
    detail::repoint(base, was, is);
    detail::repoint(arcs, was, is);
  }

  /// Brings the members up to date, and counts calls of `along`; why that did not work.
  [[nodiscard]] error update(std::uint64_t pass) noexcept {
    bool const goes_on = std::exchange(whole, false);
    if (!goes_on) { forget(); }
    // all that a failure below leaves behind is forgotten next time
    take_base(goes_on);
    if (std::uint32_t const wrong = take_arcs(goes_on); wrong != no_member) {
      return {errc::bad_argument, {}, static_cast<std::int32_t>(wrong)};
    }
    begin_again();
    fresh.visit([&](std::uint32_t a) { flow(a); });
    fresh.clear();
    for (std::uint32_t rounds = 0; next.count != 0; ++rounds) {
      if (rounds == most_rounds) { return {errc::exhausted, {}, 0}; }
      std::swap(rising, next);
      rising.take_all([&](std::uint32_t i) { out.visit(i, [&](std::uint32_t a) { flow(a); }); });
    }
    whole = true;
    seen = pass;
    return {};
  }
  /// Gives what has come out to those who depend on it; whether it is a change.
  bool publish(std::uint64_t pass, bool first) noexcept {
    array_state<T>& to = array_access::of(this->value());
    bool differs = first;
    touched.visit([&](std::uint32_t i) {
      if (!first && same(std::as_const(to.values[i]), std::as_const(now[i]))) { return; }
      to.values[i] = now[i];
      to.mark(i / block_size, std::uint64_t{1} << i % block_size, pass);
      differs = true;
    });
    touched.clear();
    return differs;
  }

 private:
  static constexpr bool is_strict = [] {
    if constexpr (requires { L::strict; }) { return static_cast<bool>(L::strict); }
    return false;
  }();

  [[nodiscard]] static bool is_there(arc<W> const& a) noexcept {
    return a.from != no_member && a.to != no_member;
  }
  /// Whether an arc gives at least what it gave, whatever flows along it.
  [[nodiscard]] bool rises(arc<W> const& was, arc<W> const& is) const noexcept {
    if constexpr (requires { law.rises(was.weight, is.weight); }) {
      return is_there(was) && was.from == is.from && was.to == is.to &&
             law.rises(was.weight, is.weight);
    } else {
      return false;
    }
  }
  void forget() noexcept {
    for (index_set* each : {&rising, &next, &touched, &fallen, &fresh}) { each->clear(); }
    std::fill_n(out.first, size, no_member);
    std::fill_n(in.first, size, no_member);
    std::fill_n(arcs_now, arc_count, arc<W>{});
  }
  void rise(std::uint32_t i, T const& by) noexcept {
    T const joined = law.join(std::as_const(now[i]), by);
    if (same(std::as_const(now[i]), joined)) { return; }
    now[i] = joined;
    touched.add(i);
    if (!rising.has(i)) { next.add(i); }  // else its turn in this round is still to come
  }
  [[nodiscard]] T given(arc<W> const& a, T const& from) noexcept {
    ++calls;
    return law.along(a.weight, from);
  }
  void flow(std::uint32_t a) noexcept {
    rise(arcs_now[a].to, given(arcs_now[a], now[arcs_now[a].from]));
  }
  [[nodiscard]] bool is_at_most(T const& a, T const& b) const noexcept {
    return same(law.join(a, b), b);
  }
  /// Whether some of what a member had came along an arc. What it begins with did not; and where
  /// less gives less, who has the most had it from who has the most, all the way from a base.
  [[nodiscard]] bool owes(arc<W> const& a) noexcept {
    T const* const had = array_access::of(this->value()).values;
    T const got = given(a, had[a.from]);
    if (is_at_most(got, base_now[a.to])) { return false; }
    if constexpr (is_strict) { return is_at_most(had[a.to], got); }
    return true;
  }
  void fall(arc<W> const& a) noexcept {
    if (!fallen.has(a.to) && owes(a)) { fallen.add(a.to); }
  }
  void take_base(bool goes_on) noexcept {
    array_state<T> const& from = array_access::of(*base);
    if (!goes_on) {
      for (std::uint32_t i = 0; i < size; ++i) {
        base_now[i] = from.values[i];
        fallen.add(i);
      }
      return;
    }
    from.visit_changes(seen, [&](std::uint32_t block, std::uint64_t mask) {
      for_each_bit(mask, [&](std::uint32_t k) {
        std::uint32_t const i = block * block_size + k;
        T const was = std::exchange(base_now[i], from.values[i]);
        if (is_at_most(was, base_now[i])) {
          rise(i, base_now[i]);
        } else if (!is_strict || is_at_most(array_access::of(this->value()).values[i], was)) {
          fallen.add(i);
        }
      });
    });
  }
  /// @return the first arc to or from what is no member
  [[nodiscard]] std::uint32_t take_arcs(bool goes_on) noexcept {
    array_state<arc<W>> const& from = array_access::of(*arcs);
    std::uint32_t wrong = no_member;
    auto const take = [&](std::uint32_t a) {
      arc<W> const was = std::exchange(arcs_now[a], from.values[a]), &is = arcs_now[a];
      if (rises(was, is)) {
        fresh.add(a);
        return;
      }
      if (is_there(was)) {
        out.remove(was.from, a);
        in.remove(was.to, a);
        fall(was);
      }
      if (!is_there(is)) { return; }
      if (is.from >= size || is.to >= size) {
        wrong = std::min(wrong, a);
        return;
      }
      out.add(is.from, a);
      in.add(is.to, a);
      fresh.add(a);
    };
    if (goes_on) {
      from.visit_changes(seen, [&](std::uint32_t block, std::uint64_t mask) {
        for_each_bit(mask, [&](std::uint32_t k) { take(block * block_size + k); });
      });
    } else {
      for (std::uint32_t a = 0; a < arc_count; ++a) { take(a); }
      fresh.clear();  // all members begin again, and rise
    }
    return wrong;
  }
  /// Who owes something to members that have fallen gets its base, and what the others have for it.
  void begin_again() noexcept {
    fallen.visit([&](std::uint32_t i) {
      now[i] = base_now[i];
      touched.add(i);
      next.add(i);
      out.visit(i, [&](std::uint32_t a) { fall(arcs_now[a]); });
    });
    fallen.visit([&](std::uint32_t i) {
      in.visit(i, [&](std::uint32_t a) {
        if (!fallen.has(arcs_now[a].from)) { flow(a); }
      });
    });
    fallen.clear();
  }
};
template <class P, class Body, class T>
struct fixpoint_kind {
  static bool run(engine<P>& e, std::uint32_t i) noexcept {
    node<P>& n = e.nodes(i);
    if (error const why = e.source_failure(n); why.code != errc::ok) {
      return e.set_failure(n, why);  // what has changed meanwhile is done when it is gone
    }
    auto& mine = *static_cast<Body*>(n.body);
    error const why = mine.update(e.pass);
    e.count_runs(std::exchange(mine.calls, 0));
    if (why.code != errc::ok) { return e.set_failure(n, why); }
    bool const differs = mine.publish(e.pass, n.has(valueless));
    n.clear(valueless);
    return e.set_failure(n, {}) || differs;
  }
  static constexpr kind<P> is{.is = role::computed,
                              .sweep = engine<P>::step,
                              .run = run,
                              .destroy = destroy_body<Body, P>,
                              .type = type_of<array<T>>,
                              .repoint = repoint_body<Body>};
};

}  // namespace detail

}  // namespace millrace::inline v0::propagate
