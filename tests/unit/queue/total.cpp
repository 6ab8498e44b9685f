// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

using namespace queue_test;

namespace {

struct total_policy : gated_policy {
  static constexpr queue::order_mode order = queue::order_mode::total;
};
struct total_pinned : total_policy {
  static constexpr queue::claim_mode claims = queue::claim_mode::pinned;
};

/// What the functors saw: how often each message, and whether numbers came one after the other.
struct witness {
  explicit witness(std::size_t messages) : times(messages) {}
  [[nodiscard]] bool each_once() const {
    return std::all_of(times.begin(), times.end(), [](auto const& t) { return t == 1; });
  }

  std::vector<std::atomic<std::uint32_t>> times;
  std::atomic<std::uint32_t> others{0};
  queue::message_id next = 0;  ///< of a lone worker
  bool in_order = true;
  bool alone = false;
};

struct note {
  witness* seen = nullptr;

  queue::status operator()(queue::message_view<uint64_t> message,
                           queue::reply_writer<uint64_t>& reply) const noexcept {
    look(message);
    reply.write(answer_to(message.value(), message.kind()));
    return queue::status::ok;
  }
  queue::status operator()(queue::message_view<uint64_t> message,
                           queue::reply_writer<queue::no_reply>&) const noexcept {
    look(message);
    return queue::status::ok;
  }

 private:
  void look(queue::message_view<uint64_t> message) const noexcept {
    if (message.value() < seen->times.size()) {
      ++seen->times[message.value()];
    } else {
      ++seen->others;
    }
    if (seen->alone) {
      seen->in_order = seen->in_order && message.id() == seen->next;
      seen->next = message.id() + 1;
    }
  }
};

template <class Backoff, queue::claim_mode Claims = queue::claim_mode::shared>
struct answered : queue::default_consumer<uint64_t, note> {
  using backoff = Backoff;
  static constexpr queue::order_mode order = queue::order_mode::total;
  static constexpr queue::claim_mode claims = Claims;
};
template <class Backoff, queue::claim_mode Claims = queue::claim_mode::shared>
struct unanswered : answered<Backoff, Claims> {
  using reply = queue::no_reply;
  static constexpr queue::completion_mode completions = queue::completion_mode::none;
};

constexpr auto pinned = queue::claim_mode::pinned;
constexpr queue::message_id near_2_32 = 0xffff'ffffu - 6;
constexpr queue::message_id near_2_31 = 0x7fff'ffffu - 6;
constexpr queue::message_id near_2_64 = ~uint64_t{0} - 6;

/// A producer's thread: single messages, batches and reservations in turn, some of them given up.
template <class P>
class submitter {
 public:
  submitter(queue::producer<P> end, uint64_t base, std::uint32_t count, std::uint32_t capacity)
      : end_(std::move(end)), base_(base), count_(count), batch_(std::min(capacity, 3u)) {}

  void run() noexcept {
    for (std::uint32_t turn = 0; right_ && sent_ < count_; ++turn) {
      if (std::uint32_t const put = put_some(turn); put != 0) {
        sent_ += put;
      } else if (!take_some()) {
        core::yield_thread();
      }
    }
    right_ = right_ && bool(end_.drain(soon()));
    while (take_some()) {}
    right_ = right_ && (!answers || (taken_ == count_ && end_.in_flight() == 0));
  }

  /// The numbers that its messages got, ascending.
  [[nodiscard]] std::vector<queue::message_id> const& ids() const noexcept { return ids_; }
  [[nodiscard]] bool right() const noexcept { return right_; }

 private:
  static constexpr bool answers = P::completions == queue::completion_mode::records;

