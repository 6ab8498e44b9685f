// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/core/isa.hpp>
#include <millrace/core/platform.hpp>
#include <millrace/delta/change_set_ref.hpp>
#include <millrace/delta/combine.hpp>
#include <millrace/delta/key.hpp>
#include <millrace/delta/overlap.hpp>
#include <millrace/delta/simd/dense_lanes.hpp>
#include <millrace/delta/validate.hpp>

#include <cuda/std/span>
#include <cuda/std/tuple>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>

namespace millrace::inline v0::delta {

/// Columns of one length whose index is the key: what change sets are applied to, and taken from.
/// Somebody else owns them. Trivially copyable.
template <class... Vs>
  requires(change_value<std::remove_const_t<Vs>> && ...)
class dense_ref {
 public:
  dense_ref() noexcept = default;
  /// @param columns [size] each
  MILLRACE_HD explicit dense_ref(std::size_t size, Vs*... columns) noexcept
      : columns_(columns...), size_{size} {}
  /// The one column.
  template <class V>
    requires(sizeof...(Vs) == 1 && (std::is_convertible_v<V (*)[], Vs (*)[]> && ...))
  MILLRACE_HD dense_ref(cuda::std::span<V> column) noexcept
      : columns_(column.data()), size_{column.size()} {}
  /// The same columns, read only.
  template <class... Ws>
    requires((std::is_same_v<Ws const, Vs> && !std::is_const_v<Ws>) && ...)
  MILLRACE_HD dense_ref(dense_ref<Ws...> const& other) noexcept
      : columns_(other.columns()), size_{other.size()} {}

  /// From spans.
  /// @error errc::bad_argument with the number of the first whose length is not that of the first
  [[nodiscard]] static MILLRACE_HD result<dense_ref> make(cuda::std::span<Vs>... columns) noexcept {
    std::size_t size = 0;
    std::int32_t number = 0, wrong = 0;
    (static_cast<void>(++number, size = number == 1 ? columns.size() : size,
                       wrong = wrong == 0 && columns.size() != size ? number : wrong),
     ...);
    if (wrong != 0) { return core::fail(errc::bad_argument, wrong); }
    return dense_ref(size, columns.data()...);
  }

  [[nodiscard]] MILLRACE_HD std::size_t size() const noexcept { return size_; }
  /// Column I, [size].
  template <std::size_t I = 0>
  [[nodiscard]] MILLRACE_HD auto* column() const noexcept {
    return cuda::std::get<I>(columns_);
  }
  [[nodiscard]] MILLRACE_HD cuda::std::tuple<Vs*...> const& columns() const noexcept {
    return columns_;
  }

