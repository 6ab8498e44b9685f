// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/delta/key.hpp>

#include <cuda/std/tuple>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

namespace millrace::inline v0::delta {

namespace detail {

template <std::size_t Bytes>
using bits_of_size = std::conditional_t<Bytes == 4, std::uint32_t, std::uint64_t>;

template <class To, class From>
[[nodiscard]] MILLRACE_HD To bit_cast(From from) noexcept {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof(To));
  return to;
}

/// The one NaN that arithmetic gives: quiet, no payload, negative as x86 makes it of numbers.
/// Processors and devices differ in the NaN of an operation, and results are the same bits
/// everywhere.
template <class V>
inline constexpr bits_of_size<sizeof(V)> canonical_nan =
    sizeof(V) == 4 ? 0xFFC0'0000u : static_cast<bits_of_size<sizeof(V)>>(0xFFF8'0000'0000'0000ull);

/// By bits, which no compiler flag for fast mathematics removes.
template <class V>
[[nodiscard]] MILLRACE_HD bool is_nan(V x) noexcept {
  using B = bits_of_size<sizeof(V)>;
  constexpr B infinity =
      sizeof(V) == 4 ? B{0x7F80'0000u} : static_cast<B>(0x7FF0'0000'0000'0000ull);
  return (bit_cast<B>(x) & static_cast<B>(~B{0} >> 1)) > infinity;
}

/// Floating numbers as integers of the same order: -NaN < -inf < ... < -0 < +0 < ... < inf < NaN,
/// IEEE 754's totalOrder.
template <class V>
[[nodiscard]] MILLRACE_HD auto total_order(V x) noexcept {
  if constexpr (std::is_floating_point_v<V>) {
    using S = std::make_signed_t<bits_of_size<sizeof(V)>>;
    S const bits = bit_cast<S>(x);
    S const flip = static_cast<S>(bits >> (sizeof(V) * 8 - 1));
    return static_cast<S>(bits ^ static_cast<S>(static_cast<bits_of_size<sizeof(V)>>(flip) >> 1));
  } else {
    return x;
  }
}

template <class V>
concept number =
    std::is_arithmetic_v<V> && !std::is_same_v<V, bool> && !std::is_same_v<V, long double>;

}  // namespace detail

/// The sum. Integers wrap. Floating: older + newer in that order, rounded once, never contracted;
/// every NaN that comes out is the canonical one (quiet, positive, no payload). Commutative in
/// every bit. Associative for integers; for floating numbers only up to rounding, so an order of
/// merges is part of a result.
struct add {
  static constexpr bool commutative = true;
  template <class V>
  static constexpr bool associative = std::is_integral_v<V>;
  template <detail::number V>
  [[nodiscard]] MILLRACE_HD V operator()(V older, V newer) const noexcept {
    if constexpr (std::is_floating_point_v<V>) {
      V const sum = older + newer;
      return detail::is_nan(sum) ? detail::bit_cast<V>(detail::canonical_nan<V>) : sum;
    } else {
      using U = std::make_unsigned_t<V>;
      return static_cast<V>(static_cast<U>(static_cast<U>(older) + static_cast<U>(newer)));
    }
  }
  /// Of integers alone: floating differences are rounded.
  template <detail::number V>
    requires std::is_integral_v<V>
  [[nodiscard]] MILLRACE_HD V difference(V before, V after) const noexcept {
    using U = std::make_unsigned_t<V>;
    return static_cast<V>(static_cast<U>(static_cast<U>(after) - static_cast<U>(before)));
  }
};

/// The newer value. Associative, not commutative. For every type of value.
struct last_writer {
  static constexpr bool commutative = false;
  template <class V>
  static constexpr bool associative = true;
  template <change_value V>
  [[nodiscard]] MILLRACE_HD V operator()(V const&, V const& newer) const noexcept {
    return newer;
  }
  template <change_value V>
  [[nodiscard]] MILLRACE_HD V difference(V const&, V const& after) const noexcept {
    return after;
  }
};

namespace detail {

/// The first of two in the total order, or the last.
template <bool Last>
struct extreme {
  static constexpr bool commutative = true;
  template <class V>
  static constexpr bool associative = true;
  template <number V>
  [[nodiscard]] MILLRACE_HD V operator()(V older, V newer) const noexcept {
    auto const a = total_order(older), b = total_order(newer);
    return (Last ? a < b : b < a) ? newer : older;
  }
};

}  // namespace detail

/// The smaller. Floating numbers in totalOrder (-NaN first, -0 before +0, NaN last), so that it is
/// associative and commutative in every bit.
struct minimum : detail::extreme<false> {};

