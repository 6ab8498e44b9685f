// SPDX-License-Identifier: Apache-2.0
#include <millrace/memory/buffer.hpp>
#include <millrace/memory/checked_resource.hpp>
#include <millrace/memory/failing_resource.hpp>
#include <millrace/memory/heap.hpp>
#include <millrace/memory/pmr.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace core = millrace::core;
namespace memory = millrace::memory;
using memory::memory_fault;
using millrace::errc;

namespace {

/// What a resource reported.
struct found {
  std::vector<memory::memory_report> all;

  [[nodiscard]] bool only(memory_fault fault) const {
    return all.size() == 1 && all[0].fault == fault;
  }
};
void note(memory::memory_report const& report, void* to) noexcept {
  static_cast<found*>(to)->all.push_back(report);
}

using over_heap = memory::checked_resource<memory::heap<>>;
[[nodiscard]] over_heap checked(found& faults, std::size_t quarantine = 1 << 16,
                                std::size_t budget = 0) {
  auto heap = core::value_or_throw(memory::heap<>::make(
      {.reserve_bytes = std::size_t{16} << 20, .budget_bytes = budget, .caches = 8}));
  return core::value_or_throw(over_heap::make(
      heap, {.listener = note, .context = &faults, .quarantine_bytes = quarantine}));
}
[[nodiscard]] std::byte* get(over_heap const& from, std::size_t bytes) {
  return static_cast<std::byte*>(core::value_or_throw(from.try_allocate(bytes, 16)));
}
[[nodiscard]] bool here(std::source_location const& at, std::uint_least32_t line) {
  return at.line() == line && std::string_view(at.file_name()).ends_with("checked_resource.cpp");
}

}  // namespace

TEST_CASE("checked: what is right is not reported, and memory comes back") {
  found faults;
  {
    auto const from = checked(faults);
    for (int round = 0; round < 3; ++round) {
      std::vector<std::byte*> blocks;
      for (std::size_t bytes = 1; bytes < 2'000; bytes += 7) {
        blocks.push_back(get(from, bytes));
        std::memset(blocks.back(), 1, bytes);
      }
      CHECK(from.live() == blocks.size());
      CHECK(from.verify() == 0);
      std::size_t bytes = 1;
      for (std::byte* const p : blocks) {
        from.deallocate(p, bytes, 16);
        bytes += 7;
      }
      CHECK(from.live() == 0);
    }
    CHECK(from.free(nullptr));
  }
  CHECK(faults.all.empty());
}

TEST_CASE("checked: a second free names both frees and the allocation, and changes nothing") {
  found faults;
  auto const from = checked(faults);
  auto const made_at = __LINE__ + 1;
  void* const p = core::value_or_throw(from.try_allocate(40, 16));
  auto const freed_at = __LINE__ + 1;
  from.deallocate(p, 40, 16);
  auto const again_at = __LINE__ + 1;
  from.deallocate(p, 40, 16);
  REQUIRE(faults.only(memory_fault::double_free));
  memory::memory_report const& r = faults.all[0];
  CHECK(r.address == p);
  CHECK(r.block == p);
  CHECK(r.bytes == 40);
  CHECK(here(r.allocated, made_at));
  CHECK(here(r.freed, freed_at));
  CHECK(here(r.now, again_at));
  CHECK(!from.free(p));
  CHECK(faults.all.size() == 2);
  CHECK(from.live() == 0);
}

TEST_CASE("checked: pointers that are no block are told apart, and nothing is freed") {
  found faults;
  auto const from = checked(faults);
  std::byte* const p = get(from, 100);
  int elsewhere = 0;
  auto const refused = from.free(&elsewhere);
  REQUIRE(!refused);
  CHECK(refused.error().code == errc::bad_argument);
  CHECK(faults.only(memory_fault::foreign_pointer));
  CHECK(faults.all[0].block == nullptr);
  faults.all.clear();
  for (std::size_t const offset : {1u, 16u, 99u, 100u, 115u}) {
    CHECK(!from.free(p + offset));
    REQUIRE(faults.only(memory_fault::interior_pointer));
    CHECK(faults.all[0].block == p);
    CHECK(faults.all[0].address == p + offset);
    faults.all.clear();
  }
  CHECK(!from.free(p + 116));
  CHECK(faults.only(memory_fault::foreign_pointer));
  CHECK(from.live() == 1);
  CHECK(from.free(p));
}

TEST_CASE("checked: a wrong size or alignment is reported, and the block is freed as it is") {
  found faults;
  auto const from = checked(faults);
  from.deallocate(get(from, 100), 99, 16);
  CHECK(faults.only(memory_fault::wrong_size));
  from.deallocate(get(from, 100), 100, 32);
  CHECK(faults.all.size() == 2);
  CHECK(from.live() == 0);
}

TEST_CASE("checked: a write behind the end is found at its byte") {
  found faults;
  auto const from = checked(faults);
  std::byte* const p = get(from, 21);
  p[23] = std::byte{0};
  CHECK(from.verify() == 1);
  REQUIRE(faults.only(memory_fault::overflow));
  CHECK(faults.all[0].address == p + 23);
  CHECK(from.verify() == 0);  // once
  p[21] = std::byte{0};
  from.deallocate(p, 21, 16);
  CHECK(faults.all.size() == 2);
}

