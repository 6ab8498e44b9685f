// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <optional>
#include <thread>
#include <type_traits>
#include <utility>

// Workers that stay for so many messages or for so long, leave, and are brought back.

namespace {

using namespace queue_test;

struct plus {
  uint64_t term = 0;
  queue::status operator()(queue::message_view<uint64_t> message,
                           queue::reply_writer<uint64_t>& reply) const noexcept {
    reply.write(message.value() + term);
    return queue::status::ok;
  }
};
template <uint64_t Messages, uint64_t Nanoseconds, queue::claim_mode Claims, bool Spins = false>
struct bounded : queue::default_consumer<uint64_t, plus> {
  using backoff = std::conditional_t<Spins, queue::spin_backoff, queue::blocking_backoff<>>;
  static constexpr queue::claim_mode claims = Claims;
  static constexpr queue::residency stay = {.messages = Messages, .nanoseconds = Nanoseconds};
};
constexpr auto any = queue::claim_mode::shared;
constexpr auto own = queue::claim_mode::pinned;
using of_one = bounded<1, 0, any>;
using of_one_pinned = bounded<1, 0, own>;
using of_a_thousand = bounded<1'000, 0, any>;
using of_a_thousand_pinned = bounded<1'000, 0, own, true>;
using of_a_moment = bounded<0, 200'000, any>;
using of_both = bounded<500, 300'000, own>;

struct gated_in_epochs : gated_policy {
  static constexpr queue::residency stay = {.messages = 1};
};

template <class P>
[[nodiscard]] queue::consumer<P> start(queue::options const& with, plus process = {}) {
  return core::value_or_throw(queue::launch_host<P>(drawing(with), process));
}

/// Workers that come `starts` times, and then no more.
template <queue::consumer_policy P>
class tired_state final : public queue::detail::state<P> {
  using host = queue::detail::host_state<P>;
  using layout = queue::detail::block_layout<P>;
  using program = queue::detail::program;

 public:
  static std::shared_ptr<queue::detail::state<P>> make(queue::options const& with, int starts) {
    auto made = std::make_shared<tired_state>();
    layout const at = core::value_or_throw(layout::make(with));
    made->block_ =
        core::value_or_throw(millrace::memory::buffer<std::byte>::make(at.bytes, {}, at.alignment));
    at.format(made->block_.data(), with);
    core::value_or_throw(at.find(made->block_.data(), with, *made));
    made->at_ = at;
    made->first_ = core::value_or_throw(host::over(made->block_.data(), at, with, {}));
    made->starts_ = starts;
    std::shared_ptr<queue::detail::state<P>> shared(std::move(made));
    core::value_or_throw(queue::detail::begin_epochs<P>(shared));
    return shared;
  }

  [[nodiscard]] result<void> start_workers() override {
    if (starts_-- == 0) { return core::fail(errc::device_lost); }
    return first_->start_workers();
  }
  [[nodiscard]] result<std::shared_ptr<queue::detail::state<P>>> make_stand_in() override {
    auto made = host::over(block_.data(), *at_, this->built, {});
    if (!made) { return cuda::std::unexpected(made.error()); }
    return std::shared_ptr<queue::detail::state<P>>(std::move(*made));
  }
  void replace(std::unique_ptr<program> with) noexcept override {
    first_->replace(std::move(with));
  }
  [[nodiscard]] result<typename P::state> read_state(std::uint32_t w) noexcept override {
    return first_->read_state(w);
  }
  [[nodiscard]] result<void> write_state(std::uint32_t w,
                                         typename P::state const& to) noexcept override {
    return first_->write_state(w, to);
  }
  void release_workers(bool all_left) noexcept override { first_->release_workers(all_left); }

 private:
  millrace::memory::buffer<std::byte> block_;
  std::optional<layout> at_;
  std::shared_ptr<host> first_;
  int starts_ = 0;
};

struct tally {
  queue::status operator()(queue::message_view<uint64_t> message,
                           queue::reply_writer<uint64_t>& reply, uint64_t& sum) const noexcept {
    reply.write(sum += message.value());
    return queue::status::ok;
  }
};
template <queue::loss_mode Loss>
struct losing : queue::default_consumer<uint64_t, tally> {
  using state = uint64_t;
  static constexpr queue::claim_mode claims = queue::claim_mode::pinned;
  static constexpr std::uint32_t snapshot_every = 8;
  static constexpr queue::residency stay = {.messages = 10};
  static constexpr queue::loss_mode on_loss = Loss;
};

/// Sends `count` messages and takes as many answers. @return their sum
template <class P>
uint64_t exchange(queue::producer<P>& lane, uint64_t count) {
  uint64_t sum = 0, sent = 0, taken = 0;
  auto const until = soon();
  while (taken < count && !until.expired(core::steady_clock{})) {
    while (sent < count && lane.submit(sent)) { ++sent; }
    taken += lane.poll([&](auto const& got) noexcept { sum += got.reply; });
  }
  CHECK(taken == count);
  return sum;
}
[[nodiscard]] constexpr uint64_t sum_below(uint64_t n) noexcept { return n * (n - 1) / 2; }

/// Sends messages until the workers are away between two epochs, or on their way out.
template <class P>
void exchange_until_turning(queue::consumer<P>& consumer, queue::producer<P>& lane) {
  CHECK(eventually([&]() noexcept {
    static_cast<void>(lane.submit(0));
    static_cast<void>(lane.poll([](auto const&) noexcept {}));
    return consumer.inspect().phase == queue::phase::turning;
  }));
}

}  // namespace

