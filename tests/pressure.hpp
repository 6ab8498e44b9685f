// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/memory/any_resource.hpp>
#include <millrace/memory/budget.hpp>
#include <millrace/memory/failing_resource.hpp>

#include <atomic>
#include <cstdint>

/// \file
/// Memory that the tests' fixtures draw from, so that the same tests can run short of it: see
/// unit/main.cpp.

namespace millrace_test {

/// What one run of a test case may take. It outlives the run: a worker may be the last to give
/// memory back.
struct fixture_memory {
  millrace::memory::budget budget;
  millrace::memory::failure_plan plan;

  explicit fixture_memory(std::uint64_t bytes) : budget({.hard_bytes = bytes}) {}
};

/// The memory of the run that is on; without one, all that there is.
[[nodiscard]] inline std::atomic<fixture_memory*>& current_memory() {
  static fixture_memory all(millrace::memory::max_request_bytes);
  static std::atomic<fixture_memory*> now{&all};
  return now;
}

/// A handle of it, for a fixture.
[[nodiscard]] inline millrace::memory::any_resource resource() {
  using failing = millrace::memory::failing_resource<>;
  fixture_memory& now = *current_memory();
  return millrace::memory::budgeted_resource<failing>(now.budget, failing(now.plan));
}

}  // namespace millrace_test
