// SPDX-License-Identifier: Apache-2.0
// Random programs on a heap against a map of what is in use, through every way in, with and without
// faults.
#include "../../tier.hpp"
#include <millrace/core/rng.hpp>
#include <millrace/memory/budget.hpp>
#include <millrace/memory/failing_resource.hpp>
#include <millrace/memory/heap.hpp>
#include <millrace/memory/pmr.hpp>
#include <millrace/memory/pool.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
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
constexpr std::size_t slab = memory::default_heap::slab_bytes;

/// What pools make.
struct alignas(64) record {
  std::array<std::byte, 192> bytes;
};

/// Who gave a block, as far as it matters to who may take it.
enum class giver { heap, pool, budgeted };

/// A block that knows what it should hold.
struct block {
  std::byte* at = nullptr;
  std::size_t bytes = 0, alignment = 0;
  std::uint8_t mark = 0;
  giver from = giver::heap;

  /// Large ones at every line's begin and at the end: time goes into the heap, not into memory.
  template <class At>
  void each(At what) const {
    std::size_t const stride = bytes <= 512 ? 1 : 64;
    for (std::size_t i = 0; i < bytes; i += stride) { what(at[i]); }
    what(at[bytes - 1]);
  }
  void fill() const {
    each([this](std::byte& b) { b = std::byte{mark}; });
  }
  [[nodiscard]] bool intact() const {
    bool right = true;
    each([&](std::byte const& b) { right = right && b == std::byte{mark}; });
    return right;
  }
};

/// Blocks in use by address: none may overlap another. Its lock orders threads that the heap might
/// not, so some programs go without, where a sanitizer then sees the heap's own order.
class reference {
 public:
  explicit reference(bool on) : on_(on) {}

  [[nodiscard]] bool add(block const& b) {
    if (!on_) { return true; }
    std::scoped_lock const lock(door_);
    auto const begin = reinterpret_cast<std::uintptr_t>(b.at);
    auto const next = used_.lower_bound(begin);
    bool const free_behind = next == used_.end() || begin + b.bytes <= next->first;
    bool const free_before = next == used_.begin() || std::prev(next)->second <= begin;
    used_[begin] = begin + b.bytes;
    return free_behind && free_before;
  }
  [[nodiscard]] bool remove(block const& b) {
    if (!on_) { return true; }
    std::scoped_lock const lock(door_);
    return used_.erase(reinterpret_cast<std::uintptr_t>(b.at)) == 1;
  }
  [[nodiscard]] bool empty() const { return used_.empty(); }

 private:
  bool on_;
  std::mutex door_;
  std::map<std::uintptr_t, std::uintptr_t> used_;
};

/// What goes wrong during a program.
enum class fault { none, small_heap, heap_shrinks, budget_shrinks, kth, from_kth, by_chance };
constexpr std::array every_fault{fault::none,           fault::small_heap, fault::heap_shrinks,
                                 fault::budget_shrinks, fault::kth,        fault::from_kth,
                                 fault::by_chance};

struct shape {
  unsigned threads = 1;
  uint64_t steps = 0;  ///< of all threads together
  fault what = fault::none;
  bool mapped = true;
  uint64_t seed = 1;
};

/// One program: threads that take, give, hand on and leave.
class program {
 public:
  using failing = memory::failing_resource<heap<>>;
  using budgeted = memory::budgeted_resource<failing>;

  explicit program(shape const& with)
      : with_(with),
        heap_(core::value_or_throw(heap<>::make({.reserve_bytes = 128 * mib, .caches = 64}))),
        pmr_(heap_),
        used_(with.mapped),
        shelves_(with.threads) {
    switch (with.what) {
      case fault::small_heap:
      case fault::heap_shrinks: heap_.set_budget_bytes(most_slabs * slab); break;
      case fault::kth: plan_.fail_at = 1 + with.steps / 20; break;
      case fault::from_kth: plan_.fail_from = 1 + with.steps / 20; break;
      case fault::by_chance: plan_.fail_one_in = 7; break;
      default: break;
    }
  }

  /// Does it in several rounds, each with threads of its own.
  void run() {
    constexpr unsigned rounds = 4;
    for (unsigned round = 0; round < rounds; ++round) {
      std::vector<std::thread> all;
      for (unsigned t = 0; t < with_.threads; ++t) {
        all.emplace_back(
            [this, t, round] { work(t, round, with_.steps / with_.threads / rounds); });
      }
      for (auto& thread : all) { thread.join(); }
    }
    for (auto& s : shelves_) {
      for (block const& b : s.blocks) { end(b); }
    }
    heap_.evict();
    heap_.trim();
  }