  [[nodiscard]] std::uint32_t put_some(std::uint32_t turn) noexcept {
    std::uint32_t const most = std::min(batch_, count_ - sent_);
    if (turn % 3 == 0) {
      auto const id = end_.submit_batch(
          most, [&](std::uint32_t i, uint64_t& m) noexcept { m = base_ + sent_ + i; });
      return keep(id, most);
    }
    if (turn % 3 == 1) { return keep(end_.submit(base_ + sent_), 1); }
    auto const slot = end_.reserve();
    if (!slot) { return keep(cuda::std::unexpected(slot.error()), 1); }
    if (turn % 2 == 0) {
      end_.cancel();
      return 0;
    }
    **slot = base_ + sent_;
    return keep(end_.commit(), 1);
  }
  [[nodiscard]] std::uint32_t keep(result<queue::message_id> id, std::uint32_t count) noexcept {
    if (!id) {
      right_ = right_ && id.error().code == errc::full;
      return 0;
    }
    for (std::uint32_t i = 0; i < count; ++i) { ids_.push_back(*id + i); }
    return count;
  }
  /// Takes what is there, each answer to its own message.
  bool take_some() noexcept {
    if constexpr (answers) {
      return end_.poll([&](auto const& got) noexcept {
        auto const at = std::find(ids_.begin(), ids_.end(), got.id) - ids_.begin();
        right_ = right_ && got.status == queue::status::ok &&
                 got.reply == answer_to(base_ + static_cast<uint64_t>(at));
        ++taken_;
      }) != 0;
    } else {
      return false;
    }
  }

  queue::producer<P> end_;
  uint64_t base_;
  std::uint32_t count_;
  std::uint32_t batch_;
  std::uint32_t sent_ = 0;
  std::uint32_t taken_ = 0;
  bool right_ = true;
  std::vector<queue::message_id> ids_;
};

template <class P>
void does_each_once(std::uint32_t producers, std::uint32_t capacity, std::uint32_t workers,
                    queue::message_id first) {
  CAPTURE(producers);
  CAPTURE(capacity);
  CAPTURE(workers);
  CAPTURE(first);
  std::uint32_t const count = 3 * std::min(capacity, 40u) + 11;
  witness seen(std::size_t{producers} * count);
  seen.alone = workers == 1 || P::claims == pinned;
  seen.next = first;
  std::vector<queue::message_id> all;
  {
    auto consumer = launch<P>(
        {.lanes = producers, .capacity = capacity, .workers = workers, .first_message = first},
        {&seen});
    std::vector<submitter<P>> ends;
    for (std::uint32_t p = 0; p < producers; ++p) {
      ends.emplace_back(open(consumer), uint64_t{p} * count, count, capacity);
    }
    std::vector<std::thread> threads;
    for (auto& end : ends) {
      threads.emplace_back([&end] { end.run(); });
    }
    for (auto& thread : threads) { thread.join(); }
    REQUIRE(consumer.drain(soon()));
    for (auto& end : ends) {
      CHECK(end.right());
      CHECK(std::is_sorted(end.ids().begin(), end.ids().end(),
                           [&](auto a, auto b) { return a - first < b - first; }));
      for (auto id : end.ids()) { all.push_back(id - first); }
    }
    auto const stats = consumer.stats();
    CHECK(stats.accepted == stats.processed);
    CHECK(stats.failed == 0);
    // one sequence: every number is one producer's, or was given up
    std::sort(all.begin(), all.end());
    CHECK(std::adjacent_find(all.begin(), all.end()) == all.end());
    CHECK(all.back() < stats.accepted);
  }
  CHECK(all.size() == std::size_t{producers} * count);
  CHECK(seen.each_once());
  CHECK(seen.others == 0);
}

}  // namespace

TEST_CASE_TEMPLATE("total: many producers' messages are each done once, whatever waits", P,
                   answered<queue::yield_backoff<1>>, answered<queue::blocking_backoff<1, 1>>,
                   answered<queue::yield_backoff<1>, pinned>, unanswered<queue::yield_backoff<1>>,
                   unanswered<queue::blocking_backoff<1, 1>>,
                   unanswered<queue::yield_backoff<1>, pinned>) {
  for (std::uint32_t const workers : {1u, 3u}) {
    does_each_once<P>(3, 7, workers, 0);
    does_each_once<P>(4, 100, workers, 0);
  }
}

TEST_CASE_TEMPLATE("total: any capacity is exact and every number may wrap", P,
                   answered<queue::yield_backoff<1>>, answered<queue::yield_backoff<1>, pinned>,
                   unanswered<queue::yield_backoff<1>>,
                   unanswered<queue::yield_backoff<1>, pinned>) {
  for (std::uint32_t const capacity : {1u, 2u, 3u, 4u, 5u, 13u}) {
    for (queue::message_id const first : {uint64_t{0}, near_2_31, near_2_32, near_2_64}) {
      does_each_once<P>(2, capacity, 2, first);
    }
    does_each_once<P>(2, capacity, 1, near_2_64);
  }
}

