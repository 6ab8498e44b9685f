// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/cuda_status.cuh>
#include <millrace/core/device_guard.cuh>
#include <millrace/memory/buffer.hpp>
#include <millrace/memory/device_resource.cuh>
#include <millrace/memory/pinned_resource.cuh>
#include <millrace/queue/block_layout.hpp>
#include <millrace/queue/consumer.hpp>
#include <millrace/queue/dma_feed.cuh>
#include <millrace/queue/kernel.cuh>
#include <millrace/queue/launch_host.hpp>

#include <cuda_runtime_api.h>

#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>

namespace millrace::inline v0::queue {

namespace detail {

/// A kernel and its argument.
class device_program : public program {
 public:
  [[nodiscard]] virtual void const* kernel() const noexcept = 0;
  [[nodiscard]] virtual void* argument() noexcept = 0;
};

/// The same work on the lanes of a policy of the same grid.
template <consumer_policy Q, consumer_policy P>
  requires same_grid<P, Q>
[[nodiscard]] kernel_args<Q> seen_as(kernel_args<P> const& of, typename Q::processor process) {
  auto const same_crew = [](crew_ref<P> const& crew) noexcept {
    return crew_ref<Q>(crew.control(), &crew.worker(0), crew.workers());
  };
  kernel_args<Q> args;
  args.drain.lanes = reinterpret_cast<lane_ref<Q, worker_access<Q>>*>(of.drain.lanes);
  args.drain.cursors = of.drain.cursors;
  args.drain.lane_count = of.drain.lane_count;
  args.drain.follow_ups = of.drain.follow_ups;
  args.drain.crew = same_crew(of.drain.crew);
  args.drain.states = of.drain.states;
  args.drain.snapshots = of.drain.snapshots.template seen_as<Q>();
  args.drain.process = std::move(process);
  args.producers = same_crew(of.producers);
  args.here = of.here;
  args.lanes = reinterpret_cast<lane_ref<Q>*>(of.lanes);
  args.pulled = of.pulled;
  args.puller_blocks = of.puller_blocks;
  args.pullers_done = of.pullers_done;
  return args;
}

/// The drain kernel of policy Q.
template <consumer_policy Q>
class drain_program final : public device_program {
 public:
  explicit drain_program(kernel_args<Q> const& args) noexcept : args_(args) {}

  [[nodiscard]] void const* kernel() const noexcept override {
    return reinterpret_cast<void const*>(drain_kernel<Q>);
  }
  [[nodiscard]] void* argument() noexcept override { return &args_; }

 private:
  kernel_args<Q> args_;
};

/// Loads a kernel, and counts the blocks of it that the device can keep resident at once. A first
/// launch under a running persistent kernel would wait for that kernel.
/// @error what the runtime says
[[nodiscard]] inline result<std::uint64_t> resident_blocks(int ordinal, void const* kernel,
                                                           int threads) noexcept {
  cudaFuncAttributes loaded{};
  if (auto const ok = core::cuda_check(cudaFuncGetAttributes(&loaded, kernel)); !ok) {
    return cuda::std::unexpected(ok.error());
  }
  int per_processor = 0, processors = 0;
  auto const asked = core::cuda_check(
      cudaOccupancyMaxActiveBlocksPerMultiprocessor(&per_processor, kernel, threads, 0));
  auto const counted = core::cuda_check(
      cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, ordinal));
  if (!asked) { return cuda::std::unexpected(asked.error()); }
  if (!counted) { return cuda::std::unexpected(counted.error()); }
  return static_cast<std::uint64_t>(per_processor) * static_cast<std::uint64_t>(processors);
}

/// Workers as the groups of one persistent kernel. Everything is allocated and loaded before the
/// launch: while the kernel runs no call of this class can wait for it, and none is needed to stop
/// it.
template <consumer_policy P>
class device_state final : public state<P> {
 public:
  explicit device_state(int ordinal) noexcept : ordinal_(ordinal) {}

  ~device_state() override {
    core::device_guard const on(ordinal_);
    if constexpr (is_carried) { feed_.end(); }
    if (stream_ != nullptr) { static_cast<void>(cudaStreamDestroy(stream_)); }
  }

