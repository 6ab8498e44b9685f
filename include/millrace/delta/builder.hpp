// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/delta/change_set.hpp>
#include <millrace/delta/change_set_ref.hpp>
#include <millrace/delta/combine.hpp>
#include <millrace/delta/consolidate.hpp>
#include <millrace/delta/key.hpp>
#include <millrace/memory/resource.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace millrace::inline v0::delta {

/// Collects changes one by one, in any order, and makes a change set of them: what consolidate
/// makes of all of them in the order in which they came. While it grows it folds what it holds, so
/// that many changes of few keys take the room of few; nothing is dropped before the end, since a
/// value that would be may still grow.
/// @thread one at a time
template <class C, memory::host_accessible_resource Resource, change_key K, change_value... Vs>
  requires combine_policy<C, Vs...>
class basic_change_set_builder {
 public:
  using set_type = basic_change_set<Resource, K, Vs...>;
  using ref_type = change_set_ref<K, Vs...>;

  /// @param capacity rows that it takes before it asks for more memory
  /// @error  errc::out_of_memory; errc::bad_argument (2) from a resource whose alignment is below
  /// 64
  [[nodiscard]] static result<basic_change_set_builder> make(C combine = {}, Resource from = {},
                                                             std::size_t capacity = 64) noexcept {
    auto rows = set_type::make(capacity, std::move(from));
    if (!rows) { return cuda::std::unexpected<error>(rows.error()); }
    return basic_change_set_builder(std::move(*rows), combine);
  }

  basic_change_set_builder(basic_change_set_builder&& other) noexcept
      : rows_{std::move(other.rows_)},
        space_{std::exchange(other.space_, {})},
        size_{std::exchange(other.size_, 0)},
        fold_at_{other.fold_at_},
        combine_{other.combine_} {}
  basic_change_set_builder& operator=(basic_change_set_builder&& other) noexcept {
    rows_ = std::move(other.rows_);
    space_ = std::exchange(other.space_, {});
    size_ = std::exchange(other.size_, 0);
    fold_at_ = other.fold_at_;
    combine_ = other.combine_;
    return *this;
  }

  /// Rows held: changes that came, less those folded already.
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] std::size_t capacity() const noexcept { return space_.capacity(); }

  /// @error errc::out_of_memory: the change is not taken, those before are kept
  /// @cost  O(1) amortised
  [[nodiscard]] result<void> append(K key, Vs const&... values) noexcept {
    if (size_ == space_.capacity()) {
      if (auto const room = grow(1); !room) { return room; }
    }
    space_.put(size_++, key, values...);
    return {};
  }
  /// Many changes, in any order, keys repeating.
  /// @error as above: none is taken
  [[nodiscard]] result<void> append(ref_type rows) noexcept {
    if (space_.capacity() - size_ < rows.size()) {
      if (auto const room = grow(rows.size()); !room) { return room; }
    }
    copy_rows(rows, space_.from(size_));
    size_ += rows.size();
    return {};
  }

  /// The change set of all that came; the builder is empty afterwards, and keeps its room.
  /// @error errc::out_of_memory: everything is kept
  /// @cost  that of consolidate
  [[nodiscard]] result<set_type> finish() noexcept {
    auto made = consolidate(held(), combine_, rows_.resource());
    if (made) { clear(); }
    return made;
  }

  /// Forgets all that came.
  void clear() noexcept {
    size_ = 0;
    fold_at_ = first_fold;
  }

 private:
  static constexpr std::size_t first_fold = 1024;

  basic_change_set_builder(set_type rows, C combine) noexcept
      : rows_{std::move(rows)}, space_{rows_.space()}, combine_{combine} {}

  [[nodiscard]] ref_type held() const noexcept { return space_.filled(size_); }

  void take(set_type rows, std::size_t size) noexcept {
    rows_ = std::move(rows);
    space_ = rows_.space();
    size_ = size;
  }

  /// Makes room for `more` rows: by folding, where that halves the rows; else by a longer block.
  [[nodiscard]] result<void> grow(std::size_t more) noexcept {
    if (size_ >= fold_at_) {
      // where it brings little it is tried again when there are eight times as many
      if (!fold()) {
        fold_at_ = 8 * size_;
      } else if (size_ + more <= space_.capacity() / 2) {
        return {};
      }
    }
    std::size_t const twice = 2 * space_.capacity(), needed = size_ + more;
    auto longer = set_type::make(needed < twice ? twice : needed, rows_.resource());
    if (!longer) { return cuda::std::unexpected<error>(longer.error()); }
    copy_rows(held(), longer->space());
    take(std::move(*longer), size_);
    return {};
  }

  /// @return whether half of the rows or fewer remain; without memory for it nothing happens
  [[nodiscard]] bool fold() noexcept {
    auto folded = set_type::make(space_.capacity(), rows_.resource());
    if (!folded) { return false; }
    std::size_t const before = size_;
    auto const size = detail::sort_and_fold<detail::drop::never>(held(), folded->space(), combine_,
                                                                 rows_.resource());
    if (!size) { return false; }
    take(std::move(*folded), *size);
    return size_ <= before / 2;
  }

  set_type rows_;
  change_space<K, Vs...> space_;  ///< of rows_
  std::size_t size_ = 0;
  std::size_t fold_at_ = first_fold;  ///< rows from which on folding is tried
  C combine_;
};

/// Builds change sets in the host's memory.
template <class C, change_key K, change_value... Vs>
using change_set_builder = basic_change_set_builder<C, memory::host_resource, K, Vs...>;

}  // namespace millrace::inline v0::delta
