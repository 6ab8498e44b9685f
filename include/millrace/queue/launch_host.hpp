// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/memory/buffer.hpp>
#include <millrace/queue/block_layout.hpp>
#include <millrace/queue/consumer.hpp>
#include <millrace/queue/drain.hpp>

#include <cerrno>
#include <memory>
#include <new>
#include <pthread.h>
#include <sched.h>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace millrace::inline v0::queue {

namespace detail {

/// What host threads run.
class host_program : public program {
 public:
  virtual void work(std::uint32_t worker) noexcept = 0;
};

/// The drain loop of policy Q.
template <consumer_policy Q>
class host_drain final : public host_program {
 public:
  /// @param lanes  [lane_count]  @param cursors  as drain_args: both outlive the program
  host_drain(memory::buffer_ref<lane_ref<Q>> lanes, lane_cursor* cursors, crew_ref<Q> crew,
             typename Q::processor process) noexcept
      : args_{lanes.data(),       cursors, static_cast<std::uint32_t>(lanes.size()), crew,
              std::move(process), {}} {}

  /// The same over lanes that were made for a policy of the same shape.
  /// @error errc::layout_mismatch; errc::out_of_memory
  template <consumer_policy P>
  [[nodiscard]] static result<std::unique_ptr<program>> over(memory::buffer_ref<lane_ref<P>> lanes,
                                                             lane_cursor* cursors, crew_ref<P> crew,
                                                             typename Q::processor process) {
    auto own = memory::buffer<lane_ref<Q>>::make(lanes.size(), {}, core::destructive_bytes);
    if (!own) { return cuda::std::unexpected(own.error()); }
    for (std::size_t l = 0; l < lanes.size(); ++l) {
      auto const lane = lane_ref<Q>::attach(lanes[l].control());
      if (!lane) { return cuda::std::unexpected(lane.error()); }
      place(&(*own)[l], *lane);
    }
    crew_ref<Q> const same(crew.control(), &crew.worker(0), crew.workers());
    auto made = std::make_unique<host_drain>(own->ref(), cursors, same, std::move(process));
    made->own_ = std::move(*own);
    return std::unique_ptr<program>(std::move(made));
  }

  void work(std::uint32_t worker) noexcept override { drain(args_, worker, host_group{}); }

 private:
  memory::buffer<lane_ref<Q>> own_;
  drain_args<Q> args_;
};

/// Workers as threads of this process.
template <consumer_policy P>
class host_state final : public state<P> {
 public:
  ~host_state() override { release_workers(true); }

  /// @error errc::bad_argument, errc::out_of_memory, errc::native_failure (POSIX) for threads
  [[nodiscard]] static result<std::shared_ptr<state<P>>> make(options const& with,
                                                              typename P::processor process) {
    auto const layout = block_layout<P>::make(with);
    if (!layout) { return cuda::std::unexpected(layout.error()); }
    auto made = std::make_shared<host_state>();
    made->why = "host threads were asked for";
    auto block = memory::buffer<std::byte>::make(layout->bytes, {}, layout->alignment);
    auto cursors = memory::buffer<lane_cursor>::make(cursor_count<P>(with));
    if (!block) { return cuda::std::unexpected(block.error()); }
    if (!cursors) { return cuda::std::unexpected(cursors.error()); }
    if (auto const built = layout->build(block->data(), with, *made); !built) {
      return cuda::std::unexpected(built.error());
    }
    for (lane_cursor& cursor : cursors->ref()) {
      place(&cursor, lane_cursor{});
      cursor.position = cursor.limit = with.first_message;
    }
    made->block_ = std::move(*block);
    made->cursors_ = std::move(*cursors);
    made->replace(std::make_unique<host_drain<P>>(made->lanes.ref(), made->cursors_.data(),
                                                  made->crew, std::move(process)));
    if (auto const started = made->start_workers(); !started) {
      return cuda::std::unexpected(started.error());
    }
    return std::shared_ptr<state<P>>(std::move(made));
  }

  [[nodiscard]] result<void> start_workers() override {
    threads_.clear();
    auto const started = start_threads();
    if (!started) {
      this->crew.advance(phase::stopping);
      release_workers(false);
    }
    return started;
  }
  void replace(std::unique_ptr<program> with) noexcept override {
    program_.reset(static_cast<host_program*>(with.release()));
  }
  [[nodiscard]] lane_cursor* cursors() noexcept { return cursors_.data(); }