TEST_CASE_TEMPLATE("epochs: by messages, nothing is lost and nothing done twice", P, of_one,
                   of_one_pinned) {
  auto consumer = start<P>({.lanes = 2, .capacity = 64, .workers = 2});
  CHECK(consumer.stats().epochs == 1);
  auto a = open(consumer), b = open(consumer);
  constexpr uint64_t messages = 300;
  uint64_t other = 0;
  std::thread beside([&] { other = exchange(b, messages); });
  CHECK(exchange(a, messages) == sum_below(messages));
  beside.join();
  CHECK(other == sum_below(messages));
  CHECK(eventually([&]() noexcept { return consumer.stats().processed == 2 * messages; }));
  CHECK(consumer.stats().failed == 0);
  CHECK(consumer.stats().epochs > 2 * messages / 64);  // two workers, each at most 32 more
}

TEST_CASE_TEMPLATE("epochs: bounds count what is done, and counters go on", P, of_a_thousand,
                   of_a_thousand_pinned) {
  auto consumer = start<P>({.lanes = 2, .capacity = 500, .workers = 2});
  auto lane = open(consumer);
  constexpr uint64_t messages = 100'000;
  CHECK(exchange(lane, messages) == sum_below(messages));
  CHECK(eventually([&]() noexcept { return consumer.stats().processed == messages; }));
  uint64_t const epochs = consumer.stats().epochs;
  CHECK(epochs > messages / (1'000 + 2 * 32));
  CHECK(epochs <= messages / 1'000 + 1);  // an epoch has a thousand at least
}

TEST_CASE("epochs: by time, with and without messages") {
  auto consumer = start<of_a_moment>({.capacity = 64, .workers = 2});
  CHECK(eventually([&]() noexcept { return consumer.stats().epochs > 3; }));
  auto lane = open(consumer);
  constexpr uint64_t messages = 20'000;
  CHECK(exchange(lane, messages) == sum_below(messages));
  CHECK(eventually([&]() noexcept { return consumer.stats().processed == messages; }));
  uint64_t const so_far = consumer.stats().epochs;
  CHECK(eventually([&]() noexcept { return consumer.stats().epochs > so_far + 2; }));
}

TEST_CASE("epochs: by whichever bound comes first") {
  auto consumer = start<of_both>({.capacity = 64});
  auto lane = open(consumer);
  constexpr uint64_t messages = 20'000;
  CHECK(exchange(lane, messages) == sum_below(messages));
  CHECK(consumer.stats().epochs > messages / (500 + 32));
  uint64_t const so_far = consumer.stats().epochs;
  CHECK(eventually([&]() noexcept { return consumer.stats().epochs > so_far + 2; }));
}

TEST_CASE_TEMPLATE("epochs: a close at any moment leaves nothing undone", P, of_one, of_one_pinned,
                   of_a_moment) {
  for (int round = 0; round < 60; ++round) {
    auto consumer = start<P>({.lanes = 2, .capacity = 64, .workers = 2});
    auto lane = open(consumer);
    if (P::stay.messages != 0 && round % 2 == 0) { exchange_until_turning(consumer, lane); }
    uint64_t submitted = 0;
    for (int i = 0; i < round % 7; ++i) { submitted += lane.submit(1) ? 1 : 0; }
    consumer.close();
    CHECK(code_of(lane.submit(0)) == errc::closed);
    CHECK(lane.drain(soon()));
    CHECK(consumer.wait_until_left(soon()));
    auto const undone = consumer.stop(soon());
    REQUIRE(undone);
    CHECK(*undone == 0);
    CHECK(consumer.stats().completed == consumer.stats().accepted);
    CHECK(consumer.stats().accepted >= submitted);
  }
}

TEST_CASE_TEMPLATE("epochs: a stop at any moment ends them", P, of_one, of_one_pinned,
                   of_a_moment) {
  for (int round = 0; round < 60; ++round) {
    auto consumer = start<P>({.lanes = 2, .capacity = 64, .workers = 2});
    auto lane = open(consumer);
    if (P::stay.messages != 0 && round % 2 == 0) { exchange_until_turning(consumer, lane); }
    for (int i = 0; i < round % 7; ++i) { static_cast<void>(lane.submit(1)); }
    auto const undone = consumer.stop(soon());
    REQUIRE(undone);
    auto const now = consumer.stats();
    CHECK(now.completed + *undone == now.accepted);
    CHECK(now.exited == 2);
    CHECK(consumer.stats().epochs == now.epochs);
  }
}

TEST_CASE_TEMPLATE("epochs: who parks between two of them keeps the workers away", P, of_one,
                   of_one_pinned, of_a_moment) {
  auto consumer = start<P>({.lanes = 2, .capacity = 64, .workers = 2});
  auto lane = open(consumer);
  for (int round = 0; round < 30; ++round) {
    if (P::stay.messages != 0 && round % 2 == 0) { exchange_until_turning(consumer, lane); }
    REQUIRE(consumer.park(soon()));
    CHECK(consumer.parked());
    uint64_t const epochs = consumer.stats().epochs;
    while (lane.poll([](auto const&) noexcept {}) != 0) {}
    core::yield_thread();
    CHECK(consumer.parked());
    CHECK(consumer.stats().epochs == epochs);
    REQUIRE(consumer.resume());
    CHECK(lane.drain(soon()));
    while (lane.poll([](auto const&) noexcept {}) != 0) {}
  }
  CHECK(eventually(
      [&]() noexcept { return consumer.stats().processed == consumer.stats().accepted; }));
}

TEST_CASE_TEMPLATE("epochs: a functor is swapped between them under load", P, of_one, of_a_thousand,
                   of_a_moment) {
  auto consumer = start<P>({.capacity = 64, .workers = 2}, {0});
  auto lane = open(consumer);
  std::atomic<bool> done{false};
  uint64_t swaps = 0;
  std::thread swapper([&] {
    while (!done) {
      CHECK(queue::swap<P>(consumer, {1'000'000 * ++swaps}, soon()));
      core::yield_thread();
    }
  });
  constexpr uint64_t messages = 5'000;
  uint64_t taken = 0, sent = 0, before = 0;
  bool in_order = true;
  std::uint64_t sum = 0;
  CHECK(eventually([&]() noexcept {
    while (sent < messages && lane.submit(sent)) { ++sent; }
    taken += lane.poll([&](auto const& got) noexcept {
      sum += got.reply % 1'000'000;
      in_order = in_order && got.reply / 1'000'000 + 2 >= before;
      before = got.reply / 1'000'000;
    });
    return taken == messages;
  }));
  done = true;
  swapper.join();
  CHECK(sum == sum_below(messages));
  REQUIRE(queue::swap<P>(consumer, {7'000'000}, soon()));
  auto const id = lane.submit(5);
  REQUIRE(id);
  CHECK(lane.wait(*id, soon())->reply == 7'000'005);
}

TEST_CASE("epochs: the end of a handle waits for what is there") {
  for (int round = 0; round < 40; ++round) {
    uint64_t sum = 0;
    auto consumer = start<of_one>({.capacity = 64, .workers = 2});
    auto lane = open(consumer);
    for (uint64_t i = 0; i < 20; ++i) { REQUIRE(lane.submit(i)); }
    { auto const ended = std::move(consumer); }
    uint64_t taken = 0;
    while (auto const got = lane.poll([&](auto const& one) noexcept { sum += one.reply; })) {
      taken += got;
    }
    CHECK(taken == 20);
    CHECK(sum == sum_below(20));
  }
}

TEST_CASE("epochs: a worker that does not come back holds up no stop") {
  gate door;
  door.held = 3;
  {
    auto consumer = core::value_or_throw(queue::launch_host<gated_in_epochs>(
        {.workers = 2, .patience = std::chrono::milliseconds(50)}, {&door}));
    auto lane = open(consumer);
    REQUIRE(lane.submit(3));
    CHECK(eventually([&]() noexcept { return door.occupied(); }));
    REQUIRE(lane.submit(1));
    CHECK(eventually([&]() noexcept { return consumer.inspect().phase == queue::phase::turning; }));
    CHECK(code_of(consumer.stop(now())) == errc::deadline_passed);
  }
  door.open = true;
  CHECK(eventually([&]() noexcept { return !door.occupied(); }));
}

TEST_CASE("epochs: what keeps workers from coming back is the state's error") {
  using policy = losing<queue::loss_mode::give_up>;
  queue::consumer<policy> consumer(
      tired_state<policy>::make({.capacity = 64, .patience = std::chrono::milliseconds(50)}, 2));
  auto lane = open(consumer);
  for (uint64_t i = 0; i < 64; ++i) { static_cast<void>(lane.submit(i)); }
  CHECK(code_of(lane.drain(soon())) == errc::device_lost);
  CHECK(code_of(lane.submit(0)) == errc::closed);
  CHECK(consumer.stats().epochs == 2);
  CHECK(consumer.stats().processed == 20);
  CHECK(code_of(consumer.resume()) == errc::closed);
}

TEST_CASE("epochs: others stand in for workers that are lost between two of them") {
  using policy = losing<queue::loss_mode::fall_back>;
  queue::consumer<policy> consumer(tired_state<policy>::make({.capacity = 64}, 3));
  auto lane = open(consumer);
  uint64_t sent = 0, taken = 0, last = 0;
  constexpr uint64_t messages = 500;
  CHECK(eventually([&]() noexcept {
    while (sent < messages && lane.submit(sent)) { ++sent; }
    taken += lane.poll([&](auto const& got) noexcept { last = got.reply; });
    return taken == messages;
  }));
  CHECK(last == sum_below(messages));
  CHECK(consumer.degraded());
  CHECK(eventually([&]() noexcept { return consumer.stats().epochs == messages / 10 + 1; }));
}
