// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/delta/key.hpp>

#include <cuda/std/span>
#include <cuda/std/tuple>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <type_traits>
#include <utility>

namespace millrace::inline v0::delta {

/// A change: a key and a value of each column. `auto const [key, price] = row;`
template <class K, class... Vs>
using change = cuda::std::tuple<K, Vs...>;

namespace detail {

/// What change_set_ref and change_space share: pointers to columns. `Const` is K const or K.
template <class K, class... Vs>
struct columns {
  K* keys = nullptr;
  cuda::std::tuple<Vs*...> values{};

  [[nodiscard]] MILLRACE_HD columns from(std::size_t row) const noexcept {
    columns at = *this;
    if (row != 0) { at.advance(row, std::index_sequence_for<Vs...>{}); }
    return at;
  }

 private:
  template <std::size_t... Is>
  MILLRACE_HD void advance(std::size_t row, std::index_sequence<Is...>) noexcept {
    keys += row;
    (static_cast<void>(cuda::std::get<Is>(values) += row), ...);
  }
};

}  // namespace detail

template <change_key K, change_value... Vs>
class change_space;

/// A sorted run of changes that somebody else owns: unique keys, strictly increasing, and as many
/// values in each column. Trivially copyable; goes into kernels. Says nothing of whether the keys
/// are sorted: `validate` looks.
template <change_key K, change_value... Vs>
class change_set_ref {
  template <std::size_t I>
  using column = cuda::std::tuple_element_t<I, cuda::std::tuple<Vs...>>;

 public:
  using key_type = K;
  /// Value columns.
  static constexpr std::size_t width = sizeof...(Vs);
  template <std::size_t I>
  using value_type = column<I>;

  /// No changes.
  change_set_ref() noexcept = default;
  /// @param keys   [size] strictly increasing
  /// @param values [size] each
  MILLRACE_HD change_set_ref(K const* keys, std::size_t size, Vs const*... values) noexcept
      : at_{keys, cuda::std::tuple<Vs const*...>(values...)}, size_{size} {}

  /// From spans.
  /// @error errc::bad_argument with the number of the first column (1: keys, 2: the first values)
  ///        whose length is not that of the keys
  [[nodiscard]] static MILLRACE_HD result<change_set_ref> make(
      cuda::std::span<K const> keys, cuda::std::span<Vs const>... values) noexcept {
    std::int32_t number = 1, wrong = 0;
    (static_cast<void>(++number,
                       wrong = wrong == 0 && values.size() != keys.size() ? number : wrong),
     ...);
    if (wrong != 0) { return core::fail(errc::bad_argument, wrong); }
    return change_set_ref(keys.data(), keys.size(), values.data()...);
  }

  [[nodiscard]] MILLRACE_HD std::size_t size() const noexcept { return size_; }
  [[nodiscard]] MILLRACE_HD bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] MILLRACE_HD cuda::std::span<K const> keys() const noexcept {
    return {at_.keys, size_};
  }
  /// Column I, [size].
  template <std::size_t I = 0>
  [[nodiscard]] MILLRACE_HD cuda::std::span<column<I> const> values() const noexcept {
    return {cuda::std::get<I>(at_.values), size_};
  }
  [[nodiscard]] MILLRACE_HD K key(std::size_t i) const noexcept {
    MILLRACE_ASSERT(i < size_);
    return at_.keys[i];
  }
  template <std::size_t I = 0>
  [[nodiscard]] MILLRACE_HD column<I> const& value(std::size_t i) const noexcept {
    MILLRACE_ASSERT(i < size_);
    return cuda::std::get<I>(at_.values)[i];
  }
  /// Row i: its key and values.
  [[nodiscard]] MILLRACE_HD change<K, Vs...> operator[](std::size_t i) const noexcept {
    MILLRACE_ASSERT(i < size_);
    return row(i, std::index_sequence_for<Vs...>{});
  }