  /// A thread that does not come back keeps this state alive.
  void release_workers(bool all_left) noexcept override {
    for (std::thread& thread : threads_) {
      if (!thread.joinable()) { continue; }
      // the last handle may be let go by a worker, which cannot join itself
      if (all_left && thread.get_id() != std::this_thread::get_id()) {
        thread.join();
      } else {
        thread.detach();
      }
    }
  }

 private:
  [[nodiscard]] result<void> start_threads() {
    auto const self = std::static_pointer_cast<host_state>(this->shared_from_this());
    threads_.reserve(this->built.workers);
    for (std::uint32_t w = 0; w < this->built.workers; ++w) {
      try {
        threads_.emplace_back([keep = self, w] { keep->work(w); });
      } catch (std::system_error const& e) {
        return core::fail(errc::native_failure, core::origin::posix, e.code().value());
      } catch (std::bad_alloc const&) { return core::fail(errc::out_of_memory); }
      if (int const status = pin(threads_.back(), w); status != 0) {
        return core::fail(errc::native_failure, core::origin::posix, status);
      }
    }
    crew_control& control = this->crew.control();
    auto const alive = [&]() noexcept {
      return P::access::load(control.crew.alive, core::acquire, "crew.alive") ==
             this->built.workers;
    };
    return wait_until(*this, within(this->built.patience), alive);
  }

  /// @return 0 or the POSIX status
  [[nodiscard]] int pin(std::thread& thread, std::uint32_t worker) const noexcept {
    if (this->built.first_cpu < 0) { return 0; }
    std::uint64_t const cpu = static_cast<std::uint64_t>(this->built.first_cpu) + worker;
    if (cpu >= CPU_SETSIZE) { return EINVAL; }
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    return ::pthread_setaffinity_np(thread.native_handle(), sizeof(one), &one);
  }

  void work(std::uint32_t worker) noexcept {
    crew_control& control = this->crew.control();
    P::access::fetch_add(control.crew.alive, 1u, core::acq_rel, "crew.alive");
    program_->work(worker);
    P::access::fetch_add(control.crew.exited, 1u, core::acq_rel, "crew.exited");
  }

  memory::buffer<std::byte> block_;
  memory::buffer<lane_cursor> cursors_;
  std::unique_ptr<host_program> program_;
  std::vector<std::thread> threads_;
};

}  // namespace detail

/// Starts host threads that do `process` on each message.
/// @error errc::bad_argument, native naming the option: 1 capacity, 2 lanes, 3 workers;
///        errc::out_of_memory; errc::native_failure with errno when a thread cannot start or
///        be pinned; errc::deadline_passed when the threads do not come alive
template <consumer_policy P>
[[nodiscard]] result<consumer<P>> launch_host(options const& with,
                                              typename P::processor process = {}) noexcept {
  try {
    auto made = detail::host_state<P>::make(with, std::move(process));
    if (!made) { return cuda::std::unexpected(made.error()); }
    return consumer<P>(std::move(*made));
  } catch (std::bad_alloc const&) { return core::fail(errc::out_of_memory); }
}

/// Lets parked host workers go on with another functor, of P's own type or of a policy Q of the
/// same shape. Its messages, lanes and producers stay as they are.
/// @error errc::busy when the workers are not parked; errc::out_of_memory
template <consumer_policy Q, consumer_policy P>
  requires same_shape<P, Q>
[[nodiscard]] result<void> replace_host(consumer<P>& of, typename Q::processor process) noexcept {
  if (!of.parked()) { return core::fail(errc::busy); }
  try {
    auto& host = static_cast<detail::host_state<P>&>(*of.shared());
    auto made = detail::host_drain<Q>::over(host.lanes.ref(), host.cursors(), host.crew,
                                            std::move(process));
    if (!made) { return cuda::std::unexpected(made.error()); }
    host.replace(std::move(*made));
    return {};
  } catch (std::bad_alloc const&) { return core::fail(errc::out_of_memory); }
}

}  // namespace millrace::inline v0::queue
