// SPDX-License-Identifier: Apache-2.0
#include <millrace/queue/arena.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <deque>
#include <random>

namespace {

namespace queue = millrace::queue;
using queue::byte_ring;
using std::uint64_t;

struct piece {
  uint64_t at, size;
  [[nodiscard]] uint64_t end() const { return at + byte_ring::span_of(size); }
};

/// What a ring must answer, from a list of all that is in use.
class model {
 public:
  explicit model(uint64_t bytes) : bytes_(bytes) {}

  [[nodiscard]] uint64_t place(uint64_t size) const {
    uint64_t const span = byte_ring::span_of(size);
    if (used.empty()) { return span <= bytes_ ? 0 : byte_ring::nowhere; }
    uint64_t const head = used.back().end(), tail = used.front().at;
    bool const wrapped = used.back().at < tail;
    if (wrapped) { return head + span <= tail ? head : byte_ring::nowhere; }
    if (head + span <= bytes_) { return head; }
    return span <= tail ? 0 : byte_ring::nowhere;
  }
  [[nodiscard]] bool apart() const {
    for (std::size_t i = 0; i < used.size(); ++i) {
      if (used[i].at % byte_ring::line != 0 || used[i].end() > bytes_) { return false; }
      for (std::size_t k = 0; k < i; ++k) {
        if (used[i].at < used[k].end() && used[k].at < used[i].end()) { return false; }
      }
    }
    return true;
  }

  std::deque<piece> used;

 private:
  uint64_t bytes_;
};

}  // namespace

TEST_CASE("arena: what is in use lies apart, aligned, and room is found wherever there is some") {
  std::mt19937_64 random(7);
  for (uint64_t const bytes : {64ull, 128ull, 192ull, 1'024ull, 10'048ull}) {
    byte_ring ring(bytes);
    model expected(bytes);
    bool right = true;
    for (int step = 0; step < 20'000; ++step) {
      if (random() % 5 < 3) {
        // the model begins at 0 whenever nothing is in use, as the ring does
        uint64_t const size = random() % 4 == 0 ? random() % (bytes + 70) : random() % 200;
        uint64_t const at = ring.place(size);
        right = right && at == expected.place(size);
        if (at == byte_ring::nowhere || random() % 8 == 0) { continue; }  // a reservation given up
        uint64_t const kept = random() % 4 == 0 ? size / 2 : size;
        right = right && ring.take_placed(kept) == at;
        expected.used.push_back({at, kept});
      } else if (!expected.used.empty()) {
        // several at once: the last one's end tells all
        auto const n = static_cast<std::size_t>(1 + random() % expected.used.size());
        piece const last = expected.used[n - 1];
        expected.used.erase(expected.used.begin(), expected.used.begin() + static_cast<long>(n));
        ring.release(last.at, last.size);
        right = right && (ring.used() == 0) == expected.used.empty();
      }
      right = right && expected.apart();
    }
    CAPTURE(bytes);
    CHECK(right);
  }
}

TEST_CASE("arena: messages of its whole size follow each other") {
  byte_ring ring(640);
  for (int i = 0; i < 5; ++i) {
    REQUIRE(ring.place(640) == 0);
    CHECK(ring.take_placed(640) == 0);
    CHECK(ring.used() == 640);
    CHECK(ring.place(0) == byte_ring::nowhere);
    ring.release(0, 640);
    CHECK(ring.used() == 0);
  }
  CHECK(ring.place(641) == byte_ring::nowhere);
}

TEST_CASE("arena: a place found before others are given back stays the place") {
  byte_ring ring(640);
  REQUIRE(ring.place(320) == 0);
  ring.take_placed(320);
  REQUIRE(ring.place(192) == 320);
  ring.take_placed(192);
  ring.release(0, 320);
  REQUIRE(ring.place(256) == 0);  // 128 are left at the end
  ring.release(320, 192);         // all is free now
  CHECK(ring.take_placed(64) == 0);
  CHECK(ring.used() == 64);
  ring.release(0, 64);
  CHECK(ring.used() == 0);
  CHECK(ring.place(640) == 0);
}

TEST_CASE("arena: with the default size a free slot always has room for its bytes") {
  std::mt19937_64 random(11);
  for (std::uint32_t const capacity : {1u, 2u, 3u, 7u}) {
    for (std::size_t const largest : {1u, 64u, 65u, 4'096u, 5'000u}) {
      CAPTURE(capacity);
      CAPTURE(largest);
      byte_ring ring(queue::default_arena_bytes(capacity, largest));
      std::deque<piece> used;
      bool fits = true;
      for (int step = 0; step < 20'000; ++step) {
        if (used.size() == capacity || (random() % 3 == 0 && !used.empty())) {
          ring.release(used.front().at, used.front().size);
          used.pop_front();
        } else {
          uint64_t const size = random() % 3 == 0 ? largest : random() % (largest + 1);
          fits = fits && ring.place(size) != byte_ring::nowhere;
          if (!fits) { break; }
          used.push_back({ring.take_placed(size), size});
        }
      }
      CHECK(fits);
    }
  }
}

TEST_CASE("arena: the default is bounded, and holds four of the largest messages at least") {
  static_assert(queue::default_arena_bytes(1024, 4096) == 1025 * 4096);
  static_assert(queue::default_arena_bytes(1, 1) == 128);
  static_assert(queue::default_arena_bytes(1024, 65'536) == std::size_t{16} << 20);
  static_assert(queue::default_arena_bytes(1024, std::size_t{8} << 20) == std::size_t{32} << 20);
  static_assert(queue::default_arena_bytes(0x7fff'ffff, queue::max_slab_bytes) ==
                4 * queue::max_slab_bytes);
  static_assert(queue::default_arena_bytes(2, queue::max_slab_bytes) == 3 * queue::max_slab_bytes);
  CHECK(true);
}
