// SPDX-License-Identifier: Apache-2.0
// What becomes of messages when the workers are lost: a state whose workers never come back from a
// message, as after a device's error that sticks, and which says so when it is asked.
#include "support.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

using namespace queue_test;

namespace {

using millrace::memory::buffer;
using queue::completion_mode;
using queue::loss_mode;

/// Where a worker is lost. A thread that is caught stays for ever, and touches nothing of the
/// queue's any more.
struct trap {
  std::atomic<std::uint64_t> at{~std::uint64_t{0}};
  std::atomic<bool> caught{false};
};
std::uint32_t never = 0;

struct add {
  trap* where = nullptr;
  std::uint64_t factor = 1;
  queue::status operator()(queue::message_view<std::uint64_t> message,
                           queue::reply_writer<std::uint64_t>& out,
                           std::uint64_t& sum) const noexcept {
    std::uint64_t expected = message.value();
    if (where != nullptr && where->at.compare_exchange_strong(expected, ~std::uint64_t{0})) {
      where->caught = true;
      for (;;) { core::park_thread(never, 0, ~std::uint64_t{0}); }
    }
    sum += factor * message.value();
    out.write(2 * message.value());
    return queue::status::ok;
  }
};
struct falls_back : queue::default_consumer<std::uint64_t, add> {
  using state = std::uint64_t;
  static constexpr auto claims = queue::claim_mode::pinned;
  static constexpr std::uint32_t snapshot_every = 8;
  static constexpr auto on_loss = loss_mode::fall_back;
};
struct gives_up : falls_back {
  static constexpr auto on_loss = loss_mode::give_up;
};

/// Takes messages without answers, and adds them up where the test sees them.
struct add_up {
  trap* where = nullptr;
  std::atomic<std::uint64_t>* sum = nullptr;
  queue::status operator()(queue::message_view<std::uint64_t> message,
                           queue::reply_writer<queue::no_reply>&) const noexcept {
    std::uint64_t expected = message.value();
    if (where->at.compare_exchange_strong(expected, ~std::uint64_t{0})) {
      where->caught = true;
      for (;;) { core::park_thread(never, 0, ~std::uint64_t{0}); }
    }
    sum->fetch_add(message.value());
    return queue::status::ok;
  }
};
struct one_way : queue::default_consumer<std::uint64_t, add_up> {
  using reply = queue::no_reply;
  static constexpr auto completions = completion_mode::none;
  static constexpr auto claims = queue::claim_mode::pinned;
  static constexpr auto on_loss = loss_mode::fall_back;
};

/// Workers that can be lost.
template <queue::consumer_policy P>
class frail_state final : public queue::detail::state<P> {
  using host = queue::detail::host_state<P>;
  using layout = queue::detail::block_layout<P>;
  using program = queue::detail::program;
  using process = typename P::processor;

 public:
  static std::shared_ptr<frail_state> make(queue::options const& with, process with_functor) {
    auto made = std::make_shared<frail_state>();
    layout const at = core::value_or_throw(layout::make(with));
    made->block_ = core::value_or_throw(buffer<std::byte>::make(at.bytes, {}, at.alignment));
    at.format(made->block_.data(), with);
    core::value_or_throw(at.find(made->block_.data(), with, *made));
    made->process_ = with_functor;
    made->lost_ = core::value_or_throw(host::over(made->block_.data(), at, with, with_functor));
    core::value_or_throw(made->start_workers());
    return made;
  }

  [[nodiscard]] result<void> start_workers() override { return lost_->start_workers(); }
  void replace(std::unique_ptr<program> with) noexcept override { lost_->replace(std::move(with)); }
  [[nodiscard]] result<typename P::state> read_state(std::uint32_t w) noexcept override {
    return lost_->read_state(w);
  }
  [[nodiscard]] result<void> write_state(std::uint32_t w,
                                         typename P::state const& to) noexcept override {
    return lost_->write_state(w, to);
  }
  [[nodiscard]] result<void> health() noexcept override {
    return broken ? result<void>(core::fail(errc::device_lost)) : result<void>();
  }
  [[nodiscard]] result<std::shared_ptr<queue::detail::state<P>>> make_stand_in() override {
    if (!may_stand_in) { return core::fail(errc::out_of_memory); }
    lost_->release_workers(false);
    return queue::detail::stand_in_for<P>(
        block_.data(), this->built, this->shared_from_this(),
        [this](auto const& args) { return queue::detail::host_drain<P>::over(args, process_); });
  }
  void release_workers(bool all_left) noexcept override { lost_->release_workers(all_left); }

  std::atomic<bool> broken{false};
  std::atomic<bool> may_stand_in{true};

 private:
  buffer<std::byte> block_;
  process process_;
  std::shared_ptr<host> lost_;
};

queue::options few() {
  queue::options with;
  with.capacity = 64;
  return with;
}

}  // namespace

