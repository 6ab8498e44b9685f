// SPDX-License-Identifier: Apache-2.0
#include <millrace/core/rng.hpp>
#include <millrace/memory/failing_resource.hpp>
#include <millrace/propagate/name_table.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <map>

namespace core = millrace::core;
namespace memory = millrace::memory;
using millrace::errc;

TEST_CASE("name_table: finds what is in it, whatever has come and gone") {
  millrace::propagate::detail::name_table<memory::host_resource> table{{}};
  CHECK(table.find(1) == table.none);
  std::map<std::uint64_t, std::uint32_t> want;
  std::map<std::uint32_t, std::uint64_t> names;
  core::splitmix_rng chance(1);
  for (int step = 0; step < 20'000; ++step) {
    std::uint64_t const spread = chance.next() % 2 == 0 ? 1 : std::uint64_t{1} << 40;
    std::uint64_t const name = (1 + chance.next() % 400) * spread;
    auto const slot = static_cast<std::uint32_t>(chance.next() % 500);
    if (chance.next() % 5 < 3) {
      if (!want.contains(name) && !names.contains(slot)) {
        REQUIRE(table.insert(name, slot));
        want[name] = slot;
        names[slot] = name;
      }
    } else {
      table.erase(slot);
      if (auto const it = names.find(slot); it != names.end()) {
        want.erase(it->second);
        names.erase(it);
      }
    }
    REQUIRE(table.find(name) == (want.contains(name) ? want[name] : table.none));
    REQUIRE(table.name_of(slot) == (names.contains(slot) ? names[slot] : 0));
  }
  for (auto const& [name, slot] : want) { REQUIRE(table.find(name) == slot); }
}

TEST_CASE("name_table: where memory is missing, it stays as it was") {
  memory::failure_plan plan;
  millrace::propagate::detail::name_table<memory::failing_resource<>> table{
      memory::failing_resource<>(plan)};
  for (std::uint32_t slot = 0; slot < 300; ++slot) {
    for (std::uint64_t k = 1;; ++k) {
      plan.fail_at = plan.seen + k;
      auto const done = table.insert(slot + 1, slot);
      plan.fail_at = 0;
      if (done) { break; }
      REQUIRE(done.error().code == errc::out_of_memory);
      REQUIRE(table.find(slot + 1) == table.none);
    }
    for (std::uint32_t each = 0; each <= slot; ++each) { REQUIRE(table.find(each + 1) == each); }
  }
}
