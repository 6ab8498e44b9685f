// SPDX-License-Identifier: Apache-2.0
// Large batches take another way into the lane than small ones: they must arrive alike.
#include "support.hpp"

#include <doctest/doctest.h>

#include <array>
#include <vector>

using namespace queue_test;

namespace {

template <std::size_t Words>
struct filled {
  std::array<uint64_t, Words> words;

  MILLRACE_HD void fill(uint64_t seed) noexcept {
    for (std::size_t i = 0; i < Words; ++i) { words[i] = seed * 1'000 + i; }
  }
  [[nodiscard]] MILLRACE_HD bool is(uint64_t seed) const noexcept {
    bool same = true;
    for (std::size_t i = 0; i < Words; ++i) { same = same && words[i] == seed * 1'000 + i; }
    return same;
  }
};

/// Replies with the seed of a message that arrived whole.
template <class M>
struct checking {
  MILLRACE_HD queue::status operator()(queue::message_view<M> message,
                                       queue::reply_writer<uint64_t>& reply) const noexcept {
    uint64_t const seed = message.value().words[0] / 1'000;
    reply.write(seed + (uint64_t{message.kind()} << 56));
    bool const whole = message.value().is(seed) && message.size() == sizeof(M);
    return whole ? queue::status::ok : queue::status::failed;
  }
};

template <std::size_t Words, std::uint32_t PublishBatch = 1>
struct batch_policy : queue::default_consumer<filled<Words>, checking<filled<Words>>> {
  using backoff = queue::yield_backoff<1>;
  static constexpr std::uint32_t publish_batch = PublishBatch;
};
template <std::size_t Words>
struct pinned_policy : batch_policy<Words> {
  static constexpr queue::claim_mode claims = queue::claim_mode::pinned;
};

constexpr queue::message_id near_2_32 = 0xffff'ffffu - 90;
constexpr queue::message_id near_2_64 = ~uint64_t{0} - 90;

/// Takes the results of `count` messages from `id` on, whose seeds count from `seed`.
template <class P>
[[nodiscard]] bool all_answered(queue::producer<P>& lane, queue::message_id id, uint64_t seed,
                                std::uint32_t count, std::uint8_t kind) {
  for (std::uint32_t i = 0; i < count; ++i) {
    auto const got = lane.wait(id + i, soon());
    if (!got || got->status != queue::status::ok ||
        got->reply != seed + i + (uint64_t{kind} << 56)) {
      return false;
    }
  }
  return true;
}

}  // namespace

TEST_CASE_TEMPLATE("batch: batches of every size arrive whole across the end of the lane", P,
                   batch_policy<1>, batch_policy<8>, batch_policy<127>, batch_policy<1500>,
                   pinned_policy<8>, batch_policy<32, 8>) {
  using message = typename P::message;
  for (std::uint32_t const capacity : {1u, 3u, 40u, 77u}) {
    for (std::uint32_t const workers : {1u, 2u}) {
      for (queue::message_id const first : {near_2_32, near_2_64}) {
        CAPTURE(capacity);
        CAPTURE(workers);
        auto consumer =
            launch<P>({.capacity = capacity, .workers = workers, .first_message = first});
        auto lane = open(consumer);
        uint64_t seed = 0;
        queue::message_id next = first;
        std::vector<message> copies(capacity);
        for (std::uint32_t const size : {1u, 40u, 2u, 33u, 77u, 5u, 64u, 3u, 77u}) {
          if (size > capacity) { continue; }
          auto const kind = static_cast<std::uint8_t>(size);
          auto const build = [&](std::uint32_t i, message& m) noexcept { m.fill(seed + i); };
          auto const built = lane.submit_batch(size, build, kind);
          REQUIRE(built);
          CHECK(*built == next);
          CHECK(all_answered(lane, next, seed, size, kind));
          next += size;
          seed += size;
          for (std::uint32_t i = 0; i < size; ++i) { copies[i].fill(seed + i); }
          auto const copied =
              lane.submit_batch(cuda::std::span<message const>(copies.data(), size), kind);
          REQUIRE(copied);
          CHECK(*copied == next);
          CHECK(all_answered(lane, next, seed, size, kind));
          next += size;
          seed += size;
        }
      }
    }
  }
}

TEST_CASE("batch: a large batch follows messages that are held back") {
  using P = batch_policy<32, 8>;
  using message = P::message;
  auto consumer = launch<P>({.capacity = 50});
  auto lane = open(consumer);
  message m{};
  queue::message_id next = 0;
  for (uint64_t round = 0; round < 12; ++round) {  // every place in the lane
    for (uint64_t i = 0; i < 4; ++i) {
      m.fill(i);
      auto const id = lane.submit(m, 1);
      REQUIRE(id);
      CHECK(*id == next + i);
    }
    auto const fill = [](std::uint32_t i, message& slot) noexcept { slot.fill(4 + i); };
    REQUIRE(lane.submit_batch(37, fill, 1));
    CHECK(all_answered(lane, next, 0, 41, 1));
    next += 41;
  }
}

TEST_CASE("batch: small and large ones in flight together, polled as they come") {
  using P = batch_policy<32>;
  using message = P::message;
  auto consumer = launch<P>({.capacity = 61});
  auto lane = open(consumer);
  uint64_t sent = 0, taken = 0;
  bool right = true;
  CHECK(eventually([&]() noexcept {
    for (std::uint32_t const size : {1u, 19u, 2u, 11u}) {
      auto const fill = [&](std::uint32_t i, message& slot) noexcept { slot.fill(sent + i); };
      if (sent < 1'000 && lane.submit_batch(size, fill)) { sent += size; }
    }
    lane.poll([&](auto const& got) noexcept {
      right = right && got.id == taken && got.reply == taken && got.status == queue::status::ok;
      ++taken;
    });
    return taken >= 1'000 && taken == sent;
  }));
  CHECK(right);
}