TEST_CASE("total: one worker takes all producers' messages in the order of their numbers") {
  witness seen(40);
  seen.alone = true;
  auto consumer = launch<answered<queue::yield_backoff<1>>>({.lanes = 4, .capacity = 64}, {&seen});
  std::vector<queue::producer<answered<queue::yield_backoff<1>>>> ends;
  for (int p = 0; p < 4; ++p) { ends.push_back(open(consumer)); }
  for (uint64_t i = 0; i < 40; ++i) {
    auto const id = ends[(7 * i) % 4].submit(i);
    REQUIRE(id);
    CHECK(*id == i);
  }
  REQUIRE(consumer.drain(soon()));
  CHECK(seen.in_order);
  CHECK(seen.each_once());
}

TEST_CASE("total: a result goes to its producer and nobody else") {
  gate door;
  auto consumer = launch<total_policy>({.lanes = 2, .capacity = 8}, {&door});
  auto a = open(consumer), b = open(consumer);
  CHECK(code_of(consumer.open_lane()) == errc::busy);
  for (uint64_t i = 0; i < 8; ++i) { REQUIRE(*(i % 3 == 0 ? a : b).submit(i) == i); }
  CHECK(a.in_flight() == 3);
  CHECK(b.in_flight() == 5);
  CHECK(code_of(a.submit(8)) == errc::full);
  REQUIRE(a.drain(soon()));
  REQUIRE(b.drain(soon()));
  CHECK(code_of(a.try_result(1)) == errc::unknown_id);
  CHECK(code_of(b.try_result(0)) == errc::unknown_id);
  for (uint64_t const id : {uint64_t{8}, ~uint64_t{0}, uint64_t{3} + (uint64_t{1} << 63)}) {
    CHECK(code_of(a.try_result(id)) == errc::unknown_id);
  }
  CHECK(a.try_result(3)->reply == answer_to(3));
  CHECK(code_of(a.try_result(3)) == errc::unknown_id);
  CHECK(code_of(a.wait(3, soon())) == errc::unknown_id);
  std::vector<uint64_t> order;
  auto const keep = [&](auto const& got) noexcept { order.push_back(got.id); };
  CHECK(a.poll(keep) == 2);
  CHECK(b.poll(keep) == 5);
  CHECK(order == std::vector<uint64_t>{0, 6, 1, 2, 4, 5, 7});
  CHECK(a.in_flight() + b.in_flight() == 0);
  CHECK(a.room() == 8);
}

TEST_CASE("total: a slot is free once its own result is taken, and the next number needs it") {
  gate door;
  auto consumer = launch<total_policy>({.lanes = 2, .capacity = 4}, {&door});
  auto a = open(consumer), b = open(consumer);
  for (uint64_t lap = 0; lap < 5; ++lap) {
    for (uint64_t i = 0; i < 4; ++i) { REQUIRE((i % 2 == 0 ? a : b).submit(i)); }
    REQUIRE(a.wait(4 * lap + 2, soon()));
    REQUIRE(b.wait(4 * lap + 1, soon()));
    CHECK(b.room() == 0);
    CHECK(code_of(b.submit(9)) == errc::full);
    CHECK(code_of(b.submit_batch(2, [](std::uint32_t, uint64_t&) noexcept {})) == errc::full);
    REQUIRE(a.wait(4 * lap, soon()));
    CHECK(b.room() == 3);
    REQUIRE(b.wait(4 * lap + 3, soon()));
    CHECK(a.room() == 4);
  }
}

