// SPDX-License-Identifier: Apache-2.0
// Messages whose bytes lie in the lane's arena.
#include "support.hpp"

#include <doctest/doctest.h>

#include <array>
#include <optional>
#include <random>
#include <utility>
#include <vector>

using namespace queue_test;

namespace {

constexpr std::size_t largest = 65'536;
using message = queue::slab_bytes<largest>;
using bytes_of = cuda::std::span<std::byte const>;

/// Every byte and its place count.
[[nodiscard]] uint64_t sum_of(bytes_of bytes) noexcept {
  uint64_t sum = bytes.size();
  for (std::byte const b : bytes) { sum = 31 * sum + static_cast<uint64_t>(b); }
  return sum;
}
void fill(cuda::std::span<std::byte> bytes, uint64_t n) noexcept {
  uint64_t word = n * 0x9E37'79B9'7F4A'7C15u + 1;
  for (std::byte& b : bytes) {
    word = word * 6'364'136'223'846'793'005u + 1;
    b = static_cast<std::byte>(word >> 56);
  }
}
[[nodiscard]] std::vector<std::byte> filled(std::size_t size, uint64_t n) {
  std::vector<std::byte> out(size);
  fill(out, n);
  return out;
}

struct summing {
  template <std::size_t Max>
  queue::status operator()(queue::message_view<queue::slab_bytes<Max>> m,
                           queue::reply_writer<uint64_t>& reply) const noexcept {
    reply.write(sum_of(m.bytes()) + m.id() + m.kind() + m.size());
    bool const aligned = reinterpret_cast<std::uintptr_t>(m.bytes().data()) % 64 == 0;
    return aligned ? queue::status::ok : queue::status::failed;
  }
};
struct adding {
  std::atomic<uint64_t>* sum = nullptr;
  queue::status operator()(queue::message_view<message> m,
                           queue::reply_writer<queue::no_reply>&) const noexcept {
    *sum += sum_of(m.bytes()) + m.kind();
    return queue::status::ok;
  }
};

struct shared_claims : queue::default_consumer<message, summing> {};
struct pinned_claims : shared_claims {
  static constexpr queue::claim_mode claims = queue::claim_mode::pinned;
};
struct deferring : shared_claims {
  static constexpr std::uint32_t publish_batch = 5;
};
struct unanswered : queue::default_consumer<message, adding> {
  using reply = queue::no_reply;
  static constexpr queue::completion_mode completions = queue::completion_mode::none;
};
struct by_credit : unanswered {
  static constexpr queue::claim_mode claims = queue::claim_mode::pinned;
};
struct deferring_credit : by_credit {
  static constexpr std::uint32_t publish_batch = 5;
};
struct enormous : queue::default_consumer<queue::slab_bytes<std::size_t{3} << 20>, summing> {};

/// Holds messages of kind 1 inside the functor.
struct gated_sum {
  gate* door = nullptr;
  queue::status operator()(queue::message_view<queue::slab_bytes<4096>> m,
                           queue::reply_writer<uint64_t>& reply) const noexcept {
    if (m.kind() == 1) {
      ++door->entered;
      while (!door->open) { core::yield_thread(); }
      ++door->left;
    }
    reply.write(sum_of(m.bytes()));
    return queue::status::ok;
  }
};
struct gated_slabs : queue::default_consumer<queue::slab_bytes<4096>, gated_sum> {};

constexpr queue::message_id near_2_32 = 0xffff'ffffu - 40;
constexpr queue::message_id near_2_64 = ~uint64_t{0} - 40;

template <class T>
[[nodiscard]] std::int32_t native_of(result<T> const& r) noexcept {
  return r ? 0 : r.error().native;
}

template <class P>
[[nodiscard]] uint64_t answer(bytes_of bytes, queue::message_id id, std::uint8_t kind) noexcept {
  return sum_of(bytes) + id + kind + bytes.size();
}

/// Sizes about every border, then any.
[[nodiscard]] std::size_t size_for(std::mt19937_64& random) {
  switch (random() % 4) {
    case 0: return random() % 300;
    case 1: return random() % (largest + 1);
    default: {
      std::size_t const border = std::size_t{64} << (random() % 11);
      return std::min(largest, border + random() % 3 - 1);
    }
  }
}

template <class P>
void answers_any_sizes(queue::options const& with, uint64_t count) {
  CAPTURE(with.capacity);
  CAPTURE(with.first_message);
  CAPTURE(with.arena_bytes);
  auto consumer = launch<P>(with);
  auto lane = open(consumer);
  std::mt19937_64 random(with.capacity);
  std::vector<uint64_t> expected(count);
  uint64_t sent = 0, taken = 0;
  std::optional<std::size_t> size;
  bool right = true;
  bool const done = eventually([&]() noexcept {
    while (sent < count) {
      if (!size) { size = size_for(random); }
      auto const room = lane.reserve(*size);
      if (!room) {
        right = right && code_of(room) == errc::full;
        break;
      }
      fill(*room, sent);
      auto const kind = static_cast<std::uint8_t>(sent % 200);
      expected[sent] = answer<P>(*room, with.first_message + sent, kind);
      right = right && lane.commit(kind).value_or(0) == with.first_message + sent;
      ++sent;
      size.reset();
    }
    lane.flush();
    lane.poll([&](auto const& got) noexcept {
      uint64_t const n = got.id - with.first_message;
      right = right && got.status == queue::status::ok && n < sent && got.reply == expected[n];
      ++taken;
    });
    return taken == count;
  });
  CHECK(done);
  CHECK(right);
  CHECK(lane.in_flight() == 0);
  CHECK(lane.room() == with.capacity);
}

}  // namespace