  void check() {
    CAPTURE(static_cast<int>(with_.what));
    CAPTURE(with_.threads);
    CHECK(wrong_.load() == nullptr);
    CHECK(used_.empty());
    CHECK(heap_.stats().taken_bytes == 0);
    CHECK(heap_.trim() == 0);
    CHECK(budget_.counts().live_bytes == 0);
    CHECK(plan_.live_bytes == 0);
    CHECK(budget_.level() == memory::pressure::none);
    CHECK(budget_.counts().refused == budget_errors_);  // each time an error
    bool const direct = with_.what == fault::small_heap || with_.what == fault::heap_shrinks;
    CHECK((heap_errors_ != 0) == direct);
    CHECK((budget_errors_ != 0) == (with_.what != fault::none));
    if (with_.what == fault::kth) { CHECK(budget_errors_ == 1); }
    if (with_.what == fault::from_kth) {
      CHECK(budget_errors_ == plan_.seen - plan_.fail_from + 1);
    }
    CHECK(gives_ > with_.steps / 20);  // it did go on
  }

 private:
  static constexpr std::size_t most_slabs = 40;
  struct shelf {
    std::mutex door;
    std::vector<block> blocks;
  };
  /// One thread's own.
  struct hands {
    core::xoshiro_rng random;
    std::vector<block> blocks;
    std::optional<memory::local_heap<memory::default_heap>> cache;
    std::optional<memory::pool<record>> pool;

    [[nodiscard]] uint64_t draw(uint64_t n) { return random.next() % n; }
  };

  void blame(char const* what) {
    char const* none = nullptr;
    wrong_.compare_exchange_strong(none, what);
  }

  void work(unsigned t, unsigned round, uint64_t steps) {
    hands mine{core::xoshiro_rng(with_.seed * 1000 + round * 100 + t), {}, {}, {}};
    for (uint64_t step = 0; step < steps; ++step) {
      uint64_t const what = mine.draw(1000);
      if (what < 440) {
        if (mine.blocks.size() < 300) { take(mine); }
      } else if (what < 840) {
        if (!mine.blocks.empty()) { give(mine, pick(mine)); }
      } else if (what < 930) {
        if (!mine.blocks.empty()) { put(mine.draw(with_.threads), pick(mine)); }
      } else if (what < 990) {
        if (auto const b = get(t)) { give(mine, *b); }
      } else {
        turn(mine);
      }
    }
    for (block const& b : mine.blocks) { put(t, b); }  // the thread ends: others go on with them
  }