TEST_CASE("checked: a write after the free is found when the block is looked at, or given again") {
  found faults;
  auto const from = checked(faults, 1'000);
  std::byte* const p = get(from, 64);
  from.deallocate(p, 64, 16);
  p[8] = std::byte{7};
  for (int i = 0; i < 20; ++i) { from.deallocate(get(from, 100), 100, 16); }
  REQUIRE(faults.only(memory_fault::use_after_free));
  CHECK(faults.all[0].address == p + 8);
  CHECK(faults.all[0].freed.line() != 0);
}

TEST_CASE("checked: what was never freed is reported with its site when the last handle ends") {
  found faults;
  auto line = __LINE__;
  {
    auto const from = checked(faults);
    auto const same = from;
    CHECK(from == same);
    line = __LINE__ + 1;
    auto const p = from.try_allocate(1234, 16);
    REQUIRE(p);
    CHECK(same.report_leaks() == 1);
    faults.all.clear();
  }
  REQUIRE(faults.only(memory_fault::leak));
  CHECK(faults.all[0].bytes == 1234);
  CHECK(here(faults.all[0].allocated, line));
}

TEST_CASE("checked: freed blocks that are kept give way to allocations that need their room") {
  found faults;
  auto const from = checked(faults, ~std::size_t{0}, 200'000);
  for (int i = 0; i < 100; ++i) { from.deallocate(get(from, 30'000), 30'000, 16); }
  CHECK(faults.all.empty());
}

TEST_CASE("checked: bad input is the upstream's error") {
  found faults;
  auto const from = checked(faults);
  CHECK(from.try_allocate(0, 16).error() == core::fail(errc::bad_argument, 1).error());
  CHECK(from.try_allocate(8, 3).error() == core::fail(errc::bad_argument, 2).error());
  CHECK(from.try_allocate(~std::size_t{0}, 16).error().code == errc::out_of_memory);
  CHECK(faults.all.empty());
}

TEST_CASE("checked: threads free each other's blocks") {
  found faults;
  {
    auto const from = checked(faults);
    std::vector<std::byte*> blocks;
    for (int i = 0; i < 1'000; ++i) { blocks.push_back(get(from, 50)); }
    std::thread other([&] {
      for (int i = 0; i < 500; ++i) {
        from.deallocate(blocks[static_cast<std::size_t>(i)], 50, 16);
      }
    });
    for (int i = 500; i < 1'000; ++i) {
      from.deallocate(blocks[static_cast<std::size_t>(i)], 50, 16);
    }
    other.join();
  }
  CHECK(faults.all.empty());
}

TEST_CASE("failing: the k-th, all from the k-th, by chance, and within a budget that shrinks") {
  memory::failure_plan plan;
  memory::failing_resource<> from(plan);
  auto const try_one = [&](std::size_t bytes) {
    auto const p = from.try_allocate(bytes, 16);
    if (p) { from.deallocate(*p, bytes, 16); }
    return p.has_value();
  };
  plan.fail_at = 3;
  CHECK(try_one(8));
  CHECK(try_one(8));
  CHECK(!try_one(8));
  CHECK(try_one(8));
  plan.fail_from = 6;
  CHECK(try_one(8));
  CHECK(!try_one(8));
  CHECK(!try_one(8));
  plan = {};
  plan.fail_one_in = 4;
  int failed = 0;
  for (int i = 0; i < 4'000; ++i) { failed += try_one(8) ? 0 : 1; }
  CHECK(failed > 850);
  CHECK(failed < 1'150);
  CHECK(plan.failed == static_cast<std::uint64_t>(failed));
  plan = {};
  plan.budget_bytes = 100;
  auto const kept = from.try_allocate(60, 16);
  REQUIRE(kept);
  CHECK(!try_one(41));
  CHECK(try_one(40));
  plan.budget_bytes = 50;  // below what is in use
  CHECK(!try_one(1));
  from.deallocate(*kept, 60, 16);
  CHECK(try_one(50));
  CHECK(plan.live_bytes == 0);
}

TEST_CASE("failing: a container whose k-th allocation fails leaks nothing and has what it had") {
  for (std::uint64_t k = 1; k < 40; ++k) {
    found faults;
    memory::failure_plan plan;
    plan.fail_at = k;
    {
      using failing = memory::failing_resource<over_heap>;
      memory::pmr_resource<failing> resource(failing(plan, checked(faults)));
      std::pmr::vector<std::pmr::string> words(&resource);
      std::size_t before = 0;
      try {
        for (int i = 0; i < 30; ++i) {
          before = words.size();
          words.emplace_back("a word that does not fit into its string");
        }
      } catch (std::bad_alloc const&) { CHECK(words.size() == before); }
      for (auto const& word : words) { CHECK(word == "a word that does not fit into its string"); }
    }
    CHECK(faults.all.empty());
    CHECK(plan.live_bytes == 0);
  }
}
