// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/queue/crew.hpp>

#include <cstdint>

namespace millrace::inline v0::queue::detail {

/// Messages between two reports of a device's worker, of which the host counts what ends an epoch
/// of `messages`.
[[nodiscard]] MILLRACE_HD constexpr std::uint32_t reports_every(std::uint64_t messages) noexcept {
  return messages < 4 * 32     ? 32
         : messages < 4 * 4096 ? static_cast<std::uint32_t>(messages / 4)
                               : 4096;
}

/// What a host worker counts towards the end of its epoch. Each worker writes a word of its own,
/// and reads the others': one that reads too early sees the sum at its next look.
template <consumer_policy P, bool Counts>
class epoch_count {
  using access = typename P::access;
  static constexpr std::uint64_t bound = P::stay.messages;
  /// Messages between two looks.
  static constexpr std::uint32_t step = bound < 256 ? 1 : 16;

 protected:
  /// Counts messages that are done. @return whether they ended the epoch
  [[nodiscard]] bool ends_epoch(crew_ref<P> const& crew, std::uint32_t worker,
                                std::uint32_t done) noexcept {
    untold_ += done;
    if (untold_ < step) { return false; }
    told_ += untold_;
    untold_ = 0;
    access::store(crew.worker(worker).in_epoch, told_, core::relaxed, "worker.in_epoch");
    std::uint64_t sum = told_;
    for (std::uint32_t w = 0; w < crew.workers(); ++w) {
      if (w == worker) { continue; }
      sum += access::load(crew.worker(w).in_epoch, core::relaxed, "worker.in_epoch");
    }
    return sum >= bound && crew.end_epoch();
  }
  /// Counts a message without a look.
  void add_to_epoch() noexcept { ++untold_; }

 private:
  std::uint64_t told_ = 0;
  std::uint32_t untold_ = 0;
};

template <consumer_policy P>
class epoch_count<P, false> {};

}  // namespace millrace::inline v0::queue::detail
