// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "engine.hpp"
#include <millrace/core/config.hpp>
#include <millrace/queue/consumer.hpp>
#include <millrace/queue/policy.hpp>

#include <chrono>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

namespace revalue {

namespace queue = millrace::queue;

/// What a worker does with a message: the update of its desk, with all of the worker's threads.
struct revaluer {
  desk_ref const* desks = nullptr;  ///< [desks], where the workers can read it
  reply (*on_host)(desk_ref const&, update const&) noexcept = nullptr;  ///< for host threads

  template <class Group>
  MILLRACE_HD queue::status operator()(Group const group, queue::message_view<update> message,
                                       queue::reply_writer<reply>& out) const noexcept {
    update const& u = message.value();
    if constexpr (std::is_same_v<Group, queue::host_group>) {
      out.write(on_host(desks[u.desk], u));
    } else {
      reply const answer = apply(group, desks[u.desk], u);
      if (group.rank() == 0) { out.write(answer); }
    }
    return queue::status::ok;
  }
};

/// The program: every worker has a lane and the desks whose number, modulo the workers, is its own;
/// a device worker is a block. The order of a lane's messages is the order of its desks' updates,
/// so the numbers do not depend on how many workers there are.
struct revalue_policy : queue::default_consumer<update, revaluer> {
  using reply = revalue::reply;
  static constexpr auto claims = queue::claim_mode::pinned;
  static constexpr auto processing = queue::width::block;
  static constexpr int threads_per_block = 512;
  static constexpr std::uint32_t publish_batch = 32;
};
static_assert(queue::consumer_policy<revalue_policy>);

/// An engine whose desks lie with the workers of a consumer.
class queue_engine : public engine {
 public:
  /// @param workers  running, one lane each
  [[nodiscard]] static millrace::result<std::vector<queue::producer<revalue_policy>>> open_lanes(
      queue::consumer<revalue_policy>& workers, std::uint32_t count) {
    std::vector<queue::producer<revalue_policy>> lanes;
    for (std::uint32_t i = 0; i < count; ++i) {
      auto lane = workers.open_lane();
      if (!lane) { return cuda::std::unexpected(lane.error()); }
      lanes.push_back(std::move(*lane));
    }
    return lanes;
  }

  queue_engine(queue::consumer<revalue_policy> workers,
               std::vector<queue::producer<revalue_policy>> lanes, std::string processor)
      : workers_(std::move(workers)),
        lanes_(std::move(lanes)),
        next_(lanes_.size()),
        processor_(std::move(processor)) {}

  [[nodiscard]] millrace::result<void> submit(update const& what) noexcept override {
    auto const sent = lanes_[what.desk % lanes_.size()].submit(what);
    if (!sent) { return cuda::std::unexpected(sent.error()); }
    return {};
  }
  void flush() noexcept override {
    for (auto& lane : lanes_) { lane.flush(); }
  }
  [[nodiscard]] millrace::result<reply> take(std::uint16_t desk) noexcept override {
    std::size_t const lane = desk % lanes_.size();
    return opened(lane, lanes_[lane].try_result(next_[lane]));
  }
  [[nodiscard]] millrace::result<reply> wait(std::uint16_t desk) noexcept override {
    std::size_t const lane = desk % lanes_.size();
    auto const until = queue::within(std::chrono::minutes(1));
    return opened(lane, lanes_[lane].wait(next_[lane], until));
  }
  [[nodiscard]] millrace::result<void> finish() noexcept override {
    auto const left = workers_.stop(queue::within(std::chrono::seconds(10)));
    if (!left) { return cuda::std::unexpected(left.error()); }
    return {};
  }

  [[nodiscard]] millrace::core::backend where() const noexcept override { return workers_.where(); }
  [[nodiscard]] std::uint32_t workers() const noexcept override {
    return static_cast<std::uint32_t>(lanes_.size());
  }
  [[nodiscard]] std::string processor() const override { return processor_; }

 private:
  [[nodiscard]] millrace::result<reply> opened(
      std::size_t lane, millrace::result<queue::completion<reply>> const& got) noexcept {
    if (!got) { return cuda::std::unexpected(got.error()); }
    ++next_[lane];
    if (got->status != queue::status::ok) { return millrace::core::fail(millrace::errc::closed); }
    return got->reply;
  }

  queue::consumer<revalue_policy> workers_;
  std::vector<queue::producer<revalue_policy>> lanes_;
  std::vector<queue::message_id> next_;
  std::string processor_;
};

}  // namespace revalue