TEST_CASE_TEMPLATE("descriptor: messages of every length come whole and aligned", P, shared_claims,
                   pinned_claims, deferring) {
  auto consumer = launch<P>({.capacity = 4});
  auto lane = open(consumer);
  std::vector<std::size_t> sizes{0, 1, 2, 15, 16, 17, largest - 1, largest};
  for (std::size_t border = 64; border < largest; border *= 2) {
    for (std::size_t const quarter : {std::size_t{4}, std::size_t{5}, std::size_t{7}}) {
      std::size_t const middle = border / 4 * quarter;
      for (std::size_t const size : {middle - 1, middle, middle + 1}) { sizes.push_back(size); }
    }
  }
  for (std::size_t const size : sizes) {
    CAPTURE(size);
    auto const sent = filled(size, size);
    auto const id = lane.submit(bytes_of(sent), 9);
    REQUIRE(id);
    auto const got = lane.wait(*id, soon());
    REQUIRE(got);
    CHECK(got->status == queue::status::ok);
    CHECK(got->reply == answer<P>(sent, *id, 9));
  }
}

TEST_CASE("descriptor: messages may be far larger than any slot") {
  constexpr std::size_t most = std::size_t{3} << 20;
  auto consumer = launch<enormous>({.capacity = 3});
  auto lane = open(consumer);
  for (std::size_t const size : {most, std::size_t{65'505}, std::size_t{0}, most - 1}) {
    auto const sent = filled(size, size);
    auto const id = lane.submit(bytes_of(sent));
    REQUIRE(id);
    CHECK(lane.wait(*id, soon())->reply == answer<enormous>(sent, *id, 0));
  }
  auto const too_large = filled(most + 1, 1);
  CHECK(code_of(lane.submit(bytes_of(too_large))) == errc::payload_too_large);
  CHECK(code_of(lane.reserve(~std::size_t{0})) == errc::payload_too_large);
}

TEST_CASE_TEMPLATE("descriptor: mixed lengths, any capacity, tight arenas, across every wrap", P,
                   shared_claims, pinned_claims, deferring) {
  for (std::uint32_t const capacity : {1u, 2u, 3u, 40u}) {
    for (queue::message_id const first : {uint64_t{0}, near_2_32, near_2_64}) {
      for (std::size_t const arena : {std::size_t{0}, largest, largest * 3 / 2}) {
        answers_any_sizes<P>({.capacity = capacity, .arena_bytes = arena, .first_message = first},
                             100);
      }
    }
  }
  if constexpr (P::claims == queue::claim_mode::shared) {
    answers_any_sizes<P>({.capacity = 20, .workers = 3, .first_message = near_2_64}, 300);
    answers_any_sizes<P>({.capacity = 20, .arena_bytes = 100'000, .workers = 3}, 300);
  }
}

TEST_CASE_TEMPLATE("descriptor: without completions the bytes come back too", P, unanswered,
                   by_credit, deferring_credit) {
  for (std::uint32_t const capacity : {1u, 2u, 3u, 40u}) {
    for (queue::message_id const first : {uint64_t{0}, near_2_32, near_2_64}) {
      for (std::size_t const arena : {std::size_t{0}, largest}) {
        CAPTURE(capacity);
        CAPTURE(first);
        CAPTURE(arena);
        std::atomic<uint64_t> sum{0};
        auto consumer =
            launch<P>({.capacity = capacity, .arena_bytes = arena, .first_message = first}, {&sum});
        auto lane = open(consumer);
        std::mt19937_64 random(capacity);
        uint64_t expected = 0;
        for (uint64_t n = 0; n < 100; ++n) {
          auto const sent = filled(size_for(random), n);
          REQUIRE(eventually([&]() noexcept {
            lane.flush();
            return lane.submit(bytes_of(sent), 3).has_value();
          }));
          expected += sum_of(bytes_of(sent)) + 3;
        }
        REQUIRE(lane.drain(soon()));
        CHECK(sum == expected);
        CHECK(lane.room() == capacity);
        auto const whole = lane.reserve(largest);
        CHECK(whole);
      }
    }
  }
}

TEST_CASE("descriptor: a message above the largest is refused, and nothing changes") {
  auto consumer = launch<shared_claims>({.capacity = 2});
  auto lane = open(consumer);
  auto const sent = filled(largest + 1, 1);
  auto const refused = lane.submit(bytes_of(sent));
  CHECK(code_of(refused) == errc::payload_too_large);
  CHECK(code_of(lane.reserve(largest + 1)) == errc::payload_too_large);
  CHECK(lane.room() == 2);
  CHECK(lane.in_flight() == 0);
  auto const id = lane.submit(bytes_of(sent.data(), largest));
  REQUIRE(id);
  CHECK(*id == 0);
}

TEST_CASE("descriptor: a full lane says whether slots or bytes are short, and stays as it was") {
  gate door;
  auto consumer = launch<gated_slabs>({.capacity = 3, .arena_bytes = 4096}, {&door});
  auto lane = open(consumer);
  auto const small = filled(64, 1), medium = filled(2048, 2), large = filled(4096, 3);
  REQUIRE(lane.submit(bytes_of(small), 1));
  REQUIRE(lane.submit(bytes_of(medium)));
  for (int i = 0; i < 3; ++i) {
    auto const short_of_bytes = lane.submit(bytes_of(medium));
    CHECK(code_of(short_of_bytes) == errc::full);
    CHECK(native_of(short_of_bytes) == 2);
    CHECK(native_of(lane.reserve(1985)) == 2);
    CHECK(lane.room() == 1);
  }
  REQUIRE(lane.submit(bytes_of(medium.data(), 1984)));  // to the last line
  for (int i = 0; i < 3; ++i) {
    auto const short_of_slots = lane.submit(bytes_of(small));
    CHECK(code_of(short_of_slots) == errc::full);
    CHECK(native_of(short_of_slots) == 1);
    CHECK(code_of(lane.reserve(0)) == errc::full);
  }
  CHECK(lane.in_flight() == 3);
  door.open = true;
  CHECK(lane.wait(0, soon())->reply == sum_of(bytes_of(small)));
  CHECK(lane.wait(1, soon())->reply == sum_of(bytes_of(medium)));
  CHECK(lane.wait(2, soon())->reply == sum_of(bytes_of(medium.data(), 1984)));
  auto const id = lane.submit(bytes_of(large));
  REQUIRE(id);
  CHECK(lane.wait(*id, soon())->reply == sum_of(bytes_of(large)));
}

TEST_CASE("descriptor: a cancelled reservation holds nothing back") {
  auto consumer = launch<shared_claims>({.capacity = 2, .arena_bytes = largest});
  auto lane = open(consumer);
  for (int i = 0; i < 5; ++i) {
    auto const room = lane.reserve(largest);
    REQUIRE(room);
    fill(*room, 1);
    CHECK(code_of(lane.reserve(1)) == errc::busy);
    CHECK(code_of(lane.submit(bytes_of())) == errc::busy);
    lane.cancel();
    CHECK(lane.room() == 2);
  }
  CHECK(code_of(lane.commit()) == errc::bad_argument);
  auto const sent = filled(largest, 7);
  auto const id = lane.submit(bytes_of(sent));
  REQUIRE(id);
  CHECK(lane.wait(*id, soon())->reply == answer<shared_claims>(sent, *id, 0));
}

TEST_CASE("descriptor: what a shrunk reservation leaves is free for others") {
  gate door;
  auto consumer = launch<gated_slabs>({.capacity = 4, .arena_bytes = 4096}, {&door});
  auto lane = open(consumer);
  CHECK(code_of(lane.shrink(0)) == errc::bad_argument);
  auto const room = lane.reserve(4096);
  REQUIRE(room);
  fill(*room, 5);
  CHECK(code_of(lane.shrink(4097)) == errc::bad_argument);
  REQUIRE(lane.shrink(100));
  CHECK(code_of(lane.shrink(101)) == errc::bad_argument);
  REQUIRE(lane.commit(1));
  auto const rest = filled(4096 - 128, 6);
  REQUIRE(lane.submit(bytes_of(rest)));
  CHECK(native_of(lane.submit(bytes_of(rest.data(), 1))) == 2);
  door.open = true;
  CHECK(lane.wait(0, soon())->reply == sum_of(bytes_of(filled(4096, 5)).first(100)));
  CHECK(lane.wait(1, soon())->reply == sum_of(bytes_of(rest)));
}

TEST_CASE("descriptor: results between reserve and commit leave the reservation where it is") {
  auto consumer = launch<shared_claims>({.capacity = 3, .arena_bytes = largest});
  auto lane = open(consumer);
  std::mt19937_64 random(3);
  std::optional<queue::message_id> last;
  for (uint64_t n = 0; n < 200; ++n) {
    std::size_t const size = size_for(random) / 3;
    auto const room = lane.reserve(size);
    REQUIRE(room);
    fill(*room, n);
    if (last) { REQUIRE(lane.wait(*last, soon())); }  // all bytes but these are free now
    auto const expected = sum_of(*room);
    last = lane.commit().value_or(0);
    auto const again = lane.reserve(largest / 8);
    REQUIRE(again);
    fill(*again, ~n);
    lane.cancel();
    REQUIRE(eventually([&]() noexcept { return lane.drain(soon()).has_value(); }));
    auto const got = lane.try_result(*last);
    REQUIRE(got);
    CHECK(got->reply == expected + *last + size);
    last.reset();
  }
}

TEST_CASE("descriptor: bytes of messages that finish early wait for those before them") {
  gate door;
  auto consumer = launch<gated_slabs>({.capacity = 16, .arena_bytes = 8192, .workers = 2}, {&door});
  auto lane = open(consumer);
  auto const part = filled(1024, 4);
  REQUIRE(lane.submit(bytes_of(part), 1));
  for (int i = 0; i < 7; ++i) { REQUIRE(lane.submit(bytes_of(part))); }
  for (queue::message_id id = 7; id >= 1; --id) {
    CHECK(lane.wait(id, soon())->reply == sum_of(bytes_of(part)));
  }
  CHECK(lane.in_flight() == 8);
  CHECK(native_of(lane.submit(bytes_of(part))) == 2);
  door.open = true;
  REQUIRE(lane.wait(0, soon()));
  CHECK(lane.in_flight() == 0);
  for (int i = 0; i < 8; ++i) { CHECK(lane.submit(bytes_of(part))); }
}

TEST_CASE("descriptor: a producer's end leaves its lane's bytes to the next one") {
  auto consumer = launch<pinned_claims>({.capacity = 5, .arena_bytes = largest});
  auto const sent = filled(largest, 8);
  for (int round = 0; round < 10; ++round) {
    auto lane = open(consumer);
    std::optional<result<queue::message_id>> id;
    REQUIRE(eventually([&]() noexcept {
      id = lane.submit(bytes_of(sent));
      return id->has_value();
    }));
    if (round % 2 == 1) {
      CHECK(lane.wait(**id, soon())->reply == answer<pinned_claims>(sent, **id, 0));
    }
    auto const open_reservation = lane.reserve(10);
    CHECK(open_reservation.has_value() == (round % 2 == 1));
  }
}

TEST_CASE("descriptor: a change of lengths never starves a lane") {
  auto consumer = launch<shared_claims>({.capacity = 2000, .arena_bytes = largest});
  auto lane = open(consumer);
  for (std::size_t const size : {std::size_t{1}, largest, std::size_t{256}, std::size_t{40'000},
                                 std::size_t{4096}, std::size_t{100}, largest}) {
    CAPTURE(size);
    auto const sent = filled(size, size);
    uint64_t const fit = largest / queue::byte_ring::span_of(size);
    for (int lap = 0; lap < 3; ++lap) {
      for (uint64_t i = 0; i < fit; ++i) { REQUIRE(lane.submit(bytes_of(sent))); }
      CHECK(native_of(lane.submit(bytes_of(sent))) == 2);
      REQUIRE(lane.drain(soon()));
      CHECK(lane.poll([](auto const&) noexcept {}) == fit);
    }
  }
}

TEST_CASE("descriptor: a batch goes in whole or not at all") {
  gate door;
  auto consumer = launch<gated_slabs>({.capacity = 6, .arena_bytes = 4096}, {&door});
  auto lane = open(consumer);
  std::array const parts{filled(10, 1), filled(1500, 2), filled(0, 3), filled(2000, 4)};
  std::array<bytes_of, 4> spans;
  for (std::size_t i = 0; i < 4; ++i) { spans[i] = parts[i]; }
  using batch = cuda::std::span<bytes_of const>;
  CHECK(code_of(lane.submit_batch(batch())) == errc::bad_argument);
  auto const first = lane.submit_batch(batch(spans.data(), 4), 1);
  REQUIRE(first);
  CHECK(native_of(lane.submit_batch(batch(spans.data(), 3))) == 1);
  CHECK(native_of(lane.submit_batch(batch(spans.data(), 2))) == 2);
  CHECK(lane.in_flight() == 4);
  auto const large = filled(4097, 1);
  bytes_of const too_large[] = {spans[0], bytes_of(large)};
  CHECK(code_of(lane.submit_batch(batch(too_large, 2))) == errc::payload_too_large);
  std::array<bytes_of, 7> many{};
  CHECK(code_of(lane.submit_batch(batch(many.data(), 7))) == errc::bad_argument);
  CHECK(lane.in_flight() == 4);
  door.open = true;
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(lane.wait(*first + i, soon())->reply == sum_of(spans[i]));
  }
  auto const built =
      lane.submit_batch(6, 640, [](std::uint32_t i, auto room) noexcept { fill(room, i); });
  REQUIRE(built);
  for (std::uint32_t i = 0; i < 6; ++i) {
    CHECK(lane.wait(*built + i, soon())->reply == sum_of(bytes_of(filled(640, i))));
  }
}

TEST_CASE("descriptor: what a stop leaves undone gives its bytes back unprocessed") {
  gate door;
  std::optional consumer(launch<gated_slabs>({.capacity = 40, .arena_bytes = 4096}, {&door}));
  auto lane = open(*consumer);
  auto const part = filled(100, 4);
  REQUIRE(lane.submit(bytes_of(part), 1));
  REQUIRE(eventually([&]() noexcept { return door.occupied(); }));
  for (int i = 1; i < 32; ++i) { REQUIRE(lane.submit(bytes_of(part))); }
  CHECK(code_of(consumer->stop(now())) == errc::deadline_passed);
  CHECK(code_of(lane.submit(bytes_of(part))) == errc::closed);
  door.open = true;
  auto const undone = consumer->stop(soon());
  REQUIRE(undone);
  uint64_t unprocessed = 0;
  for (queue::message_id id = 0; id < 32; ++id) {
    auto const got = lane.try_result(id);
    REQUIRE(got);
    unprocessed += got->status == queue::status::unprocessed ? 1 : 0;
  }
  CHECK(unprocessed == *undone);
  CHECK(lane.room() == 40);
}

TEST_CASE("descriptor: an arena that is too small, of no use, or beyond memory is refused") {
  auto const refusal = [](auto const& made) {
    REQUIRE(!made);
    return made.error();
  };
  auto const small =
      refusal(queue::launch<shared_claims>(core::backend::host(), {.arena_bytes = largest - 1}));
  CHECK(small.code == errc::bad_argument);
  CHECK(small.native == 4);
  CHECK(queue::launch<shared_claims>(core::backend::host(), {.arena_bytes = largest}));
  struct inline_policy : queue::default_consumer<uint64_t, twice_plus_one> {};
  auto const useless =
      refusal(queue::launch<inline_policy>(core::backend::host(), {.arena_bytes = 1 << 20}));
  CHECK(useless.code == errc::bad_argument);
  CHECK(useless.native == 4);
  CHECK(
      refusal(queue::launch<shared_claims>(core::backend::host(), {.arena_bytes = ~std::size_t{0}}))
          .code == errc::out_of_memory);
  CHECK(
      refusal(queue::launch<shared_claims>(
                  core::backend::host(), {.lanes = 1u << 20, .arena_bytes = std::size_t{1} << 61}))
          .code == errc::out_of_memory);
}
