// SPDX-License-Identifier: Apache-2.0
// The way of a message through a copy engine, on host threads: a keeper has runs of slots carried
// to a ring that lies elsewhere, a worker follows the ring's cursor, a relay says when to leave.
#include "carrying.hpp"
#include <millrace/memory/buffer.hpp>
#include <millrace/queue/drain.hpp>
#include <millrace/queue/keeper.hpp>
#include <millrace/queue/relay.hpp>

#include <doctest/doctest.h>

#include <cstring>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

using namespace queue_test;

namespace {

/// A group of a device's kind that has one member: its workers follow the cursor.
struct lone_group : queue::host_group {
  static constexpr bool may_park = false;
  static constexpr bool alone = false;
};

struct carried : queue::default_consumer<block_of_words, summing> {
  using backoff = queue::yield_backoff<1>;
  static constexpr queue::ingress_mode ingress = queue::ingress_mode::dma;
};
struct carried_pinned : carried {
  static constexpr queue::claim_mode claims = queue::claim_mode::pinned;
};
struct carried_deferring : carried {
  using clock = still_clock;
  static constexpr std::uint32_t publish_batch = 4;
};
/// A policy whose workers would sleep: its keeper naps.
struct carried_sleepy : queue::default_consumer<block_of_words, summing> {
  static constexpr queue::ingress_mode ingress = queue::ingress_mode::dma;
};
struct adding_up {
  std::atomic<uint64_t>* sum = nullptr;
  queue::status operator()(queue::message_view<block_of_words> message,
                           queue::reply_writer<queue::no_reply>&) const noexcept {
    *sum += sum_of(message.value());
    return queue::status::ok;
  }
};
/// Room by credit.
struct carried_unanswered : queue::default_consumer<block_of_words, adding_up> {
  using reply = queue::no_reply;
  using backoff = queue::yield_backoff<1>;
  static constexpr queue::ingress_mode ingress = queue::ingress_mode::dma;
  static constexpr queue::completion_mode completions = queue::completion_mode::none;
  static constexpr queue::claim_mode claims = queue::claim_mode::pinned;
};

/// Copies later, on a thread of its own, in the order of the calls: what a copy engine is. It
/// leaves the slots' numbers alone, which the producer of held-back messages may be writing.
template <class P>
class engine {
 public:
  engine() : thread_([this] { work(); }) {}
  ~engine() {
    {
      std::scoped_lock const lock(mutex_);
      over_ = true;
    }
    thread_.join();
  }

  [[nodiscard]] result<bool> ready() noexcept {
    std::scoped_lock const lock(mutex_);
    return !held_ && batches_ < 2;
  }
  [[nodiscard]] result<void> copy(std::byte* to, std::byte const* from,
                                  std::size_t bytes) noexcept {
    if (fails) { return core::fail(errc::native_failure, core::origin::cuda, 1); }
    CHECK(bytes % P::slot::stride == 0);
    std::scoped_lock const lock(mutex_);
    ++copies;
    jobs_.push_back([=]() noexcept {
      constexpr std::size_t skipped = offsetof(queue::slot_header, length);
      for (std::size_t at = 0; at < bytes; at += P::slot::stride) {
        std::memcpy(to + at + skipped, from + at + skipped, P::slot::stride - skipped);
      }
    });
    return {};
  }
  [[nodiscard]] result<void> publish(queue::message_id& word, queue::message_id value) noexcept {
    std::scoped_lock const lock(mutex_);
    jobs_.push_back([&word, value]() noexcept {
      P::access::store(word, value, core::release, "stream.write");
    });
    return {};
  }
  [[nodiscard]] result<void> finish() noexcept {
    std::scoped_lock const lock(mutex_);
    ++batches_;
    jobs_.push_back([this]() noexcept { --batches_; });
    return {};
  }
  /// Keeps the keeper from beginning another batch.
  void hold(bool held) {
    std::scoped_lock const lock(mutex_);
    held_ = held;
  }

  std::atomic<std::uint32_t> copies{0};
  std::atomic<bool> fails{false};

 private:
  void work() {
    for (;;) {
      std::function<void()> job;
      {
        std::scoped_lock const lock(mutex_);
        if (!jobs_.empty()) {
          job = std::move(jobs_.front());
          jobs_.pop_front();
        } else if (over_) {
          return;
        }
      }
      job ? job() : core::yield_thread();
    }
  }

