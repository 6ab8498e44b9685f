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

/// The status of a message whose bytes are not what was sent; nothing of it was applied.
inline constexpr queue::status damaged = queue::status::user;

/// A consumer with one lane for each of its workers. Desk d is worker d % workers's.
/// @tparam P  whose reply is `revalue::reply`
/// @thread one
template <queue::consumer_policy P>
class worker_lanes {
 public:
  using lanes = std::vector<queue::producer<P>>;

  /// @param workers  running, one lane each
  [[nodiscard]] static millrace::result<lanes> open(queue::consumer<P>& workers,
                                                    std::uint32_t count) {
    lanes all;
    for (std::uint32_t i = 0; i < count; ++i) {
      auto lane = workers.open_lane();
      if (!lane) { return cuda::std::unexpected(lane.error()); }
      all.push_back(std::move(*lane));
    }
    return all;
  }

  worker_lanes(queue::consumer<P> workers, lanes all)
      : workers_(std::move(workers)), lanes_(std::move(all)), next_(lanes_.size()) {}

  /// Submits a message for a desk.
  template <class Message>
  [[nodiscard]] millrace::result<void> submit(std::uint16_t desk, Message const& what) noexcept {
    auto const sent = lanes_[desk % lanes_.size()].submit(what);
    if (!sent) { return cuda::std::unexpected(sent.error()); }
    return {};
  }
  void flush() noexcept {
    for (auto& lane : lanes_) { lane.flush(); }
  }
  /// The next reply to a message for `desk`: to be asked for in the order of submission.
  /// @error errc::not_ready; errc::corrupt for a message that came damaged; errc::closed
  [[nodiscard]] millrace::result<reply> take(std::uint16_t desk) noexcept {
    std::size_t const lane = desk % lanes_.size();
    return opened(lane, lanes_[lane].try_result(next_[lane]));
  }
  /// As `take`, once the reply is there.
  /// @error errc::deadline_passed when a minute was not enough
  [[nodiscard]] millrace::result<reply> wait(std::uint16_t desk) noexcept {
    std::size_t const lane = desk % lanes_.size();
    auto const until = queue::within(std::chrono::minutes(1));
    return opened(lane, lanes_[lane].wait(next_[lane], until));
  }
  [[nodiscard]] millrace::result<void> finish() noexcept {
    auto const left = workers_.stop(queue::within(std::chrono::seconds(10)));
    if (!left) { return cuda::std::unexpected(left.error()); }
    return {};
  }
  [[nodiscard]] millrace::core::backend where() const noexcept { return workers_.where(); }
  [[nodiscard]] std::uint32_t workers() const noexcept {
    return static_cast<std::uint32_t>(lanes_.size());
  }

 private:
  [[nodiscard]] millrace::result<reply> opened(
      std::size_t lane, millrace::result<queue::completion<reply>> const& got) noexcept {
    if (!got) { return cuda::std::unexpected(got.error()); }
    ++next_[lane];
    if (got->status == queue::status::ok) { return got->reply; }
    return millrace::core::fail(got->status == damaged ? millrace::errc::corrupt
                                                       : millrace::errc::closed);
  }

  queue::consumer<P> workers_;
  lanes lanes_;
  std::vector<queue::message_id> next_;
};

/// An engine whose desks lie with the workers of a consumer.
class queue_engine : public engine {
 public:
  using lanes = worker_lanes<revalue_policy>::lanes;

  /// @param workers  running, one lane each
  [[nodiscard]] static millrace::result<lanes> open_lanes(queue::consumer<revalue_policy>& workers,
                                                          std::uint32_t count) {
    return worker_lanes<revalue_policy>::open(workers, count);
  }

  queue_engine(queue::consumer<revalue_policy> workers, lanes all, std::string processor)
      : lanes_(std::move(workers), std::move(all)), processor_(std::move(processor)) {}

  [[nodiscard]] millrace::result<void> submit(update const& what) noexcept override {
    return lanes_.submit(what.desk, what);
  }
  void flush() noexcept override { lanes_.flush(); }
  [[nodiscard]] millrace::result<reply> take(std::uint16_t desk) noexcept override {
    return lanes_.take(desk);
  }
  [[nodiscard]] millrace::result<reply> wait(std::uint16_t desk) noexcept override {
    return lanes_.wait(desk);
  }
  [[nodiscard]] millrace::result<void> finish() noexcept override { return lanes_.finish(); }

  [[nodiscard]] millrace::core::backend where() const noexcept override { return lanes_.where(); }
  [[nodiscard]] std::uint32_t workers() const noexcept override { return lanes_.workers(); }
  [[nodiscard]] std::string processor() const override { return processor_; }

 private:
  worker_lanes<revalue_policy> lanes_;
  std::string processor_;
};

}  // namespace revalue
