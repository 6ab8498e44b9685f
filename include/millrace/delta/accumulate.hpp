// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/delta/change_set.hpp>
#include <millrace/delta/change_set_ref.hpp>
#include <millrace/delta/combine.hpp>
#include <millrace/delta/gallop.hpp>
#include <millrace/delta/key.hpp>
#include <millrace/delta/merge.hpp>
#include <millrace/memory/resource.hpp>

#include <cuda/std/tuple>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

namespace millrace::inline v0::delta {

namespace detail {

/// A merge into the longer run's own room: three walks over the short run, each of which seeks its
/// keys by galloping. First, pairs are combined where they are; a combined row that the policy
/// drops is recognised by its value from then on. Then rows move, each to its final place and at
/// most once: a row's shift is the number of rows put in before it less those dropped. Rows that
/// move down go in order; a stretch that moves up goes from its end.
template <class C, class K, class... Vs>
class accumulation {
 public:
  using rows_type = change_set_ref<K, Vs...>;
  using space_type = change_space<K, Vs...>;

  accumulation(space_type into, std::size_t size, rows_type newer, C const& combine) noexcept
      : into_{into}, size_{size}, newer_{newer}, combine_{combine} {}

  /// What a merge would add and drop; changes nothing.
  void count() noexcept { walk<false>(); }
  /// The first walk.
  void combine_pairs() noexcept { walk<true>(); }

  [[nodiscard]] std::size_t result_size() const noexcept { return size_ + added_ - dropped_; }

  /// The others. Combined pairs and counts are there.
  void move_rows() noexcept {
    if (dropped_ == 0) {
      if (added_ != 0) { up({0, 0, 0}, {size_, newer_.size(), result_size()}); }
    } else {
      down_and_up();
    }
  }

 private:
  /// A place in all three sequences: `i` rows of what there was, `j` of newer, `o` of the result.
  struct place {
    std::size_t i, j, o;
  };
  static constexpr auto columns = std::index_sequence_for<Vs...>{};

  [[nodiscard]] rows_type old() const noexcept { return into_.filled(size_); }

  template <bool Write>
  void walk() noexcept {
    K const* const keys = into_.keys();
    added_ = dropped_ = 0;
    std::size_t i = 0;
    for (std::size_t j = 0; j < newer_.size(); ++j) {
      i = gallop_up(keys, i, size_, newer_.key(j));
      if (i == size_ || keys[i] != newer_.key(j)) {
        ++added_;
      } else {
        dropped_ += combine_pair<Write>(i, j, columns) ? 1 : 0;
        ++i;
      }
    }
  }

  /// Whether the pair is dropped.
  template <bool Write, std::size_t... Is>
  [[nodiscard]] bool combine_pair([[maybe_unused]] std::size_t i, [[maybe_unused]] std::size_t j,
                                  std::index_sequence<Is...>) noexcept {
    [[maybe_unused]] cuda::std::tuple<Vs...> const row(
        policy_of<Is>(combine_)(into_.template values<Is>()[i], newer_.template value<Is>(j))...);
    if constexpr (Write) {
      (static_cast<void>(into_.template values<Is>()[i] = cuda::std::get<Is>(row)), ...);
    }
    return drops_row(combine_, cuda::std::get<Is>(row)...);
  }
  template <std::size_t... Is>
  [[nodiscard]] bool dropped([[maybe_unused]] std::size_t i,
                             std::index_sequence<Is...>) const noexcept {
    return drops_row(combine_, into_.template values<Is>()[i]...);
  }

  template <std::size_t... Is>
  void move_block(std::size_t first, std::size_t last, std::size_t o,
                  std::index_sequence<Is...>) const noexcept {
    if (first == last || first == o) { return; }
    std::memmove(into_.keys() + o, into_.keys() + first, (last - first) * sizeof(K));
    (static_cast<void>(std::memmove(static_cast<void*>(into_.template values<Is>() + o),
                                    into_.template values<Is>() + first,
                                    (last - first) * sizeof(Vs))),
     ...);
  }

