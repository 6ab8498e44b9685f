// SPDX-License-Identifier: Apache-2.0
// also compiled as CUDA
#include "survey.hpp"
#include <millrace/core/rng.hpp>
#include <millrace/memory/checked_kernel_heap.hpp>
#include <millrace/memory/kernel_heap.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

namespace core = millrace::core;
namespace memory = millrace::memory;
using memory::memory_fault;
using millrace::errc;

namespace checked_kernel_heap_test {

struct host_policy : memory::default_kernel_heap {
  using access = core::direct_access<cuda::thread_scope_system>;
};

struct fixture {
  memory::kernel_heap<host_policy> all = std::move(
      *memory::kernel_heap<host_policy>::make(memory::kernel_heap_options{.bytes = 8u << 20}));
  std::unique_ptr<memory::kernel_fault_log> log = std::make_unique<memory::kernel_fault_log>();
  memory::checked_kernel_heap_ref<host_policy> heap{all.ref(), log.get()};

  /// The only fault so far.
  [[nodiscard]] memory::kernel_fault only(memory_fault wanted) const {
    REQUIRE(log->found == 1);
    CHECK(log->faults[0].complete == 1);
    CHECK(log->faults[0].fault == wanted);
    return log->faults[0];
  }
  /// Frees so many blocks that none stays kept back.
  void flush() {
    for (std::uint32_t i = 0; i < memory::kernel_fault_log::kept; ++i) {
      REQUIRE(heap.free(heap.malloc(2000)));
    }
  }
  [[nodiscard]] static std::uint64_t number(void const* p) {
    return reinterpret_cast<std::uintptr_t>(p);
  }
};

}  // namespace checked_kernel_heap_test

using namespace checked_kernel_heap_test;

TEST_CASE_FIXTURE(fixture, "checked_kernel_heap: a program without a fault is left in peace") {
  core::xoshiro_rng random(1);
  std::vector<std::pair<void*, std::uint32_t>> live;
  for (std::uint32_t i = 0; i < 20'000; ++i) {
    if (live.size() < 200 && random.next() % 2 == 0) {
      auto const bytes = static_cast<std::uint32_t>(1 + random.next() % 3000);
      void* const p = heap.malloc(bytes, std::size_t{1} << random.next() % 9);
      REQUIRE(p != nullptr);
      std::memset(p, static_cast<int>(i), bytes);
      live.emplace_back(p, bytes);
    } else if (!live.empty()) {
      std::swap(live[random.next() % live.size()], live.back());
      auto const [p, bytes] = live.back();
      live.pop_back();
      if (i % 2 == 0) {
        REQUIRE(heap.free(p));
      } else {
        REQUIRE(heap.deallocate(p, bytes));
      }
    }
  }
  for (auto const& [p, bytes] : live) { REQUIRE(heap.deallocate(p, bytes)); }
  CHECK(heap.report_leaks() == 0);
  CHECK(log->found == 0);
}

TEST_CASE_FIXTURE(fixture,
                  "checked_kernel_heap: a second free is told, with the first one's site") {
  void* const p = heap.malloc(40, 16, 11);
  CHECK(heap.free(p, 22));
  CHECK(heap.free(p, 33).error() == millrace::error{errc::bad_argument, {}, 1});
  auto const seen = only(memory_fault::double_free);
  CHECK(seen.address == number(p));
  CHECK(seen.bytes == 40);
  CHECK(seen.allocated == 11);
  CHECK(seen.freed == 22);
  CHECK(seen.now == 33);
}

TEST_CASE_FIXTURE(fixture, "checked_kernel_heap: foreign and interior pointers are told") {
  auto* const p = static_cast<std::byte*>(heap.malloc(400));
  int local = 0;
  CHECK_FALSE(heap.free(&local, 5));
  CHECK(only(memory_fault::foreign_pointer).address == number(&local));
  log->found = 0;
  CHECK_FALSE(heap.free(p + 16, 6));
  CHECK(only(memory_fault::interior_pointer).address == number(p + 16));
  log->found = 0;
  CHECK(heap.free(p));
  CHECK(log->found == 0);
}

