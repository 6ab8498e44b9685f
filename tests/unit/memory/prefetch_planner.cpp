// SPDX-License-Identifier: Apache-2.0
// also compiled as CUDA
#include "tests/tier.hpp"
#include <millrace/memory/prefetch_planner.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <numeric>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

namespace memory = millrace::memory;
using memory::byte_range;
using memory::prefetch_planner;
using millrace::errc;

namespace prefetch_test {

constexpr std::uint64_t block = 1 << 16;
constexpr std::uint64_t blocks = 4096;
constexpr memory::prefetch_limits usual{block * blocks, 16 * block, 4 * block};

using trace = std::vector<byte_range>;

/// A memory that does as the plans say: which accesses found their bytes there.
struct near_memory {
  std::map<std::uint64_t, std::uint64_t> held;  // begin to end, apart from each other
  std::uint64_t bytes = 0;
  std::uint64_t most_bytes = 0;
  std::size_t found = 0;
  std::size_t waited = 0;

  [[nodiscard]] bool holds(byte_range r) const {
    auto after = held.upper_bound(r.offset);
    return after != held.begin() && std::prev(after)->second >= r.end();
  }
  void drop(byte_range r) {
    auto at = held.upper_bound(r.offset);
    if (at != held.begin()) { --at; }
    while (at != held.end() && at->first < r.end()) {
      auto const [begin, end] = *at;
      if (end <= r.offset) {
        ++at;
        continue;
      }
      at = held.erase(at);
      bytes -= end - begin;
      if (begin < r.offset) { put(begin, r.offset); }
      if (end > r.end()) { put(r.end(), end); }
    }
  }
  void bring(byte_range r) {
    drop(r);
    std::uint64_t begin = r.offset;
    std::uint64_t end = r.end();
    auto after = held.find(end);
    if (after != held.end()) {
      end = after->second;
      bytes -= end - after->first;
      held.erase(after);
    }
    auto before = held.lower_bound(begin);
    if (before != held.begin() && std::prev(before)->second == begin) {
      --before;
      bytes -= before->second - before->first;
      begin = before->first;
      held.erase(before);
    }
    put(begin, end);
    most_bytes = std::max(most_bytes, bytes);
  }

 private:
  void put(std::uint64_t begin, std::uint64_t end) {
    held[begin] = end;
    bytes += end - begin;
  }
};

/// Runs a trace, and holds what every plan must hold: inside the memory, within the limits, nothing
/// asked for that is near, nothing behind that was accessed just now or is asked for.
template <class Planner>
near_memory run(Planner& planner, trace const& accesses) {
  near_memory near;
  std::size_t broken = 0;
  for (byte_range const r : accesses) {
    near.holds(r) ? ++near.found : ++near.waited;
    near.bring(r);
    auto const plan = planner.access(r.offset, r.bytes);
    REQUIRE(plan);
    for (byte_range const b : plan->behind()) {
      if (b.bytes == 0 || b.overlaps(r)) { ++broken; }
      for (byte_range const a : plan->ahead()) { broken += a.overlaps(b) ? 1 : 0; }
      near.drop(b);
    }
    for (byte_range const a : plan->ahead()) {
      if (a.bytes == 0 || a.end() > planner.limits().extent_bytes) { ++broken; }
      near.bring(a);
    }
    if (planner.outstanding_bytes() > planner.limits().ahead_bytes) { ++broken; }
  }
  CHECK(broken == 0);
  auto const& c = planner.counts();
  CHECK(c.accesses == c.hits + c.kept + c.misses);
  CHECK(c.wasted <= c.asked);
  return near;
}

prefetch_planner<> usual_planner(memory::prefetch_limits limits = usual) {
  auto made = prefetch_planner<>::make(limits);
  REQUIRE(made);
  return *made;
}

trace strided(std::uint64_t first, std::int64_t step, std::size_t count,
              std::uint64_t bytes = block) {
  trace out;
  auto at = static_cast<std::int64_t>(first);
  for (std::size_t i = 0; i < count; ++i, at += step) {
    out.push_back({static_cast<std::uint64_t>(at), bytes});
  }
  return out;
}

trace random_blocks(std::size_t count, std::uint64_t of, std::uint32_t seed) {
  std::mt19937_64 rng(seed);
  trace out;
  for (std::size_t i = 0; i < count; ++i) { out.push_back({rng() % of * block, block}); }
  return out;
}

trace permuted(std::size_t count, std::size_t epochs, std::uint32_t seed) {
  std::vector<std::uint64_t> order(count);
  std::iota(order.begin(), order.end(), std::uint64_t{0});
  std::mt19937_64 rng(seed);
  std::shuffle(order.begin(), order.end(), rng);
  trace out;
  for (std::size_t e = 0; e < epochs; ++e) {
    for (std::uint64_t const b : order) { out.push_back({b * block, block}); }
  }
  return out;
}

trace joined(std::initializer_list<trace> parts) {
  trace out;
  for (trace const& part : parts) { out.insert(out.end(), part.begin(), part.end()); }
  return out;
}

struct resting : memory::default_prefetch {
  static constexpr std::uint32_t rest = 4;
  static constexpr std::uint32_t most_rest = 64;
};

struct short_rests : resting {
  static constexpr std::uint32_t most_rest = 4;
};

struct tiny : memory::default_prefetch {
  static constexpr std::uint32_t contexts = 16;
  static constexpr std::uint32_t ahead = 3;
  static constexpr std::uint32_t trail = 2;
  static constexpr std::uint32_t behind = 1;
  static constexpr std::uint32_t rest = 1;
  static constexpr std::uint32_t most_rest = 3;
};

}  // namespace prefetch_test