  /// Rows first, first + 1, ... at most `count` of them; none when first is beyond the end.
  [[nodiscard]] MILLRACE_HD change_set_ref
  slice(std::size_t first, std::size_t count = ~std::size_t{0}) const noexcept {
    std::size_t const begin = first < size_ ? first : size_;
    change_set_ref part;
    part.at_ = at_.from(begin);
    part.size_ = count < size_ - begin ? count : size_ - begin;
    return part;
  }
  /// The first row whose key is not below `key`; size() when there is none.
  /// @cost O(log n)
  [[nodiscard]] MILLRACE_HD std::size_t lower_bound(K key) const noexcept {
    std::size_t first = 0, count = size_;
    while (count != 0) {
      std::size_t const half = count / 2;
      bool const below = at_.keys[first + half] < key;
      first += below ? half + 1 : 0;
      count = below ? count - half - 1 : half;
    }
    return first;
  }
  /// The row of a key; size() when there is none.
  /// @cost O(log n)
  [[nodiscard]] MILLRACE_HD std::size_t find(K key) const noexcept {
    std::size_t const at = lower_bound(key);
    return at < size_ && at_.keys[at] == key ? at : size_;
  }
  /// Rows with first <= key < last.
  /// @cost O(log n)
  [[nodiscard]] MILLRACE_HD change_set_ref between(K first, K last) const noexcept {
    std::size_t const begin = lower_bound(first), end = lower_bound(last);
    return slice(begin, end < begin ? 0 : end - begin);
  }

  /// Goes over rows, which are values.
  class iterator {
   public:
    using value_type = change<K, Vs...>;
    using reference = value_type;
    using difference_type = std::ptrdiff_t;
    using iterator_category = std::input_iterator_tag;
    using iterator_concept = std::random_access_iterator_tag;

    iterator() noexcept = default;
    [[nodiscard]] MILLRACE_HD value_type operator*() const noexcept {
      return of_[static_cast<std::size_t>(i_)];
    }
    [[nodiscard]] MILLRACE_HD value_type operator[](difference_type n) const noexcept {
      return of_[static_cast<std::size_t>(i_ + n)];
    }
    MILLRACE_HD iterator& operator+=(difference_type n) noexcept { return i_ += n, *this; }
    MILLRACE_HD iterator& operator-=(difference_type n) noexcept { return i_ -= n, *this; }
    MILLRACE_HD iterator& operator++() noexcept { return ++i_, *this; }
    MILLRACE_HD iterator& operator--() noexcept { return --i_, *this; }
    MILLRACE_HD iterator operator++(int) noexcept { return iterator(of_, i_++); }
    MILLRACE_HD iterator operator--(int) noexcept { return iterator(of_, i_--); }
    [[nodiscard]] friend MILLRACE_HD iterator operator+(iterator a, difference_type n) noexcept {
      return a += n;
    }
    [[nodiscard]] friend MILLRACE_HD iterator operator+(difference_type n, iterator a) noexcept {
      return a += n;
    }
    [[nodiscard]] friend MILLRACE_HD iterator operator-(iterator a, difference_type n) noexcept {
      return a -= n;
    }
    [[nodiscard]] friend MILLRACE_HD difference_type operator-(iterator a, iterator b) noexcept {
      return a.i_ - b.i_;
    }
    [[nodiscard]] friend MILLRACE_HD bool operator==(iterator a, iterator b) noexcept {
      return a.i_ == b.i_;
    }
    [[nodiscard]] friend MILLRACE_HD auto operator<=>(iterator a, iterator b) noexcept {
      return a.i_ <=> b.i_;
    }

   private:
    friend change_set_ref;
    MILLRACE_HD iterator(change_set_ref of, difference_type i) noexcept : of_{of}, i_{i} {}
    change_set_ref of_;
    difference_type i_ = 0;
  };
  [[nodiscard]] MILLRACE_HD iterator begin() const noexcept { return iterator(*this, 0); }
  [[nodiscard]] MILLRACE_HD iterator end() const noexcept {
    return iterator(*this, static_cast<std::ptrdiff_t>(size_));
  }

  /// Whether both hold the same rows, value bits compared.
  /// @cost O(n)
  [[nodiscard]] friend MILLRACE_HD bool operator==(change_set_ref const& a,
                                                   change_set_ref const& b) noexcept {
    return a.size_ == b.size_ && a.same_rows(b, std::index_sequence_for<Vs...>{});
  }

 private:
  template <std::size_t... Is>
  [[nodiscard]] MILLRACE_HD change<K, Vs...> row(std::size_t i,
                                                 std::index_sequence<Is...>) const noexcept {
    return change<K, Vs...>(at_.keys[i], cuda::std::get<Is>(at_.values)[i]...);
  }
  template <std::size_t... Is>
  [[nodiscard]] MILLRACE_HD bool same_rows(change_set_ref const& b,
                                           std::index_sequence<Is...>) const noexcept {
    for (std::size_t i = 0; i < size_; ++i) {
      bool same = at_.keys[i] == b.at_.keys[i];
      ((same = same && same_bits(value<Is>(i), b.template value<Is>(i))), ...);
      if (!same) { return false; }
    }
    return true;
  }

