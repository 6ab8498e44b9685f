// SPDX-License-Identifier: Apache-2.0
#include <millrace/core/access.hpp>

#include <doctest/doctest.h>

#include <cstdint>

namespace core = millrace::core;

TEST_CASE_TEMPLATE("direct_access: does what it says at every scope", A,
                   core::direct_access<cuda::thread_scope_block>,
                   core::direct_access<cuda::thread_scope_device>,
                   core::direct_access<cuda::thread_scope_system>) {
  std::uint64_t word = 5;
  CHECK(A::load(word, core::acquire, "test") == 5);
  A::store(word, std::uint64_t{7}, core::release, "test");
  CHECK(A::fetch_add(word, std::uint64_t{3}, core::acq_rel, "test") == 7);
  CHECK(A::fetch_or(word, std::uint64_t{5}, core::acq_rel, "test") == 10);
  CHECK(A::fetch_and(word, std::uint64_t{10}, core::acq_rel, "test") == 15);
  std::uint64_t expected = 9;
  CHECK_FALSE(
      A::compare_exchange(word, expected, std::uint64_t{1}, core::acq_rel, core::relaxed, "test"));
  CHECK(expected == 10);
  CHECK(
      A::compare_exchange(word, expected, std::uint64_t{1}, core::acq_rel, core::relaxed, "test"));
  CHECK(word == 1);
}
