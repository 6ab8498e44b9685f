// SPDX-License-Identifier: Apache-2.0
#include "../../tier.hpp"
#include <millrace/core/rng.hpp>
#include <millrace/memory/buffer.hpp>
#include <millrace/memory/heap.hpp>
#include <millrace/memory/pmr.hpp>
#include <millrace/memory/pool.hpp>

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace core = millrace::core;
namespace memory = millrace::memory;
using memory::heap;
using millrace::errc;
using std::uint64_t;

namespace {

constexpr std::size_t mib = std::size_t{1} << 20;

[[nodiscard]] heap<> small_heap(std::size_t budget = 0, std::uint32_t caches = 16) {
  return core::value_or_throw(
      heap<>::make({.reserve_bytes = 64 * mib, .budget_bytes = budget, .caches = caches}));
}
template <class R>
[[nodiscard]] bool refused(R const& got, errc code, int argument = 0) {
  return !got && got.error().code == code && got.error().native == argument;
}

/// A block that knows what it should hold.
struct block {
  std::byte* at = nullptr;
  std::size_t bytes = 0, alignment = 0;
  std::uint8_t mark = 0;

  void fill() const { std::memset(at, mark, bytes); }
  [[nodiscard]] bool intact() const {
    for (std::size_t i = 0; i < bytes; ++i) {
      if (at[i] != std::byte{mark}) { return false; }
    }
    return true;
  }
};

/// Blocks in use by address: none may overlap another.
class ledger {
 public:
  [[nodiscard]] bool add(block const& b) {
    auto const begin = reinterpret_cast<std::uintptr_t>(b.at);
    auto const next = used_.lower_bound(begin);
    bool const free_behind = next == used_.end() || begin + b.bytes <= next->first;
    bool const free_before = next == used_.begin() || std::prev(next)->second <= begin;
    used_[begin] = begin + b.bytes;
    return free_behind && free_before;
  }
  void remove(block const& b) { used_.erase(reinterpret_cast<std::uintptr_t>(b.at)); }

 private:
  std::map<std::uintptr_t, std::uintptr_t> used_;
};

/// Mostly small, sometimes large, rarely huge; every alignment.
[[nodiscard]] block wish(core::xoshiro_rng& random) {
  block b;
  uint64_t const kind = random.next() % 1000;
  b.bytes = 1 + random.next() % (kind < 900 ? 512 : kind < 990 ? 40'000 : 300'000);
  b.alignment = std::size_t{1} << (random.next() % 4 != 0 ? random.next() % 5 : random.next() % 13);
  b.mark = static_cast<std::uint8_t>(random.next());
  return b;
}

}  // namespace

TEST_CASE("heap: every size at every alignment, twice the same after freeing") {
  heap<> const h = small_heap();
  for (std::size_t alignment = 1; alignment <= heap<>::max_alignment; alignment *= 2) {
    for (std::size_t bytes : {1, 7, 8, 16, 17, 48, 65, 128, 1000, 4096, 5000, 32'768, 32'769,
                              65'536, 65'537, 1'000'000}) {
      auto const p = h.try_allocate(bytes, alignment);
      REQUIRE(p);
      CHECK(reinterpret_cast<std::uintptr_t>(*p) % alignment == 0);
      CHECK(h.usable_bytes(*p) >= bytes);
      std::memset(*p, 0x5a, bytes);
      h.deallocate(*p, bytes, alignment);
      auto const again = h.try_allocate(bytes, alignment);
      REQUIRE(again);
      CHECK(*again == *p);
      CHECK(h.free(*again));
    }
  }
}