  detail::columns<K const, Vs const...> at_{};
  std::size_t size_ = 0;
};

/// Room for changes that somebody else owns: where a merge writes. Trivially copyable.
template <change_key K, change_value... Vs>
class change_space {
  template <std::size_t I>
  using column = cuda::std::tuple_element_t<I, cuda::std::tuple<Vs...>>;

 public:
  change_space() noexcept = default;
  /// @param keys, values [capacity] each, not overlapping one another
  MILLRACE_HD change_space(K* keys, std::size_t capacity, Vs*... values) noexcept
      : at_{keys, cuda::std::tuple<Vs*...>(values...)}, capacity_{capacity} {}

  /// From spans.
  /// @error errc::bad_argument with the number of the first column (1: keys, 2: the first values)
  ///        whose length is not that of the keys
  [[nodiscard]] static MILLRACE_HD result<change_space> make(
      cuda::std::span<K> keys, cuda::std::span<Vs>... values) noexcept {
    std::int32_t number = 1, wrong = 0;
    (static_cast<void>(++number,
                       wrong = wrong == 0 && values.size() != keys.size() ? number : wrong),
     ...);
    if (wrong != 0) { return core::fail(errc::bad_argument, wrong); }
    return change_space(keys.data(), keys.size(), values.data()...);
  }

  [[nodiscard]] MILLRACE_HD std::size_t capacity() const noexcept { return capacity_; }
  [[nodiscard]] MILLRACE_HD K* keys() const noexcept { return at_.keys; }
  template <std::size_t I = 0>
  [[nodiscard]] MILLRACE_HD column<I>* values() const noexcept {
    return cuda::std::get<I>(at_.values);
  }
  /// The room from row `first` on; none when that is beyond the end.
  [[nodiscard]] MILLRACE_HD change_space from(std::size_t first) const noexcept {
    change_space rest;
    std::size_t const begin = first < capacity_ ? first : capacity_;
    rest.at_ = at_.from(begin);
    rest.capacity_ = capacity_ - begin;
    return rest;
  }
  /// The first `size` rows, written before.
  [[nodiscard]] MILLRACE_HD change_set_ref<K, Vs...> filled(std::size_t size) const noexcept {
    MILLRACE_ASSERT(size <= capacity_);
    return filled(size, std::index_sequence_for<Vs...>{});
  }
  /// Writes row i.
  MILLRACE_HD void put(std::size_t i, K key, Vs const&... values) const noexcept {
    MILLRACE_ASSERT(i < capacity_);
    put(i, key, std::index_sequence_for<Vs...>{}, values...);
  }

 private:
  template <std::size_t... Is>
  [[nodiscard]] MILLRACE_HD change_set_ref<K, Vs...> filled(
      std::size_t size, std::index_sequence<Is...>) const noexcept {
    return change_set_ref<K, Vs...>(at_.keys, size, cuda::std::get<Is>(at_.values)...);
  }
  template <std::size_t... Is>
  MILLRACE_HD void put(std::size_t i, K key, std::index_sequence<Is...>,
                       Vs const&... values) const noexcept {
    at_.keys[i] = key;
    (static_cast<void>(cuda::std::get<Is>(at_.values)[i] = values), ...);
  }

  detail::columns<K, Vs...> at_{};
  std::size_t capacity_ = 0;
};

namespace detail {

template <class K, class... Vs, std::size_t... Is>
void copy_columns(change_set_ref<K, Vs...> rows, change_space<K, Vs...> to,
                  std::index_sequence<Is...>) noexcept {
  if (rows.empty()) { return; }
  std::memmove(to.keys(), rows.keys().data(), rows.size() * sizeof(K));
  (static_cast<void>(std::memmove(static_cast<void*>(to.template values<Is>()),
                                  rows.template values<Is>().data(), rows.size() * sizeof(Vs))),
   ...);
}

}  // namespace detail

/// Copies rows into space for at least as many; each column may overlap its own source.
/// @cost O(n), host only
template <change_key K, change_value... Vs>
void copy_rows(change_set_ref<K, Vs...> rows, change_space<K, Vs...> to) noexcept {
  MILLRACE_ASSERT(rows.size() <= to.capacity());
  detail::copy_columns(rows, to, std::index_sequence_for<Vs...>{});
}

static_assert(std::is_trivially_copyable_v<change_set_ref<std::uint32_t, float, double>> &&
              std::is_trivially_copyable_v<change_space<std::uint64_t, double>>);

}  // namespace millrace::inline v0::delta