/// The larger; the order is that of `minimum`.
struct maximum : detail::extreme<true> {};

/// The bits that differ. Associative and commutative; a value is its own inverse. For numbers,
/// floating ones by their bits.
struct exclusive_or {
  static constexpr bool commutative = true;
  template <class V>
  static constexpr bool associative = true;
  template <detail::number V>
  [[nodiscard]] MILLRACE_HD V operator()(V older, V newer) const noexcept {
    if constexpr (std::is_floating_point_v<V>) {
      using B = detail::bits_of_size<sizeof(V)>;
      return detail::bit_cast<V>(detail::bit_cast<B>(older) ^ detail::bit_cast<B>(newer));
    } else {
      return static_cast<V>(older ^ newer);
    }
  }
  template <detail::number V>
  [[nodiscard]] MILLRACE_HD V difference(V before, V after) const noexcept {
    return (*this)(before, after);
  }
};

/// Multiplicities of a multiset: integers that add up, and a row whose count comes to zero is
/// dropped. Associative and commutative, as long as no input holds a zero (see validate).
struct count {
  static constexpr bool commutative = true;
  template <class V>
  static constexpr bool associative = true;
  template <detail::number V>
    requires std::is_integral_v<V>
  [[nodiscard]] MILLRACE_HD V operator()(V older, V newer) const noexcept {
    return add{}(older, newer);
  }
  template <detail::number V>
    requires std::is_integral_v<V>
  [[nodiscard]] MILLRACE_HD V difference(V before, V after) const noexcept {
    return add{}.difference(before, after);
  }
  template <detail::number V>
    requires std::is_integral_v<V>
  [[nodiscard]] static MILLRACE_HD constexpr bool drops(V value) noexcept {
    return value == 0;
  }
};

/// One policy a column. A row is dropped when every column whose policy has a rule drops it, and at
/// least one has. As associative as its policies, except where some have a rule and others do not:
/// a dropped row takes the others' values with it, so there the order of merges is part of the
/// result.
template <class... Cs>
struct by_column {
  static constexpr bool commutative = (Cs::commutative && ...);
  cuda::std::tuple<Cs...> of{};
};

namespace detail {

template <class C>
inline constexpr bool is_by_column = false;
template <class... Cs>
inline constexpr bool is_by_column<by_column<Cs...>> = true;

/// The policy of column I: one of by_column's, or the one policy that every column has.
template <std::size_t I, class C>
[[nodiscard]] MILLRACE_HD constexpr auto const& policy_of(C const& combine) noexcept {
  if constexpr (is_by_column<C>) {
    return cuda::std::get<I>(combine.of);
  } else {
    return combine;
  }
}
template <std::size_t I, class C>
using policy_type = std::remove_cvref_t<decltype(policy_of<I>(std::declval<C const&>()))>;

template <class C, class V>
concept combines_column = requires(C const c, V v) {
  { c(v, v) } noexcept -> std::same_as<V>;
  { C::commutative } -> std::convertible_to<bool>;
};

template <class C, class V>
inline constexpr bool has_drop_rule = requires(C const c, V v) {
  { c.drops(v) } noexcept -> std::same_as<bool>;
};

template <class C, class V>
concept has_difference = requires(C const c, V v) {
  { c.difference(v, v) } noexcept -> std::same_as<V>;
};

template <class C, class Is, class... Vs>
inline constexpr bool combines_all = false;
template <class C, std::size_t... Is, class... Vs>
inline constexpr bool combines_all<C, std::index_sequence<Is...>, Vs...> =
    (combines_column<policy_type<Is, C>, Vs> && ...);
template <class... Cs, std::size_t... Is, class... Vs>
inline constexpr bool combines_all<by_column<Cs...>, std::index_sequence<Is...>, Vs...> = [] {
  if constexpr (sizeof...(Cs) == sizeof...(Vs)) {
    return (combines_column<Cs, Vs> && ...);
  } else {
    return false;
  }
}();

/// Whether a policy may drop a combined row of these columns.
template <class C, class Is, class... Vs>
inline constexpr bool any_drop_rule = false;
template <class C, std::size_t... Is, class... Vs>
inline constexpr bool any_drop_rule<C, std::index_sequence<Is...>, Vs...> =
    (has_drop_rule<policy_type<Is, C>, Vs> || ...);

/// Whether every column has a difference.
template <class C, class Is, class... Vs>
inline constexpr bool all_differences = false;
template <class C, std::size_t... Is, class... Vs>
inline constexpr bool all_differences<C, std::index_sequence<Is...>, Vs...> =
    (has_difference<policy_type<Is, C>, Vs> && ...);

}  // namespace detail

