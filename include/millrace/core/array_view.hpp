// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/dtype.hpp>
#include <millrace/core/error.hpp>

#include <cuda/std/span>

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace millrace::inline v0::core {

/// The most axes that an array may have.
inline constexpr std::uint32_t max_rank = 8;

/// An array of any element type, shape and strides in memory that somebody else owns: what crosses
/// module and language borders. `Byte` is std::byte, or std::byte const for one that only reads.
/// Strides are in bytes and may be negative or, when only reading, zero. Trivially copyable; goes
/// into kernels. The rank 0 array is one element.
template <class Byte>
class basic_array_view {
  static_assert(std::is_same_v<std::remove_const_t<Byte>, std::byte>,
                "basic_array_view: Byte is std::byte or std::byte const");
  template <class T>
  using element = std::conditional_t<std::is_const_v<Byte>, T const, T>;
  using address = std::conditional_t<std::is_const_v<Byte>, void const*, void*>;

 public:
  /// No array: rank 1 with no elements.
  basic_array_view() noexcept = default;

  /// A writable view reads as well.
  template <class Other>
    requires(std::is_const_v<Byte> && !std::is_const_v<Other>)
  MILLRACE_HD constexpr basic_array_view(basic_array_view<Other> const& other) noexcept
      : data_{other.data_}, count_{other.count_}, type_{other.type_}, rank_{other.rank_} {
    for (std::uint32_t a = 0; a < rank_; ++a) {
      extents_[a] = other.extents_[a];
      strides_[a] = other.strides_[a];
    }
  }

  /// A dense array, the last axis fastest.
  /// @param data    the first element, aligned for `type`; may be null when there are no elements
  /// @param extents [rank] elements along each axis
  /// @error errc::bad_argument: 1 data null or misaligned, 2 no such dtype, 3 more than max_rank
  ///        axes, a negative extent, or more bytes than an address space holds
  [[nodiscard]] static MILLRACE_HD constexpr result<basic_array_view> make(
      address data, dtype type, cuda::std::span<std::int64_t const> extents) noexcept {
    if (!is_dtype(type)) { return fail(errc::bad_argument, 2); }
    if (extents.size() > max_rank) { return fail(errc::bad_argument, 3); }
    std::int64_t strides[max_rank] = {};
    auto step = static_cast<std::int64_t>(size_bytes(type));
    for (std::size_t a = extents.size(); a-- > 0;) {
      strides[a] = step;
      // an extent of 0 or 1 leaves the step; what overflows is refused below
      if (extents[a] > 1 && step <= INT64_MAX / extents[a]) { step *= extents[a]; }
    }
    return make(data, type, extents, {strides, extents.size()});
  }

  /// An array with strides of its own.
  /// @param strides [rank] bytes from element to element, a multiple of the element's alignment
  /// @error as above, and 4: strides of another rank, misaligned, or, when writable, ones by which
  ///        two elements could overlap
  [[nodiscard]] static MILLRACE_HD constexpr result<basic_array_view> make(
      address data, dtype type, cuda::std::span<std::int64_t const> extents,
      cuda::std::span<std::int64_t const> strides) noexcept {
    if (!is_dtype(type)) { return fail(errc::bad_argument, 2); }
    if (extents.size() > max_rank) { return fail(errc::bad_argument, 3); }
    if (strides.size() != extents.size()) { return fail(errc::bad_argument, 4); }
    auto const item = static_cast<std::int64_t>(size_bytes(type));
    basic_array_view view;
    view.type_ = type;
    view.rank_ = static_cast<std::uint8_t>(extents.size());
    bool none = false;
    for (std::int64_t const n : extents) {
      if (n < 0) { return fail(errc::bad_argument, 3); }
      none = none || n == 0;
    }
    std::int64_t count = none ? 0 : 1;
    std::int64_t reach = item;  // bytes from the lowest element's begin to the highest one's end
    for (std::uint32_t a = 0; a < view.rank_; ++a) {
      std::int64_t const n = extents[a], stride = strides[a];
      view.extents_[a] = n;
      view.strides_[a] = stride;
      if (stride == INT64_MIN || stride % item != 0) { return fail(errc::bad_argument, 4); }
      if (none) { continue; }
      std::int64_t const step = stride < 0 ? -stride : stride;
      if (n > INT64_MAX / item / count) { return fail(errc::bad_argument, 3); }
      if (n > 1 && step > (INT64_MAX - reach) / (n - 1)) { return fail(errc::bad_argument, 3); }
      count *= n;
      reach += (n - 1) * step;
    }
    view.count_ = static_cast<std::uint64_t>(count);
    if constexpr (!std::is_const_v<Byte>) {
      if (count > 1 && view.may_overlap()) { return fail(errc::bad_argument, 4); }
    }
    if (count > 0 && !aligned(data, type)) { return fail(errc::bad_argument, 1); }
    view.data_ = data;
    return view;
  }

  /// A dense array of one axis over the elements of a span.
  template <class T>
    requires(is_dtype(dtype_of<std::remove_const_t<T>>) &&
             (std::is_const_v<Byte> || !std::is_const_v<T>))
  [[nodiscard]] static MILLRACE_HD constexpr basic_array_view over(
      cuda::std::span<T> elements) noexcept {
    basic_array_view view;
    view.data_ = elements.data();
    view.count_ = elements.size();
    view.type_ = dtype_of<std::remove_const_t<T>>;
    view.extents_[0] = static_cast<std::int64_t>(elements.size());
    view.strides_[0] = sizeof(T);
    return view;
  }

  [[nodiscard]] MILLRACE_HD constexpr dtype type() const noexcept { return type_; }
  [[nodiscard]] MILLRACE_HD constexpr std::uint32_t rank() const noexcept { return rank_; }
  /// Elements in all.
  [[nodiscard]] MILLRACE_HD constexpr std::uint64_t count() const noexcept { return count_; }
  /// Bytes of all elements, without what lies between them.
  [[nodiscard]] MILLRACE_HD constexpr std::uint64_t element_bytes() const noexcept {
    return count_ * size_bytes(type_);
  }
  [[nodiscard]] MILLRACE_HD constexpr cuda::std::span<std::int64_t const> extents() const noexcept {
    return {extents_, rank_};
  }
  /// Bytes from element to element along each axis.
  [[nodiscard]] MILLRACE_HD constexpr cuda::std::span<std::int64_t const> strides() const noexcept {
    return {strides_, rank_};
  }
  /// The first element's address: all indices 0.
  [[nodiscard]] MILLRACE_HD constexpr address data() const noexcept { return data_; }

  /// True when the elements lie densely, the last axis fastest.
  [[nodiscard]] MILLRACE_HD constexpr bool contiguous() const noexcept {
    auto step = static_cast<std::int64_t>(size_bytes(type_));
    for (std::uint32_t a = rank_; a-- > 0;) {
      if (count_ == 0 || extents_[a] == 1) { continue; }
      if (strides_[a] != step) { return false; }
      step *= extents_[a];
    }
    return true;
  }

  /// The elements as bytes.
  /// @error errc::layout_mismatch unless contiguous()
  [[nodiscard]] MILLRACE_HD result<cuda::std::span<Byte>> bytes() const noexcept {
    if (!contiguous()) { return fail(errc::layout_mismatch); }
    return cuda::std::span<Byte>(static_cast<Byte*>(data_), element_bytes());
  }

  /// The elements as a span of T.
  /// @error errc::bad_argument when T is not type(); errc::layout_mismatch unless contiguous()
  template <class T>
  [[nodiscard]] MILLRACE_HD result<cuda::std::span<element<T>>> as() const noexcept {
    if (dtype_of<T> != type_) { return fail(errc::bad_argument); }
    if (!contiguous()) { return fail(errc::layout_mismatch); }
    return cuda::std::span<element<T>>(static_cast<element<T>*>(data_), count_);
  }

  /// One element. The caller has made sure of T, of the rank and of each index.
  template <class T, class... Index>
  [[nodiscard]] MILLRACE_HD element<T>& at(Index... index) const noexcept {
    static_assert((std::is_integral_v<Index> && ...), "array_view::at: indices are integers");
    MILLRACE_ASSERT(dtype_of<T> == type_ && sizeof...(Index) == rank_);
    std::int64_t offset = 0;
    std::uint32_t axis = 0;
    (static_cast<void>(offset += static_cast<std::int64_t>(index) * strides_[axis++]), ...);
    return *reinterpret_cast<element<T>*>(static_cast<Byte*>(data_) + offset);
  }

  /// Elements first, first + step, ... before last along one axis; step may be negative, then down
  /// to the one after last, and a last of -1 takes element 0 too.
  /// @error errc::bad_argument: 1 no such axis, 2 first or last outside the axis, 4 step is 0 or
  ///        leads away from last
  [[nodiscard]] MILLRACE_HD constexpr result<basic_array_view> slice(
      std::uint32_t axis, std::int64_t first, std::int64_t last,
      std::int64_t step = 1) const noexcept {
    if (axis >= rank_) { return fail(errc::bad_argument, 1); }
    std::int64_t const n = extents_[axis];
    bool const up = step > 0;
    bool const inside = up ? (first >= 0 && first <= n && last >= 0 && last <= n)
                           : (first >= -1 && first < n && last >= -1 && last < n);
    if (!inside) { return fail(errc::bad_argument, 2); }
    if (step == 0 || step == INT64_MIN || (up ? first > last : first < last)) {
      return fail(errc::bad_argument, 4);
    }
    std::int64_t const distance = up ? last - first : first - last;
    std::int64_t const pace = up ? step : -step;
    std::int64_t const kept = distance == 0 ? 0 : (distance - 1) / pace + 1;
    basic_array_view out = *this;
    out.extents_[axis] = kept;
    // one element or none: the stride is never walked, and its product might overflow
    out.strides_[axis] = kept > 1 ? strides_[axis] * step : strides_[axis];
    out.recount();
    if (out.count_ != 0) { out.data_ = shifted(first * strides_[axis]); }
    return out;
  }

  /// The array at one index of an axis, which disappears.
  /// @error errc::bad_argument: 1 no such axis, 2 no such index
  [[nodiscard]] MILLRACE_HD constexpr result<basic_array_view> select(
      std::uint32_t axis, std::int64_t index) const noexcept {
    if (axis >= rank_) { return fail(errc::bad_argument, 1); }
    if (index < 0 || index >= extents_[axis]) { return fail(errc::bad_argument, 2); }
    basic_array_view out = *this;
    for (std::uint32_t a = axis; a + 1 < rank_; ++a) {
      out.extents_[a] = extents_[a + 1];
      out.strides_[a] = strides_[a + 1];
    }
    --out.rank_;
    out.recount();
    if (out.count_ != 0) { out.data_ = shifted(index * strides_[axis]); }
    return out;
  }

 private:
  template <class>
  friend class basic_array_view;

  [[nodiscard]] static MILLRACE_HD constexpr bool aligned(address data, dtype type) noexcept {
    if (data == nullptr) { return false; }
    return reinterpret_cast<std::uintptr_t>(data) % size_bytes(type) == 0;
  }
  [[nodiscard]] MILLRACE_HD constexpr address shifted(std::int64_t bytes) const noexcept {
    return static_cast<Byte*>(data_) + bytes;
  }
  MILLRACE_HD constexpr void recount() noexcept {
    count_ = 1;
    for (std::uint32_t a = 0; a < rank_; ++a) { count_ *= static_cast<std::uint64_t>(extents_[a]); }
  }
  /// Whether the strides leave room for every axis inside the next wider one. True for some odd
  /// arrays in which no two elements meet; never false for one in which they do.
  [[nodiscard]] MILLRACE_HD constexpr bool may_overlap() const noexcept {
    bool done[max_rank] = {};
    auto reach = static_cast<std::int64_t>(size_bytes(type_));
    for (std::uint32_t round = 0; round < rank_; ++round) {
      std::uint32_t narrowest = max_rank;
      for (std::uint32_t a = 0; a < rank_; ++a) {
        if (done[a] || extents_[a] <= 1) { continue; }
        if (narrowest == max_rank || pace(a) < pace(narrowest)) { narrowest = a; }
      }
      if (narrowest == max_rank) { return false; }
      if (pace(narrowest) < reach) { return true; }
      done[narrowest] = true;
      reach += (extents_[narrowest] - 1) * pace(narrowest);
    }
    return false;
  }
  [[nodiscard]] MILLRACE_HD constexpr std::int64_t pace(std::uint32_t axis) const noexcept {
    return strides_[axis] < 0 ? -strides_[axis] : strides_[axis];
  }

  address data_ = nullptr;
  std::uint64_t count_ = 0;
  dtype type_ = dtype::u8;
  std::uint8_t rank_ = 1;
  std::int64_t extents_[max_rank] = {};
  std::int64_t strides_[max_rank] = {};
};

/// An array that may be written.
using array_view = basic_array_view<std::byte>;
/// An array that is only read.
using const_array_view = basic_array_view<std::byte const>;

static_assert(std::is_trivially_copyable_v<array_view> && sizeof(array_view) == 152);

}  // namespace millrace::inline v0::core
