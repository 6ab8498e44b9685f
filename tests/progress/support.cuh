// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "unit/queue/support.hpp"
#include <millrace/memory/buffer.hpp>
#include <millrace/memory/pinned_resource.cuh>

#include <cuda/atomic>

#include <cuda_runtime.h>

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <thread>
#include <utility>

/// \file
/// A consumer on a device that is busy all the time, and calls of the runtime beside it.

namespace progress_test {

namespace memory = millrace::memory;
using namespace queue_test;

/// Ends the program when its scope takes longer than any test may: a call of the runtime that waits
/// for ever cannot be called off, so the test that made it cannot go on.
class watchdog {
 public:
  explicit watchdog(std::chrono::seconds patience = std::chrono::seconds(150))
      : thread_([this, patience] { watch(patience); }) {}
  watchdog(watchdog const&) = delete;
  watchdog& operator=(watchdog const&) = delete;
  ~watchdog() {
    {
      std::scoped_lock const lock(mutex_);
      over_ = true;
    }
    changed_.notify_one();
    thread_.join();
  }

 private:
  void watch(std::chrono::seconds patience) {
    std::unique_lock lock(mutex_);
    if (changed_.wait_for(lock, patience, [this] { return over_; })) { return; }
    auto const* const test = doctest::getContextOptions()->currentTest;
    std::fprintf(stderr, "no end of '%s'\n", test != nullptr ? test->m_name : "a test");
    std::fflush(nullptr);
    std::_Exit(1);
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  bool over_ = false;
  std::thread thread_;
};

/// A stream that waits for no other, made before anything else runs.
class other_stream {
 public:
  other_stream() {
    core::value_or_throw(
        core::cuda_check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking)));
  }
  other_stream(other_stream const&) = delete;
  other_stream& operator=(other_stream const&) = delete;
  ~other_stream() { static_cast<void>(cudaStreamDestroy(stream_)); }
  [[nodiscard]] cudaStream_t get() const noexcept { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

/// Zeroed words that the host and kernels see at one address, made before anything else runs.
template <class T>
[[nodiscard]] memory::buffer<T, memory::pinned_resource> seen_by_both(std::size_t count) {
  return core::value_or_throw(
      memory::buffer<T, memory::pinned_resource>::make_zeroed(count, memory::pinned_resource(0)));
}

/// A word between host threads and kernels.
using shared_word = cuda::atomic_ref<std::uint32_t, cuda::thread_scope_system>;

/// Workers read what a puller carried, the producers' memory, or what the copy engine brought.
struct pulled : queue::default_consumer<uint64_t, twice_plus_one> {};
struct direct : pulled {
  static constexpr queue::claim_mode claims = queue::claim_mode::pinned;
  static constexpr queue::ingress_mode ingress = queue::ingress_mode::direct;
};
struct copied : pulled {
  static constexpr queue::ingress_mode ingress = queue::ingress_mode::dma;
};

/// Sends messages and takes their answers on a thread that calls nothing of the runtime. Those of
/// `copied` need such calls on another thread, which what waits in the runtime may hold up: it is
/// for what must not wait.
template <class P>
class traffic {
 public:
  explicit traffic(queue::producer<P> lane) : lane_(std::move(lane)), thread_([this] { run(); }) {}
  traffic(traffic const&) = delete;
  traffic& operator=(traffic const&) = delete;
  ~traffic() { static_cast<void>(finish()); }

  [[nodiscard]] uint64_t answered() const noexcept { return answered_; }
  /// Sends no more; whether every answer came, and was right.
  [[nodiscard]] bool finish() {
    over_ = true;
    if (thread_.joinable()) { thread_.join(); }
    return right_ && sent_ == answered_;
  }

 private:
  void run() noexcept {
    while (!over_) {
      while (lane_.submit(sent_)) { ++sent_; }
      take();
      core::yield_thread();
    }
    right_ = eventually([this]() noexcept {
               take();
               return answered_ == sent_;
             }) &&
             right_;
  }
  void take() noexcept {
    answered_ += lane_.poll([this](auto const& got) noexcept {
      right_ = right_ && got.status == queue::status::ok && got.reply == answer_to(got.id);
    });
  }

  queue::producer<P> lane_;
  std::atomic<uint64_t> answered_{0};
  std::atomic<bool> over_{false};
  uint64_t sent_ = 0;
  bool right_ = true;
  std::thread thread_;  ///< last: it uses the others
};

/// How calls beside a consumer went.
struct outcome {
  bool by_itself = false;  ///< they came back while the workers were there
  bool right = false;      ///< every one of them succeeded
  bool went_on = false;    ///< messages were answered until then
  std::int64_t took_us = 0;
};

/// A consumer with messages under way, and what is done meanwhile.
template <class P>
class busy_consumer {
 public:
  busy_consumer()
      : consumer_(
            core::value_or_throw(queue::launch<P>(core::backend::cuda(0), {.capacity = 64}, {}))),
        traffic_(open(consumer_)) {}

  /// Calls `act`, which says whether it succeeded, on another thread: once, or again and again
  /// until a few hundred messages were answered meanwhile. Where it does not come back the workers
  /// park and it has the device for itself; afterwards they come back.
  template <class Act>
  [[nodiscard]] outcome meanwhile(Act act, bool once = false) {
    outcome found;
    found.went_on = goes_on();
    bool right = true;
    std::atomic<bool> back{false};
    uint64_t const before = traffic_.answered();
    auto const start = std::chrono::steady_clock::now();
    std::thread other([&] {
      auto const until = queue::within(patience);
      do {
        right = act() && right;
      } while (!once && right && traffic_.answered() < before + some &&
               !until.expired(core::steady_clock{}));
      back = true;
    });
    auto const until = queue::within(once ? patience / 4 : 2 * patience);
    while (!back && !until.expired(core::steady_clock{})) { core::yield_thread(); }
    found.by_itself = back;
    found.went_on = found.went_on && (once || traffic_.answered() >= before + some);
    if (!found.by_itself) {
      found.went_on = found.went_on && goes_on();
      parked_ = consumer_.park(soon()).has_value();
    }
    other.join();
    if (!found.by_itself) { parked_ = parked_ && consumer_.resume().has_value(); }
    found.right = right && parked_;
    auto const end = std::chrono::steady_clock::now();
    found.took_us = std::chrono::duration_cast<std::chrono::microseconds>(end - start).count();
    return found;
  }

  /// The same while the workers are parked.
  template <class Act>
  [[nodiscard]] bool while_parked(Act act) {
    return consumer_.park(soon()) && act() && consumer_.resume();
  }

  /// Whether messages are answered.
  [[nodiscard]] bool goes_on() noexcept {
    uint64_t const before = traffic_.answered();
    return eventually([&]() noexcept { return traffic_.answered() >= before + some; });
  }
  /// Whether every message was answered, and the workers left.
  [[nodiscard]] bool finish() { return traffic_.finish() && consumer_.stop(soon()); }

 private:
  static constexpr uint64_t some = 300;
  static constexpr std::chrono::seconds patience{10};

  watchdog dog_;
  bool parked_ = true;
  queue::consumer<P> consumer_;
  traffic<P> traffic_;
};

/// Demands that calls come back beside a consumer, and that messages go on during and after them.
template <class P, class Act>
void demand(busy_consumer<P>& consumer, Act act) {
  outcome const found = consumer.meanwhile(act);
  CHECK(found.by_itself);
  CHECK(found.right);
  CHECK(found.went_on);
  CHECK(consumer.goes_on());
  CHECK(consumer.finish());
}

/// For calls that the runtime may let wait for every kernel: says whether they did, and demands
/// that they then come back when the workers park, and that messages go on before and after.
template <class P, class Act>
void observe(busy_consumer<P>& consumer, Act act) {
  outcome const found = consumer.meanwhile(act, true);
  MESSAGE((found.by_itself ? "came back by itself" : "came back once the workers had parked")
          << " after " << found.took_us << " us");
  WARN(found.by_itself);
  CHECK(found.right);
  CHECK(found.went_on);
  CHECK(consumer.goes_on());
  CHECK(consumer.finish());
}

}  // namespace progress_test