/// How two values of one key become one: a struct with
/// - `V operator()(V older, V newer) const noexcept`, MILLRACE_HD where kernels combine too,
/// - `static constexpr bool commutative`: whether the order of the two never matters, in any bit,
/// - optionally `bool drops(V) const noexcept`: whether a row with this value is no row. It is
///   asked of combined rows only: inputs hold no row that it would drop,
/// - optionally `V difference(V before, V after) const noexcept`: the value that makes `after` of
///   `before`, bit for bit; see diff,
/// - optionally `template <class V> static constexpr bool associative`: whether (a b) c and a (b c)
///   are the same bits for all values of V, and a value that it drops changes nothing that it is
///   combined with. Where it does not say so, the order in which runs were merged is part of a
///   result, and what merges more than two keeps to the order of arrival,
/// or by_column of such structs. A user's functor is a policy of its own.
template <class C, class... Vs>
concept combine_policy = std::is_trivially_copyable_v<C> &&
                         detail::combines_all<C, std::index_sequence_for<Vs...>, Vs...>;

/// A policy that can also say what makes one value of another.
template <class C, class... Vs>
concept invertible_policy =
    combine_policy<C, Vs...> && detail::all_differences<C, std::index_sequence_for<Vs...>, Vs...>;

/// Whether `combine` may drop rows with these columns.
template <class C, class... Vs>
inline constexpr bool may_drop = detail::any_drop_rule<C, std::index_sequence_for<Vs...>, Vs...>;

namespace detail {

template <class C, class V>
inline constexpr bool associates_column = false;
template <class C, class V>
  requires requires { C::template associative<V>; }
inline constexpr bool associates_column<C, V> = C::template associative<V>;

/// Of a row that is dropped, every column must be one that changes nothing.
template <class C, class Is, class... Vs>
inline constexpr bool associates_all = false;
template <class C, std::size_t... Is, class... Vs>
inline constexpr bool associates_all<C, std::index_sequence<Is...>, Vs...> =
    (associates_column<policy_type<Is, C>, Vs> && ...) &&
    (!any_drop_rule<C, std::index_sequence<Is...>, Vs...> ||
     (has_drop_rule<policy_type<Is, C>, Vs> && ...));

}  // namespace detail

/// Whether rows with these columns may be combined in any grouping that keeps their order: the bits
/// are the same. Not so for sums of floating numbers, nor for by_column<count, last_writer>, whose
/// dropped rows take a value along.
template <class C, class... Vs>
inline constexpr bool associates = detail::associates_all<C, std::index_sequence_for<Vs...>, Vs...>;

namespace detail {

template <class C, class... Vs, std::size_t... Is>
[[nodiscard]] MILLRACE_HD bool row_dropped(C const& combine, std::index_sequence<Is...>,
                                           Vs const&... values) noexcept {
  bool dropped = true;
  auto const ask = [&]<std::size_t I, class V>(V const& value) {
    if constexpr (has_drop_rule<policy_type<I, C>, V>) {
      dropped = dropped && policy_of<I>(combine).drops(value);
    }
  };
  (ask.template operator()<Is>(values), ...);
  return dropped;
}

}  // namespace detail

/// Whether the policy says that a row with these values is no row.
template <class C, class... Vs>
  requires combine_policy<C, Vs...>
[[nodiscard]] MILLRACE_HD bool drops_row(C const& combine, Vs const&... values) noexcept {
  if constexpr (may_drop<C, Vs...>) {
    return detail::row_dropped(combine, std::index_sequence_for<Vs...>{}, values...);
  } else {
    return false;
  }
}

static_assert(combine_policy<add, float, double, int> && combine_policy<last_writer, float> &&
              combine_policy<count, std::int64_t> && !combine_policy<count, float> &&
              combine_policy<by_column<add, last_writer>, double, int> && combine_policy<add>);
static_assert(invertible_policy<add, int> && !invertible_policy<add, float> &&
              invertible_policy<exclusive_or, float, std::uint64_t> &&
              !invertible_policy<minimum, int> &&
              invertible_policy<by_column<count, last_writer>, int, float>);
static_assert(associates<add, int, std::uint64_t> && !associates<add, int, float> &&
              associates<count, std::int64_t> && associates<by_column<count, count>, int, int> &&
              !associates<by_column<count, last_writer>, int, int> && associates<add>);

}  // namespace millrace::inline v0::delta
