// SPDX-License-Identifier: Apache-2.0
#include <millrace/memory/counting_resource.hpp>
#include <millrace/memory/resource.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <thread>
#include <vector>

namespace memory = millrace::memory;
using millrace::errc;

namespace {
constexpr std::size_t most = std::numeric_limits<std::size_t>::max();
}

TEST_CASE("host_resource: gives what is asked at every alignment") {
  memory::host_resource from;
  for (std::size_t alignment = 1; alignment <= 65536; alignment *= 2) {
    for (std::size_t const bytes : {std::size_t{1}, std::size_t{63}, std::size_t{4097}}) {
      auto const p = from.try_allocate(bytes, alignment);
      REQUIRE(p);
      CHECK(reinterpret_cast<std::uintptr_t>(*p) % alignment == 0);
      std::memset(*p, 0xa5, bytes);
      from.deallocate(*p, bytes, alignment);
    }
  }
}

TEST_CASE("host_resource: bad input is a result") {
  memory::host_resource from;
  auto const code = [&](std::size_t bytes, std::size_t alignment) {
    return from.try_allocate(bytes, alignment).error();
  };
  CHECK(code(0, 8) == millrace::error{errc::bad_argument, millrace::core::origin::millrace, 1});
  for (std::size_t const alignment :
       {std::size_t{0}, std::size_t{3}, std::size_t{48}, std::size_t{1} << 31, most}) {
    CHECK(code(8, alignment) ==
          millrace::error{errc::bad_argument, millrace::core::origin::millrace, 2});
  }
  CHECK(code(most, 8).code == errc::out_of_memory);
  CHECK(code(memory::max_request_bytes, 64).code == errc::out_of_memory);
}

TEST_CASE("counting_resource: counts what is live, what it was at most, and what was refused") {
  memory::allocation_counts counts;
  memory::counting_resource<> from(counts);
  auto copy = from;
  CHECK(copy == from);
  auto const a = from.try_allocate(100, 8);
  auto const b = copy.try_allocate(50, 64);
  REQUIRE(a);
  REQUIRE(b);
  CHECK_FALSE(from.try_allocate(0, 8));
  from.deallocate(*a, 100, 8);
  auto const now = from.snapshot();
  CHECK(now.live == 1);
  CHECK(now.live_bytes == 50);
  CHECK(now.peak_bytes == 150);
  CHECK(now.total == 2);
  CHECK(now.refused == 1);
  from.deallocate(*b, 50, 64);
  CHECK(from.snapshot().live_bytes == 0);

  memory::allocation_counts others;
  CHECK(memory::counting_resource<>(others) != from);
}

TEST_CASE("counting_resource: threads that share a record lose no count") {
  memory::allocation_counts counts;
  auto const work = [&] {
    memory::counting_resource<> from(counts);
    for (int i = 0; i < 500; ++i) {
      auto const p = from.try_allocate(16, 8);
      if (p) { from.deallocate(*p, 16, 8); }
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) { threads.emplace_back(work); }
  for (auto& t : threads) { t.join(); }
  CHECK(counts.total == 2000);
  CHECK(counts.live == 0);
  CHECK(counts.live_bytes == 0);
  CHECK(counts.peak_bytes >= 16);
  CHECK(counts.peak_bytes <= 64);
}