using namespace prefetch_test;

static_assert(std::is_trivially_copyable_v<prefetch_planner<>>);

TEST_CASE("prefetch planner: sequential reading is ahead of itself from the fifth access on") {
  auto planner = usual_planner();
  auto const near = run(planner, strided(0, block, 1000));
  CHECK(near.waited == 4);
  CHECK(near.found == 996);
  CHECK(planner.counts().wasted == 0);
  CHECK(planner.counts().turned_off == 0);
  CHECK(near.most_bytes <= usual.ahead_bytes + usual.keep_bytes + block);
}

TEST_CASE("prefetch planner: sequential reading stays foretold while the sizes change") {
  auto planner = usual_planner();
  std::mt19937_64 rng(7);
  trace accesses;
  std::uint64_t at = 0;
  for (int i = 0; i < 500; ++i) {
    std::uint64_t const bytes = 3 * block / 4 + rng() % (block / 4);
    accesses.push_back({at, bytes});
    at += bytes;
  }
  auto const before = accesses.size();
  run(planner, accesses);
  CHECK(planner.counts().hits > before * 9 / 10);
  CHECK(planner.on());
}

TEST_CASE("prefetch planner: constant strides and reversed reading are foretold") {
  for (std::int64_t const step :
       {std::int64_t{3 * block}, std::int64_t{block} + 512, -std::int64_t{block},
        -std::int64_t{2 * block}, std::int64_t{block} / 2}) {
    CAPTURE(step);
    auto planner = usual_planner();
    std::uint64_t const first = step > 0 ? 0 : block * (blocks - 1);
    auto const near = run(planner, strided(first, step, 1000));
    CHECK(near.waited <= 4);
    CHECK(planner.counts().turned_off == 0);
    CHECK(planner.counts().wasted <= 1);
  }
}

TEST_CASE("prefetch planner: two streams in turn are foretold") {
  auto planner = usual_planner();
  trace accesses;
  for (std::uint64_t i = 0; i < 500; ++i) {
    accesses.push_back({i * block, block});
    accesses.push_back({(2048 + i) * block, block});
  }
  auto const near = run(planner, accesses);
  CHECK(near.waited <= 6);
}

