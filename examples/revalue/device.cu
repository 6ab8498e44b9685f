// SPDX-License-Identifier: Apache-2.0
#include "consumer.hpp"
#include "device.hpp"
#include <millrace/core/cuda_status.cuh>
#include <millrace/core/device_guard.cuh>
#include <millrace/memory/buffer.hpp>
#include <millrace/memory/device_resource.cuh>
#include <millrace/queue/launch_device.cuh>

#include <cuda_runtime_api.h>

#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace revalue {

namespace {

namespace core = millrace::core;
namespace memory = millrace::memory;
using millrace::result;

template <class T>
using device_buffer = memory::buffer<T, memory::device_resource>;

/// A copy of `from` in the device's memory.
template <class T>
result<device_buffer<T>> copy_of(std::span<T const> from, int ordinal) {
  auto to = device_buffer<T>::make(from.size(), memory::device_resource(ordinal));
  if (!to) { return to; }
  auto const copied = core::cuda_check(
      cudaMemcpy(to->data(), from.data(), from.size_bytes(), cudaMemcpyHostToDevice));
  if (!copied) { return cuda::std::unexpected(copied.error()); }
  return to;
}

template <class T>
result<void> bring_back(device_buffer<T> const& from, std::span<T> to) {
  return core::cuda_check(
      cudaMemcpy(to.data(), from.data(), to.size_bytes(), cudaMemcpyDeviceToHost));
}

/// All desks in the memory of one device.
struct device_desks {
  device_buffer<option_block> options;
  device_buffer<value_block> values;
  device_buffer<risk> nodes;
  device_buffer<desk_state> states;
  device_buffer<desk_ref> refs;

  device_desks(device_buffer<option_block> o, device_buffer<value_block> v, device_buffer<risk> n,
               device_buffer<desk_state> s, device_buffer<desk_ref> r)
      : options(std::move(o)),
        values(std::move(v)),
        nodes(std::move(n)),
        states(std::move(s)),
        refs(std::move(r)) {}

  [[nodiscard]] static result<std::unique_ptr<device_desks>> make(desks& on, int ordinal) {
    core::device_guard const guard(ordinal);
    if (!guard.status()) { return cuda::std::unexpected(guard.status().error()); }
    auto options = copy_of<option_block>(on.options(), ordinal);
    auto values = copy_of<value_block>(on.values(), ordinal);
    auto nodes = copy_of<risk>(on.nodes(), ordinal);
    auto states = copy_of<desk_state>(on.states(), ordinal);
    if (!options) { return cuda::std::unexpected(options.error()); }
    if (!values) { return cuda::std::unexpected(values.error()); }
    if (!nodes) { return cuda::std::unexpected(nodes.error()); }
    if (!states) { return cuda::std::unexpected(states.error()); }
    std::vector<desk_ref> there(on.refs().begin(), on.refs().end());
    for (desk_ref& desk : there) {
      desk.options = options->data() + (desk.options - on.options().data());
      desk.values = values->data() + (desk.values - on.values().data());
      desk.tree.nodes = nodes->data() + (desk.tree.nodes - on.nodes().data());
      desk.state = states->data() + (desk.state - on.states().data());
    }
    auto refs = copy_of<desk_ref>(there, ordinal);
    if (!refs) { return cuda::std::unexpected(refs.error()); }
    return std::make_unique<device_desks>(std::move(*options), std::move(*values),
                                          std::move(*nodes), std::move(*states), std::move(*refs));
  }
};

/// The engine whose workers are blocks of a persistent kernel.
class device_engine final : public queue_engine {
 public:
  device_engine(queue_engine workers, std::unique_ptr<device_desks> there, desks& on, int ordinal)
      : queue_engine(std::move(workers)), there_(std::move(there)), on_(on), ordinal_(ordinal) {}

  [[nodiscard]] result<void> finish() noexcept override {
    if (auto const ended = queue_engine::finish(); !ended) { return ended; }
    core::device_guard const guard(ordinal_);
    if (auto const ok = bring_back(there_->options, on_.options()); !ok) { return ok; }
    if (auto const ok = bring_back(there_->values, on_.values()); !ok) { return ok; }
    if (auto const ok = bring_back(there_->nodes, on_.nodes()); !ok) { return ok; }
    return bring_back(there_->states, on_.states());
  }

 private:
  std::unique_ptr<device_desks> there_;
  desks& on_;
  int ordinal_;
};

}  // namespace

bool built_for_devices() noexcept { return true; }

result<std::unique_ptr<engine>> open_device_engine(desks& on, core::backend where,
                                                   std::uint32_t workers) {
  int const ordinal = where.ordinal();
  auto there = device_desks::make(on, ordinal);
  if (!there) { return cuda::std::unexpected(there.error()); }
  cudaDeviceProp device{};
  auto const asked = core::cuda_check(cudaGetDeviceProperties(&device, ordinal));
  if (!asked) { return cuda::std::unexpected(asked.error()); }
  queue::options options;
  options.lanes = options.workers = workers;
  options.capacity = lane_capacity;
  options.resource = on.memory();
  auto running = queue::launch_device<revalue_policy>(ordinal, options,
                                                      revaluer{(*there)->refs.data(), nullptr});
  if (!running) { return cuda::std::unexpected(running.error()); }
  auto lanes = queue_engine::open_lanes(*running, workers);
  if (!lanes) { return cuda::std::unexpected(lanes.error()); }
  return std::make_unique<device_engine>(
      queue_engine(std::move(*running), std::move(*lanes), device.name), std::move(*there), on,
      ordinal);
}

}  // namespace revalue