TEST_CASE("heap: bad input is refused by name") {
  heap<> const h = small_heap();
  CHECK(refused(h.try_allocate(0), errc::bad_argument, 1));
  CHECK(refused(h.try_allocate(8, 0), errc::bad_argument, 2));
  CHECK(refused(h.try_allocate(8, 3), errc::bad_argument, 2));
  CHECK(refused(h.try_allocate(8, 8192), errc::bad_argument, 2));
  CHECK(refused(h.try_allocate(~std::size_t{0}), errc::out_of_memory));
  CHECK(refused(h.try_allocate(memory::max_request_bytes), errc::out_of_memory));
  CHECK(refused(h.try_allocate(65 * mib), errc::out_of_memory));
  CHECK(h.free(nullptr));
  int elsewhere = 0;
  CHECK(refused(h.free(&elsewhere), errc::bad_argument, 1));
  CHECK(h.usable_bytes(&elsewhere) == 0);
  auto const large = core::value_or_throw(h.try_allocate(200'000));
  CHECK(refused(h.free(static_cast<std::byte*>(large) + 65'536), errc::bad_argument, 1));
  CHECK(refused(h.free(static_cast<std::byte*>(large) + 16), errc::bad_argument, 1));
  CHECK(h.free(large));
  CHECK(refused(h.free(large), errc::bad_argument, 1));
  CHECK(h.stats().taken_bytes == 0);

  CHECK(refused(heap<>::make({.reserve_bytes = 100}), errc::bad_argument, 1));
  CHECK(refused(heap<>::make({.reserve_bytes = ~std::size_t{0}}), errc::bad_argument, 1));
  CHECK(refused(heap<>::make({.reserve_bytes = mib, .caches = 0}), errc::bad_argument, 3));
}

TEST_CASE("heap: random programs of one thread keep every block intact and apart") {
  int const steps = millrace_test::long_tier() ? 1'000'000 : 60'000;
  for (std::uint64_t const seed : {1u, 2u}) {
    heap<> const h = small_heap();
    core::xoshiro_rng random(seed);
    ledger used;
    std::vector<block> live;
    for (int step = 0; step < steps; ++step) {
      bool const grow = live.size() < 20 || (random.next() % 2 == 0 && live.size() < 400);
      if (grow) {
        block b = wish(random);
        auto const p = h.try_allocate(b.bytes, b.alignment);
        REQUIRE(p);
        b.at = static_cast<std::byte*>(*p);
        REQUIRE(reinterpret_cast<std::uintptr_t>(*p) % b.alignment == 0);
        REQUIRE(used.add(b));
        b.fill();
        live.push_back(b);
      } else {
        std::swap(live[random.next() % live.size()], live.back());
        block const& b = live.back();
        REQUIRE(b.intact());
        used.remove(b);
        if (random.next() % 2 == 0) {
          h.deallocate(b.at, b.bytes, b.alignment);
        } else {
          REQUIRE(h.free(b.at));
        }
        live.pop_back();
      }
    }
    for (block const& b : live) { h.deallocate(b.at, b.bytes, b.alignment); }
  }
}

TEST_CASE("heap: random programs of several threads, which free each other's blocks") {
  int const steps = millrace_test::long_tier() ? 1'000'000 : 30'000;
  for (unsigned const threads : {2u, 4u, 8u}) {
    heap<> const h = small_heap();
    struct shelf {
      std::mutex door;
      std::vector<block> blocks;
    };
    std::vector<shelf> shelves(threads);
    std::atomic<bool> right{true};
    std::vector<std::thread> all;
    for (unsigned t = 0; t < threads; ++t) {
      all.emplace_back([&, t] {
        core::xoshiro_rng random(100 + t);
        for (int step = 0; step < steps / static_cast<int>(threads); ++step) {
          shelf& at = shelves[random.next() % threads];
          std::scoped_lock const lock(at.door);
          if (at.blocks.size() < 50 || random.next() % 2 == 0) {
            block b = wish(random);
            auto const p = h.try_allocate(b.bytes, b.alignment);
            if (!p) { continue; }
            b.at = static_cast<std::byte*>(*p);
            b.fill();
            at.blocks.push_back(b);
          } else {
            std::swap(at.blocks[random.next() % at.blocks.size()], at.blocks.back());
            block const b = at.blocks.back();
            at.blocks.pop_back();
            if (!b.intact()) { right = false; }
            h.deallocate(b.at, b.bytes, b.alignment);
          }
        }
      });
    }
    for (auto& thread : all) { thread.join(); }
    CHECK(right);
    ledger used;
    for (shelf& each : shelves) {
      for (block const& b : each.blocks) {
        REQUIRE(used.add(b));
        CHECK(b.intact());
        h.deallocate(b.at, b.bytes, b.alignment);
      }
    }
    std::thread([&] { h.trim(); }).join();
    CHECK(h.stats().abandoned + h.stats().caches <= threads + 1);
  }
}

TEST_CASE("heap: a budget is held, its end is an error, and what was freed can be had again") {
  heap<> const h = small_heap(mib);
  std::vector<void*> blocks;
  for (;;) {
    auto const p = h.try_allocate(4096);
    if (!p) {
      CHECK(p.error().code == errc::out_of_memory);
      break;
    }
    blocks.push_back(*p);
  }
  CHECK(blocks.size() == mib / 4096);
  CHECK(h.stats().taken_bytes == mib);
  CHECK(h.stats().refused > 0);
  CHECK(refused(h.try_allocate(100'000), errc::out_of_memory));
  for (void* const p : blocks) { h.deallocate(p, 4096); }
  CHECK(h.stats().taken_bytes < mib);
  auto const other = h.try_allocate(300'000);  // of another size
  CHECK(other);
  CHECK(h.stats().peak_bytes == mib);
}

TEST_CASE("heap: a heap below one slab has no block, and says so") {
  heap<> const h = small_heap(1000);
  CHECK(refused(h.try_allocate(16), errc::out_of_memory));
  CHECK(refused(h.try_allocate(16), errc::out_of_memory));
}

TEST_CASE("heap: blocks that another thread frees are given again by their owner") {
  heap<> const h = small_heap(2 * mib);
  for (int round = 0; round < 20; ++round) {
    std::vector<void*> blocks;
    for (int i = 0; i < 10'000; ++i) { blocks.push_back(core::value_or_throw(h.try_allocate(64))); }
    std::thread([&] {
      for (void* const p : blocks) { h.deallocate(p, 64); }
    }).join();
  }
  CHECK(h.stats().peak_bytes <= 2 * mib);
  CHECK(h.stats().caches + h.stats().abandoned == 2);
}

TEST_CASE("heap: caches of threads that left are taken up, and give their slabs back") {
  heap<> const h = small_heap(0, 3);
  for (int round = 0; round < 10; ++round) {
    std::vector<void*> blocks(1000);
    std::thread([&] {
      for (void*& p : blocks) { p = core::value_or_throw(h.try_allocate(256)); }
    }).join();
    CHECK(h.stats().taken_bytes > 0);
    for (void* const p : blocks) { h.deallocate(p, 256); }
  }
  CHECK(h.stats().abandoned == 1);
  CHECK(h.stats().taken_bytes > 0);
  auto a = h.open();
  auto b = h.open();
  REQUIRE(a);
  CHECK(refused(h.open(), errc::busy));
  CHECK(b.has_value() == true);
}

TEST_CASE("heap: a thread without a cache is told, and may still free what it has") {
  heap<> const h = small_heap(0, 1);
  auto mine = h.open();
  REQUIRE(mine);
  CHECK(refused(h.try_allocate(64), errc::busy));
  CHECK(h.free(nullptr));
  std::vector<void*> blocks;
  for (int i = 0; i < 100; ++i) {
    blocks.push_back(core::value_or_throw(mine->try_allocate(64)));
    blocks.push_back(core::value_or_throw(mine->try_allocate(100'000)));
  }
  for (std::size_t i = 0; i < blocks.size(); i += 2) {
    h.deallocate(blocks[i], 64);
    CHECK(h.free(blocks[i + 1]));
  }
  { auto const gone = std::move(*mine); }
  h.trim();
  CHECK(h.stats().taken_bytes == 0);
}

TEST_CASE("heap: what a thread keeps ready gives way to what it needs") {
  heap<> const h = small_heap(mib);
  for (std::size_t bytes = 16; bytes <= 32'768; bytes += bytes / 4 + 1) {  // a slab a class
    auto const p = h.try_allocate(bytes);
    REQUIRE(p);
    h.deallocate(*p, bytes);
  }
  std::vector<void*> blocks;
  for (int i = 0; i < 10'000; ++i) { blocks.push_back(core::value_or_throw(h.try_allocate(64))); }
  std::thread([&] {
    for (void* const p : blocks) { h.deallocate(p, 64); }
  }).join();
  auto const all = h.try_allocate(mib);
  REQUIRE(all);
  CHECK(h.free(*all));
}

TEST_CASE("heap: handles are of one heap, which ends with the last of them") {
  heap<> const h = small_heap();
  heap<> const same = h;
  CHECK(h == same);
  CHECK(!(h == small_heap()));
  auto const p = h.try_allocate(64);
  REQUIRE(p);
  same.deallocate(*p, 64);
  for (int i = 0; i < 50; ++i) {  // a thread that sees many heaps come and go
    heap<> const brief = small_heap();
    CHECK(brief.try_allocate(100));
  }
}

TEST_CASE("heap: trim gives memory back, and what comes after is as it was") {
  heap<> const h = small_heap();
  std::vector<void*> blocks;
  for (int i = 0; i < 200; ++i) { blocks.push_back(core::value_or_throw(h.try_allocate(30'000))); }
  for (void* const p : blocks) { h.deallocate(p, 30'000); }
  CHECK(h.trim() >= 90 * 65'536);
  CHECK(h.trim() == 0);
  std::vector<void*> again;
  for (int i = 0; i < 200; ++i) {
    again.push_back(core::value_or_throw(h.try_allocate(30'000)));
    std::memset(again.back(), 1, 30'000);
  }
  CHECK(h.stats().range_bytes <= 101 * 65'536);
  for (void* const p : again) { h.deallocate(p, 30'000); }
}

TEST_CASE("heap: a buffer takes its memory from one") {
  heap<> const h = small_heap();
  auto words = memory::buffer<uint64_t, heap<>>::make_zeroed(1000, h, 128);
  REQUIRE(words);
  CHECK((*words)[999] == 0);
  CHECK(h.stats().caches == 1);
}

TEST_CASE("pool: objects begin and end, and come again") {
  heap<> const h = small_heap();
  auto made = memory::pool<std::string>::make(h);
  REQUIRE(made);
  auto const a = made->create("a string that is too long to lie in its object");
  REQUIRE(a);
  CHECK((*a)->size() == 46);
  made->destroy(*a);
  auto const b = made->create("b");
  CHECK(*b == *a);
  made->destroy(*b);
  made->destroy(nullptr);

  struct alignas(128) wide {
    std::array<std::byte, 200> bytes;
  };
  auto others = memory::pool<wide>::make(h);
  REQUIRE(others);
  std::vector<wide*> all;
  for (int i = 0; i < 5'000; ++i) {
    all.push_back(core::value_or_throw(others->create()));
    REQUIRE(reinterpret_cast<std::uintptr_t>(all.back()) % 128 == 0);
  }
  for (wide* const w : all) { others->destroy(w); }
}

TEST_CASE("pool: a constructor that throws leaves the room to the next") {
  struct picky {
    explicit picky(int n) {
      if (n < 0) { throw std::string("negative"); }
    }
  };
  heap<> const h = small_heap();
  auto made = memory::pool<picky>::make(h);
  REQUIRE(made);
  auto const first = made->create(1);
  CHECK_THROWS_AS(static_cast<void>(made->create(-1)), std::string);
  auto const second = made->create(2);
  CHECK(*first != *second);
}

TEST_CASE("pmr: containers work, and get bad_alloc where the heap has no room") {
  heap<> const h = small_heap(mib);
  memory::pmr_resource<heap<>> resource(h);
  memory::pmr_resource<heap<>> same(h);
  memory::pmr_resource<memory::host_resource> other{memory::host_resource{}};
  CHECK(resource.is_equal(same));
  CHECK(!resource.is_equal(other));
  std::pmr::vector<std::pmr::string> words(&resource);
  for (int i = 0; i < 500; ++i) { words.emplace_back("a word that does not fit into a string"); }
  CHECK(words.back().size() == 38);
  CHECK_THROWS_AS(static_cast<void>(resource.allocate(2 * mib)), std::bad_alloc);
  CHECK_THROWS_AS(static_cast<void>(resource.allocate(16, 8192)), std::bad_alloc);
  resource.deallocate(resource.allocate(0), 0);
}

TEST_CASE("allocator: containers of every kind, moved and swapped with their heap") {
  heap<> const h = small_heap(), g = small_heap();
  using pair = std::pair<int const, int>;
  using table = std::map<int, int, std::less<>, memory::allocator<pair>>;
  table a(memory::allocator<pair>{h}), b(memory::allocator<pair>{g});
  for (int i = 0; i < 3'000; ++i) { a[i] = 2 * i; }
  b[1] = 5;
  std::swap(a, b);
  CHECK(b.size() == 3'000);
  CHECK(b.get_allocator() == memory::allocator<int>(h));
  a = std::move(b);
  CHECK(a.at(2'999) == 5'998);
  std::deque<int, memory::allocator<int>> from({1, 2, 3}, memory::allocator<int>(h));
  auto const to = std::move(from);
  from.assign(100, 7);  // who was moved from has its allocator
  CHECK(to.size() == 3);
  CHECK(from.size() == 100);
  std::vector<int, memory::allocator<int>> v{memory::allocator<int>(h)};
  CHECK_THROWS_AS(v.reserve(100 * mib), std::bad_alloc);
}
