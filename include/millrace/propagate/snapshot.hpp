// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/propagate/cell.hpp>
#include <millrace/propagate/store_core.hpp>
#include <millrace/propagate/store_policy.hpp>
#include <millrace/propagate/track.hpp>
#include <millrace/propagate/version.hpp>

#include <concepts>
#include <cstdint>
#include <type_traits>
#include <utility>

namespace millrace::inline v0::propagate {

namespace detail {

template <class T>
[[nodiscard]] result<T> outcome_of(version const* v) noexcept {
  if (v == nullptr || v->gone) { return core::refuse<T>(errc::unknown_id, 1); }
  if (v->failure.code != errc::ok) { return core::refuse<T>(v->failure); }
  return copy_of(value_of<T>(*v));
}
/// f(value), as a result.
template <class T, class F>
[[nodiscard]] auto outcome_of(version const* v, F& f) noexcept
    -> result<std::invoke_result_t<F&, T const&>> {
  using R = std::invoke_result_t<F&, T const&>;
  if (v == nullptr || v->gone) { return core::refuse<R>(errc::unknown_id, 1); }
  if (v->failure.code != errc::ok) { return core::refuse<R>(v->failure); }
  try {
    return f(value_of<T>(*v));
  } catch (...) { return core::refuse<R>(errc::function_failed); }
}

}  // namespace detail

/// A store as it was in one epoch: all that is read belongs together, whatever is committed
/// meanwhile. It keeps that epoch's versions alive, and must not outlive the store.
/// @thread one at a time
template <class P>
class basic_snapshot {
 public:
  basic_snapshot(basic_snapshot&& other) noexcept
      : core_{std::exchange(other.core_, nullptr)}, pin_{other.pin_}, epoch_{other.epoch_} {}
  basic_snapshot& operator=(basic_snapshot&& other) noexcept {
    std::swap(core_, other.core_);
    std::swap(pin_, other.pin_);
    std::swap(epoch_, other.epoch_);
    return *this;
  }
  ~basic_snapshot() { release(); }

  [[nodiscard]] std::uint64_t epoch() const noexcept { return epoch_; }
  /// @error the cell's failure; errc::unknown_id: not published in that epoch; errc::released: by
  ///        release(); errc::out_of_memory, errc::function_failed: the copy has thrown
  /// @cost  a walk over the versions that are newer
  template <cell_value T>
    requires std::copyable<T>
  [[nodiscard]] result<T> read(cell<T> of) const noexcept {
    if (core_ == nullptr) { return core::refuse<T>(errc::released); }
    auto const* const t = core_->find(of);
    if (t == nullptr) { return core::refuse<T>(errc::unknown_id, 1); }
    return detail::outcome_of<T>(t->versions.at(epoch_));
  }
  /// What f gives of the value, which it looks at where it is: large ones are not copied.
  /// @error as read; errc::function_failed: f has thrown
  template <cell_value T, class F>
    requires std::invocable<F&, T const&>
  [[nodiscard]] auto read(cell<T> of, F f) const noexcept
      -> result<std::invoke_result_t<F&, T const&>> {
    using R = std::invoke_result_t<F&, T const&>;
    if (core_ == nullptr) { return core::refuse<R>(errc::released); }
    auto const* const t = core_->find(of);
    if (t == nullptr) { return core::refuse<R>(errc::unknown_id, 1); }
    return detail::outcome_of<T>(t->versions.at(epoch_), f);
  }
  /// Lets the epoch go before the object ends.
  void release() noexcept {
    if (core_ != nullptr) { std::exchange(core_, nullptr)->pins.unpin(pin_); }
  }

 private:
  template <store_policy>
  friend class basic_store;
  basic_snapshot(detail::store_core<P>& of, std::uint32_t pin, std::uint64_t epoch) noexcept
      : core_{&of}, pin_{pin}, epoch_{epoch} {}

  detail::store_core<P>* core_;
  std::uint32_t pin_;
  std::uint64_t epoch_;
};

}  // namespace millrace::inline v0::propagate
