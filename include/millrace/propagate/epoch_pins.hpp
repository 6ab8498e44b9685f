// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/access.hpp>
#include <millrace/core/config.hpp>
#include <millrace/core/platform.hpp>

#include <cstdint>

namespace millrace::inline v0::propagate::detail {

/// One reader's epoch, on a line of its own.
struct alignas(core::line_bytes) epoch_pin {
  static constexpr std::uint64_t idle = ~std::uint64_t{0};
  std::uint64_t epoch = idle;
};

/// Which epoch is the newest, and which ones are being read. Whoever advances the newest also asks
/// for the oldest that is pinned: what only older ones need may go.
///
/// A reader writes down the epoch that it has seen and looks again whether that is the newest
/// still; who asks for the oldest looks at the newest, then at what is written down. These are in
/// one total order: who is not seen there sees that newest, and moves (epoch-based reclamation:
/// Fraser, "Practical lock-freedom", 2004).
/// @thread pin and unpin: any; the rest: one at a time
template <core::access_policy A>
class epoch_pins {
 public:
  static constexpr std::uint32_t none = ~std::uint32_t{0};

  /// @param pins [count] who may read at once; all idle
  epoch_pins(epoch_pin* pins, std::uint32_t count) noexcept : pins_{pins}, count_{count} {}
  epoch_pins(epoch_pins const&) = delete;
  epoch_pins& operator=(epoch_pins const&) = delete;

  [[nodiscard]] epoch_pin* words() const noexcept { return pins_; }
  [[nodiscard]] std::uint64_t newest() const noexcept {
    return A::load(newest_, core::acquire, "pins.newest");
  }
  /// Pins the newest epoch, which `at` then has.
  /// @return the pin's number; `none` when all are in use
  /// @cost  a compare-exchange, a load for each pin before it that is in use
  [[nodiscard]] std::uint32_t pin(std::uint64_t& at) noexcept {
    at = A::load(newest_, core::acquire, "pins.first_look");
    std::uint32_t const k = claim(at);
    if (k == none) { return none; }
    for (;;) {
      std::uint64_t const now = A::load(newest_, core::seq_cst, "pins.second_look");
      if (now == at) { return k; }
      A::store(pins_[k].epoch, now, core::seq_cst, "pins.move");
      at = now;
    }
  }
  /// Pins an epoch that is not older than what oldest() gave last, while nobody asks again.
  [[nodiscard]] std::uint32_t pin_at(std::uint64_t epoch) noexcept { return claim(epoch); }
  void unpin(std::uint32_t k) noexcept {
    A::store(pins_[k].epoch, epoch_pin::idle, core::release, "pins.release");
  }

  /// What has been stored before is the newest epoch.
  void advance(std::uint64_t epoch) noexcept {
    A::store(newest_, epoch, core::release, "pins.advance");
  }
  /// The oldest epoch that somebody reads or may begin to read. What was read of older ones has
  /// been read.
  [[nodiscard]] std::uint64_t oldest() const noexcept {
    std::uint64_t least = A::load(newest_, core::seq_cst, "pins.bound");
    std::uint32_t const used = A::load(used_, core::seq_cst, "pins.used");
    for (std::uint32_t k = 0; k < used; ++k) {
      std::uint64_t const at = A::load(pins_[k].epoch, core::seq_cst, "pins.scan");
      if (at < least) { least = at; }
    }
    return least;
  }

 private:
  [[nodiscard]] std::uint32_t claim(std::uint64_t epoch) noexcept {
    for (std::uint32_t k = 0; k < count_; ++k) {
      std::uint64_t idle = A::load(pins_[k].epoch, core::relaxed, "pins.look");
      if (idle != epoch_pin::idle) { continue; }
      // before the pin, so that who looks at the pins in use looks at this one
      std::uint32_t used = A::load(used_, core::seq_cst, "pins.count");
      while (used <= k &&
             !A::compare_exchange(used_, used, k + 1, core::seq_cst, core::seq_cst, "pins.widen")) {
      }
      if (A::compare_exchange(pins_[k].epoch, idle, epoch, core::seq_cst, core::relaxed,
                              "pins.claim")) {
        return k;
      }
    }
    return none;
  }

  epoch_pin* pins_;
  std::uint32_t count_;
  std::uint32_t used_ = 0;  // only pins below it have ever been claimed
  alignas(core::destructive_bytes) std::uint64_t newest_ = 0;
};

}  // namespace millrace::inline v0::propagate::detail
