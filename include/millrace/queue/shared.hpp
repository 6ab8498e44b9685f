// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/memory/shared_memory.hpp>
#include <millrace/queue/launch_host.hpp>

#include <memory>
#include <new>
#include <string>
#include <utility>

/// \file
/// A consumer whose memory several processes share: producers in one, workers in another. When the
/// process with the workers dies, the next one goes on where it was; under a policy that takes
/// snapshots each message has its effect on the workers' state exactly once. `shareable` says
/// what is refused: total order, since a ring stands still behind a producer that died with a
/// number drawn; to drop the oldest messages; and follow-ups, which would die with their worker.

namespace millrace::inline v0::queue {

namespace detail {

/// Who holds which lock of the memory: the process with the workers, each lane's producer, and who
/// looks at the producers' names.
inline constexpr std::uint32_t server_lock = 0;
[[nodiscard]] constexpr std::uint32_t lane_lock(std::uint32_t lane) noexcept { return 1 + lane; }
inline constexpr std::uint32_t names_lock = 1u << 30;  // behind those of all lanes

/// The options that a block was formatted with.
[[nodiscard]] inline result<options> options_of(memory::shared_memory const& memory) noexcept {
  if (memory.size() < sizeof(crew_control)) { return core::fail(errc::layout_mismatch); }
  auto const& control = *reinterpret_cast<crew_control const*>(memory.data());
  if (control.magic != crew_control::ready || control.version != layout_version) {
    return core::fail(errc::layout_mismatch);
  }
  options with;
  with.lanes = control.lanes;
  with.capacity = control.capacity;
  with.workers = control.workers;
  with.first_message = control.first;
  with.arena_bytes = control.arena_bytes;
  return with;
}

/// Producers' side of a shared block; its workers are elsewhere.
template <consumer_policy P>
class shared_state final : public state<P> {
 public:
  explicit shared_state(memory::shared_memory memory) noexcept : memory_(std::move(memory)) {
    this->part = role::producers;
    this->why = "the workers are another process's";
  }

  [[nodiscard]] result<void> prepare(options const& with) {
    auto const layout = block_layout<P>::make(with);
    if (!layout) { return cuda::std::unexpected(layout.error()); }
    if (memory_.size() < layout->bytes) { return core::fail(errc::layout_mismatch); }
    snapshots_ = snapshots_ref<P>(memory_.data() + layout->snapshots_at, with.lanes);
    return layout->find(memory_.data(), with, *this);
  }

  [[nodiscard]] result<void> start_workers() override { return core::fail(errc::busy); }
  void replace(std::unique_ptr<program>) noexcept override {}
  void release_workers(bool) noexcept override {}
  [[nodiscard]] result<typename P::state> read_state(std::uint32_t worker) noexcept override {
    if constexpr (retains<P>) {
      worker_control const& words = this->crew.worker(worker);
      auto const last = P::access::load(words.snapshots, core::acquire, "worker.snapshot");
      snapshots_.reading(worker, last);
      return snapshots_.of(worker, last).state;
    } else {
      return core::fail(errc::not_ready);
    }
  }
  [[nodiscard]] result<void> write_state(std::uint32_t,
                                         typename P::state const&) noexcept override {
    return core::fail(errc::busy);
  }
  [[nodiscard]] bool claim_lane(std::uint32_t lane) noexcept override {
    if (!memory_.try_lock(lane_lock(lane))) { return false; }
    this->entries[lane].owner.take_over();
    return true;
  }
  void give_lane(std::uint32_t lane) noexcept override { memory_.unlock(lane_lock(lane)); }
  [[nodiscard]] bool claim_names() noexcept override {
    if (!this->naming.try_lock()) { return false; }
    if (memory_.try_lock(names_lock)) { return true; }
    this->naming.unlock();
    return false;
  }
  void give_names() noexcept override {
    memory_.unlock(names_lock);
    this->naming.unlock();
  }
  [[nodiscard]] bool served() const noexcept override { return memory_.locked(server_lock); }