TEST_CASE("prefetch planner: an order that repeats is foretold from its second epoch on") {
  auto planner = usual_planner();
  run(planner, permuted(200, 1, 11));
  CHECK_FALSE(planner.on());  // nothing to go by in the first
  CHECK(planner.counts().asked == 0);
  auto const second = run(planner, permuted(200, 1, 11));
  CHECK(planner.on());
  CHECK(second.waited < 60);
  auto const later = run(planner, permuted(200, 3, 11));
  CHECK(later.waited <= 600 / 50);  // where a set of the table is too small
  CHECK(later.most_bytes <= usual.ahead_bytes + usual.keep_bytes + block);
}

TEST_CASE(
    "prefetch planner: of an order that just fits most is foretold, of one too long nothing") {
  auto planner = usual_planner();
  run(planner, permuted(400, 4, 13));
  CHECK(run(planner, permuted(400, 1, 13)).found >= 400 * 17 / 20);
  auto lost = usual_planner();
  run(lost, permuted(2000, 6, 14));
  CHECK_FALSE(lost.on());
  CHECK(lost.counts().asked < 2000);
}

TEST_CASE("prefetch planner: an order in which places return within an epoch is foretold") {
  auto planner = usual_planner();
  trace accesses;
  for (int epoch = 0; epoch < 100; ++epoch) {
    for (std::uint64_t const b : {5u, 900u, 5u, 17u, 2000u, 17u, 31u, 8u, 44u, 3000u, 1u, 77u}) {
      accesses.push_back({b * block, block});
    }
  }
  auto const near = run(planner, accesses);
  CHECK(near.waited < 60);
}

TEST_CASE("prefetch planner: a new order after many epochs is learnt") {
  auto planner = usual_planner();
  run(planner, permuted(200, 6, 3));
  REQUIRE(planner.on());
  run(planner, permuted(200, 3, 4));
  auto const later = run(planner, permuted(200, 3, 4));
  CHECK(planner.on());
  CHECK(later.waited <= 600 / 12);
}