  /// @error as launch_device
  [[nodiscard]] static result<std::shared_ptr<state<P>>> make(int ordinal, options const& with,
                                                              typename P::processor process) {
    auto const layout = block_layout<P>::make(with);
    if (!layout) { return cuda::std::unexpected(layout.error()); }
    core::device_guard const on(ordinal);
    if (!on.status()) { return cuda::std::unexpected(on.status().error()); }
    auto const made = make_owned<device_state>(with.resource, ordinal);
    made->where = core::backend::cuda(ordinal);
    made->why = "a CUDA device was asked for";
    auto const blocks = grid_blocks(ordinal, with);
    if (!blocks) { return cuda::std::unexpected(blocks.error()); }
    auto const ready = made->allocate(*layout, with);
    if (!ready) { return cuda::std::unexpected(ready.error()); }
    made->blocks_ = *blocks;
    made->args_.drain.process = std::move(process);
    made->replace(std::make_unique<drain_program<P>>(made->args_));
    made->template stand_in_runs<P>(made->args_.drain.process);
    if (auto const fed = made->start_feed(); !fed) { return cuda::std::unexpected(fed.error()); }
    std::shared_ptr<state<P>> const shared = made;
    if (auto const started = begin_epochs<P>(shared); !started) {
      return cuda::std::unexpected(started.error());
    }
    return shared;
  }

  /// What every program of this state is made from.
  [[nodiscard]] kernel_args<P> const& args() const noexcept { return args_; }
  [[nodiscard]] int ordinal() const noexcept { return ordinal_; }

  /// Whether the grid of this state can be resident with another kernel, which is loaded for it.
  /// @error errc::not_co_resident with the number of worker groups that would fit; what the runtime
  ///        says
  [[nodiscard]] result<void> could_run(void const* kernel) const noexcept {
    core::device_guard const on(ordinal_);
    if (!on.status()) { return on.status(); }
    return fits(ordinal_, kernel, args_.puller_blocks, blocks_ - args_.puller_blocks);
  }

  [[nodiscard]] result<typename P::state> read_state(std::uint32_t worker) noexcept override {
    typename P::state out{};
    auto const copied = copy_state(&out, &args_.drain.states[worker].state);
    if (!copied) { return cuda::std::unexpected(copied.error()); }
    return out;
  }
  [[nodiscard]] result<void> write_state(std::uint32_t worker,
                                         typename P::state const& to) noexcept override {
    return copy_state(&args_.drain.states[worker].state, &to);
  }

  /// A program whose functor host threads cannot run; `stand_in_runs` says which one can.
  void replace(std::unique_ptr<program> with) noexcept override {
    program_.reset(static_cast<device_program*>(with.release()));
    twin_ = nullptr;
  }
  /// What stands in for the program, under a policy that falls back.
  template <consumer_policy Q>
  void stand_in_runs([[maybe_unused]] typename Q::processor const& process) {
    if constexpr (P::on_loss == loss_mode::fall_back) {
      twin_ = [process, from = this->built.resource](drain_args<P> const& args) {
        return host_drain<Q>::over(args, process, from);
      };
    }
  }

  /// The lanes, records, credits and snapshots are in the host's memory; what lay in the device's
  /// comes again from there. Who carries messages to the device ends with his next one, or with the
  /// consumer: he writes nothing here.
  [[nodiscard]] result<std::shared_ptr<state<P>>> make_stand_in() override {
    if constexpr (P::on_loss == loss_mode::fall_back) {
      if (twin_ == nullptr) { return core::fail(errc::not_compiled); }
      auto made = stand_in_for<P>(block_->data(), this->built, this->shared_from_this(), twin_);
      if (made) { self_.reset(); }  // no kernel runs any more
      return made;
    } else {
      return core::fail(errc::device_lost);
    }
  }

  [[nodiscard]] result<void> start_workers() override {
    core::device_guard const on(ordinal_);
    if (!on.status()) { return on.status(); }
    if (auto const ready = reset_device(); !ready) { return ready; }
    void* arguments[] = {program_->argument()};
    auto const launched = core::cuda_check(cudaLaunchCooperativeKernel(
        program_->kernel(), dim3(blocks_), dim3(P::threads_per_block), arguments, 0, stream_));
    if (!launched) { return launched; }
    self_ = this->shared_from_this();
    crew_control& control = this->crew.control();
    patience wait;
    recover::deadline const until = within(this->built.patience);
    // A host that spins without asking may wait for ever: repeated queries are what starts it.
    while (P::access::load(control.crew.alive, core::acquire, "crew.alive") !=
           this->built.workers) {
      if (auto const well = health(); !well) {
        self_.reset();  // no kernel runs any more
        return well;
      }
      if (until.expired(core::steady_clock{})) {
        this->crew.advance(phase::stopping);
        return core::fail(errc::deadline_passed);
      }
      wait.pause();
    }
    return {};
  }