 private:
  memory::shared_memory memory_;
  snapshots_ref<P> snapshots_;
};

}  // namespace detail

/// Makes a named block for lanes, records and snapshots, and returns the producers' handle: its
/// `open_lane`, `drain`, `close` and `stats` work as ever, while the workers come from whichever
/// process calls `serve`. Its end closes the lanes and waits for nobody. Whoever called `share`
/// removes the name, with `memory::shared_memory::open(name)->remove()`, when nobody else is to
/// come.
/// @error as launch_host, and memory::shared_memory::create
template <shareable P>
[[nodiscard]] result<consumer<P>> share(std::string name, options const& with) noexcept {
  try {
    auto const layout = detail::block_layout<P>::make(with);
    if (!layout) { return cuda::std::unexpected(layout.error()); }
    auto memory = memory::shared_memory::create(std::move(name), layout->bytes);
    if (!memory) { return cuda::std::unexpected(memory.error()); }
    layout->format(memory->data(), with);
    auto made = detail::make_owned<detail::shared_state<P>>(with.resource, std::move(*memory));
    if (auto const found = made->prepare(with); !found) {
      return cuda::std::unexpected(found.error());
    }
    return consumer<P>(std::move(made));
  } catch (std::bad_alloc const&) { return core::fail(errc::out_of_memory); }
}

/// Another handle for producers of a block that `share` made, in this process or another. A lane
/// belongs to one handle at a time, and is free again when its process dies; its next producer goes
/// on behind the last message that was published.
/// @error errc::layout_mismatch when the block is another policy's; as memory::shared_memory::open
template <shareable P>
[[nodiscard]] result<consumer<P>> join(std::string name, memory::any_resource from = {}) noexcept {
  try {
    auto memory = memory::shared_memory::open(std::move(name));
    if (!memory) { return cuda::std::unexpected(memory.error()); }
    auto with = detail::options_of(*memory);
    if (!with) { return cuda::std::unexpected(with.error()); }
    with->resource = std::move(from);
    auto made = detail::make_owned<detail::shared_state<P>>(with->resource, std::move(*memory));
    if (auto const found = made->prepare(*with); !found) {
      return cuda::std::unexpected(found.error());
    }
    return consumer<P>(std::move(made));
  } catch (std::bad_alloc const&) { return core::fail(errc::out_of_memory); }
}

/// Brings the workers of a shared block, as threads of this process. One process serves at a time;
/// when it dies, in whatever way, the next may. Its work goes on at the last snapshots, if the
/// policy takes any: answered messages are done again for the state's sake, in the order in which
/// they were done, and nobody sees their answers twice. Else it goes on behind the answered
/// messages, and what the dead process had begun is done again. The handle's end parks the workers
/// and leaves the block as it is.
/// @param from  of the workers' own memory; see options::resource
/// @error errc::busy while another process serves; errc::layout_mismatch; as launch_host
template <shareable P>
  requires(P::claims == claim_mode::pinned)
[[nodiscard]] result<consumer<P>> serve(std::string name, typename P::processor process = {},
                                        memory::any_resource from = {}) noexcept {
  try {
    auto opened = memory::shared_memory::open(std::move(name));
    if (!opened) { return cuda::std::unexpected(opened.error()); }
    auto with = detail::options_of(*opened);
    if (!with) { return cuda::std::unexpected(with.error()); }
    with->resource = std::move(from);
    auto const layout = detail::block_layout<P>::make(*with);
    if (!layout || opened->size() < layout->bytes) { return core::fail(errc::layout_mismatch); }
    if (auto const mine = opened->try_lock(detail::server_lock); !mine) {
      return cuda::std::unexpected(mine.error());
    }
    auto made = detail::host_state<P>::over(opened->data(), *layout, *with, std::move(process));
    if (!made) { return cuda::std::unexpected(made.error()); }
    (*made)->keep(std::move(*opened));
    (*made)->part = detail::role::workers;
    (*made)->why = "host threads serve shared memory";
    (*made)->crew.reset();
    phase const left_at = (*made)->crew.phase();
    if (left_at == phase::parking) { (*made)->crew.advance(phase::running); }
    if (left_at == phase::recalling) { (*made)->crew.advance(phase::closing); }
    if (auto const started = (*made)->begin_epoch(); !started) {
      return cuda::std::unexpected(started.error());
    }
    return consumer<P>(std::move(*made));
  } catch (std::bad_alloc const&) { return core::fail(errc::out_of_memory); }
}

}  // namespace millrace::inline v0::queue
