// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/access.hpp>

namespace millrace::inline v0::memory {

/// A word that one thread at a time has for itself, and at which any other may look meanwhile, for
/// a statistic. Its thread reads it as any word and stores it whole, without a locked instruction
/// and in no order with others; what others see may be old, and nobody draws a conclusion from it.
/// No part of a protocol, so it goes through no access policy, and explorers do not see it.
template <class T>
class watched {
 public:
  constexpr watched(T value = T{}) noexcept : value_{value} {}
  watched(watched const&) = delete;
  watched& operator=(watched const&) = delete;

  /// For the thread that has it.
  [[nodiscard]] operator T() const noexcept { return value_; }
  watched& operator=(T value) noexcept {
    words::store(value_, value, core::relaxed, "watched");
    return *this;
  }
  watched& operator+=(T n) noexcept { return *this = static_cast<T>(value_ + n); }
  watched& operator-=(T n) noexcept { return *this = static_cast<T>(value_ - n); }

  /// For everybody.
  [[nodiscard]] T seen() const noexcept { return words::load(value_, core::relaxed, "watched"); }

 private:
  using words = core::direct_access<cuda::thread_scope_system>;

  T value_;
};

}  // namespace millrace::inline v0::memory