TEST_CASE("prefetch planner: random accesses turn it off, and cost next to nothing") {
  auto planner = usual_planner();
  auto const accesses = random_blocks(20'000, blocks, 5);
  run(planner, accesses);
  CHECK_FALSE(planner.on());
  CHECK(planner.counts().turned_off >= 1);
  CHECK(planner.counts().asked < 100);
  // of few places too, whose pairs return
  auto few = usual_planner({usual.extent_bytes, usual.ahead_bytes, 0});
  run(few, random_blocks(20'000, 12, 6));
  CHECK_FALSE(few.on());
  CHECK(few.counts().asked < 1000);
}

TEST_CASE("prefetch planner: it turns off where order ends, and on again where order is") {
  auto planner = usual_planner();
  run(planner, strided(0, block, 500));
  REQUIRE(planner.on());
  run(planner, random_blocks(300, blocks, 9));
  CHECK_FALSE(planner.on());
  auto const near = run(planner, strided(1000 * block, 2 * block, 500));
  CHECK(planner.on());
  CHECK(near.waited < 100);
  CHECK(planner.counts().turned_off == 1);
}

TEST_CASE("prefetch planner: runs of order between jumps stay worth their price") {
  auto planner = usual_planner();
  std::mt19937_64 rng(21);
  trace accesses;
  for (int i = 0; i < 300; ++i) {
    auto const run_of = strided(rng() % (blocks - 64) * block, block, 48);
    accesses.insert(accesses.end(), run_of.begin(), run_of.end());
  }
  auto const near = run(planner, accesses);
  CHECK(near.found > accesses.size() * 3 / 4);
  CHECK(planner.counts().wasted < planner.counts().asked / 4);
}

TEST_CASE("prefetch planner: a rest is longer when the last attempt was soon given up") {
  // order for as long as it takes to turn on, then none: every attempt is a mistake
  auto const attempts = [](auto planner, std::size_t rounds) {
    std::mt19937_64 rng(31);
    for (std::size_t i = 0; i < rounds; ++i) {
      bool const tempt = !planner.on();
      std::uint64_t const at = tempt ? i % blocks : rng() % blocks;
      REQUIRE(planner.access(at * block, block));
    }
    return planner.counts().turned_off;
  };
  auto const doubled = attempts(*prefetch_planner<resting>::make(usual), 5000);
  auto const constant = attempts(*prefetch_planner<short_rests>::make(usual), 5000);
  CHECK(doubled > 2);
  CHECK(doubled < constant);
}

TEST_CASE("prefetch planner: the bytes ahead are bounded, also where ranges are large") {
  auto planner = usual_planner({block * blocks, 3 * block, block});
  auto const near = run(planner, strided(0, block, 500));
  CHECK(near.waited == 4);
  CHECK(near.most_bytes <= 3 * block + block + block);
  auto small = usual_planner({block * blocks, block - 1, block});
  run(small, strided(0, block, 500));
  CHECK(small.counts().asked == 0);  // no range fits
  CHECK_FALSE(small.on());
}

TEST_CASE("prefetch planner: what is kept is neither asked for nor behind") {
  auto planner = usual_planner({block * blocks, 16 * block, 64 * block});
  trace accesses;
  for (int epoch = 0; epoch < 50; ++epoch) {
    auto const around = strided(0, block, 32);
    accesses.insert(accesses.end(), around.begin(), around.end());
  }
  std::size_t behind = 0;
  for (byte_range const r : accesses) {
    behind += planner.access(r.offset, r.bytes)->behind().size();
  }
  CHECK(behind == planner.counts().wasted);  // beyond the turn, in the first epoch
  CHECK(planner.counts().kept >= 49 * 32);
  CHECK(planner.counts().asked <= 40);
}

TEST_CASE("prefetch planner: the first prediction asks for one range, right ones for more each") {
  auto planner = usual_planner();
  std::vector<std::uint64_t> out;
  for (byte_range const r : strided(0, block, 12)) {
    REQUIRE(planner.access(r.offset, r.bytes));
    out.push_back(planner.outstanding_bytes() / block);
  }
  CHECK(out == std::vector<std::uint64_t>{0, 0, 0, 1, 2, 4, 8, 8, 8, 8, 8, 8});
}

TEST_CASE("prefetch planner: an access counts as foretold when most of its bytes were asked for") {
  for (std::uint64_t const times : {2u, 3u}) {
    auto planner = usual_planner();
    run(planner, strided(0, block, 4));  // asks for the fifth block
    REQUIRE(planner.access(4 * block, times * block));
    CHECK(planner.counts().hits == (times == 2 ? 1 : 0));
  }
}

TEST_CASE("prefetch planner: what comes again soon is not behind, though more than is to be kept") {
  auto planner = usual_planner({block * blocks, 16 * block, 4 * block});
  trace accesses;
  for (int i = 0; i < 60; ++i) {
    for (std::uint64_t const b : {3u, 70u, 1u, 900u, 44u, 12u}) {
      accesses.push_back({b * block, block});
    }
  }
  run(planner, accesses);
  REQUIRE(planner.on());
  auto const asked = planner.counts().asked;
  auto const near = run(planner, accesses);
  CHECK(planner.counts().asked == asked);
  CHECK(planner.counts().kept >= accesses.size());
}

TEST_CASE("prefetch planner: what is behind is each range once, oldest first") {
  auto planner = usual_planner({block * blocks, 8 * block, 4 * block});
  std::vector<byte_range> behind;
  for (byte_range const r : strided(0, block, 200)) {
    auto const plan = *planner.access(r.offset, r.bytes);
    behind.insert(behind.end(), plan.behind().begin(), plan.behind().end());
  }
  REQUIRE(behind.size() == 196);
  for (std::size_t i = 0; i < behind.size(); ++i) {
    CHECK(behind[i] == byte_range{i * block, block});
  }
}

TEST_CASE("prefetch planner: a range at the end of the memory is cut to it") {
  memory::prefetch_limits const odd{10 * block + block / 2, 8 * block, block};
  auto planner = usual_planner(odd);
  auto accesses = strided(0, block, 10);
  run(planner, accesses);
  auto const last = planner.access(10 * block, block / 2);
  REQUIRE(last);
  CHECK(planner.counts().hits == 7);
  CHECK(last->ahead().empty());
}

TEST_CASE("prefetch planner: bad input is refused and changes nothing") {
  CHECK(prefetch_planner<>::make({0, 1, 1}).error().code == errc::bad_argument);
  CHECK(prefetch_planner<>::make({0, 1, 1}).error().native == 1);
  CHECK(prefetch_planner<>::make({std::uint64_t{1} << 63, 1, 1}).error().native == 1);
  CHECK(prefetch_planner<>::make({1, 0, 1}).error().native == 2);
  auto planner = usual_planner();
  run(planner, strided(0, block, 8));
  auto const before = planner.counts();
  auto const outstanding = planner.outstanding_bytes();
  auto const refused = [&](std::uint64_t offset, std::uint64_t bytes, int argument) {
    auto const got = planner.access(offset, bytes);
    REQUIRE_FALSE(got);
    CHECK(got.error().code == errc::bad_argument);
    CHECK(got.error().native == argument);
  };
  refused(usual.extent_bytes, 1, 1);
  refused(UINT64_MAX, 1, 1);
  refused(0, 0, 2);
  refused(0, UINT64_MAX, 2);
  refused(usual.extent_bytes - 1, 2, 2);
  CHECK(planner.counts().accesses == before.accesses);
  CHECK(planner.outstanding_bytes() == outstanding);
  run(planner, strided(8 * block, block, 8));
  CHECK(planner.counts().misses == 4);
}

TEST_CASE("prefetch planner: places as far apart as there are do not overflow") {
  constexpr std::uint64_t all = memory::max_request_bytes;
  auto planner = usual_planner({all, UINT64_MAX, UINT64_MAX});
  trace accesses;
  for (int i = 0; i < 20; ++i) {
    accesses.push_back({0, 1});
    accesses.push_back({all - 1, 1});
  }
  accesses.push_back({0, all});
  accesses.push_back({0, all});
  for (std::uint64_t i = 0; i < 20; ++i) {
    accesses.push_back({all / 2 * (i % 2), all / 2});
    accesses.push_back({all - 1 - i, 1 + i});
  }
  run(planner, accesses);
  CHECK(planner.counts().kept > 0);
}

TEST_CASE("prefetch planner: equal traces give equal plans") {
  auto const accesses =
      joined({strided(0, block, 50), random_blocks(100, blocks, 2), permuted(60, 4, 8),
              strided(block * 4000, -3 * std::int64_t{block}, 90)});
  auto a = usual_planner();
  auto b = usual_planner();
  for (byte_range const r : accesses) {
    auto const from_a = *a.access(r.offset, r.bytes);
    auto const from_b = *b.access(r.offset, r.bytes);
    CHECK(std::equal(from_a.ahead().begin(), from_a.ahead().end(), from_b.ahead().begin(),
                     from_b.ahead().end()));
    CHECK(std::equal(from_a.behind().begin(), from_a.behind().end(), from_b.behind().begin(),
                     from_b.behind().end()));
  }
}

TEST_CASE("prefetch planner: programs of mixed orders and sizes keep every bound") {
  std::uint32_t const programs = millrace_test::long_tier() ? 5000 : 100;
  for (std::uint32_t seed = 1; seed <= programs; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 rng(seed);
    memory::prefetch_limits const limits{1 + rng() % (1u << 20), 1 + rng() % (1u << 16),
                                         rng() % (1u << 16)};
    trace accesses;
    while (accesses.size() < 400) {
      std::uint64_t const bytes = 1 + rng() % std::min<std::uint64_t>(limits.extent_bytes, 9000);
      std::uint64_t at = rng() % limits.extent_bytes;
      std::uint64_t const step = rng() % 20000;
      for (std::uint64_t i = rng() % 30; i > 0; --i) {
        accesses.push_back({at, std::min(bytes, limits.extent_bytes - at)});
        at = (at + step) % limits.extent_bytes;
      }
    }
    auto usual_one = *prefetch_planner<>::make(limits);
    run(usual_one, accesses);
    auto tiny_one = *prefetch_planner<tiny>::make(limits);
    run(tiny_one, accesses);
  }
}
