// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/core/isa.hpp>
#include <millrace/delta/change_set.hpp>
#include <millrace/delta/change_set_ref.hpp>
#include <millrace/delta/combine.hpp>
#include <millrace/delta/key.hpp>
#include <millrace/delta/merge.hpp>
#include <millrace/delta/sort.hpp>
#include <millrace/delta/validate.hpp>
#include <millrace/memory/buffer.hpp>
#include <millrace/memory/resource.hpp>

#include <cuda/std/tuple>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>

namespace millrace::inline v0::delta {

namespace detail {

/// Whether folding asks the drop rule. The builder puts it off until nothing more can arrive.
enum class drop : std::uint8_t { never, at_the_end };

template <drop Drop, class Rows, class C, class K, class... Vs, std::size_t... Is>
[[nodiscard]] std::size_t fold_ordered(Rows const& rows, change_space<K, Vs...> const& out,
                                       C const& combine, std::index_sequence<Is...>) noexcept {
  std::size_t const size = rows.size();
  std::size_t o = 0;
  for (std::size_t i = 0; i < size;) {
    K const key = rows.key(i);
    cuda::std::tuple<Vs...> folded(rows.template value<Is>(i)...);
    for (++i; i < size && rows.key(i) == key; ++i) {
      ((cuda::std::get<Is>(folded) =
            policy_of<Is>(combine)(cuda::std::get<Is>(folded), rows.template value<Is>(i))),
       ...);
    }
    if constexpr (Drop == drop::at_the_end) {
      if (drops_row(combine, cuda::std::get<Is>(folded)...)) { continue; }
    }
    out.put(o++, key, cuda::std::get<Is>(folded)...);
  }
  return o;
}
/// Folds rows whose keys do not decrease, equal keys in their order, into one row a key.
template <drop Drop, class Rows, class C, class K, class... Vs>
[[nodiscard]] std::size_t fold_ordered(Rows const& rows, change_space<K, Vs...> const& out,
                                       C const& combine) noexcept {
  return fold_ordered<Drop>(rows, out, combine, std::index_sequence_for<Vs...>{});
}

/// The stretches of rows whose keys do not decrease, as long as there are few of them.
template <std::size_t Most>
struct natural_runs {
  std::size_t count = 0;
  std::size_t ends[Most] = {};  ///< of each

  /// Finds them, or gives up at the first too many.
  /// @return whether there are at most `Most`
  template <class K>
  [[nodiscard]] bool find(K const* keys, std::size_t size) noexcept {
    for (std::size_t i = 1; i < size; ++i) {
      if (keys[i] < keys[i - 1]) {
        if (count + 1 == Most) { return false; }
        ends[count++] = i;
      }
    }
    ends[count++] = size;
    return true;
  }
};

/// As many runs are merged pair by pair; more are quicker sorted.
inline constexpr std::size_t merged_runs = 16;

/// Merges natural runs until there is one, and folds it.
template <drop Drop, class C, class Resource, class K, class... Vs>
[[nodiscard]] result<std::size_t> fold_runs(change_set_ref<K, Vs...> rows,
                                            natural_runs<merged_runs> runs,
                                            change_space<K, Vs...> out, C const& combine,
                                            Resource from) noexcept {
  std::size_t const size = rows.size();
  auto scratch = basic_change_set<Resource, K, Vs...>::make(runs.count > 2 ? 2 * size : size, from);
  if (!scratch) { return cuda::std::unexpected<error>(scratch.error()); }
  auto to = scratch->space(), other = to.from(size);
  while (runs.count > 1) {
    std::size_t begin = 0, made = 0;
    for (std::size_t r = 0; r < runs.count; r += 2) {
      std::size_t const middle = runs.ends[r];
      std::size_t const end = r + 1 < runs.count ? runs.ends[r + 1] : middle;
      auto const put = interleave(rows.slice(begin, middle - begin),
                                  rows.slice(middle, end - middle), to.from(begin));
      MILLRACE_ASSERT(put.has_value());
      static_cast<void>(put);
      runs.ends[made++] = begin = end;
    }
    runs.count = made;
    rows = to.filled(size);
    std::swap(to, other);
  }
  return fold_ordered<Drop>(rows, out, combine);
}

/// What goes with a key while rows are sorted: the value itself where there is one of up to 8
/// bytes.
template <class... Vs>
inline constexpr bool sorts_values = false;
template <class V>
inline constexpr bool sorts_values<V> = sizeof(V) <= 8;

/// Rows in any order, sorted and folded: where there are more than a cache holds, dealt to piles
/// first, each of which is sorted and folded while it is there.
template <drop Drop, class Tag, class C, class Resource, class K, class... Vs>
class sorted_fold {
 public:
  sorted_fold(change_set_ref<K, Vs...> rows, change_space<K, Vs...> out, C const& combine) noexcept
      : rows_{rows}, out_{out}, combine_{combine} {}