  /// What happens seldom.
  void turn(hands& mine) {
    switch (mine.draw(6)) {
      case 0:
        if (mine.cache) {
          mine.cache.reset();
        } else if (auto opened = heap_.open()) {
          mine.cache.emplace(std::move(*opened));
        }
        break;
      case 1:
        if (mine.pool) {
          mine.pool.reset();
        } else if (auto made = memory::pool<record>::make(heap_)) {
          mine.pool.emplace(std::move(*made));
        }
        break;
      case 2:
        if (mine.draw(8) == 0) { heap_.trim(); }
        break;
      case 3:
        if (mine.draw(8) == 0) { heap_.evict(); }
        break;
      case 4:
        if (with_.what == fault::heap_shrinks) {
          heap_.set_budget_bytes((1 + mine.draw(most_slabs)) * slab);
        }
        break;
      default:
        if (with_.what == fault::budget_shrinks) {
          budget_.set_hard_bytes(mine.draw(4) == 0 ? memory::max_request_bytes
                                                   : mine.draw(200'000));
        }
    }
  }

  /// Mostly small, sometimes large; every alignment.
  [[nodiscard]] static block wish(hands& mine) {
    block b;
    uint64_t const kind = mine.draw(1000);
    b.bytes = 1 + mine.draw(kind < 900 ? 512 : kind < 985 ? 40'000 : 300'000);
    b.alignment = std::size_t{1} << (mine.draw(4) != 0 ? mine.draw(5) : mine.draw(13));
    b.mark = static_cast<std::uint8_t>(mine.draw(256));
    return b;
  }

  void take(hands& mine) {
    block b = wish(mine);
    switch (mine.draw(6)) {
      case 0: b.at = got(heap_.try_allocate(b.bytes, b.alignment)); break;
      case 1:
        b.at = mine.cache ? got(mine.cache->try_allocate(b.bytes, b.alignment))
                          : got(heap_.try_allocate(b.bytes, b.alignment));
        break;
      case 2:
        if (!mine.pool) { return; }
        b.bytes = sizeof(record);
        b.alignment = alignof(record);
        b.from = giver::pool;
        b.at = got(mine.pool->allocate());
        break;
      case 3: b.at = got(thrown([&] { return pmr_.allocate(b.bytes, b.alignment); })); break;
      case 4: {
        b.alignment = alignof(uint64_t);
        b.bytes = (b.bytes + 7) / 8 * 8;
        memory::allocator<uint64_t> words(heap_);
        b.at = got(thrown([&]() -> void* { return words.allocate(b.bytes / 8); }));
        break;
      }
      default: {
        b.from = giver::budgeted;
        auto const p = through_.try_allocate(b.bytes, b.alignment);
        if (!p) {
          if (p.error().code != errc::out_of_memory) { blame("another error than out_of_memory"); }
          ++budget_errors_;
          return;
        }
        b.at = static_cast<std::byte*>(*p);
      }
    }
    if (b.at == nullptr) { return; }
    if (reinterpret_cast<std::uintptr_t>(b.at) % b.alignment != 0) { blame("misaligned"); }
    if (heap_.usable_bytes(b.at) < b.bytes) { blame("too small"); }
    if (!used_.add(b)) { blame("overlaps another block"); }
    b.fill();
    mine.blocks.push_back(b);
  }

  /// Any block may be given back by any way that knows its size, or by `free`.
  void give(hands& mine, block const& b) {
    ++gives_;
    if (!b.intact()) { blame("another wrote into a block"); }
    if (!used_.remove(b)) { blame("a block that the map does not know"); }
    if (b.from == giver::budgeted) { return through_.deallocate(b.at, b.bytes, b.alignment); }
    if (b.from == giver::pool && mine.pool && mine.draw(4) != 0) {
      return mine.pool->deallocate(b.at);
    }
    switch (mine.draw(5)) {
      case 0:
        if (!heap_.free(b.at)) { blame("free refused a block"); }
        break;
      case 1:
        if (!(mine.cache ? mine.cache->free(b.at) : heap_.free(b.at))) {
          blame("free refused a block");
        }
        break;
      case 2:
        if (mine.cache) { return mine.cache->deallocate(b.at, b.bytes, b.alignment); }
        [[fallthrough]];
      case 3: pmr_.deallocate(b.at, b.bytes, b.alignment); break;
      default: heap_.deallocate(b.at, b.bytes, b.alignment);
    }
  }
  void end(block const& b) {
    hands last{core::xoshiro_rng(b.mark), {}, {}, {}};
    give(last, b);
  }

  [[nodiscard]] static block pick(hands& mine) {
    std::swap(mine.blocks[mine.draw(mine.blocks.size())], mine.blocks.back());
    block const b = mine.blocks.back();
    mine.blocks.pop_back();
    return b;
  }
  void put(uint64_t t, block const& b) {
    std::scoped_lock const lock(shelves_[t].door);
    shelves_[t].blocks.push_back(b);
  }
  [[nodiscard]] std::optional<block> get(uint64_t t) {
    std::scoped_lock const lock(shelves_[t].door);
    auto& blocks = shelves_[t].blocks;
    if (blocks.empty()) { return {}; }
    block const b = blocks.back();
    blocks.pop_back();
    return b;
  }

  [[nodiscard]] std::byte* got(void* p) {
    if (p == nullptr) { ++heap_errors_; }
    return static_cast<std::byte*>(p);
  }
  [[nodiscard]] std::byte* got(millrace::result<void*> const& p) {
    if (!p && p.error().code != errc::out_of_memory) { blame("another error than out_of_memory"); }
    return got(p ? *p : nullptr);
  }
  template <class Take>
  [[nodiscard]] static void* thrown(Take take) {
    try {
      return take();
    } catch (std::bad_alloc const&) { return nullptr; }
  }

  shape with_;
  heap<> heap_;
  memory::pmr_resource<heap<>> pmr_;
  memory::failure_plan plan_;
  memory::budget budget_;
  budgeted through_{budget_, failing(plan_, heap_)};
  reference used_;
  std::vector<shelf> shelves_;
  std::atomic<char const*> wrong_{nullptr};
  std::atomic<uint64_t> heap_errors_{0}, budget_errors_{0}, gives_{0};
};

void all_faults(unsigned threads) {
  uint64_t const steps = millrace_test::long_tier() ? 1'000'000 : 12'000;
  uint64_t seed = threads;
  for (fault const what : every_fault) {
    // with the map and without it; one thread loses nothing by it
    for (bool const mapped : {true, false}) {
      if (!mapped && threads == 1) { continue; }
      if (!millrace_test::long_tier() && threads != 1 && mapped != (++seed % 2 == 0)) { continue; }
      program it({threads, steps, what, mapped, seed});
      it.run();
      it.check();
    }
  }
}

/// A program whose allocations come in a fixed order.
struct replay {
  uint64_t refused = 0;
  bool right = true;

  template <class R>
  void run(R from, uint64_t steps) {
    core::xoshiro_rng random(5);
    std::vector<block> live;
    auto const give = [&](block const& b) {
      right = right && b.intact();
      from.deallocate(b.at, b.bytes, b.alignment);
    };
    for (uint64_t step = 0; step < steps; ++step) {
      if (random.next() % 8 < 5) {
        block b;
        uint64_t const kind = random.next() % 100;
        b.bytes = 1 + random.next() % (kind < 90 ? 2'000 : kind < 98 ? 30'000 : 200'000);
        b.alignment = 16;
        b.mark = static_cast<std::uint8_t>(step);
        auto const p = from.try_allocate(b.bytes, b.alignment);
        if (!p) {
          right = right && p.error().code == errc::out_of_memory;
          ++refused;
          continue;
        }
        b.at = static_cast<std::byte*>(*p);
        b.fill();
        live.push_back(b);
      } else if (!live.empty()) {
        std::swap(live[random.next() % live.size()], live.back());
        give(live.back());
        live.pop_back();
      }
    }
    for (block const& b : live) { give(b); }
  }
};

/// The same on a heap of its own. @return how many were refused
[[nodiscard]] uint64_t refused_within(std::size_t budget_bytes, uint64_t steps) {
  heap<> const h = core::value_or_throw(
      heap<>::make({.reserve_bytes = 256 * mib, .budget_bytes = budget_bytes, .caches = 2}));
  replay program;
  program.run(h, steps);
  CHECK(program.right);
  CHECK(h.stats().peak_bytes <= budget_bytes);
  h.evict();
  h.trim();
  CHECK(h.stats().taken_bytes == 0);
  return program.refused;
}

}  // namespace

TEST_CASE("heap model: one thread, every way in, every fault") { all_faults(1); }
TEST_CASE("heap model: two threads that hand blocks on, every fault") { all_faults(2); }
TEST_CASE("heap model: three threads that hand blocks on, every fault") { all_faults(3); }
TEST_CASE("heap model: eight threads that hand blocks on, every fault") { all_faults(8); }

TEST_CASE("heap model: whichever allocation fails, and all from it on, nothing else does") {
  heap<> const h = core::value_or_throw(heap<>::make({.reserve_bytes = 256 * mib, .caches = 2}));
  using failing = memory::failing_resource<heap<>>;
  uint64_t const steps = millrace_test::long_tier() ? 2'000 : 150;
  memory::failure_plan seen;
  replay all;
  all.run(failing(seen, h), steps);
  REQUIRE(all.refused == 0);
  for (uint64_t k = 1; k <= seen.seen; ++k) {
    for (bool const one : {true, false}) {
      memory::failure_plan plan;
      (one ? plan.fail_at : plan.fail_from) = k;
      replay program;
      program.run(failing(plan, h), steps);
      CHECK(program.right);
      CHECK(program.refused == (one ? 1 : plan.seen - k + 1));
      CHECK(plan.failed == program.refused);
      CHECK(plan.live_bytes == 0);
    }
  }
  h.evict();
  h.trim();
  CHECK(h.stats().taken_bytes == 0);
}

TEST_CASE("heap model: the smallest budget that works does, and one slab less is an error") {
  uint64_t const steps = millrace_test::long_tier() ? 100'000 : 4'000;
  std::size_t fails = 0, works = 4'096;  // slabs
  REQUIRE(refused_within(works * slab, steps) == 0);
  while (works - fails > 1) {
    std::size_t const between = (works + fails) / 2;
    (refused_within(between * slab, steps) == 0 ? works : fails) = between;
  }
  MESSAGE("slabs: ", works);
  CHECK(refused_within(works * slab, steps) == 0);
  for (std::size_t less = works - 1; less != 0; less /= 2) {
    CHECK(refused_within(less * slab, steps) != 0);
  }
}