  [[nodiscard]] result<void> health() noexcept override {
    core::device_guard const on(ordinal_);
    if constexpr (is_carried) {
      phase const now = this->crew.phase();
      bool const needed = now == phase::running || now == phase::closing;
      if (auto const well = feed_.health(); needed && !well) { return well; }
    }
    cudaError_t const now = cudaStreamQuery(stream_);
    if (now == cudaSuccess) { return {}; }
    if (now == cudaErrorNotReady) {
      static_cast<void>(cudaGetLastError());  // not the caller's to find
      return {};
    }
    return core::cuda_check(now);
  }

  /// A kernel that does not come back keeps this state, and the memory it polls, alive.
  void release_workers(bool all_left) noexcept override {
    if (!all_left) { return; }
    core::device_guard const on(ordinal_);
    static_cast<void>(cudaStreamSynchronize(stream_));  // its last instructions
    if constexpr (is_carried) {
      if (this->crew.phase() >= phase::stopping) { feed_.end(); }
    }
    self_.reset();
  }

 private:
  [[nodiscard]] result<void> copy_state(void* to, void const* from) noexcept {
    core::device_guard const on(ordinal_);
    auto const sent = core::cuda_check(
        cudaMemcpyAsync(to, from, sizeof(typename P::state), cudaMemcpyDefault, stream_));
    return sent ? core::cuda_check(cudaStreamSynchronize(stream_)) : sent;
  }

  /// In the order of the stream: the device's own words of who came and left, and its phase.
  [[nodiscard]] result<void> reset_device() noexcept {
    fresh_.workers = this->built.workers;
    fresh_.hold = this->crew.control().hold;
    auto const crew = core::cuda_check(
        cudaMemcpyAsync(args_.here, &fresh_, sizeof fresh_, cudaMemcpyHostToDevice, stream_));
    if (!crew) { return crew; }
    return core::cuda_check(
        cudaMemsetAsync(args_.pullers_done, 0, sizeof(*args_.pullers_done), stream_));
  }

  /// Starts whoever brings messages to the device but its own threads.
  [[nodiscard]] result<void> start_feed() noexcept {
    if constexpr (is_carried) {
      if (auto const ready = feed_.prepare(); !ready) { return ready; }
      return feed_.start(this->shared_from_this(), ordinal_, this->crew);
    }
    return {};
  }

  static constexpr bool pulls = P::ingress == ingress_mode::pull;
  static constexpr bool is_carried = P::ingress == ingress_mode::dma;
  static constexpr bool has_ring = pulls || is_carried;
  using worker_lane = lane_ref<P, worker_access<P>>;

  /// Where the parts of the ring lie in one block of device memory.
  struct ring_layout {
    std::size_t lanes_at, host_lanes_at, cursors_at, states_at, pulled_at, done_at, slots_at,
        lane_bytes, follow_at, image_bytes, bytes;

    /// @param slots_bytes  of one lane of the ring; 0 when there is none
    ring_layout(block_layout<P> const& block, options const& with, std::size_t slots_bytes) {
      auto const up = [](std::size_t n) { return round_up(n, block_layout<P>::alignment); };
      lanes_at = up(block.workers_at);  // behind a crew_control
      host_lanes_at = up(lanes_at + with.lanes * sizeof(worker_lane));
      cursors_at = up(host_lanes_at + with.lanes * sizeof(lane_ref<P>));
      states_at = up(cursors_at + cursor_count<P>(with) * sizeof(lane_cursor));
      pulled_at = up(states_at + with.workers * sizeof(worker_state<typename P::state>));
      done_at = up(pulled_at + with.lanes * sizeof(lane_cursor));
      slots_at = up(done_at + sizeof(std::uint32_t));
      lane_bytes = up(slots_bytes);
      image_bytes = slots_at + with.lanes * lane_bytes;
      follow_at = round_up(image_bytes, follow_layout_of<P>::alignment);
      bytes = follow_at + with.workers * follow_layout_of<P>::bytes;  // they start as they are
    }
  };

  /// Blocks of the grid that pull; where a host thread carries one block passes the phase on.
  [[nodiscard]] static std::uint32_t puller_blocks(options const& with) noexcept {
    constexpr std::uint32_t lanes = lanes_per_block<P>;
    return pulls ? (with.lanes + lanes - 1) / lanes : is_carried ? 1 : 0;
  }

