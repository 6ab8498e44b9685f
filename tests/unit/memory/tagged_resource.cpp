// SPDX-License-Identifier: Apache-2.0
#include <millrace/memory/heap.hpp>
#include <millrace/memory/pmr.hpp>
#include <millrace/memory/tagged_resource.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <thread>
#include <vector>

namespace core = millrace::core;
namespace memory = millrace::memory;

namespace {
enum class purpose { state, queue, count };
using tags_of = memory::tag_counts<purpose>;
}  // namespace

TEST_CASE("tagged_resource: each tag counts its own, and gives the names with the numbers") {
  tags_of tags({"state", "queue"});
  memory::tagged_resource<> state(tags[purpose::state]);
  memory::tagged_resource<> queue(tags[purpose::queue]);
  CHECK(state != queue);
  CHECK(state == memory::tagged_resource<>(tags[purpose::state]));
  void* const p = core::value_or_throw(state.try_allocate(100, 16));
  void* const q = core::value_or_throw(queue.try_allocate(1'000'000, 64));
  CHECK(!queue.try_allocate(0, 64));
  auto const lines = tags.lines();
  CHECK(std::string_view(lines[0].name) == "state");
  CHECK(lines[0].counts.live_bytes == 100);
  CHECK(lines[0].counts.live == 1);
  CHECK(lines[1].counts.live_bytes == 1'000'000);
  CHECK(lines[1].counts.refused == 1);
  state.deallocate(p, 100, 16);
  queue.deallocate(q, 1'000'000, 64);
  CHECK(tags.lines()[1].counts.live_bytes == 0);
  CHECK(tags.lines()[1].counts.live == 0);
  CHECK(tags.lines()[1].counts.peak_bytes == 1'000'000);
  CHECK(tags.lines()[1].counts.total == 1);
}

TEST_CASE("tagged_resource: many threads lose no count, and the peak is near") {
  tags_of tags({"state", "queue"});
  constexpr int threads = 4, rounds = 300;
  std::vector<std::thread> all;
  for (int t = 0; t < threads; ++t) {
    all.emplace_back([&] {
      memory::tagged_resource<> from(tags[purpose::state]);
      for (int r = 0; r < rounds; ++r) {
        std::vector<void*> mine;
        for (int i = 0; i < 10; ++i) {
          mine.push_back(core::value_or_throw(from.try_allocate(5'000, 16)));
        }
        for (void* const p : mine) { from.deallocate(p, 5'000, 16); }
      }
    });
  }
  for (auto& t : all) { t.join(); }
  auto const seen = tags[purpose::state].snapshot();
  CHECK(seen.live == 0);
  CHECK(seen.live_bytes == 0);
  CHECK(seen.total == threads * rounds * 10);
  CHECK(seen.peak_bytes + memory::spread_counts::slack_bytes >= 50'000);  // of one thread alone
  CHECK(seen.peak_bytes <= threads * 50'000 + 16 * memory::spread_counts::slack_bytes);
}

TEST_CASE("tagged_resource: containers are counted through an allocator") {
  tags_of tags({"state", "queue"});
  auto const h = core::value_or_throw(memory::heap<>::make({.reserve_bytes = 64u << 20}));
  using resource = memory::tagged_resource<memory::heap<>>;
  {
    std::vector<int, memory::allocator<int, resource>> v(
        memory::allocator<int, resource>(resource(tags[purpose::queue], h)));
    v.resize(10'000);
    CHECK(tags[purpose::queue].snapshot().live_bytes == 40'000);
    CHECK(h.stats().live == 1);
  }
  CHECK(tags[purpose::queue].snapshot().live_bytes == 0);
  CHECK(tags[purpose::state].snapshot().total == 0);
}