TEST_CASE("a stand-in goes on from the last snapshot, each message's effect there once") {
  for (std::uint64_t lost_at : {1u, 7u, 8u, 9u, 20u, 30u}) {
    trap where;
    where.at = lost_at;
    auto const state = frail_state<falls_back>::make(few(), {&where});
    queue::consumer<falls_back> consumer(state);
    auto lane = core::value_or_throw(consumer.open_lane());
    queue::message_id last = 0;
    for (std::uint64_t i = 1; i <= 30; ++i) { last = core::value_or_throw(lane.submit(i)); }
    REQUIRE(eventually([&]() noexcept { return where.caught.load(); }));
    state->broken = true;
    CHECK_FALSE(consumer.degraded());
    auto const got = lane.wait(last, soon());
    REQUIRE(got);
    CHECK(got->reply == 60);
    std::uint64_t next = 1;
    lane.poll([&](auto const& done) noexcept {
      CHECK(done.status == queue::status::ok);
      CHECK(done.reply == 2 * next++);
    });
    CHECK(next == 30);
    CHECK(consumer.degraded());
    CHECK(consumer.where() == core::backend::host());
    CHECK(consumer.why().find("stand in") != std::string::npos);
    // and it is a consumer like any other
    REQUIRE(lane.submit(1000));
    REQUIRE(consumer.park(soon()));
    REQUIRE(consumer.resume());
    REQUIRE(consumer.drain(soon()));
    REQUIRE(queue::swap<falls_back>(consumer, add{nullptr, 10}, soon()));
    REQUIRE(lane.submit(1));
    REQUIRE(consumer.drain(soon()));
    REQUIRE(consumer.park(soon()));
    CHECK(core::value_or_throw(consumer.state(0)) == 30 * 31 / 2 + 1000 + 10);
    auto const left = consumer.stop(soon());
    REQUIRE(left);
    CHECK(*left == 0);
  }
}

TEST_CASE("a loss while the consumer closes: what is published is done all the same") {
  trap where;
  where.at = 5;
  auto const state = frail_state<falls_back>::make(few(), {&where});
  queue::consumer<falls_back> consumer(state);
  auto lane = core::value_or_throw(consumer.open_lane());
  for (std::uint64_t i = 1; i <= 40; ++i) { REQUIRE(lane.submit(i)); }
  REQUIRE(eventually([&]() noexcept { return where.caught.load(); }));
  consumer.close();
  state->broken = true;
  CHECK(consumer.wait_until_left(soon()));
  CHECK(consumer.degraded());
  std::uint32_t answered = 0;
  lane.poll([&](auto const& done) noexcept { answered += done.status == queue::status::ok; });
  CHECK(answered == 40);
  CHECK_FALSE(lane.submit(1));
}

TEST_CASE("without completions nothing is lost, and what was not reported may come twice") {
  trap where;
  where.at = 12;
  std::atomic<std::uint64_t> sum{0};
  auto const state = frail_state<one_way>::make(few(), {&where, &sum});
  queue::consumer<one_way> consumer(state);
  auto lane = core::value_or_throw(consumer.open_lane());
  for (std::uint64_t i = 1; i <= 40; ++i) { REQUIRE(lane.submit(i)); }
  REQUIRE(eventually([&]() noexcept { return where.caught.load(); }));
  state->broken = true;
  REQUIRE(lane.drain(soon()));
  CHECK(consumer.degraded());
  CHECK(sum >= 40 * 41 / 2);
  CHECK(sum <= 40 * 41 / 2 + 11 * 12 / 2);
}

TEST_CASE(
    "a policy that gives up: waiting says so, and a stop returns each message by its number") {
  trap where;
  where.at = 20;
  auto const state = frail_state<gives_up>::make(few(), {&where});
  queue::consumer<gives_up> consumer(state);
  auto lane = core::value_or_throw(consumer.open_lane());
  queue::message_id first = core::value_or_throw(lane.submit(1));
  for (std::uint64_t i = 2; i <= 40; ++i) { REQUIRE(lane.submit(i)); }
  REQUIRE(eventually([&]() noexcept { return where.caught.load(); }));
  state->broken = true;
  auto const waited = lane.wait(first + 39, soon());
  CHECK(code_of(waited) == errc::device_lost);
  auto const drained = consumer.drain(soon());
  CHECK(code_of(drained) == errc::device_lost);
  CHECK_FALSE(consumer.degraded());
  auto const stopped = consumer.stop(soon());
  CHECK(code_of(stopped) == errc::device_lost);
  std::uint64_t next = first;
  std::uint32_t undone = 0;
  lane.poll([&](auto const& done) noexcept {
    CHECK(done.id == next++);
    bool const before = done.id < first + 19;
    CHECK(done.status == (before ? queue::status::ok : queue::status::unprocessed));
    undone += done.status == queue::status::unprocessed;
  });
  CHECK(next == first + 40);
  CHECK(undone == 21);
}

TEST_CASE("where nobody can stand in a loss stays one") {
  trap where;
  where.at = 3;
  auto const state = frail_state<falls_back>::make(few(), {&where});
  state->may_stand_in = false;
  queue::consumer<falls_back> consumer(state);
  auto lane = core::value_or_throw(consumer.open_lane());
  for (std::uint64_t i = 1; i <= 10; ++i) { REQUIRE(lane.submit(i)); }
  REQUIRE(eventually([&]() noexcept { return where.caught.load(); }));
  state->broken = true;
  auto const drained = lane.drain(soon());
  CHECK(code_of(drained) == errc::device_lost);
  CHECK_FALSE(consumer.degraded());
  CHECK_FALSE(consumer.stop(soon()));
}