TEST_CASE("total: results nobody took make room once their producer has left") {
  gate door;
  door.held = 1;
  auto consumer = launch<total_policy>({.lanes = 2, .capacity = 3}, {&door});
  auto stays = open(consumer);
  {
    auto leaves = open(consumer);
    REQUIRE(leaves.submit(0));
    REQUIRE(leaves.submit(1));  // still under way when its producer leaves
    REQUIRE(leaves.submit(2));
    REQUIRE(leaves.wait(0, soon()));
    REQUIRE(stays.submit(3));
    CHECK(code_of(stays.submit(4)) == errc::full);
  }
  CHECK(code_of(stays.submit(4)) == errc::full);  // the worker is in there
  auto again = open(consumer);
  CHECK(again.in_flight() == 0);
  CHECK(again.poll([](auto const&) noexcept {}) == 0);
  CHECK(code_of(again.try_result(1)) == errc::unknown_id);
  door.open = true;
  CHECK(eventually([&]() noexcept { return stays.room() == 2; }));
  CHECK(stays.wait(3, soon())->reply == answer_to(3));
  for (uint64_t i = 4; i < 20; ++i) {
    auto& end = i % 2 == 0 ? stays : again;
    auto const id = end.submit(i);
    REQUIRE(id);
    CHECK(*id == i);
    CHECK(end.wait(i, soon())->reply == answer_to(i));
  }
}

TEST_CASE_TEMPLATE("total: a reservation holds up later numbers until it is committed or given up",
                   P, total_policy, total_pinned) {
  gate door;
  auto consumer = launch<P>({.lanes = 2, .capacity = 4}, {&door});
  auto slow = open(consumer), quick = open(consumer);
  for (uint64_t round = 0; round < 6; ++round) {
    auto const slot = slow.reserve();
    REQUIRE(slot);
    **slot = 70;
    CHECK(code_of(slow.submit(1)) == errc::busy);
    auto const later = quick.submit(71);
    REQUIRE(later);
    CHECK(*later == 2 * round + 1);
    CHECK(code_of(quick.wait(*later, now())) == errc::deadline_passed);
    CHECK(code_of(consumer.drain(now())) == errc::deadline_passed);
    if (round % 2 == 0) {
      auto const id = slow.commit(5);
      REQUIRE(id);
      CHECK(slow.wait(*id, soon())->reply == answer_to(70, 5));
    } else {
      slow.cancel();
      slow.cancel();
      CHECK(code_of(slow.commit()) == errc::bad_argument);
      CHECK(code_of(slow.try_result(2 * round)) == errc::unknown_id);
    }
    CHECK(quick.wait(*later, soon())->reply == answer_to(71));
    REQUIRE(consumer.drain(soon()));
  }
  CHECK(consumer.stats().accepted == 12);
  CHECK(eventually([&]() noexcept { return consumer.stats().processed == 12; }));
  CHECK(consumer.stats().failed == 0);
  CHECK(slow.room() == 4);
}

TEST_CASE("total: a producer's end gives its open reservation up") {
  gate door;
  auto consumer = launch<total_policy>({.lanes = 2, .capacity = 4}, {&door});
  auto stays = open(consumer);
  std::optional leaves(open(consumer));
  REQUIRE(leaves->reserve());
  auto const id = stays.submit(1);
  REQUIRE(id);
  leaves.reset();
  CHECK(stays.wait(*id, soon())->reply == answer_to(1));
}

TEST_CASE("total: a close does what was published behind an open reservation") {
  gate door;
  auto consumer = launch<total_policy>({.lanes = 2, .capacity = 4, .workers = 2}, {&door});
  auto slow = open(consumer), quick = open(consumer);
  auto const slot = slow.reserve();
  REQUIRE(slot);
  **slot = 1;
  REQUIRE(quick.submit(2));
  consumer.close();
  CHECK(code_of(quick.submit(3)) == errc::closed);
  CHECK(code_of(quick.try_result(1)) == errc::not_ready);
  REQUIRE(slow.commit());
  CHECK(quick.wait(1, soon())->reply == answer_to(2));
  CHECK(slow.wait(0, soon())->reply == answer_to(1));
  CHECK(eventually([&]() noexcept { return consumer.stats().exited == 2; }));
}

