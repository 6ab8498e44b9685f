// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/delta/change_set_ref.hpp>
#include <millrace/delta/combine.hpp>
#include <millrace/delta/key.hpp>
#include <millrace/delta/seek.hpp>

#include <cuda/std/tuple>

#include <array>
#include <cstddef>
#include <optional>
#include <type_traits>
#include <utility>

namespace millrace::inline v0::delta::detail {

/// A key's values, combined as they come.
template <class Combine, class K, class... Vs>
class key_fold {
  using ref = change_set_ref<K, Vs...>;
  using row = change<K, Vs...>;
  static constexpr auto columns = std::index_sequence_for<Vs...>{};

 public:
  explicit key_fold(Combine const& combine) noexcept : combine_{combine} {}
  template <std::size_t... Is>
  void take(ref rows, std::size_t i, std::index_sequence<Is...>) noexcept {
    if (!any_) {
      held_ = cuda::std::tuple<Vs...>(rows.template value<Is>(i)...);
      any_ = true;
      return;
    }
    ((cuda::std::get<Is>(held_) =
          detail::policy_of<Is>(combine_)(cuda::std::get<Is>(held_), rows.template value<Is>(i))),
     ...);
    any_ = !drops_row(combine_, cuda::std::get<Is>(held_)...);
  }
  void take(ref rows, std::size_t i) noexcept { take(rows, i, columns); }
  [[nodiscard]] bool any() const noexcept { return any_; }
  void restart() noexcept { any_ = false; }
  [[nodiscard]] std::optional<row> row_of(K key) const noexcept {
    if (!any_) { return std::nullopt; }
    return cuda::std::apply([key](Vs const&... values) { return row(key, values...); }, held_);
  }
  template <class Visit>
  [[nodiscard]] bool show(K key, Visit& visit) const noexcept {
    return cuda::std::apply(
        [&](Vs const&... values) {
          if constexpr (std::is_void_v<std::invoke_result_t<Visit&, K, Vs const&...>>) {
            visit(key, values...);
            return true;
          } else {
            return static_cast<bool>(visit(key, values...));
          }
        },
        held_);
  }

 private:
  Combine combine_;
  cuda::std::tuple<Vs...> held_{};
  bool any_ = false;
};

/// A read of several runs, oldest first, as if they were merged; of `Most` at most. A run may hold
/// a key several times. No allocation.
template <std::size_t Most, class K, class... Vs>
class read_of_runs {
  using ref = change_set_ref<K, Vs...>;
  using row = change<K, Vs...>;

 public:
  void add(ref rows) noexcept {
    if (!rows.empty()) { rest_[count_++] = rows; }
  }
  /// Leaves what is not below `key`.
  void begin_at(K key) noexcept {
    std::array<seeking<K>, Most> looks;
    for (std::size_t k = 0; k < count_; ++k) {
      looks[k] = {rest_[k].keys().data(), rest_[k].size()};
    }
    seek(looks.data(), count_, key);
    for (std::size_t k = 0; k < count_; ++k) {
      rest_[k] = rest_[k].slice(static_cast<std::size_t>(looks[k].at - rest_[k].keys().data()));
    }
  }

  /// The row of a key; nothing when there is none, or it was dropped.
  template <class Combine>
  [[nodiscard]] std::optional<row> find(K key, Combine const& combine) noexcept {
    begin_at(key);
    key_fold<Combine, K, Vs...> found(combine);
    for (std::size_t k = 0; k < count_; ++k) {
      ref const& rows = rest_[k];
      for (std::size_t i = 0; i < rows.size() && rows.key(i) == key; ++i) { found.take(rows, i); }
    }
    return found.row_of(key);
  }

  /// Visits the rows that are left, those below `last` where there is one, until a visit returns
  /// false.
  /// @cost O(runs) a row
  template <class Combine, class Visit>
  void walk(K const* last, Combine const& combine, Visit& visit) noexcept {
    std::array<K, Most> heads;
    std::size_t open = 0;
    for (std::size_t k = 0; k < count_; ++k) {
      if (rest_[k].empty()) { continue; }
      heads[open] = rest_[k].key(0);
      rest_[open++] = rest_[k];
    }
    key_fold<Combine, K, Vs...> found(combine);
    while (open != 0) {
      K least = heads[0];
      for (std::size_t k = 1; k < open; ++k) { least = heads[k] < least ? heads[k] : least; }
      if (last != nullptr && !(least < *last)) { return; }
      found.restart();
      std::size_t left = 0;
      for (std::size_t k = 0; k < open; ++k) {
        ref rows = rest_[k];
        if (heads[k] == least) {
          std::size_t i = 0;
          do { found.take(rows, i++); } while (i < rows.size() && rows.key(i) == least);
          rows = rows.slice(i);
          if (rows.empty()) { continue; }
        }
        rest_[left] = rows;
        heads[left++] = rows.key(0);
      }
      open = left;
      if (found.any() && !found.show(least, visit)) { return; }
    }
  }

 private:
  std::array<ref, Most> rest_;
  std::size_t count_ = 0;
};

}  // namespace millrace::inline v0::delta::detail