  /// @error that of the scratch
  [[nodiscard]] result<std::size_t> run(Resource from) noexcept {
    std::size_t const size = rows_.size();
    K const* const keys = rows_.keys().data();
    K varying = 0;
    for (std::size_t i = 0; i < size; ++i) {
      varying = static_cast<K>(varying | (keys[i] ^ keys[0]));
    }
    int const bits = static_cast<int>(std::bit_width(varying));
    int const pile_bits = size <= sorter::cached ? 0 : std::min(bits, sorter::pile_bits(size));
    int const shift = pile_bits == 0 ? 0 : bits - pile_bits;
    std::size_t const mask = (std::size_t{1} << pile_bits) - 1;
    std::size_t ends[std::size_t{1} << sorter::most_pile_bits];
    std::size_t largest = size;
    if (pile_bits != 0) {
      std::fill(ends, ends + mask + 1, std::size_t{0});
      for (std::size_t i = 0; i < size; ++i) { ++ends[(keys[i] >> shift) & mask]; }
      largest = *std::max_element(ends, ends + mask + 1);
      std::size_t before = 0;
      for (std::size_t pile = 0; pile <= mask; ++pile) {
        before += std::exchange(ends[pile], before);
      }
    }
    auto scratch = memory::buffer<item, Resource>::make(size + largest, from, alignof(item));
    if (!scratch) { return cuda::std::unexpected<error>(scratch.error()); }
    item* const items = scratch->data();
    if (pile_bits == 0) {
      for (std::size_t i = 0; i < size; ++i) { items[i] = item_of(i); }
      ends[0] = size;
    } else {
      for (std::size_t i = 0; i < size; ++i) {
        items[ends[(keys[i] >> shift) & mask]++] = item_of(i);
      }
    }
    std::size_t begin = 0, o = 0;
    for (std::size_t pile = 0; pile <= mask; ++pile) {
      std::size_t const count = ends[pile] - begin;
      ordered const sorted{rows_, sorter::sort(items + begin, items + size, count), count};
      o += fold_ordered<Drop>(sorted, out_.from(o), combine_);
      begin = ends[pile];
    }
    return o;
  }

 private:
  using item = sort_item<K, Tag>;
  using sorter = radix_sorter<item>;

  [[nodiscard]] item item_of(std::size_t i) const noexcept {
    if constexpr (sorts_values<Vs...>) {
      return {rows_.key(i), rows_.value(i)};
    } else {
      return {rows_.key(i), static_cast<Tag>(i)};
    }
  }
  /// Sorted items, seen as rows.
  struct ordered {
    change_set_ref<K, Vs...> const& rows;
    item const* items;
    std::size_t count;

    [[nodiscard]] std::size_t size() const noexcept { return count; }
    [[nodiscard]] K key(std::size_t i) const noexcept { return items[i].key; }
    template <std::size_t I>
    [[nodiscard]] auto const& value(std::size_t i) const noexcept {
      if constexpr (sorts_values<Vs...>) {
        return items[i].tag;
      } else {
        return rows.template value<I>(static_cast<std::size_t>(items[i].tag));
      }
    }
  };

