// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/memory/buffer.hpp>
#include <millrace/memory/shared_memory.hpp>
#include <millrace/queue/block_layout.hpp>
#include <millrace/queue/consumer.hpp>
#include <millrace/queue/drain.hpp>
#include <millrace/queue/snapshot.hpp>

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
  /// @param args  all that it points to outlives the program
  explicit host_drain(drain_args<Q> args) noexcept : args_(std::move(args)) {}

  /// The same over what was made for a policy of the same shape.
  /// @error errc::layout_mismatch; errc::out_of_memory
  template <consumer_policy P>
  [[nodiscard]] static result<std::unique_ptr<program>> over(
      drain_args<P> const& of, typename Q::processor process,
      memory::any_resource const& from = {}) {
    auto own = own_buffer<lane_ref<Q>>::make(of.lane_count, from, core::destructive_bytes);
    if (!own) { return cuda::std::unexpected(own.error()); }
    for (std::size_t l = 0; l < of.lane_count; ++l) {
      auto const lane = lane_ref<Q>::attach(of.lanes[l].control());
      if (!lane) { return cuda::std::unexpected(lane.error()); }
      place(&(*own)[l], *lane);
    }
    drain_args<Q> args;
    args.lanes = own->data();
    args.cursors = of.cursors;
    args.lane_count = of.lane_count;
    args.crew = crew_ref<Q>(of.crew.control(), &of.crew.worker(0), of.crew.workers());
    args.states = of.states;
    args.snapshots = of.snapshots.template seen_as<Q>();
    args.follow_ups = of.follow_ups;
    args.process = std::move(process);
    auto made = std::make_unique<host_drain>(std::move(args));
    made->own_ = std::move(*own);
    return std::unique_ptr<program>(std::move(made));
  }

  void work(std::uint32_t worker) noexcept override { drain(args_, worker, host_group{}); }

 private:
  own_buffer<lane_ref<Q>> own_;
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
    auto block = own_buffer<std::byte>::make(layout->bytes, with.resource, layout->alignment);
    if (!block) { return cuda::std::unexpected(block.error()); }
    layout->format(block->data(), with);
    auto made = over(block->data(), *layout, with, std::move(process));
    if (!made) { return cuda::std::unexpected(made.error()); }
    (*made)->why = "host threads were asked for";
    (*made)->block_ = std::move(*block);
    std::shared_ptr<state<P>> shared(std::move(*made));
    if (auto const started = begin_epochs<P>(shared); !started) {
      return cuda::std::unexpected(started.error());
    }
    return shared;
  }

  /// Workers for a block that was formatted, and perhaps used, before: they go on where its lanes
  /// are, or, if those retain, where its last snapshots are. None is started yet.
  /// @param block  outlives the state
  /// @error errc::out_of_memory; errc::layout_mismatch
  [[nodiscard]] static result<std::shared_ptr<host_state>> over(std::byte* block,
                                                                block_layout<P> const& layout,
                                                                options const& with,
                                                                typename P::processor process) {
    auto made = make_owned<host_state>(with.resource);
    auto cursors = own_buffer<lane_cursor>::make(cursor_count<P>(with), with.resource);
    auto states = own_buffer<worker_state<typename P::state>>::make(with.workers, with.resource);
    if (!cursors) { return cuda::std::unexpected(cursors.error()); }
    if (!states) { return cuda::std::unexpected(states.error()); }
    if (auto const found = layout.find(block, with, *made); !found) {
      return cuda::std::unexpected(found.error());
    }
    if constexpr (follows<P>) {
      auto follow_ups = own_buffer<std::byte>::make(with.workers * follow_layout_of<P>::bytes,
                                                    with.resource, follow_layout_of<P>::alignment);
      if (!follow_ups) { return cuda::std::unexpected(follow_ups.error()); }
      made->follow_ups_ = std::move(*follow_ups);
    }
    made->cursors_ = std::move(*cursors);
    made->states_ = std::move(*states);
    drain_args<P>& args = made->args_;
    args.lanes = made->lanes.data();
    args.cursors = made->cursors_.data();
    args.lane_count = lane_count<P>(with);
    args.crew = made->crew;
    args.states = made->states_.data();
    args.snapshots = snapshots_ref<P>(block + layout.snapshots_at, with.lanes);
    if constexpr (follows<P>) { args.follow_ups = made->follow_ups_.data(); }
    args.process = std::move(process);
    made->find_place();
    made->replace(std::make_unique<host_drain<P>>(args));
    return made;
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
  [[nodiscard]] drain_args<P> const& args() const noexcept { return args_; }
  /// Keeps the memory that the block lies in, as long as a worker may touch it.
  void keep(memory::shared_memory memory) noexcept { shared_ = std::move(memory); }
  /// The same for another's memory, which is let go when the workers have left for good.
  void keep(std::shared_ptr<void> owner) noexcept { owner_ = std::move(owner); }

  [[nodiscard]] result<typename P::state> read_state(std::uint32_t worker) noexcept override {
    return states_[worker].state;
  }
  [[nodiscard]] result<void> write_state(std::uint32_t worker,
                                         typename P::state const& to) noexcept override {
    if constexpr (retains<P>) { args_.snapshots.amend(worker, this->crew.worker(worker), to); }
    states_[worker].state = to;
    return {};
  }

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
    if (owner_ != nullptr && all_left && this->crew.phase() >= phase::stopping) { owner_.reset(); }
  }

 private:
  /// States and cursors as the block has them.
  void find_place() noexcept {
    for (std::uint32_t w = 0; w < this->built.workers; ++w) {
      worker_state<typename P::state>& mine = place(&states_[w], worker_state<typename P::state>{});
      if constexpr (retains<P>) { mine = args_.snapshots.of(w, this->crew.worker(w).snapshots); }
      mine.processed = count_done(w);
      mine.failed = this->crew.worker(w).failed;
    }
    for (std::size_t c = 0; c < cursors_.size(); ++c) {
      auto const l = static_cast<std::uint32_t>(c % this->lanes.size());
      lane_control const& lane = this->lanes[l].control();
      std::uint32_t const owner = l % this->built.workers;
      message_id at = lane.claim.claimed;
      if constexpr (counts_credit<P>) { at = lane.worker.consumed; }
      if constexpr (retains<P>) {
        at = args_.snapshots.position(owner, this->crew.worker(owner).snapshots, l);
      } else if constexpr (P::claims == claim_mode::pinned && !counts_credit<P>) {
        at = first_unanswered(this->lanes[l]);
      }
      if constexpr (P::named_producers) {
        if (auto const stopped = stopped_at<typename P::access>(this->lanes[l].identity())) {
          at = *stopped;
        }
      }
      lane_cursor& cursor = place(&cursors_[c], lane_cursor{});
      cursor.position = cursor.limit = at;
      cursor.index = static_cast<std::uint32_t>((at - lane.first) % lane.capacity);
    }
  }
  /// What worker `w` has done, which it may not have told before it died.
  [[nodiscard]] std::uint64_t count_done(std::uint32_t w) noexcept {
    worker_control& words = this->crew.worker(w);
    if constexpr (P::claims == claim_mode::pinned && !one_ring<P>) {
      std::uint64_t done = 0;
      for (std::uint32_t l = w; l < this->lanes.size(); l += this->built.workers) {
        lane_control const& lane = this->lanes[l].control();
        message_id end = lane.worker.consumed;
        if constexpr (!counts_credit<P>) { end = first_unanswered(this->lanes[l]); }
        done += end - lane.first;
      }
      std::uint64_t const unseen = words.cancelled + words.expired;
      if (done > unseen && done - unseen > words.processed) {
        P::access::store(words.processed, done - unseen, core::release, "worker.processed");
      }
    }
    return words.processed;
  }
  /// Where the worker of a lane stands whose messages are done in their order.
  [[nodiscard]] static message_id first_unanswered(lane_ref<P> const& lane) noexcept {
    lane_control const& words = lane.control();
    // its producer may go on meanwhile
    message_id const end =
        P::access::load(words.producer.published, core::acquire, "lane.published");
    message_id at = end - std::min<message_id>(end - words.first, words.capacity);
    auto index = static_cast<std::uint32_t>((at - words.first) % words.capacity);
    while (at != end && lane.record_at(index).seq == sequence_of(at)) {
      ++at;
      index = lane.after(index, 1);
    }
    return at;
  }

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
    this->crew.tell(worker, presence::working);
    program_->work(worker);
    this->crew.tell(worker, presence::gone);
    P::access::fetch_add(control.crew.exited, 1u, core::acq_rel, "crew.exited");
  }

  own_buffer<std::byte> block_;   ///< this, or
  memory::shared_memory shared_;  ///< this holds the block, or
  std::shared_ptr<void> owner_;   ///< this
  own_buffer<lane_cursor> cursors_;
  own_buffer<worker_state<typename P::state>> states_;
  own_buffer<std::byte> follow_ups_;  ///< each worker's
  drain_args<P> args_;
  std::unique_ptr<host_program> program_;
  std::vector<std::thread> threads_;
};