 private:
  cuda::std::tuple<Vs*...> columns_{};
  std::size_t size_ = 0;
};

namespace detail {

/// What column I of a policy calls the difference of two values.
template <std::size_t I, class C>
struct difference_of {
  C const& combine;
  template <class V>
  [[nodiscard]] V operator()(V const& before, V const& after) const noexcept {
    return policy_of<I>(combine).difference(before, after);
  }
};

namespace base {
#include <millrace/delta/simd/dense_diff.inl>
}  // namespace base
#if defined(__x86_64__)
MILLRACE_TARGET_AVX2
namespace avx2 {
#include <millrace/delta/simd/dense_diff.inl>
}  // namespace avx2
MILLRACE_TARGET_END
MILLRACE_TARGET_AVX512
namespace avx512 {
#include <millrace/delta/simd/dense_diff.inl>
}  // namespace avx512
MILLRACE_TARGET_END
#endif

template <class... Vs, std::size_t... Is>
[[nodiscard]] MILLRACE_HD bool rows_differ(dense_ref<Vs...> const& a, dense_ref<Vs...> const& b,
                                           std::size_t i, std::index_sequence<Is...>) noexcept {
  bool differ = false;
  ((differ = differ || !same_bits(a.template column<Is>()[i], b.template column<Is>()[i])), ...);
  return differ;
}

template <class C, class K, class... Vs, std::size_t... Is>
MILLRACE_HD void put_difference(dense_ref<Vs const...> const& before,
                                dense_ref<Vs const...> const& after, std::size_t i,
                                change_space<K, Vs...> const& out, std::size_t o, C const& combine,
                                std::index_sequence<Is...>) noexcept {
  out.put(o, static_cast<K>(i),
          policy_of<Is>(combine).difference(before.template column<Is>()[i],
                                            after.template column<Is>()[i])...);
}

/// Rows from `i` on, one by one, as far as there is room. @return rows looked at
template <class C, class K, class... Vs>
[[nodiscard]] MILLRACE_HD std::size_t diff_rows(dense_ref<Vs const...> const& before,
                                                dense_ref<Vs const...> const& after, std::size_t i,
                                                change_space<K, Vs...> const& out, std::size_t& o,
                                                C const& combine) noexcept {
  constexpr auto columns = std::index_sequence_for<Vs...>{};
  for (; i < before.size(); ++i) {
    if (!rows_differ(before, after, i, columns)) { continue; }
    if (o == out.capacity()) { break; }
    put_difference(before, after, i, out, o++, combine, columns);
  }
  return i;
}

template <class... Vs, std::size_t... Is>
[[nodiscard]] bool shares_bytes(dense_ref<Vs...> const& dense, void const* at, std::size_t bytes,
                                std::index_sequence<Is...>) noexcept {
  return (overlap(at, bytes, dense.template column<Is>(), dense.size() * sizeof(Vs)) || ...);
}
/// Whether a column of `out` shares bytes with one of `dense`.
template <class K, class... Vs, std::size_t... Is>
[[nodiscard]] bool overlaps_dense(change_space<K, Vs...> const& out,
                                  dense_ref<Vs const...> const& dense,
                                  std::index_sequence<Is...> columns) noexcept {
  std::size_t const rows = out.capacity();
  return shares_bytes(dense, out.keys(), rows * sizeof(K), columns) ||
         (shares_bytes(dense, out.template values<Is>(), rows * sizeof(Vs), columns) || ...);
}

/// Whether a column of `rows` shares bytes with one of `dense`.
template <class K, class... Vs, std::size_t... Is>
[[nodiscard]] bool overlaps_dense(change_set_ref<K, Vs...> const& rows,
                                  dense_ref<Vs...> const& dense,
                                  std::index_sequence<Is...> columns) noexcept {
  return shares_bytes(dense, rows.keys().data(), rows.size() * sizeof(K), columns) ||
         (shares_bytes(dense, rows.template values<Is>().data(), rows.size() * sizeof(Vs),
                       columns) ||
          ...);
}

/// Whether every index of `size` rows is a key.
template <class K>
[[nodiscard]] constexpr bool indexes(std::size_t size) noexcept {
  return size == 0 || size - 1 <= std::numeric_limits<K>::max();
}

/// The one row of `apply`.
template <class C, class K, class... Vs, std::size_t... Is>
MILLRACE_HD void apply_row(change_set_ref<K, Vs...> const& rows, std::size_t i,
                           dense_ref<Vs...> const& to, C const& combine,
                           std::index_sequence<Is...>) noexcept {
  [[maybe_unused]] auto const at = static_cast<std::size_t>(rows.key(i));
  (static_cast<void>(to.template column<Is>()[at] = policy_of<Is>(combine)(
                         to.template column<Is>()[at], rows.template value<Is>(i))),
   ...);
}

template <class C, class V>
void apply_block(V* to, V const* values, C const& combine) noexcept {
  for (std::size_t i = 0; i < 32; ++i) { to[i] = combine(to[i], values[i]); }
}

template <class C, class K, class... Vs, std::size_t... Is>
void apply_rows(change_set_ref<K, Vs...> const& rows, dense_ref<Vs...> const& to, C const& combine,
                std::index_sequence<Is...> columns) noexcept {
  constexpr std::size_t ahead = 24;  // rows: several misses are under way at a time
  K const* const keys = rows.keys().data();
  // From four lines between rows on, the processor's own prefetcher no longer fetches them all.
  constexpr std::size_t narrowest = std::min({std::size_t{256}, sizeof(Vs)...});
  bool const sparse = rows.size() < to.size() / (256 / narrowest);
  std::size_t i = 0;
  while (i < rows.size()) {
    if (!sparse && i + 32 <= rows.size() && keys[i + 31] - keys[i] == 31) {
      (apply_block(to.template column<Is>() + keys[i], rows.template values<Is>().data() + i,
                   policy_of<Is>(combine)),
       ...);
      i += 32;
      continue;
    }
    std::size_t const end = i + 32 < rows.size() ? i + 32 : rows.size();
    for (; i < end; ++i) {
      if (sparse && i + ahead < rows.size()) {
        (core::prefetch_write(to.template column<Is>() + keys[i + ahead]), ...);
      }
      apply_row(rows, i, to, combine, columns);
    }
  }
}

}  // namespace detail

/// Combines each row into the dense columns: at a row's key, `combine` makes the new value of what
/// is there (older) and the row's. No rule drops anything: a dense column has a value everywhere.
/// @param rows unique, increasing keys below to.size()
/// @error errc::bad_argument: the first row whose key is not below to.size() (2^31 - 1 for all
///        beyond), or -1: the rows share bytes with the columns. Nothing is written  @cost O(rows)
///        @thread any; one caller per column
template <class C, change_key K, change_value... Vs>
  requires combine_policy<C, Vs...>
[[nodiscard]] result<void> apply(change_set_ref<K, Vs...> rows,
                                 std::type_identity_t<dense_ref<Vs...>> to,
                                 C const& combine) noexcept {
  if (rows.empty()) { return {}; }
  if (detail::overlaps_dense(rows, to, std::index_sequence_for<Vs...>{})) {
    return core::fail(errc::bad_argument, -1);
  }
  if (static_cast<std::size_t>(rows.key(rows.size() - 1)) >= to.size()) {
    // keys increase, and to.size() is a key, since one above or equal to it is
    return detail::bad_row(rows.lower_bound(static_cast<K>(to.size())));
  }
  detail::apply_rows(rows, to, combine, std::index_sequence_for<Vs...>{});
  return {};
}

/// How many rows of two dense tables differ in the bits of some column.
/// @param after as many rows as `before`
/// @cost O(n), at the speed of reading both  @thread any
template <class... Ws>
[[nodiscard]] std::size_t count_differences(dense_ref<Ws...> before, dense_ref<Ws...> after,
                                            core::isa which = core::best_isa()) noexcept {
  MILLRACE_ASSERT(before.size() == after.size());
  constexpr auto columns = std::index_sequence_for<Ws...>{};
  dense_ref<std::remove_const_t<Ws> const...> const a(before), b(after);
  std::size_t const size = a.size();
  std::size_t count = 0;
#if defined(__x86_64__)
  if (which == core::isa::avx512 && core::has_isa(which)) {
    count = detail::avx512::count_blocks<std::remove_const_t<Ws>...>(a.columns(), b.columns(), size,
                                                                     columns);
  } else if (which != core::isa::scalar && core::has_isa(core::isa::avx2)) {
    count = detail::avx2::count_blocks<std::remove_const_t<Ws>...>(a.columns(), b.columns(), size,
                                                                   columns);
  } else
#endif
  {
    static_cast<void>(which);
    count = detail::base::count_blocks<std::remove_const_t<Ws>...>(a.columns(), b.columns(), size,
                                                                   columns);
  }
  for (std::size_t i = size / 64 * 64; i < size; ++i) {
    count += detail::rows_differ(a, b, i, columns) ? 1 : 0;
  }
  return count;
}

/// The changes that make `after` of `before`: a row for each index at which the bits of some column
/// differ, with what `combine` calls the difference, so that apply(rows, before, combine) gives
/// `after` bit for bit. (Of last_writer that is the later value; of add and count, for integers
/// alone, what was added; of exclusive_or the bits that changed.)
/// @param after as many rows as `before`
/// @param out   room for the rows, sharing no bytes with the tables
/// @return rows written; what lies behind them in `out` is undefined
/// @error  errc::bad_argument: (2) the tables' lengths differ, or the last index is no key, (3) out
///         overlaps a table; errc::full with the rows needed (2^31 - 1 for all beyond; also
///         count_differences): out is too short, and what it holds is undefined
/// @cost   O(n), at the speed of reading both tables where few rows differ  @thread any
template <class C, change_key K, change_value... Vs>
  requires invertible_policy<C, Vs...> && (sizeof...(Vs) > 0)
[[nodiscard]] result<std::size_t> diff(std::type_identity_t<dense_ref<Vs const...>> before,
                                       std::type_identity_t<dense_ref<Vs const...>> after,
                                       change_space<K, Vs...> out, C const& combine,
                                       core::isa which = core::best_isa()) noexcept {
  constexpr auto columns = std::index_sequence_for<Vs...>{};
  std::size_t const size = before.size();
  if (after.size() != size || !detail::indexes<K>(size)) {
    return core::fail(errc::bad_argument, 2);
  }
  if (detail::overlaps_dense(out, before, columns) || detail::overlaps_dense(out, after, columns)) {
    return core::fail(errc::bad_argument, 3);
  }
  std::size_t i = 0, o = 0;
#if defined(__x86_64__)
  if (which == core::isa::avx512 && core::has_isa(which)) {
    i = detail::avx512::diff_blocks<K, C, Vs...>(before.columns(), after.columns(), size, out, o,
                                                 combine, columns);
  } else if (which != core::isa::scalar && core::has_isa(core::isa::avx2)) {
    i = detail::avx2::diff_blocks<K, C, Vs...>(before.columns(), after.columns(), size, out, o,
                                               combine, columns);
  } else
#endif
  {
    static_cast<void>(which);
    i = detail::base::diff_blocks<K, C, Vs...>(before.columns(), after.columns(), size, out, o,
                                               combine, columns);
  }
  if (detail::diff_rows(before, after, i, out, o, combine) != size) {
    constexpr std::size_t most = 0x7FFF'FFFF;
    std::size_t const needed = count_differences(before, after, which);
    return core::fail(errc::full, static_cast<std::int32_t>(needed < most ? needed : most));
  }
  return o;
}

static_assert(std::is_trivially_copyable_v<dense_ref<float, double>> &&
              std::is_convertible_v<dense_ref<float>, dense_ref<float const>>);

}  // namespace millrace::inline v0::delta