  /// @error errc::not_co_resident with the number of worker groups that would fit
  [[nodiscard]] static result<void> fits(int ordinal, void const* kernel, std::uint32_t pullers,
                                         std::uint32_t workers) noexcept {
    auto const room = resident_blocks(ordinal, kernel, P::threads_per_block);
    if (!room) { return cuda::std::unexpected(room.error()); }
    if (std::uint64_t{pullers} + workers <= *room) { return {}; }
    std::uint64_t const fit = *room > pullers ? (*room - pullers) * groups_per_block<P> : 0;
    return core::fail(errc::not_co_resident, static_cast<std::int32_t>(fit));
  }

  /// Blocks of the grid.
  /// @error as fits
  [[nodiscard]] static result<std::uint32_t> grid_blocks(int ordinal, options const& with) {
    std::uint32_t const pullers = puller_blocks(with);
    std::uint32_t const workers = (with.workers + groups_per_block<P> - 1) / groups_per_block<P>;
    auto const kernel = reinterpret_cast<void const*>(drain_kernel<P>);
    if (auto const ok = fits(ordinal, kernel, pullers, workers); !ok) {
      return cuda::std::unexpected(ok.error());
    }
    return pullers + workers;
  }

  [[nodiscard]] result<void> allocate(block_layout<P> const& layout, options const& with) {
    auto block = memory::buffer<std::byte, memory::pinned_resource>::make(
        layout.bytes, memory::pinned_resource(ordinal_), layout.alignment);
    if (!block) { return cuda::std::unexpected(block.error()); }
    block_.emplace(std::move(*block));
    if (auto const built = layout.build(block_->data(), with, *this); !built) { return built; }
    this->crew.control().hold = messages_at_once<P>;

    // The image of the ring as it starts: a host lane's control block and slots, without records.
    std::size_t const slots_bytes = has_ring ? this->lanes[0].control().records_offset : 0;
    ring_layout const at(layout, with, slots_bytes);
    auto ring = memory::buffer<std::byte, memory::device_resource>::make(
        at.bytes, memory::device_resource(ordinal_), layout.alignment);
    if (!ring) { return cuda::std::unexpected(ring.error()); }
    ring_.emplace(std::move(*ring));
    std::byte* const device = ring_->data();
    auto storage =
        own_buffer<std::byte>::make_zeroed(at.image_bytes, with.resource, layout.alignment);
    if (!storage) { return cuda::std::unexpected(storage.error()); }
    std::byte* const image = storage->data();

    if constexpr (is_carried) {
      if (auto const ok = feed_.reserve(with.lanes, ordinal_, with.resource); !ok) { return ok; }
    }
    crew_control& control = place(image, crew_control{});
    control.workers = with.workers;
    control.hold = this->crew.control().hold;
    for (std::uint32_t w = 0; w < with.workers; ++w) {
      place(image + at.states_at + w * sizeof(worker_state<typename P::state>),
            worker_state<typename P::state>{});
    }
    for (std::size_t c = 0; c < cursor_count<P>(with); ++c) {
      lane_cursor& cursor = place(image + at.cursors_at + c * sizeof(lane_cursor), lane_cursor{});
      cursor.position = cursor.limit = with.first_message;
    }
    for (std::uint32_t l = 0; l < with.lanes; ++l) {
      place(image + at.pulled_at + l * sizeof(lane_cursor), lane_cursor{}).position =
          with.first_message;
      std::byte* const worker_lane_at = image + at.lanes_at + l * sizeof(worker_lane);
      if constexpr (has_ring) {
        std::size_t const lane_at = at.slots_at + l * at.lane_bytes;
        std::memcpy(image + lane_at, &this->lanes[l].control(), slots_bytes);
        auto* lane_control_at = reinterpret_cast<lane_control*>(device + lane_at);
        if constexpr (is_carried) { lane_control_at = feed_.control(l); }
        std::byte* const slots = device + lane_at + this->lanes[l].control().slots_offset;
        auto const staged =
            this->lanes[l].template staged<worker_access<P>>(lane_control_at, slots);
        place(worker_lane_at, staged);
        if constexpr (is_carried) { feed_.connect(l, this->lanes[l], staged, with.first_message); }
      } else {
        place(worker_lane_at, this->lanes[l]);
      }
      place(image + at.host_lanes_at + l * sizeof(lane_ref<P>), this->lanes[l]);
    }
    // on a stream of its own: the default one would wait for the caller's other streams
    auto const made = core::cuda_check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
    if (!made) { return made; }
    auto const sent = core::cuda_check(
        cudaMemcpyAsync(device, image, at.image_bytes, cudaMemcpyHostToDevice, stream_));
    if (!sent) { return sent; }
    if (auto const ok = core::cuda_check(cudaStreamSynchronize(stream_)); !ok) { return ok; }
    args_.here = reinterpret_cast<crew_control*>(device);
    args_.drain.lanes = reinterpret_cast<worker_lane*>(device + at.lanes_at);
    args_.drain.cursors = reinterpret_cast<lane_cursor*>(device + at.cursors_at);
    args_.drain.lane_count = with.lanes;
    if constexpr (follows<P>) { args_.drain.follow_ups = device + at.follow_at; }
    args_.drain.crew =
        has_ring ? crew_ref<P>(*args_.here, &this->crew.worker(0), with.workers) : this->crew;
    args_.drain.states = reinterpret_cast<worker_state<typename P::state>*>(device + at.states_at);
    args_.drain.snapshots = snapshots_ref<P>(block_->data() + layout.snapshots_at, with.lanes);
    args_.lanes = reinterpret_cast<lane_ref<P>*>(device + at.host_lanes_at);
    args_.producers = this->crew;
    args_.pulled = reinterpret_cast<lane_cursor*>(device + at.pulled_at);
    args_.puller_blocks = puller_blocks(with);
    args_.pullers_done = reinterpret_cast<std::uint32_t*>(device + at.done_at);
    return {};
  }

