// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/core/isa.hpp>
#include <millrace/delta/change_set_ref.hpp>
#include <millrace/delta/combine.hpp>
#include <millrace/delta/key.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace millrace::inline v0::delta {

namespace detail {
namespace base {
#include <millrace/delta/simd/increasing.inl>
}  // namespace base
#if defined(__x86_64__)
MILLRACE_TARGET_AVX2
namespace avx2 {
#include <millrace/delta/simd/increasing.inl>
}  // namespace avx2
MILLRACE_TARGET_END
MILLRACE_TARGET_AVX512
namespace avx512 {
#include <millrace/delta/simd/increasing.inl>
}  // namespace avx512
MILLRACE_TARGET_END
#endif

template <class C, class K, class... Vs, std::size_t... Is>
[[nodiscard]] MILLRACE_HD bool row_is_dropped(change_set_ref<K, Vs...> const& rows, std::size_t i,
                                              C const& combine,
                                              std::index_sequence<Is...>) noexcept {
  return drops_row(combine, rows.template value<Is>(i)...);
}

/// An error that names a row. Rows beyond 2^31 - 1 are named by that number.
[[nodiscard]] MILLRACE_HD inline cuda::std::unexpected<error> bad_row(std::size_t row) noexcept {
  constexpr std::size_t most = 0x7FFF'FFFF;
  return core::fail(errc::bad_argument, static_cast<std::int32_t>(row < most ? row : most));
}

}  // namespace detail

/// The first row whose key is not above the key of the row before it; size() when keys are unique
/// and increase, as those of a change set do.
/// @cost O(n), at the speed of reading keys  @thread any
template <change_key K, change_value... Vs>
[[nodiscard]] std::size_t first_unsorted(change_set_ref<K, Vs...> rows,
                                         core::isa which = core::best_isa()) noexcept {
  std::size_t const size = rows.size();
  if (size < 2) { return size; }
  K const* const keys = rows.keys().data();
#if defined(__x86_64__)
  if (which == core::isa::avx512 && core::has_isa(which)) {
    return detail::avx512::first_not_above(keys, size);
  }
  if (which != core::isa::scalar && core::has_isa(core::isa::avx2)) {
    return detail::avx2::first_not_above(keys, size);
  }
#endif
  static_cast<void>(which);
  return detail::base::first_not_above(keys, size);
}

/// The first row that `combine` would drop, which no input of a merge may hold; size() when there
/// is none.
/// @cost O(n); O(1) for a policy without a drop rule  @thread any
template <class C, change_key K, change_value... Vs>
  requires combine_policy<C, Vs...>
[[nodiscard]] MILLRACE_HD std::size_t first_dropped(change_set_ref<K, Vs...> rows,
                                                    C const& combine) noexcept {
  if constexpr (may_drop<C, Vs...>) {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (detail::row_is_dropped(rows, i, combine, std::index_sequence_for<Vs...>{})) { return i; }
    }
  }
  return rows.size();
}

/// Whether the rows are a change set: keys unique and increasing.
/// @error errc::bad_argument with the first row whose key is not above the one before it (2^31 - 1
///        for all beyond; first_unsorted says which)
/// @cost  O(n), at the speed of reading keys  @thread any
template <change_key K, change_value... Vs>
[[nodiscard]] result<void> validate(change_set_ref<K, Vs...> rows,
                                    core::isa which = core::best_isa()) noexcept {
  std::size_t const at = first_unsorted(rows, which);
  if (at != rows.size()) { return detail::bad_row(at); }
  return {};
}

/// Whether the rows are what `combine` may be given: a change set with no row that it would drop.
/// @error errc::bad_argument with the first row that is wrong in either way
/// @cost  O(n)  @thread any
template <class C, change_key K, change_value... Vs>
  requires combine_policy<C, Vs...>
[[nodiscard]] result<void> validate(change_set_ref<K, Vs...> rows, C const& combine,
                                    core::isa which = core::best_isa()) noexcept {
  std::size_t const unsorted = first_unsorted(rows, which);
  std::size_t const dropped = first_dropped(rows.slice(0, unsorted), combine);
  std::size_t const at = dropped < unsorted ? dropped : unsorted;
  if (at != rows.size()) { return detail::bad_row(at); }
  return {};
}

}  // namespace millrace::inline v0::delta