  std::mutex mutex_;
  std::deque<std::function<void()>> jobs_;
  std::atomic<std::uint32_t> batches_{0};
  bool held_ = false;
  bool over_ = false;
  std::thread thread_;
};

/// A consumer as a device has it: lanes here, rings there, and what lies between.
template <class P>
class rig {
  using lane = queue::lane_ref<P>;
  using bytes = millrace::memory::buffer<std::byte>;
  using keeper = queue::keeper<P, typename P::access, engine<P>>;
  [[nodiscard]] static bytes lane_memory(std::uint32_t capacity) {
    return core::value_or_throw(
        bytes::make(core::value_or_throw(lane::bytes(capacity)), {}, lane::alignment));
  }

 public:
  struct shape {
    std::uint32_t capacity = 1;
    queue::message_id first = 0;
    std::uint32_t lanes = 1;
    std::uint32_t workers = 1;
  };

  explicit rig(shape const& with, typename P::processor process = {})
      : with_(with), words_(with.workers) {
    host_.workers = there_.workers = with.workers;
    std::uint32_t const cursors =
        P::claims == queue::claim_mode::pinned ? with.lanes : with.lanes * with.workers;
    cursors_ = std::vector<queue::lane_cursor>(cursors);
    for (auto& cursor : cursors_) { cursor.position = cursor.limit = with.first; }
    routes_ =
        core::value_or_throw(millrace::memory::buffer<typename keeper::route>::make(with.lanes));
    for (std::uint32_t l = 0; l < with.lanes; ++l) {
      memory_.push_back(lane_memory(with.capacity));
      from_.push_back(lane::create(memory_.back().data(), with.capacity, with.first));
      memory_.push_back(lane_memory(with.capacity));
      lane const staged = lane::create(memory_.back().data(), with.capacity, with.first);
      rings_.push_back(from_[l].template staged<typename P::access>(
          &staged.control(), reinterpret_cast<std::byte*>(&staged.header(0))));
      routes_[l] = {from_[l], rings_[l], {}};
      routes_[l].at.position = with.first;
      taken_.push_back(
          core::value_or_throw(millrace::memory::buffer<std::uint8_t>::make_zeroed(with.capacity)));
      owners.emplace_back(from_[l], crew(host_), l, taken_.back().ref());
    }
    args_ = {rings_.data(), cursors_.data(), with.lanes, crew(there_), process, {}};
    keeper_ = std::thread([this] {
      auto const ended = keeper(routes_.ref(), crew(host_), copier).run();
      if (!ended) { failure = ended.error().native; }
      keeper_left = true;
    });
    come();
  }
  ~rig() { end(queue::phase::stopping); }

  /// The workers, and the relay beside them, as one epoch.
  void come() {
    there_.owner.phase = 0;
    std::atomic_ref<std::uint32_t>(host_.crew.exited).store(0);
    threads_.emplace_back([this] {
      queue::phase const ended =
          queue::await_end<P>(from_.data(), rings_.data(), with_.lanes, crew(host_), lone_group{});
      crew(there_).advance(ended);
    });
    for (std::uint32_t w = 0; w < with_.workers; ++w) {
      threads_.emplace_back([this, w] {
        queue::drain(args_, w, lone_group{});
        std::atomic_ref<std::uint32_t>(host_.crew.exited).fetch_add(1);
      });
    }
  }
  void leave(queue::phase how) {
    crew(host_).advance(how);
    for (auto& thread : threads_) { thread.join(); }
    threads_.clear();
  }
  void end(queue::phase how) {
    if (!threads_.empty()) { leave(how); }
    if (how == queue::phase::parking || !keeper_.joinable()) { return; }
    keeper_.join();
  }

  [[nodiscard]] uint64_t processed() const noexcept {
    uint64_t sum = 0;
    for (auto const& w : words_) {
      sum += P::access::load(w.processed, core::acquire, "worker.processed");
    }
    return sum;
  }
  void submit(uint64_t n, std::uint8_t kind = 0, std::uint32_t l = 0) {
    *reinterpret_cast<block_of_words*>(owners[l].payload()) = words_of(n);
    static_cast<void>(owners[l].commit(sizeof(block_of_words), kind));
    owners[l].offer();
  }
  void resume() {
    std::atomic_ref<std::uint32_t>(host_.crew.exited).store(0);
    crew(host_).advance(queue::phase::running);
    come();
  }