/// Host threads for the block of a lost device: as many as it had workers, each with the lanes and
/// the state of one. Not started.
/// @param owner  of the block
/// @param twin   `(drain_args<P> const&)` makes the program that the device ran, for host threads
/// @error errc::out_of_memory; the twin's
template <consumer_policy P, class Twin>
[[nodiscard]] result<std::shared_ptr<state<P>>> stand_in_for(std::byte* block, options const& with,
                                                             std::shared_ptr<void> owner,
                                                             Twin const& twin) {
  auto const layout = block_layout<P>::make(with);
  if (!layout) { return cuda::std::unexpected(layout.error()); }
  auto made = host_state<P>::over(block, *layout, with, {});
  if (!made) { return cuda::std::unexpected(made.error()); }
  result<std::unique_ptr<program>> program = twin((*made)->args());
  if (!program) { return cuda::std::unexpected(program.error()); }
  (*made)->replace(std::move(*program));
  (*made)->keep(std::move(owner));
  return std::shared_ptr<state<P>>(std::move(*made));
}

}  // namespace detail

/// Starts host threads that do `process` on each message.
/// @error errc::bad_argument, native naming the option: 1 capacity, 2 lanes, 3 workers,
///        4 arena_bytes;
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
  std::scoped_lock const lock(of.shared()->leaving);
  if (!of.parked()) { return core::fail(errc::busy); }  // nor does anybody bring them back now
  try {
    auto& host = static_cast<detail::host_state<P>&>(of.shared()->workers());
    auto made = detail::host_drain<Q>::over(host.args(), std::move(process), host.built.resource);
    if (!made) { return cuda::std::unexpected(made.error()); }
    host.replace(std::move(*made));
    return {};
  } catch (std::bad_alloc const&) { return core::fail(errc::out_of_memory); }
}

}  // namespace millrace::inline v0::queue
