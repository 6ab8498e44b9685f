// SPDX-License-Identifier: Apache-2.0
// The way of a message through a device, on host threads: a puller carries it from the producer's
// lane to a ring that lies elsewhere, a worker does it there and answers into the lane's records.
#include "carrying.hpp"
#include <millrace/memory/buffer.hpp>
#include <millrace/queue/pull.hpp>

#include <doctest/doctest.h>

#include <thread>

using namespace queue_test;

namespace {

using ring_access = core::direct_access<cuda::thread_scope_device>;

struct pulled : queue::default_consumer<block_of_words, summing> {
  using backoff = queue::yield_backoff<1>;  // nobody wakes a worker of a ring
};
struct pulled_deferring : pulled {
  using clock = still_clock;
  static constexpr std::uint32_t publish_batch = 4;
};
struct pulled_pinned : pulled {
  static constexpr queue::claim_mode claims = queue::claim_mode::pinned;
};
struct pulled_unanswered_processor {
  std::atomic<uint64_t>* sum = nullptr;
  queue::status operator()(queue::message_view<block_of_words> message,
                           queue::reply_writer<queue::no_reply>&) const noexcept {
    *sum += sum_of(message.value());
    return queue::status::ok;
  }
};
/// Room by credit, which goes back past the puller.
struct pulled_unanswered : queue::default_consumer<block_of_words, pulled_unanswered_processor> {
  using reply = queue::no_reply;
  using backoff = queue::yield_backoff<1>;
  static constexpr queue::completion_mode completions = queue::completion_mode::none;
  static constexpr queue::claim_mode claims = queue::claim_mode::pinned;
};

/// The bytes stay with the producer; what is carried says where.
struct pulled_slab_processor {
  queue::status operator()(queue::message_view<queue::slab_bytes<5'000>> message,
                           queue::reply_writer<uint64_t>& reply) const noexcept {
    uint64_t sum = message.size() + message.id();
    for (std::byte const b : message.bytes()) { sum = 3 * sum + static_cast<uint64_t>(b); }
    reply.write(sum);
    return queue::status::ok;
  }
};
struct pulled_slab : queue::default_consumer<queue::slab_bytes<5'000>, pulled_slab_processor> {
  using backoff = queue::yield_backoff<1>;
};

template <class P>
class rig {
  using lane = queue::lane_ref<P>;
  using bytes = millrace::memory::buffer<std::byte>;
  [[nodiscard]] static bytes lane_memory(std::uint32_t capacity) {
    return core::value_or_throw(
        bytes::make(core::value_or_throw(lane::bytes(capacity)), {}, lane::alignment));
  }

 public:
  rig(std::uint32_t capacity, queue::message_id first, typename P::processor process = {})
      : from_memory_(lane_memory(capacity)),
        ring_memory_(lane_memory(capacity)),
        taken_(core::value_or_throw(millrace::memory::buffer<std::uint8_t>::make_zeroed(capacity))),
        from_(lane::create(from_memory_.data(), capacity, first)),
        staged_(lane::create(ring_memory_.data(), capacity, first)),
        ring_(from_.template staged<ring_access>(&staged_.control(),
                                                 reinterpret_cast<std::byte*>(&staged_.header(0)))),
        owner(from_, crew(host_), 0, taken_.ref()) {
    cursor_.position = cursor_.limit = pulled_.position = first;
    args_ = {&ring_, &cursor_, 1, crew(there_), process, {}};
    puller_ = std::thread([this] {
      queue::phase const ended =
          queue::pull<P>(from_, ring_, crew(host_), pulled_, queue::host_group{});
      crew(there_).advance(ended);
      puller_left = true;
    });
    worker_ = std::thread([this] {
      queue::drain(args_, 0, queue::host_group{});
      worker_left = true;
    });
  }
  ~rig() { end(queue::phase::stopping); }

  void end(queue::phase how) {
    if (!puller_.joinable()) { return; }
    crew(host_).advance(how);
    puller_.join();
    worker_.join();
  }
  [[nodiscard]] uint64_t processed() const noexcept {
    return P::access::load(workers_.processed, core::acquire, "worker.processed");
  }
  void submit(uint64_t n, std::uint8_t kind = 0) {
    *reinterpret_cast<block_of_words*>(owner.payload()) = words_of(n);
    static_cast<void>(owner.commit(sizeof(block_of_words), kind));
    owner.offer();
  }

 private:
  [[nodiscard]] queue::crew_ref<P> crew(queue::crew_control& of) noexcept {
    return queue::crew_ref<P>(of, &workers_, 1);
  }

  bytes from_memory_, ring_memory_;
  millrace::memory::buffer<std::uint8_t> taken_;
  queue::crew_control host_, there_;
  queue::worker_control workers_;
  lane from_, staged_;
  queue::lane_ref<P, ring_access> ring_;
  queue::lane_cursor cursor_, pulled_;
  queue::drain_args<P, ring_access> args_;

 public:
  queue::lane_owner<P> owner;
  std::atomic<bool> puller_left{false};
  std::atomic<bool> worker_left{false};

 private:
  std::thread puller_, worker_;
};