  change_set_ref<K, Vs...> rows_;
  change_space<K, Vs...> out_;
  C const& combine_;
};

/// Sorts and folds; `out` has room for all rows and shares no bytes with them.
template <drop Drop, class C, class Resource, class K, class... Vs>
[[nodiscard]] result<std::size_t> sort_and_fold(change_set_ref<K, Vs...> rows,
                                                change_space<K, Vs...> out, C const& combine,
                                                Resource from) noexcept {
  std::size_t const size = rows.size();
  std::size_t const ordered = first_unsorted(rows);
  if (ordered == size && (Drop == drop::never || !may_drop<C, Vs...>)) {
    copy_rows(rows, out);
    return size;
  }
  natural_runs<merged_runs> runs;
  if (ordered == size || runs.find(rows.keys().data(), size)) {
    return runs.count < 2 ? result<std::size_t>(fold_ordered<Drop>(rows, out, combine))
                          : fold_runs<Drop>(rows, runs, out, combine, from);
  }
  using narrow = std::uint32_t;
  using wide = std::uint64_t;
  if constexpr (sorts_values<Vs...>) {
    using value = cuda::std::tuple_element_t<0, cuda::std::tuple<Vs...>>;
    return sorted_fold<Drop, value, C, Resource, K, Vs...>(rows, out, combine).run(from);
  } else if (size <= std::numeric_limits<narrow>::max()) {
    return sorted_fold<Drop, narrow, C, Resource, K, Vs...>(rows, out, combine).run(from);
  } else {
    return sorted_fold<Drop, wide, C, Resource, K, Vs...>(rows, out, combine).run(from);
  }
}

}  // namespace detail

/// Makes a change set of rows in any order: sorted by key, and rows of one key folded from the left
/// in the order in which they stand: combine(combine(v1, v2), v3). A row whose folded value the
/// policy drops is left out. What is sorted already, or is a few sorted stretches, is not sorted
/// again.
/// @param rows in any order, keys repeating; a ref that is not yet a change set
/// @param out  room for as many rows, sharing no bytes with them
/// @param from gives scratch for two copies of the rows while they are sorted
/// @return rows written; what lies behind them in `out` is undefined
/// @error  errc::bad_argument (2): out is too short or overlaps the rows; errc::out_of_memory.
///         Nothing is written
/// @cost   O(n) for a bounded number of key bits; one allocation, none when sorted  @thread any;
/// one caller per out
template <class C, memory::host_accessible_resource Scratch = memory::host_resource, change_key K,
          change_value... Vs>
  requires combine_policy<C, Vs...>
[[nodiscard]] result<std::size_t> consolidate(change_set_ref<K, Vs...> rows,
                                              change_space<K, Vs...> out, C const& combine,
                                              Scratch from = {}) noexcept {
  constexpr auto columns = std::index_sequence_for<Vs...>{};
  if (out.capacity() < rows.size() || detail::overlap(out, rows.size(), rows, columns, columns)) {
    return core::fail(errc::bad_argument, 2);
  }
  return detail::sort_and_fold<detail::drop::at_the_end>(rows, out, combine, from);
}

/// The same into a change set of its own, in memory of `from` like its scratch. Its capacity is the
/// number of rows given.
/// @error errc::out_of_memory
template <class C, memory::host_accessible_resource Resource = memory::host_resource, change_key K,
          change_value... Vs>
  requires combine_policy<C, Vs...>
[[nodiscard]] result<basic_change_set<Resource, K, Vs...>> consolidate(
    change_set_ref<K, Vs...> rows, C const& combine, Resource from = {}) noexcept {
  auto made = basic_change_set<Resource, K, Vs...>::make(rows.size(), from);
  if (!made) { return made; }
  auto const size = consolidate(rows, made->space(), combine, from);
  if (!size) { return cuda::std::unexpected<error>(size.error()); }
  made->set_size(*size);
  return made;
}

}  // namespace millrace::inline v0::delta