TEST_CASE("total: a stop does not wait for an open reservation and counts what it held up") {
  gate door;
  auto consumer = launch<total_policy>({.lanes = 2, .capacity = 4}, {&door});
  auto slow = open(consumer), quick = open(consumer);
  REQUIRE(slow.reserve());
  REQUIRE(quick.submit(2));
  consumer.close();
  auto const undone = consumer.stop(soon());
  REQUIRE(undone);
  CHECK(*undone == 2);
  CHECK(quick.wait(1, soon())->status == queue::status::unprocessed);
  CHECK(code_of(quick.try_result(1)) == errc::unknown_id);
  CHECK(code_of(consumer.drain(soon())) == errc::closed);
  CHECK(slow.commit());
  CHECK(slow.wait(0, soon())->status == queue::status::unprocessed);
}

TEST_CASE("total: the end of a consumer does not hang on an open reservation") {
  gate door;
  std::optional consumer(launch<total_policy>({.capacity = 4}, {&door}));
  auto end = open(*consumer);
  REQUIRE(end.reserve());
  CHECK(code_of(consumer->stop(soon())) == errc::ok);
  consumer.reset();
  end.cancel();
}

TEST_CASE("total: an exact batch fits, and one of none or too many is refused") {
  witness seen(9);
  auto consumer = launch<unanswered<queue::yield_backoff<1>>>({.capacity = 3}, {&seen});
  auto end = open(consumer);
  uint64_t const four[4] = {};
  CHECK(code_of(end.submit_batch(four)) == errc::bad_argument);
  CHECK(code_of(end.submit_batch(cuda::std::span<uint64_t const>(four, std::size_t{0}))) ==
        errc::bad_argument);
  CHECK(code_of(end.commit()) == errc::bad_argument);
  for (uint64_t lap = 0; lap < 3; ++lap) {
    REQUIRE(eventually([&]() noexcept { return end.room() == 3; }));
    CHECK(end.submit_batch(3, [&](std::uint32_t i, uint64_t& m) noexcept { m = 3 * lap + i; }));
    REQUIRE(end.drain(soon()));
    CHECK(end.in_flight() == 0);
  }
  CHECK(seen.each_once());
}

TEST_CASE("total: a sleeping worker wakes for every producer") {
  struct sleepy : total_policy {
    using backoff = queue::blocking_backoff<1, 1>;
  };
  gate door;
  auto consumer = launch<sleepy>({.lanes = 3, .capacity = 4, .workers = 2}, {&door});
  std::vector<queue::producer<sleepy>> ends;
  for (int p = 0; p < 3; ++p) { ends.push_back(open(consumer)); }
  for (uint64_t i = 0; i < 60; ++i) {
    auto const id = ends[i % 3].submit(i);
    REQUIRE(id);
    CHECK(ends[i % 3].wait(*id, soon())->reply == answer_to(i));
  }
}

TEST_CASE_TEMPLATE("total: workers that were parked go on where they stopped", P, total_policy,
                   total_pinned) {
  gate door;
  auto consumer = launch<P>({.lanes = 2, .capacity = 5, .workers = 2}, {&door});
  auto a = open(consumer), b = open(consumer);
  for (uint64_t round = 0; round < 4; ++round) {
    REQUIRE(consumer.park(soon()));
    for (uint64_t i = 0; i < 5; ++i) { REQUIRE(*(i % 2 == 0 ? a : b).submit(i) == 5 * round + i); }
    CHECK(code_of(a.submit(9)) == errc::full);
    CHECK(code_of(a.try_result(5 * round)) == errc::not_ready);
    REQUIRE(consumer.resume());
    for (uint64_t i = 0; i < 5; ++i) {
      CHECK((i % 2 == 0 ? a : b).wait(5 * round + i, soon())->reply == answer_to(i));
    }
  }
  CHECK(eventually([&]() noexcept { return consumer.stats().processed == 20; }));
}

TEST_CASE("total: a device is refused, and automatic means host threads") {
  gate door;
  auto const refused = queue::launch<total_policy>(core::backend::cuda(0), {}, {&door});
  REQUIRE(!refused);
  CHECK(refused.error().code == errc::bad_argument);
  CHECK(refused.error().native == 5);
  auto const made = queue::launch<total_policy>(core::backend::automatic(), {}, {&door});
  REQUIRE(made);
  CHECK(made->where() == core::backend::host());
  CHECK(made->why().find("total order") != std::string::npos);
}