template <class P>
void carries_all(std::uint32_t capacity, queue::message_id first, uint64_t count) {
  CAPTURE(capacity);
  CAPTURE(first);
  rig<P> r(capacity, first);
  uint64_t sent = 0, taken = 0;
  bool right = true;
  bool const done = eventually([&]() noexcept {
    while (sent < count && r.owner.room() != 0) {
      r.submit(sent, static_cast<std::uint8_t>(sent % 200));
      ++sent;
    }
    r.owner.publish();
    r.owner.take_all([&](auto const& got) noexcept {
      uint64_t const n = got.id - first;
      right = right && n == taken && got.status == queue::status::ok &&
              got.reply == sum_of(words_of(n)) + n % 200 + got.id;
      ++taken;
    });
    return taken == count;
  });
  CHECK(done);
  CHECK(right);
}

constexpr queue::message_id near_2_32 = 0xffff'ffffu - 6;
constexpr queue::message_id near_2_64 = ~uint64_t{0} - 6;

}  // namespace

TEST_CASE_TEMPLATE("pull: every message arrives whole, for any capacity, across every wrap", P,
                   pulled, pulled_pinned, pulled_deferring) {
  for (std::uint32_t const capacity : {1u, 2u, 3u, 4u, 5u, 100u}) {
    for (queue::message_id const first : {uint64_t{0}, near_2_32, near_2_64}) {
      carries_all<P>(capacity, first, 2 * capacity + 15);
    }
  }
}

TEST_CASE("pull: without records the room comes back as credit past the puller") {
  for (std::uint32_t const capacity : {1u, 3u, 5u}) {
    std::atomic<uint64_t> sum{0};
    rig<pulled_unanswered> r(capacity, near_2_32, {&sum});
    uint64_t expected = 0;
    for (uint64_t n = 0; n < 40; ++n) {
      REQUIRE(eventually([&]() noexcept { return r.owner.room() != 0; }));
      r.submit(n);
      expected += sum_of(words_of(n));
    }
    CHECK(eventually([&]() noexcept { return r.owner.room() == capacity; }));
    CHECK(sum == expected);
  }
}

TEST_CASE("pull: a close carries and does what was published, then both leave") {
  for (int round = 0; round < 10; ++round) {
    rig<pulled> r(50, 0);
    for (uint64_t n = 0; n < 50; ++n) { r.submit(n); }
    r.end(queue::phase::closing);
    CHECK(r.puller_left);
    CHECK(r.worker_left);
    CHECK(r.processed() == 50);
    std::uint32_t const answers = r.owner.take_all([](auto const&) noexcept {});
    CHECK(answers == 50);
  }
}

TEST_CASE("pull: a close carries held-back messages too, time or no time") {
  rig<pulled_deferring> r(8, 0);
  r.submit(0);
  REQUIRE(eventually([&]() noexcept { return r.owner.done(0); }));
  r.submit(1);
  r.submit(2);
  r.end(queue::phase::closing);
  CHECK(r.processed() == 3);
}

TEST_CASE("pull: a stop ends both whatever still lies in the lane") {
  rig<pulled> r(50, 0);
  for (uint64_t n = 0; n < 50; ++n) { r.submit(n); }
  r.end(queue::phase::stopping);
  CHECK(r.puller_left);
  CHECK(r.worker_left);
  CHECK(r.processed() <= 50);
}

TEST_CASE("pull: a silent producer's messages are carried once they are old enough") {
  for (std::uint32_t const capacity : {3u, 4u, 5u, 8u}) {
    rig<pulled_deferring> r(capacity, near_2_64);
    queue::message_id id = near_2_64;
    for (int round = 0; round < 6; ++round) {
      queue::message_id const oldest = id++;
      r.submit(9);  // idle: published at once
      REQUIRE(eventually([&]() noexcept { return r.owner.done(oldest); }));
      r.submit(10);
      r.submit(11);
      uint64_t const before = still_clock::asked;
      REQUIRE(eventually([&]() noexcept { return still_clock::asked > before + 20; }));
      CHECK(!r.owner.done(id));
      CHECK(!r.owner.done(id + 1));
      id += 2;
      CHECK(eventually([&]() noexcept {  // time goes on: who looks may only now see a dry lane
        still_clock::time_ns += pulled_deferring::publish_age_ns;
        return r.owner.done(id - 2) && r.owner.done(id - 1);
      }));
      CHECK(r.owner.take_all([](auto const&) noexcept {}) == 3);
      CHECK(r.owner.room() == capacity);
    }
  }
}

TEST_CASE("pull: a worker of a ring finds the bytes in the producer's arena") {
  for (std::uint32_t const capacity : {1u, 3u, 40u}) {
    for (queue::message_id const first : {uint64_t{0}, near_2_32, near_2_64}) {
      rig<pulled_slab> r(capacity, first);
      for (uint64_t n = 0; n < 60; ++n) {
        std::size_t const size = n * 83;
        REQUIRE(r.owner.fits(1, [&](std::uint32_t) noexcept { return size; }));
        std::byte* const at = r.owner.bytes(size);
        queue::message_id const id = r.owner.next();
        uint64_t expected = size + id;
        for (std::size_t i = 0; i < size; ++i) {
          at[i] = static_cast<std::byte>(n * 7 + i * 13);
          expected = 3 * expected + static_cast<uint64_t>(at[i]);
        }
        CHECK(r.owner.commit_bytes(size, 0) == id);
        r.owner.publish();
        queue::completion<uint64_t> got;
        REQUIRE(eventually([&]() noexcept { return r.owner.take(id, got) == errc::ok; }));
        CHECK(got.reply == expected);
      }
    }
  }
}