TEST_CASE_FIXTURE(fixture, "checked_kernel_heap: a wrong size is told, and the block freed") {
  void* const p = heap.malloc(100, 16, 7);
  CHECK(heap.deallocate(p, 101, 8));
  CHECK(only(memory_fault::wrong_size).bytes == 100);
  log->found = 0;
  CHECK(heap.report_leaks() == 0);
}

TEST_CASE_FIXTURE(fixture, "checked_kernel_heap: a write behind a block is told at its free") {
  for (std::size_t const bytes : {1u, 15u, 16u, 100u, 5000u, 300'000u}) {
    auto* const p = static_cast<std::byte*>(heap.malloc(bytes, 16, 9));
    bool const padded = heap.heap().usable_bytes(p) > bytes + 32;
    p[bytes] = std::byte{0};  // into the pattern, or where there is none into the note's seal
    auto const said = heap.free(p, 10);
    CHECK(said.has_value() == padded);
    auto const seen = only(memory_fault::overflow);
    CHECK(seen.address == number(p + bytes));
    CHECK(seen.now == 10);
    log->found = 0;
  }
}

TEST_CASE_FIXTURE(fixture,
                  "checked_kernel_heap: a write after the free is told when it is given again") {
  auto* const p = static_cast<std::byte*>(heap.malloc(200, 16, 3));
  CHECK(heap.free(p, 4));
  p[77] = std::byte{1};
  flush();
  auto const seen = only(memory_fault::use_after_free);
  CHECK(seen.address == number(p + 77));
  CHECK(seen.allocated == 3);
  CHECK(seen.freed == 4);
  log->found = 0;
  CHECK(heap.report_leaks() == 0);
}

TEST_CASE_FIXTURE(fixture, "checked_kernel_heap: what is never freed is a leak, with its site") {
  void* const p = heap.malloc(48, 16, 71);
  void* const large = heap.malloc(1u << 20, 16, 72);
  REQUIRE(heap.free(heap.malloc(48)));
  CHECK(heap.report_leaks(73) == 2);
  CHECK(log->found == 2);
  for (std::size_t i = 0; i < 2; ++i) {
    memory::kernel_fault const& f = log->faults[i];
    CHECK(f.fault == memory_fault::leak);
    CHECK(f.now == 73);
    CHECK((f.block == number(p) ? f.allocated == 71 : f.allocated == 72));
    CHECK((f.block == number(p) || f.block == number(large)));
  }
}

TEST_CASE_FIXTURE(fixture, "checked_kernel_heap: what is kept back is given again when needed") {
  for (int i = 0; i < 40; ++i) {
    REQUIRE(heap.free(heap.malloc(900'000)));
    void* const p = heap.malloc(30'000);
    REQUIRE(p != nullptr);
    REQUIRE(heap.free(p));
  }
  CHECK(log->found == 0);
  void* const large = heap.malloc(900'000);
  CHECK(heap.free(large));
  CHECK_FALSE(heap.free(large));
  CHECK(only(memory_fault::double_free).address == number(large));
}

TEST_CASE_FIXTURE(fixture, "checked_kernel_heap: more faults than there is room for are counted") {
  int local = 0;
  for (int i = 0; i < 100; ++i) { CHECK_FALSE(heap.free(&local)); }
  CHECK(log->found == 100);
  CHECK(log->faults[memory::kernel_fault_log::room - 1].complete == 1);
}

TEST_CASE_FIXTURE(fixture, "checked_kernel_heap: threads that do no wrong are left in peace") {
  std::vector<std::thread> threads;
  for (std::uint32_t t = 0; t < 4; ++t) {
    threads.emplace_back([this, t] {
      core::xoshiro_rng random(t);
      std::array<std::pair<void*, std::uint32_t>, 20> mine{};
      for (int i = 0; i < 5'000; ++i) {
        auto& [p, bytes] = mine[random.next() % mine.size()];
        if (p != nullptr) {
          static_cast<void>(heap.deallocate(p, bytes));
          p = nullptr;
        } else {
          bytes = static_cast<std::uint32_t>(1 + random.next() % 500);
          p = heap.malloc(bytes);
          if (p != nullptr) { std::memset(p, 1, bytes); }
        }
      }
      for (auto const& [p, bytes] : mine) { static_cast<void>(heap.free(p)); }
    });
  }
  for (auto& each : threads) { each.join(); }
  CHECK(heap.report_leaks() == 0);
  CHECK(log->found == 0);
}
