// SPDX-License-Identifier: Apache-2.0
#include <millrace/memory/shortage.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace core = millrace::core;
namespace memory = millrace::memory;
using core::region_use;
using memory::heap;

namespace {
constexpr std::size_t mib = std::size_t{1} << 20;
enum class purpose { books, results, count };

[[nodiscard]] bool says(std::string const& text, char const* what) {
  return text.find(what) != std::string::npos;
}
}  // namespace

TEST_CASE("shortage: a character map shows full slabs, tenths, runs and what is free") {
  core::occupancy_map map;
  map.units = 8;
  map.regions = {{0, 1, region_use::blocks, 0, 0, 100, 100},
                 {1, 1, region_use::blocks, 0, 0, 100, 57},
                 {2, 1, region_use::blocks, 0, 0, 100, 3},
                 {3, 2, region_use::run},
                 {5, 1, region_use::idle},
                 {6, 2, region_use::untouched}};
  CHECK(memory::character_map(map) == "#50==-..");
  CHECK(memory::character_map(map, 3) == "#50\n==-\n..");
  CHECK(memory::character_map(map, 64, 4) == "75=.");
  CHECK(memory::character_map(map, 64, 1) == "4");
  CHECK(memory::character_map(map, 1, 2) == "6\n2");
  CHECK(memory::character_map(map, 0, 0) == "4");
  CHECK(memory::character_map(core::occupancy_map{}).empty());
  map.units = ~0u;  // more than the regions tell of
  CHECK(memory::character_map(map, 64, 4).size() == 1);
}

TEST_CASE("shortage: a report says what was asked, what there is, and where the bytes are") {
  memory::tag_counts<purpose> tags({"books", "results"});
  memory::budget within({.hard_bytes = 8 * mib});
  std::string heard;
  struct context {
    heap<>* of;
    memory::budget* within;
    memory::tag_counts<purpose>* tags;
    std::string* to;
  } all{nullptr, &within, &tags, &heard};
  auto const tell = [](std::size_t bytes, std::size_t alignment, void* with) noexcept {
    auto& c = *static_cast<context*>(with);
    auto const lines = c.tags->lines();
    auto const text = memory::describe_shortage(
        *c.of, {.bytes = bytes, .alignment = alignment, .within = c.within, .tags = lines});
    if (text) { *c.to = *text; }
  };
  heap<> h = core::value_or_throw(heap<>::make(
      {.reserve_bytes = 64 * mib, .budget_bytes = mib, .caches = 4, .on_shortage = {tell, &all}}));
  all.of = &h;
  memory::tagged_resource<memory::budgeted_resource<heap<>>> books(
      tags[purpose::books], memory::budgeted_resource<heap<>>(within, h));
  memory::tagged_resource<heap<>> results(tags[purpose::results], h);
  std::vector<void*> some;
  for (int i = 0; i < 100; ++i) {
    some.push_back(core::value_or_throw(books.try_allocate(1000, 16)));
  }
  void* const large = core::value_or_throw(results.try_allocate(300'000, 64));
  CHECK(heard.empty());
  CHECK(!books.try_allocate(900'000, 32));
  CHECK(says(heard, "out of memory: no room for 900000 bytes at a multiple of 32\n"));
  CHECK(says(heard, "heap: 448 KiB taken of a budget of 1.00 MiB"));
  CHECK(says(heard, "in use: 420 KiB in 101 blocks, of which 320 KiB in 1 large ones"));
  CHECK(says(heard, "budget: 977 KiB of 8.00 MiB, pressure none"));  // the request is within it
  CHECK(says(heard, "\n  books              100   97.7 KiB"));
  CHECK(says(heard, "\n  results              1    293 KiB"));
  CHECK(says(heard, "\n            1024        100 "));
  CHECK(says(heard, "=====\n"));
  CHECK(tags[purpose::books].snapshot().refused == 1);
  for (void* const p : some) { books.deallocate(p, 1000, 16); }
  results.deallocate(large, 300'000, 64);

  auto const quiet = core::value_or_throw(memory::describe_shortage(h));
  CHECK(!says(quiet, "out of memory"));
  CHECK(!says(quiet, "budget: "));
  CHECK(!says(quiet, "by tag"));
  CHECK(says(quiet, "in use: 0 B in 0 blocks"));
}