  /// Moves the rows between two places up, from the end; the shift at the first is zero.
  void up(place from, place to) const noexcept {
    K const* const keys = into_.keys();
    std::size_t i = to.i, o = to.o;
    for (std::size_t j = to.j; j > from.j; --j) {
      std::size_t const at = gallop_down(keys, from.i, i, newer_.key(j - 1));
      bool const pair = at > from.i && keys[at - 1] == newer_.key(j - 1);
      if (pair && !dropped(at - 1, columns)) { continue; }  // moves with the rows below
      o -= i - at;
      move_block(at, i, o, columns);
      i = at;
      if (pair) {
        --i;
      } else {
        put_row(newer_, j - 1, into_, --o, columns);
        if (o == i) { return; }  // nothing below moves
      }
    }
  }

  /// Moves rows where some were dropped.
  void down_and_up() const noexcept {
    K const* const keys = into_.keys();
    place here{0, 0, 0}, stretch{0, 0, 0};
    for (; here.j < newer_.size(); ++here.j) {
      std::size_t const at = gallop_up(keys, here.i, size_, newer_.key(here.j));
      bool const rising = here.o > here.i;
      if (!rising) { move_block(here.i, at, here.o, columns); }
      here.o += at - here.i;
      here.i = at;
      bool const pair = at < size_ && keys[at] == newer_.key(here.j);
      if (!pair) {
        if (here.o == here.i) {
          stretch = here;
        } else if (here.o < here.i) {
          put_row(newer_, here.j, into_, here.o, columns);
        }
        ++here.o;
      } else if (dropped(at, columns)) {
        ++here.i;
        if (rising && here.o == here.i) { up(stretch, {here.i, here.j + 1, here.o}); }
      }
    }
    if (here.o > here.i) {
      // of rows out of order more may seem to be added than the first walk found room for
      std::size_t const end = here.o + (size_ - here.i);
      if (end <= into_.capacity()) { up(stretch, {size_, newer_.size(), end}); }
    } else {
      move_block(here.i, size_, here.o, columns);
    }
  }

  space_type into_;
  std::size_t size_;
  rows_type newer_;
  C const& combine_;
  std::size_t added_ = 0;
  std::size_t dropped_ = 0;
};

}  // namespace detail

/// Merges `newer` into a run in its own room, for a newer run that is much the shorter: the rows of
/// merge, without a second room and without scratch.
/// @param into room whose first `size` rows are the older run
/// @return rows of the run now
/// @error  errc::full: the result does not fit; errc::bad_argument (3): newer overlaps `into`.
///         Nothing is changed
/// @cost   O(s log(n / s)) comparisons for s rows of newer, and each row that lies behind an added
///         or dropped one moves once; no allocation  @thread one a run
template <class C, change_key K, change_value... Vs>
  requires combine_policy<C, Vs...>
[[nodiscard]] result<std::size_t> accumulate(change_space<K, Vs...> into, std::size_t size,
                                             change_set_ref<K, Vs...> newer,
                                             C const& combine) noexcept {
  MILLRACE_ASSERT(size <= into.capacity());
  constexpr auto columns = std::index_sequence_for<Vs...>{};
  if (detail::overlap(into, into.capacity(), newer, columns, columns)) {
    return core::fail(errc::bad_argument, 3);
  }
  detail::accumulation<C, K, Vs...> work(into, size, newer, combine);
  if (newer.size() > into.capacity() - size) {
    work.count();
    if (work.result_size() > into.capacity()) { return core::fail(errc::full); }
  }
  work.combine_pairs();
  work.move_rows();
  return work.result_size();
}

/// The same for a change set, whose spare capacity takes the new rows.
/// @error errc::full: its capacity does not hold the result; errc::bad_argument (2): newer overlaps
///        the set. Nothing is changed
template <class C, memory::host_accessible_resource Resource, change_key K, change_value... Vs>
  requires combine_policy<C, Vs...>
[[nodiscard]] result<void> accumulate(basic_change_set<Resource, K, Vs...>& into,
                                      change_set_ref<K, Vs...> newer, C const& combine) noexcept {
  auto const size = accumulate(into.space(), into.size(), newer, combine);
  if (!size) {
    return size.error().code == errc::bad_argument ? core::fail(errc::bad_argument, 2)
                                                   : cuda::std::unexpected<error>(size.error());
  }
  into.set_size(*size);
  return {};
}

}  // namespace millrace::inline v0::delta
