// SPDX-License-Identifier: Apache-2.0
// Whole blocks that carry lanes, and that take messages together.
#include "support.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <vector>

using namespace queue_test;

namespace {

struct packet {
  std::uint32_t words[20];
};
[[nodiscard]] packet packet_of(uint64_t n) noexcept {
  packet out{};
  for (std::uint32_t i = 0; i < 20; ++i) {
    out.words[i] = static_cast<std::uint32_t>(n * 2'654'435'761u) + i;
  }
  return out;
}
[[nodiscard]] MILLRACE_HD uint64_t sum_of(packet const& of) noexcept {
  uint64_t sum = 0;
  for (std::uint32_t i = 0; i < 20; ++i) { sum += uint64_t{of.words[i]} * (i + 1); }
  return sum;
}

struct adds_up {
  MILLRACE_HD queue::status operator()(queue::message_view<packet> message,
                                       queue::reply_writer<uint64_t>& reply) const noexcept {
    reply.write(sum_of(message.value()) + message.kind());
    return queue::status::ok;
  }
  template <class Group>
  MILLRACE_HD queue::status operator()(Group group, queue::message_view<packet> message,
                                       queue::reply_writer<uint64_t>& reply) const noexcept {
    if (group.rank() == 0) { reply.write(sum_of(message.value()) + message.kind()); }
    return queue::status::ok;
  }
};
template <int Threads, queue::claim_mode Claims = queue::claim_mode::pinned,
          queue::width Width = queue::width::thread>
struct by_block : queue::default_consumer<packet, adds_up> {
  static constexpr queue::width gang = queue::width::block;
  static constexpr queue::width processing = Width;
  static constexpr queue::claim_mode claims = Claims;
  static constexpr int threads_per_block = Threads;
};
struct held_back : by_block<256> {
  static constexpr std::uint32_t publish_batch = 64;
};
struct without_ring : by_block<128> {
  static constexpr queue::ingress_mode ingress = queue::ingress_mode::direct;
};

struct counts {
  unsigned long long* sum = nullptr;
  MILLRACE_HD queue::status operator()(queue::message_view<packet> message,
                                       queue::reply_writer<queue::no_reply>&) const noexcept {
    cuda::atomic_ref<unsigned long long, cuda::thread_scope_system>(*sum).fetch_add(
        sum_of(message.value()), core::relaxed);
    return queue::status::ok;
  }
};
struct one_way : queue::default_consumer<packet, counts> {
  using reply = queue::no_reply;
  static constexpr queue::completion_mode completions = queue::completion_mode::none;
  static constexpr queue::claim_mode claims = queue::claim_mode::pinned;
  static constexpr queue::width gang = queue::width::block;
  static constexpr int threads_per_block = 512;
};

/// Sends batches of `batch` through every lane; parks and resumes now and then.
template <class P>
[[nodiscard]] bool all_right(queue::options const& with, std::uint32_t per_lane,
                             std::uint32_t batch, bool parks = false) {
  auto consumer = core::value_or_throw(queue::launch_device<P>(0, with));
  std::vector<queue::producer<P>> lanes;
  for (std::uint32_t l = 0; l < with.lanes; ++l) {
    lanes.push_back(core::value_or_throw(consumer.open_lane()));
  }
  std::vector<std::uint32_t> sent(with.lanes), taken(with.lanes);
  std::uint32_t rounds = 0;
  bool right = true;
  bool const done = eventually([&]() noexcept {
    bool finished = true;
    for (std::uint32_t l = 0; l < with.lanes; ++l) {
      std::uint32_t const some = std::min(batch, per_lane - sent[l]);
      auto const fill = [&](std::uint32_t i, packet& slot) noexcept {
        slot = packet_of(sent[l] + i + 1'000'000 * l);
      };
      if (some != 0 && lanes[l].submit_batch(some, fill, static_cast<std::uint8_t>(l))) {
        sent[l] += some;
      }
      lanes[l].poll([&](auto const& got) noexcept {
        uint64_t const n = got.id - with.first_message;
        right = right && got.status == queue::status::ok &&
                got.reply == sum_of(packet_of(n + 1'000'000 * l)) + l;
        ++taken[l];
      });
      finished = finished && taken[l] == per_lane;
    }
    if (parks && ++rounds % 64 == 0) {
      right = right && consumer.park(soon()) && consumer.resume();
    }
    return finished;
  });
  auto const left = consumer.stop(soon());
  return done && right && left && *left == 0;
}

}  // namespace

TEST_CASE("a block's threads each do a message of a run") {
  CHECK(all_right<by_block<256>>({.lanes = 1, .capacity = 1024, .workers = 1}, 50'000, 100));
  CHECK(all_right<by_block<512>>({.lanes = 3, .capacity = 700, .workers = 2}, 20'000, 300));
  CHECK(all_right<by_block<64>>({.lanes = 1, .capacity = 1000, .workers = 1}, 20'000, 1));
}

TEST_CASE("a lane that is shorter than the block, and numbers that wrap") {
  queue::options with{.lanes = 2, .capacity = 10, .workers = 2};
  with.first_message = ~uint64_t{0} - 500;
  CHECK(all_right<by_block<256>>(with, 3'000, 7));
  with.first_message = (uint64_t{1} << 32) - 100;
  CHECK(all_right<by_block<256>>(with, 3'000, 10));
}

TEST_CASE("several blocks share a lane") {
  CHECK(all_right<by_block<256, queue::claim_mode::shared>>(
      {.lanes = 2, .capacity = 2048, .workers = 4}, 50'000, 500));
}

TEST_CASE("a block carries for warps that do a message each") {
  CHECK(all_right<by_block<256, queue::claim_mode::shared, queue::width::warp>>(
      {.lanes = 2, .capacity = 512, .workers = 5}, 20'000, 64));
  CHECK(all_right<by_block<128, queue::claim_mode::pinned, queue::width::block>>(
      {.lanes = 2, .capacity = 512, .workers = 2}, 10'000, 64));
}

TEST_CASE("blocks take held-back messages by their age, and messages across the bus") {
  CHECK(all_right<held_back>({.lanes = 2, .capacity = 512, .workers = 2}, 5'000, 1));
  CHECK(all_right<without_ring>({.lanes = 2, .capacity = 512, .workers = 2}, 5'000, 40));
}

TEST_CASE("blocks park and come back with nothing lost") {
  CHECK(all_right<by_block<256>>({.lanes = 2, .capacity = 512, .workers = 2}, 100'000, 64, true));
}

TEST_CASE("blocks that nobody asks for results close with everything done") {
  unsigned long long* sum = nullptr;
  REQUIRE(cudaHostAlloc(reinterpret_cast<void**>(&sum), sizeof(*sum), cudaHostAllocDefault) ==
          cudaSuccess);
  *sum = 0;
  unsigned long long expected = 0;
  {
    auto consumer = core::value_or_throw(
        queue::launch_device<one_way>(0, {.lanes = 1, .capacity = 4096, .workers = 1}, {sum}));
    auto lane = core::value_or_throw(consumer.open_lane());
    for (std::uint32_t sent = 0; sent < 200'000;) {
      auto const fill = [&](std::uint32_t i, packet& slot) noexcept { slot = packet_of(sent + i); };
      if (lane.submit_batch(250, fill)) {
        for (std::uint32_t i = 0; i < 250; ++i) { expected += sum_of(packet_of(sent + i)); }
        sent += 250;
      }
    }
    consumer.close();
    CHECK(consumer.wait_until_left(soon()));
    auto const left = consumer.stop(soon());
    REQUIRE(left);
    CHECK(*left == 0);
    CHECK(*sum == expected);
  }
  static_cast<void>(cudaFreeHost(sum));
}
