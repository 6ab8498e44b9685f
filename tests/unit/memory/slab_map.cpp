// SPDX-License-Identifier: Apache-2.0
// also compiled as CUDA
#include <millrace/core/rng.hpp>
#include <millrace/memory/slab_map.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <vector>

namespace core = millrace::core;
namespace memory = millrace::memory;
using millrace::errc;
using map = memory::slab_map<core::direct_access<cuda::thread_scope_system>>;

namespace {

struct owned {
  explicit owned(std::uint32_t count) : words(map::words_for(count)) {
    ref = map(words.data(), &hint, count);
    ref.format();
  }
  std::vector<std::uint64_t> words;
  std::uint32_t hint = 7;
  map ref;
};

}  // namespace

TEST_CASE("slab map: every slab is claimed once, lowest first, and then it is full") {
  for (std::uint32_t const count : {1u, 63u, 64u, 65u, 200u}) {
    owned o(count);
    for (std::uint32_t i = 0; i < count; ++i) { REQUIRE(o.ref.claim(1).value_or(~0u) == i); }
    CHECK(o.ref.live() == count);
    auto const none = o.ref.claim(1);
    REQUIRE(!none);
    CHECK(none.error().code == errc::full);
    o.ref.release(count / 2, 1);
    CHECK(o.ref.claim(1).value_or(~0u) == count / 2);
  }
}

TEST_CASE("slab map: runs lie together, also across words, and fill holes") {
  owned o(256);
  CHECK(o.ref.claim(60).value_or(~0u) == 0);
  CHECK(o.ref.claim(10).value_or(~0u) == 60);
  CHECK(o.ref.claim(4).value_or(~0u) == 70);
  CHECK(o.ref.claim(100).value_or(~0u) == 74);
  CHECK(o.ref.live() == 174);
  o.ref.release(74, 100);
  CHECK(o.ref.claim(182).value_or(~0u) == 74);
  CHECK(!o.ref.claim(1));
  o.ref.release(74, 182);
  o.ref.release(0, 60);
  CHECK(o.ref.claim(60).value_or(~0u) == 0);
}

TEST_CASE("slab map: what cannot be is refused and changes nothing") {
  owned o(100);
  auto const nothing = o.ref.claim(0);
  REQUIRE(!nothing);
  CHECK(nothing.error() == core::fail(errc::bad_argument, 1).error());
  CHECK(!o.ref.claim(101));
  CHECK(!o.ref.claim(~0u));
  CHECK(o.ref.live() == 0);
  CHECK(o.ref.claim_at(99));
  CHECK(!o.ref.claim_at(99));
  CHECK(!o.ref.claim(100));  // gives back what it had of the first word
  CHECK(o.ref.live() == 1);
}

TEST_CASE("slab map: random runs never overlap") {
  std::uint32_t const count = 1'000;
  owned o(count);
  core::xoshiro_rng random(5);
  std::vector<bool> taken(count);
  struct run {
    std::uint32_t first, n;
  };
  std::vector<run> live;
  for (int step = 0; step < 20'000; ++step) {
    if (random.next() % 2 == 0) {
      auto const n =
          static_cast<std::uint32_t>(1 + random.next() % (random.next() % 8 == 0 ? 150 : 9));
      if (auto const at = o.ref.claim(n)) {
        REQUIRE(*at + n <= count);
        for (std::uint32_t i = 0; i < n; ++i) {
          REQUIRE(!taken[*at + i]);
          taken[*at + i] = true;
        }
        live.push_back({*at, n});
      }
    } else if (!live.empty()) {
      std::swap(live[random.next() % live.size()], live.back());
      o.ref.release(live.back().first, live.back().n);
      for (std::uint32_t i = 0; i < live.back().n; ++i) { taken[live.back().first + i] = false; }
      live.pop_back();
    }
  }
  for (run const& r : live) { o.ref.release(r.first, r.n); }
  CHECK(o.ref.live() == 0);
}
