// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/cuda_status.cuh>
#include <millrace/memory/buffer.hpp>
#include <millrace/queue/block_layout.hpp>
#include <millrace/queue/dma_copier.cuh>
#include <millrace/queue/kernel_args.hpp>

#include <cuda_runtime_api.h>

#include <bit>
#include <cstdint>
#include <memory>
#include <new>
#include <system_error>
#include <thread>
#include <utility>

namespace millrace::inline v0::queue::detail {

/// The thread that has a copy engine fill a device's ring. It lives from the launch until the
/// consumer stops, through every epoch.
template <consumer_policy P>
class dma_feed {
  using ring = lane_ref<P, worker_access<P>>;
  using host_keeper = keeper<P, worker_access<P>, dma_copier>;
  using route = typename host_keeper::route;

 public:
  dma_feed() noexcept = default;
  dma_feed(dma_feed const&) = delete;
  dma_feed& operator=(dma_feed const&) = delete;
  ~dma_feed() { end(); }

  /// @error errc::out_of_memory; what the runtime says
  [[nodiscard]] result<void> reserve(std::uint32_t lanes, int ordinal,
                                     memory::any_resource const& from) noexcept {
    auto made = own_buffer<route>::make(lanes, from);
    if (!made) { return cuda::std::unexpected(made.error()); }
    routes_ = std::move(*made);
    return controls_.reserve(ordinal, lanes);
  }
  /// Where the ring of a lane has its control block, in device memory.
  [[nodiscard]] lane_control* control(std::uint32_t lane) const noexcept {
    return controls_.at(lane);
  }
  void connect(std::uint32_t lane, lane_ref<P> const& from, ring const& to,
               message_id first) noexcept {
    route& made = place(&routes_[lane], route{from, to, {}});
    made.at.position = first;
  }

  /// Opens the stream and sends a first slot and each cursor on the way that all others will go, so
  /// that whatever the driver makes at a first use is there before a kernel runs that does not end.
  /// @error as dma_copier
  [[nodiscard]] result<void> prepare() noexcept {
    if (auto const open = copier_.open(); !open) { return open; }
    for (route& one : routes_.ref()) {
      auto const described = copier_.copy(reinterpret_cast<std::byte*>(&one.to.control()),
                                          reinterpret_cast<std::byte const*>(&one.from.control()),
                                          sizeof(lane_control));
      if (!described) { return described; }
      auto const sent =
          copier_.copy(reinterpret_cast<std::byte*>(&one.to.header(0)),
                       reinterpret_cast<std::byte const*>(&one.from.header(0)), P::slot::stride);
      if (!sent) { return sent; }
      auto const told = copier_.publish(one.to.control().producer.published, one.at.position);
      if (!told) { return told; }
    }
    if (auto const ok = copier_.finish(); !ok) { return ok; }
    return copier_.settle();
  }

  /// Begins to carry.
  /// @param owner  what all the memory belongs to; kept until the thread ends
  /// @error errc::native_failure (POSIX) when the thread cannot start
  [[nodiscard]] result<void> start(std::shared_ptr<void> owner, int ordinal,
                                   crew_ref<P> crew) noexcept {
    try {
      thread_ = std::thread([this, keep = std::move(owner), ordinal, crew]() noexcept {
        auto ended = core::cuda_check(cudaSetDevice(ordinal));  // the driver's calls look for it
        if (ended) { ended = host_keeper(routes_.ref(), crew, copier_).run(); }
        static_cast<void>(copier_.settle());  // nothing is written any more once the thread is gone
        if (!ended) {
          P::access::store(failure_, std::bit_cast<std::uint64_t>(ended.error()), core::release,
                           "keeper.failed");
        }
      });
      return {};
    } catch (std::system_error const& e) {
      return core::fail(errc::native_failure, core::origin::posix, e.code().value());
    } catch (std::bad_alloc const&) { return core::fail(errc::out_of_memory); }
  }

  /// @error what ended the carrying, if it was an error
  [[nodiscard]] result<void> health() const noexcept {
    std::uint64_t const bits = P::access::load(failure_, core::acquire, "keeper.failed");
    if (bits == 0) { return {}; }
    return cuda::std::unexpected<error>(std::bit_cast<error>(bits));
  }

  /// Waits for the thread, which leaves by itself once the consumer stops.
  void end() noexcept {
    if (!thread_.joinable()) { return; }
    // the last to let go of the memory may be the thread itself
    if (thread_.get_id() == std::this_thread::get_id()) {
      thread_.detach();
    } else {
      thread_.join();
    }
  }

 private:
  own_buffer<route> routes_;
  stream_written controls_;
  dma_copier copier_;
  std::uint64_t failure_ = 0;  ///< the bits of an error
  std::thread thread_;
};

/// Where nothing is carried so.
struct no_feed {};

}  // namespace millrace::inline v0::queue::detail
