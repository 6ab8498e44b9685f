// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "batch.hpp"
#include "consumer.hpp"
#include "desks.hpp"
#include "instruction_set.hpp"
#include <millrace/queue/launch_host.hpp>

#include <cuda/std/span>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

namespace revalue {

/// Batches in flight at most.
inline constexpr std::size_t most_batches_in_flight = 2;

using batch_message = queue::slab_bytes<batch_bytes(most_batched)>;

/// What a worker does with a batch's message.
struct batch_revaluer {
  desk_ref const* desks = nullptr;  ///< [count]
  std::size_t count = 0;
  reply (*one)(desk_ref const&, update const&) noexcept = nullptr;

  queue::status operator()(queue::message_view<batch_message> message,
                           queue::reply_writer<reply>& out) const noexcept {
    auto const done = apply_batch({desks, count}, one, message.bytes());
    if (!done) { return damaged; }
    out.write(*done);
    return queue::status::ok;
  }
};

/// As revalue_policy, with a message for a desk's part of a batch, as long as it has to be.
struct batch_policy : queue::default_consumer<batch_message, batch_revaluer> {
  using reply = revalue::reply;
  static constexpr auto claims = queue::claim_mode::pinned;
};
static_assert(queue::consumer_policy<batch_policy>);

/// Host threads that take batches.
/// @thread one
class batch_engine {
 public:
  batch_engine(worker_lanes<batch_policy> lanes, std::string processor)
      : lanes_(std::move(lanes)), processor_(std::move(processor)) {}

  /// @param message  of encode_batch
  /// @error what the consumer says
  [[nodiscard]] millrace::result<void> submit(std::uint16_t desk,
                                              cuda::std::span<std::byte const> message) noexcept {
    return lanes_.submit(desk, message);
  }
  /// The next reply to a message for `desk`, in the order of submission.
  /// @error errc::corrupt for a message that came damaged, of which nothing was applied;
  ///        errc::deadline_passed when a minute was not enough; what the consumer says otherwise
  [[nodiscard]] millrace::result<reply> wait(std::uint16_t desk) noexcept {
    return lanes_.wait(desk);
  }
  [[nodiscard]] millrace::result<void> finish() noexcept { return lanes_.finish(); }

  [[nodiscard]] std::uint32_t workers() const noexcept { return lanes_.workers(); }
  /// The instructions that price, in words.
  [[nodiscard]] std::string processor() const { return processor_; }

 private:
  worker_lanes<batch_policy> lanes_;
  std::string processor_;
};

/// Host threads that keep `on`, which outlives them, revalued by batches of up to `batch` updates.
/// @error what queue::launch_host says
[[nodiscard]] inline millrace::result<std::unique_ptr<batch_engine>> open_batch_engine(
    desks& on, std::uint32_t workers, std::size_t batch) {
  instruction_set const with = best_instruction_set();
  std::size_t const desks_of_lane = (on.refs().size() + workers - 1) / workers;
  std::size_t const in_flight = most_batches_in_flight * desks_of_lane;
  std::size_t const longest = (batch_bytes(batch) + 63) / 64 * 64;
  queue::options options;
  options.lanes = options.workers = workers;
  options.capacity = static_cast<std::uint32_t>(in_flight);
  // A message lies in one piece: one more than are in flight, since the end may be too short, and
  // what the lane asks for at least.
  options.arena_bytes = (in_flight + 1) * longest;
  if (options.arena_bytes < batch_message::capacity + 64) {
    options.arena_bytes = batch_message::capacity + 64;
  }
  options.resource = on.memory();
  auto running = queue::launch_host<batch_policy>(
      options, batch_revaluer{on.refs().data(), on.refs().size(), with.apply});
  if (!running) { return cuda::std::unexpected(running.error()); }
  auto lanes = worker_lanes<batch_policy>::open(*running, workers);
  if (!lanes) { return cuda::std::unexpected(lanes.error()); }
  return std::make_unique<batch_engine>(
      worker_lanes<batch_policy>(std::move(*running), std::move(*lanes)), with.name);
}

}  // namespace revalue
