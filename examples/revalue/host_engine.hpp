// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "consumer.hpp"
#include <millrace/queue/launch_host.hpp>

#include <memory>
#include <utility>

namespace revalue {

/// Host threads that keep `on` revalued; `on` outlives them.
/// @error what queue::launch_host says
[[nodiscard]] inline millrace::result<std::unique_ptr<engine>> open_host_engine(
    desks& on, std::uint32_t workers, std::int32_t first_cpu = -1) {
  instruction_set const with = best_instruction_set();
  queue::options options;
  options.lanes = options.workers = workers;
  options.capacity = lane_capacity;
  options.resource = on.memory();
  options.first_cpu = first_cpu;
  auto running =
      queue::launch_host<revalue_policy>(options, revaluer{on.refs().data(), with.apply});
  if (!running) { return cuda::std::unexpected(running.error()); }
  auto lanes = queue_engine::open_lanes(*running, workers);
  if (!lanes) { return cuda::std::unexpected(lanes.error()); }
  return std::make_unique<queue_engine>(std::move(*running), std::move(*lanes), with.name);
}

}  // namespace revalue