  int ordinal_;
  std::optional<memory::buffer<std::byte, memory::pinned_resource>> block_;
  std::optional<memory::buffer<std::byte, memory::device_resource>> ring_;
  kernel_args<P> args_;
  crew_control fresh_;  ///< what `here` starts with
  std::uint32_t blocks_ = 0;
  std::unique_ptr<device_program> program_;
  cudaStream_t stream_ = nullptr;
  std::function<result<std::unique_ptr<program>>(drain_args<P> const&)> twin_;
  std::conditional_t<is_carried, dma_feed<P>, no_feed> feed_;
  std::shared_ptr<state<P>> self_;  ///< while the kernel runs
};

}  // namespace detail

/// Starts one persistent kernel on device `ordinal` that does `process` on each message.
/// What `process` points to must be within the device's reach.
/// Total order is refused at compile time: no read-modify-write crosses the bus.
/// @error errc::bad_argument as launch_host; errc::not_co_resident, native holding how many workers
///        fit; errc::out_of_memory; errc::no_device; errc::deadline_passed when the kernel does not
///        come alive; errc::device_lost or errc::native_failure with the CUDA status
template <consumer_policy P>
  requires(P::order == order_mode::per_producer)
[[nodiscard]] result<consumer<P>> launch_device(int ordinal, options const& with,
                                                typename P::processor process = {}) noexcept {
  static_assert(!detail::host_only<P>,
                "millrace: the policy needs a read-modify-write or a clock that producers and "
                "workers share, which the bus does not have; launch it on host threads");
  try {
    auto made = detail::device_state<P>::make(ordinal, with, std::move(process));
    if (!made) { return cuda::std::unexpected(made.error()); }
    return consumer<P>(std::move(*made));
  } catch (std::bad_alloc const&) { return core::fail(errc::out_of_memory); }
}

/// Lets parked device workers go on with another functor, of P's own type or of a policy Q of the
/// same grid. Its kernel is loaded here, while none runs.
/// @error errc::busy when the workers are not parked; errc::not_co_resident, native holding how
/// many
///        workers would fit; errc::out_of_memory; errc::device_lost when others stand in for them;
///        what the runtime says
template <consumer_policy Q, consumer_policy P>
  requires same_grid<P, Q>
[[nodiscard]] result<void> replace_device(consumer<P>& of, typename Q::processor process) noexcept {
  if (of.degraded()) { return core::fail(errc::device_lost); }
  if (!of.parked()) { return core::fail(errc::busy); }
  std::scoped_lock const lock(of.shared()->leaving);
  if (!of.parked()) { return core::fail(errc::busy); }  // nor does anybody bring them back now
  try {
    auto& device = static_cast<detail::device_state<P>&>(*of.shared());
    auto const kernel = reinterpret_cast<void const*>(drain_kernel<Q>);
    if (auto const ok = device.could_run(kernel); !ok) { return ok; }
    device.replace(
        std::make_unique<detail::drain_program<Q>>(detail::seen_as<Q>(device.args(), process)));
    device.template stand_in_runs<Q>(process);
    return {};
  } catch (std::bad_alloc const&) { return core::fail(errc::out_of_memory); }
}

}  // namespace millrace::inline v0::queue
