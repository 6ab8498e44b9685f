// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/harness/threads.hpp"
#include <millrace/core/rng.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <numeric>
#include <thread>
#include <utility>
#include <vector>

/// \file
/// The workloads. Each returns nanoseconds of one operation, or a negative number when a block was
/// not what it should have been. An operation is an allocation with its free.

namespace millrace::bench {

inline constexpr double wrong = -1;

/// Writes a block's first and last word, as whoever asked for it would.
inline void touch(void* p, std::size_t bytes, std::uint64_t mark) {
  std::memcpy(p, &mark, sizeof mark);
  if (bytes >= 2 * sizeof mark) {
    std::memcpy(static_cast<std::byte*>(p) + bytes - sizeof mark, &mark, sizeof mark);
  }
}
[[nodiscard]] inline bool holds(void const* p, std::uint64_t mark) {
  std::uint64_t found = 0;
  std::memcpy(&found, p, sizeof found);
  return found == mark;
}

/// Runs `body(thread)` on as many pinned threads as `threads`, beginning together.
/// @return the slowest thread's nanoseconds
template <class Body>
[[nodiscard]] double together(unsigned threads, Body const& body) {
  std::atomic<unsigned> ready{0};
  std::vector<std::int64_t> took(threads);
  std::vector<std::thread> all;
  for (unsigned t = 0; t < threads; ++t) {
    all.emplace_back([&, t] {
      auto const& cpus = allowed_cpus();
      pin_to(cpus[t % cpus.size()]);
      ++ready;
      while (ready.load() < threads) { relax(); }
      std::int64_t const begin = now_ns();
      body(t);
      took[t] = now_ns() - begin;
    });
  }
  for (auto& thread : all) { thread.join(); }
  return static_cast<double>(*std::max_element(took.begin(), took.end()));
}

/// How much slower two threads are than one where they share nothing: what the machine does.
[[nodiscard]] inline double scaling_of(unsigned threads) {
  auto const loop = [](unsigned seed) {
    std::vector<std::uint64_t> mine(1 << 12);
    core::xoshiro_rng random(seed + 1);
    for (int i = 0; i < 400'000; ++i) { mine[random.next() % mine.size()] += random.next(); }
    asm volatile("" ::"r"(mine.data()) : "memory");
  };
  double const alone = together(1, loop);
  return together(threads, loop) / alone;
}

/// Allocate and free, over and over.
template <class A>
[[nodiscard]] double pair_of(std::size_t bytes) {
  constexpr int count = 4'000'000;
  auto all = std::make_unique<A>();
  typename A::session mine(*all);
  void* first = mine.allocate(bytes);
  touch(first, bytes, 1);
  mine.deallocate(first, bytes);
  std::int64_t const begin = now_ns();
  for (int i = 0; i < count; ++i) {
    void* p = mine.allocate(bytes);
    asm volatile("" : "+r"(p)::"memory");
    mine.deallocate(p, bytes);
  }
  return static_cast<double>(now_ns() - begin) / count;
}

/// Draws made before the clock starts: which block, and how large the next one is.
inline constexpr std::uint32_t draw_count = 1 << 16;
struct draw {
  std::uint32_t slot, bytes;
};
[[nodiscard]] inline std::vector<draw> draws(std::size_t slots, std::uint32_t least,
                                             std::uint32_t most, unsigned seed) {
  core::xoshiro_rng random(seed);
  std::vector<draw> all(draw_count);
  for (draw& d : all) {
    d.slot = static_cast<std::uint32_t>(core::below(random, slots));
    d.bytes = least + static_cast<std::uint32_t>(core::below(random, most - least + 1));
  }
  return all;
}

/// A block in use: its first word is its mark.
struct slot {
  void* p;
  std::uint32_t bytes, mark;
};
template <class Session>
void fill(slot& s, Session& from, std::uint32_t bytes, std::uint32_t mark) {
  s = {from.allocate(bytes), bytes, mark};
  std::uint64_t const word = mark;
  std::memcpy(s.p, &word, sizeof word);
}
/// Frees all, after a look at their marks: blocks that overlap others have lost theirs.
template <class Session>
[[nodiscard]] bool drop_all(std::vector<slot> const& slots, Session& to) {
  bool right = true;
  for (slot const& s : slots) { right &= holds(s.p, s.mark); }
  for (slot const& s : slots) { to.deallocate(s.p, s.bytes); }
  return right;
}

/// Writes every block, and finds out whether all are what they should be: apart, and intact.
template <class Session>
[[nodiscard]] bool fill_and_drop_all(std::vector<slot>& slots, Session& to) {
  std::uint64_t mark = 1;
  for (slot& s : slots) { touch(s.p, s.bytes, s.mark = static_cast<std::uint32_t>(mark++)); }
  return drop_all(slots, to);
}

/// Replaces random ones of `live` blocks of 16 to 512 bytes. The blocks are written when the clock
/// stands: this row is the allocator's time, those below have a program's accesses in them.
/// @source glibc, benchtests/bench-malloc-thread.c, which replaces random blocks so
template <class A>
[[nodiscard]] double replace(std::size_t live, unsigned threads, std::uint32_t count) {
  auto all = std::make_unique<A>();
  std::atomic<bool> right{true};
  std::vector<double> took(threads);
  double const scale = threads > 1 ? scaling_of(threads) : 1;
  static_cast<void>(together(threads, [&](unsigned t) {
    typename A::session mine(*all);
    std::vector<slot> slots(live);
    auto const next = draws(live, 16, 512, 7 + t);
    for (std::size_t i = 0; i < live; ++i) { fill(slots[i], mine, next[i].bytes, 0); }
    std::int64_t const begin = now_ns();
    for (std::uint32_t i = 0; i < count; ++i) {
      draw const& d = next[i % draw_count];
      slot& s = slots[d.slot];
      mine.deallocate(s.p, s.bytes);
      s = {mine.allocate(d.bytes), d.bytes, 0};
    }
    took[t] = static_cast<double>(now_ns() - begin);
    if (!fill_and_drop_all(slots, mine)) { right = false; }
  }));
  return right ? *std::max_element(took.begin(), took.end()) / count / scale : wrong;
}

/// As `replace` on one thread, which calls `look(all)` once a millisecond.
template <class A, class Look>
[[nodiscard]] double replace_and_look(std::size_t live, std::uint32_t count, Look look) {
  constexpr std::uint32_t between = 512;  // replacements from one glance at the clock to the next
  auto all = std::make_unique<A>();
  typename A::session mine(*all);
  std::vector<slot> slots(live);
  auto const next = draws(live, 16, 512, 7);
  for (std::size_t i = 0; i < live; ++i) { fill(slots[i], mine, next[i].bytes, 0); }
  std::int64_t const begin = now_ns();
  std::int64_t looked = begin;
  for (std::uint32_t done = 0; done < count; done += between) {
    for (std::uint32_t i = 0; i < between; ++i) {
      draw const& d = next[(done + i) % draw_count];
      slot& s = slots[d.slot];
      mine.deallocate(s.p, s.bytes);
      s = {mine.allocate(d.bytes), d.bytes, 0};
    }
    if (std::int64_t const now = now_ns(); now - looked > 1'000'000) {
      looked = now;
      look(*all);
    }
  }
  auto const took = static_cast<double>(now_ns() - begin);
  return fill_and_drop_all(slots, mine) ? took / count : wrong;
}

/// One thread allocates 64-byte blocks and hands them over in batches of 32; the other frees them.
template <class A>
[[nodiscard]] double handoff() {
  constexpr int batches = 20'000, size = 32, places = 8;
  struct alignas(128) place {
    std::atomic<bool> full{false};
    std::array<void*, size> blocks;
  };
  auto all = std::make_unique<A>();
  auto const ring = std::make_unique<std::array<place, places>>();
  std::atomic<bool> right{true};
  double const scale = scaling_of(2);
  double const took = together(2, [&](unsigned t) {
    typename A::session mine(*all);
    for (int b = 0; b < batches; ++b) {
      place& at = (*ring)[static_cast<std::size_t>(b) % places];
      while (at.full.load(std::memory_order_acquire) != (t == 1)) { relax(); }
      for (std::size_t i = 0; i < size; ++i) {
        auto const mark = static_cast<std::uint64_t>(b) * size + i;
        if (t == 0) {
          at.blocks[i] = mine.allocate(64);
          touch(at.blocks[i], 64, mark);
        } else {
          if (!holds(at.blocks[i], mark)) { right = false; }
          mine.deallocate(at.blocks[i], 64);
        }
      }
      at.full.store(t == 0, std::memory_order_release);
    }
  });
  return right ? took / (batches * size) / scale : wrong;
}

/// Many allocations, freed in random order.
template <class A>
[[nodiscard]] double scatter_free(std::size_t count) {
  auto all = std::make_unique<A>();
  typename A::session mine(*all);
  core::xoshiro_rng random(3);
  std::vector<std::uint32_t> order(count);
  std::iota(order.begin(), order.end(), 0u);
  for (std::size_t i = count; i > 1; --i) { std::swap(order[i - 1], order[random.next() % i]); }
  std::vector<slot> slots(count);
  for (slot& s : slots) { s.bytes = static_cast<std::uint32_t>(16 + random.next() % 113); }
  double ns = 0;
  for (int round = 0; round < 5; ++round) {
    std::int64_t const begin = now_ns();
    for (std::size_t i = 0; i < count; ++i) {
      slot& s = slots[i];
      s = {mine.allocate(s.bytes), s.bytes, static_cast<std::uint32_t>(i)};
      touch(s.p, s.bytes, s.mark);
    }
    for (std::uint32_t const i : order) {
      slot const& s = slots[i];
      if (!holds(s.p, s.mark)) { return wrong; }
      mine.deallocate(s.p, s.bytes);
    }
    ns += static_cast<double>(now_ns() - begin);
  }
  return ns / 5 / static_cast<double>(count);
}

/// A server's threads: each replaces random blocks of 8 to 1000 bytes, and after a while hands all
/// of them to a new thread that goes on.
/// @source Larson, Krishnan, "Memory allocation for long-running server applications", ISMM 1998
template <class A>
[[nodiscard]] double larson(unsigned threads) {
  constexpr std::size_t live = 1'000;
  constexpr std::uint32_t lives = 10, each = 50'000;
  auto all = std::make_unique<A>();
  std::atomic<bool> right{true};
  double const scale = threads > 1 ? scaling_of(threads) : 1;
  double const took = together(threads, [&](unsigned t) {
    std::vector<slot> slots(live);
    auto const next = draws(live, 8, 1000, 11 + t);
    for (std::uint32_t life = 0; life < lives; ++life) {
      std::thread([&] {
        typename A::session mine(*all);
        if (life == 0) {
          for (std::size_t i = 0; i < live; ++i) { fill(slots[i], mine, next[i].bytes, 0); }
        }
        for (std::uint32_t i = 0; i < each; ++i) {
          draw const& d = next[i % draw_count];
          slot& s = slots[d.slot];
          mine.deallocate(s.p, s.bytes);
          fill(s, mine, d.bytes, i);
        }
        if (life + 1 == lives && !drop_all(slots, mine)) { right = false; }
      }).join();
    }
  });
  return right ? took / (lives * each) / scale : wrong;
}

/// One thread allocates, the other frees, as fast as each can, objects of 64 to 512 bytes.
/// @source Lever, Boreham, "malloc() performance in a multithreaded Linux environment", 2000
template <class A>
[[nodiscard]] double xmalloc() {
  constexpr int batches = 4'000, size = 120, places = 64;
  struct alignas(128) place {
    std::atomic<bool> full{false};
    std::array<void*, size> blocks;
  };
  auto all = std::make_unique<A>();
  auto const ring = std::make_unique<std::array<place, places>>();
  static constexpr std::array<std::size_t, 9> sizes = {64, 96, 128, 160, 192, 256, 320, 400, 512};
  std::atomic<bool> right{true};
  double const took = together(2, [&](unsigned t) {
    typename A::session mine(*all);
    for (int b = 0; b < batches; ++b) {
      place& at = (*ring)[static_cast<std::size_t>(b) % places];
      while (at.full.load(std::memory_order_acquire) != (t == 1)) { std::this_thread::yield(); }
      for (std::size_t i = 0; i < size; ++i) {
        std::size_t const bytes = sizes[(static_cast<std::size_t>(b) + i) % sizes.size()];
        if (t == 0) {
          at.blocks[i] = mine.allocate(bytes);
          touch(at.blocks[i], bytes, i);
        } else {
          if (!holds(at.blocks[i], i)) { right = false; }
          mine.deallocate(at.blocks[i], bytes);
        }
      }
      at.full.store(t == 0, std::memory_order_release);
    }
  });
  return right ? took / (batches * size) : wrong;
}

/// Adds to a word again and again. One function for every allocator, since where a loop of five
/// instructions lies in a line of code changes its time twofold.
[[gnu::noinline, gnu::aligned(64)]] inline void add_often(std::uint64_t volatile* p, int times) {
  for (int i = 0; i < times; ++i) { *p = *p + 1; }
}

/// Two threads write into small objects of their own, again and again. `scratch`: the first object
/// of each comes from the main thread, where they lay side by side.
/// @source Berger, McKinley, Blumofe, Wilson, "Hoard", ASPLOS 2000
template <class A>
[[nodiscard]] double cache_lines(bool scratch) {
  constexpr int objects = 30'000, writes = 200;
  constexpr std::size_t bytes = 16;
  auto all = std::make_unique<A>();
  typename A::session main(*all);
  std::array<void*, 2> first{};
  if (scratch) {
    for (void*& p : first) { p = main.allocate(bytes); }
  }
  double const scale = scaling_of(2);
  double const took = together(2, [&](unsigned t) {
    typename A::session mine(*all);
    if (scratch) { mine.deallocate(first[t], bytes); }
    for (int o = 0; o < objects; ++o) {
      auto* const p = static_cast<std::uint64_t volatile*>(mine.allocate(bytes));
      add_often(p, writes);
      mine.deallocate(const_cast<std::uint64_t*>(p), bytes);
    }
  });
  return took / objects / scale;
}

}  // namespace millrace::bench
