// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/queue/state.hpp>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <system_error>
#include <thread>

namespace millrace::inline v0::queue::detail {

/// The thread that brings a consumer's workers back when they have left for the end of an epoch, or
/// when a close came while they were parking. It is also the clock of epochs that time bounds, and
/// counts the messages of those on a device. It lives until the consumer stops, or closes and its
/// workers have left.
template <consumer_policy P>
class epoch_keeper {
  using access = typename P::access;
  static constexpr residency bound = P::stay;

 public:
  explicit epoch_keeper(state<P>& of) noexcept
      : of_(of), counts_(bound.messages != 0 && of.where.kind() != core::backend_kind::host) {
    begin();
  }

  void run() noexcept {
    for (;;) {
      phase const now = of_.crew.phase();
      switch (now) {
        case phase::running:
          if (!bound.bounded()) { return; }  // it came for a close alone
          if (begun_ != epochs()) { begin(); }
          if (!is_over() || !of_.crew.end_epoch()) { nap(now); }
          break;
        case phase::closing:
          if (!bound.bounded() || of_.deserted()) { return; }
          nap(now);
          break;
        case phase::parking:
          if (!bound.bounded()) { return; }
          nap(now);
          break;
        case phase::turning:
        case phase::recalling:
          if (!bring_back(now)) { return; }
          break;
        default: return;
      }
    }
  }

 private:
  [[nodiscard]] std::uint64_t epochs() const noexcept {
    return access::load(of_.epochs, core::acquire, "epochs.look");
  }
  void begin() noexcept {
    begun_ = epochs();
    began_ns_ = typename P::clock{}.now_ns();
    if (counts_) { done_before_ = done(); }
    wait_ = {};
  }

  /// Messages that the workers say they are done with.
  [[nodiscard]] std::uint64_t done() const noexcept {
    std::uint64_t sum = 0;
    for (std::uint32_t w = 0; w < of_.crew.workers(); ++w) {
      worker_control const& worker = of_.crew.worker(w);
      sum += access::load(worker.processed, core::relaxed, "worker.processed");
      sum += access::load(worker.cancelled, core::relaxed, "worker.cancelled");
      sum += access::load(worker.expired, core::relaxed, "worker.expired");
    }
    return sum;
  }
  /// Until the time is over; for ever without such a bound.
  [[nodiscard]] std::uint64_t left_ns() const noexcept {
    if constexpr (bound.nanoseconds == 0) {
      return ~std::uint64_t{0};
    } else {
      std::uint64_t const age_ns = typename P::clock{}.now_ns() - began_ns_;
      return age_ns < bound.nanoseconds ? bound.nanoseconds - age_ns : 0;
    }
  }
  [[nodiscard]] bool is_over() const noexcept {
    if (left_ns() == 0) { return true; }
    if constexpr (bound.messages == 0) {
      return false;
    } else {
      return counts_ && done() - done_before_ >= bound.messages;
    }
  }

  /// Waits for another phase, or for the time to look again.
  void nap(phase now) noexcept {
    constexpr std::uint64_t look_ns = 50'000, long_ns = 100'000'000;
    bool const host = of_.where.kind() == core::backend_kind::host;
    std::uint64_t ns = host ? long_ns : counts_ ? look_ns : 10 * look_ns;
    if (now == phase::running) { ns = std::clamp(left_ns(), std::uint64_t{1}, ns); }
    if (host) {
      P::parking::park(of_.crew.control().owner.phase, static_cast<std::uint32_t>(now), ns);
    } else {  // nobody wakes a sleeper in memory that a device shares
      timespec const time{0, static_cast<long>(ns)};
      ::nanosleep(&time, nullptr);
    }
  }

  /// @return whether there is more to do
  [[nodiscard]] bool bring_back(phase from) noexcept {
    if (!of_.all_left()) {
      if (wait_.look_up() && !of_.keep_going()) { return false; }
      wait_.pause();
      return true;
    }
    auto const back =
        of_.bring_back(from, from == phase::turning ? phase::running : phase::closing);
    wait_ = {};
    return back || back.error().code == errc::busy;
  }

  state<P>& of_;
  bool counts_;
  std::uint64_t begun_ = 0;  ///< the number of the epoch that it watches
  std::uint64_t began_ns_ = 0;
  std::uint64_t done_before_ = 0;
  patience wait_;
};

/// Gives a consumer its keeper, in whose hands it then is too.
/// @error errc::native_failure (POSIX) when the thread cannot start; errc::out_of_memory
template <consumer_policy P>
[[nodiscard]] result<void> start_keeper(std::shared_ptr<state<P>> const& of) noexcept {
  of->end_keeper();  // one that came for an earlier close
  std::scoped_lock const lock(of->keeping);
  try {
    of->keeper = std::thread([keep = of]() noexcept { epoch_keeper<P>(*keep).run(); });
    return {};
  } catch (std::system_error const& e) {
    return core::fail(errc::native_failure, core::origin::posix, e.code().value());
  } catch (std::bad_alloc const&) { return core::fail(errc::out_of_memory); }
}

/// The first epoch of a consumer, and whoever sees to the later ones.
/// @error as the launchers'
template <consumer_policy P>
[[nodiscard]] result<void> begin_epochs(std::shared_ptr<state<P>> const& of) noexcept {
  if (auto const started = of->begin_epoch(); !started) { return started; }
  if constexpr (P::stay.bounded()) {
    if (auto const kept = start_keeper(of); !kept) {
      of->crew.advance(phase::stopping);
      static_cast<void>(
          wait_until(*of, within(of->built.patience), [&]() noexcept { return of->all_left(); }));
      of->release_workers(of->all_left());
      return kept;
    }
  }
  return {};
}

}  // namespace millrace::inline v0::queue::detail