  engine<P> copier;
  std::vector<queue::lane_owner<P>> owners;
  std::atomic<bool> keeper_left{false};
  std::atomic<std::int32_t> failure{0};

 private:
  [[nodiscard]] queue::crew_ref<P> crew(queue::crew_control& of) noexcept {
    return queue::crew_ref<P>(of, words_.data());
  }

  shape with_;
  std::vector<bytes> memory_;
  std::vector<millrace::memory::buffer<std::uint8_t>> taken_;
  queue::crew_control host_, there_;
  std::vector<queue::worker_control> words_;
  std::vector<lane> from_;
  std::vector<queue::lane_ref<P>> rings_;
  std::vector<queue::lane_cursor> cursors_;
  millrace::memory::buffer<typename keeper::route> routes_;
  queue::drain_args<P> args_;
  std::thread keeper_;
  std::vector<std::thread> threads_;
};

template <class P>
void carries_all(typename rig<P>::shape const& with, uint64_t count, bool parks = false) {
  CAPTURE(with.capacity);
  CAPTURE(with.first);
  CAPTURE(with.lanes);
  rig<P> r(with);
  std::vector<uint64_t> sent(with.lanes), taken(with.lanes);
  bool right = true;
  uint64_t rounds = 0;
  bool const done = eventually([&]() noexcept {
    if (parks && ++rounds % 40 == 0) {
      r.leave(queue::phase::parking);
      r.resume();
    }
    bool all = true;
    for (std::uint32_t l = 0; l < with.lanes; ++l) {
      while (sent[l] < count && r.owners[l].room() != 0) {
        r.submit(sent[l] + 1'000 * l, static_cast<std::uint8_t>(sent[l] % 200), l);
        ++sent[l];
      }
      r.owners[l].publish();
      r.owners[l].take_all([&](auto const& got) noexcept {
        uint64_t const n = got.id - with.first;
        right = right && got.status == queue::status::ok &&
                got.reply == sum_of(words_of(n + 1'000 * l)) + n % 200 + got.id;
        ++taken[l];
      });
      all = all && taken[l] == count;
    }
    return all;
  });
  CHECK(done);
  CHECK(right);
}

constexpr queue::message_id near_2_32 = 0xffff'ffffu - 6;
constexpr queue::message_id near_2_64 = ~uint64_t{0} - 6;

}  // namespace

TEST_CASE("dma: runs cover the slots in their order and never reach beyond the lane") {
  for (std::uint32_t capacity = 1; capacity <= 9; ++capacity) {
    for (std::uint32_t index = 0; index < capacity; ++index) {
      for (std::uint32_t count = 0; count <= capacity; ++count) {
        std::uint32_t next = index, covered = 0;
        for (queue::slot_run const run : queue::runs_of(index, count, capacity)) {
          if (run.count == 0) { continue; }
          CHECK(run.index == next);
          CHECK(run.index + run.count <= capacity);
          next = (run.index + run.count) % capacity;
          covered += run.count;
        }
        CHECK(covered == count);
      }
    }
  }
  auto const whole = queue::runs_of(5, 0x7fff'ffffu, 0x7fff'ffffu);
  CHECK(whole[0].count == 0x7fff'fffau);
  CHECK(whole[1].count == 5);
}

TEST_CASE_TEMPLATE("dma: every message arrives whole, for any capacity, across every wrap", P,
                   carried, carried_pinned, carried_deferring, carried_sleepy) {
  for (std::uint32_t const capacity : {1u, 2u, 3u, 5u, 100u}) {
    for (queue::message_id const first : {uint64_t{0}, near_2_32, near_2_64}) {
      carries_all<P>({.capacity = capacity, .first = first}, 2 * capacity + 15);
    }
  }
  carries_all<P>({.capacity = 7, .lanes = 3, .workers = 2}, 200);
  carries_all<P>({.capacity = 7, .lanes = 2, .workers = 3}, 200);
}

TEST_CASE_TEMPLATE("dma: workers that park and come back lose and repeat nothing", P, carried,
                   carried_pinned, carried_deferring) {
  carries_all<P>({.capacity = 16, .lanes = 2, .workers = 2}, 2'000, true);
}

TEST_CASE("dma: without records the room comes back as credit") {
  for (std::uint32_t const capacity : {1u, 3u, 5u}) {
    std::atomic<uint64_t> sum{0};
    rig<carried_unanswered> r({.capacity = capacity, .first = near_2_32}, {&sum});
    uint64_t expected = 0;
    for (uint64_t n = 0; n < 40; ++n) {
      REQUIRE(eventually([&]() noexcept { return r.owners[0].room() != 0; }));
      r.submit(n);
      expected += sum_of(words_of(n));
    }
    CHECK(eventually([&]() noexcept { return r.owners[0].room() == capacity; }));
    CHECK(sum == expected);
  }
}

TEST_CASE("dma: what gathers while the copier is busy goes as one batch") {
  rig<carried> r({.capacity = 50});
  r.copier.hold(true);
  for (uint64_t n = 0; n < 40; ++n) { r.submit(n); }
  CHECK(r.copier.copies == 0);
  r.copier.hold(false);
  REQUIRE(eventually([&]() noexcept { return r.owners[0].done(39); }));
  CHECK(r.copier.copies == 1);
  CHECK(r.owners[0].take_all([](auto const&) noexcept {}) == 40);
  r.copier.hold(true);
  for (uint64_t n = 0; n < 20; ++n) { r.submit(n); }  // over the end of the ring: two runs
  r.copier.hold(false);
  REQUIRE(eventually([&]() noexcept { return r.owners[0].done(59); }));
  CHECK(r.copier.copies == 3);
}

TEST_CASE_TEMPLATE("dma: a close carries and does what was published, then all leave", P, carried,
                   carried_deferring) {
  for (int round = 0; round < 10; ++round) {
    rig<P> r({.capacity = 50, .workers = 2});
    r.copier.hold(true);
    for (uint64_t n = 0; n < 50; ++n) { r.submit(n); }
    std::thread later([&] { r.copier.hold(false); });
    r.end(queue::phase::closing);
    later.join();
    CHECK(r.keeper_left);
    CHECK(r.processed() == 50);
    CHECK(r.owners[0].take_all([](auto const&) noexcept {}) == 50);
  }
}

TEST_CASE("dma: a stop needs neither the keeper nor the copier") {
  rig<carried> r({.capacity = 50, .workers = 2});
  r.copier.hold(true);
  for (uint64_t n = 0; n < 50; ++n) { r.submit(n); }
  r.end(queue::phase::stopping);
  CHECK(r.keeper_left);
  CHECK(r.processed() == 0);
}

TEST_CASE(
    "dma: a copier that fails ends the keeper with its error, and a stop still gets through") {
  rig<carried> r({.capacity = 50});
  r.copier.fails = true;
  r.submit(1);
  CHECK(eventually([&]() noexcept { return r.keeper_left.load(); }));
  CHECK(r.failure == 1);
  r.end(queue::phase::stopping);
  CHECK(r.processed() == 0);
}

TEST_CASE("dma: a silent producer's messages are carried once they are old enough") {
  for (std::uint32_t const capacity : {3u, 4u, 5u, 8u}) {
    rig<carried_deferring> r({.capacity = capacity, .first = near_2_64});
    auto& owner = r.owners[0];
    queue::message_id id = near_2_64;
    for (int round = 0; round < 6; ++round) {
      queue::message_id const oldest = id++;
      r.submit(9);  // idle: published at once
      REQUIRE(eventually([&]() noexcept { return owner.done(oldest); }));
      r.submit(10);
      r.submit(11);
      uint64_t const before = still_clock::asked;
      REQUIRE(eventually([&]() noexcept { return still_clock::asked > before + 20; }));
      CHECK(!owner.done(id));
      CHECK(!owner.done(id + 1));
      id += 2;
      CHECK(eventually([&]() noexcept {  // time goes on: who looks may only now see a dry lane
        still_clock::time_ns += carried_deferring::publish_age_ns;
        return owner.done(id - 2) && owner.done(id - 1);
      }));
      CHECK(owner.take_all([](auto const&) noexcept {}) == 3);
      CHECK(owner.room() == capacity);
    }
  }
}
