// SPDX-License-Identifier: Apache-2.0
// expect: constraints not satisfied|template constraint failure
#include <millrace/memory/prefetch_planner.hpp>

#include <cstdint>

namespace memory = millrace::memory;

struct chosen : memory::default_prefetch {
#if defined(MILLRACE_BAD)
  static constexpr std::uint32_t contexts = 500;  // no power of two
#else
  static constexpr std::uint32_t contexts = 1024;
#endif
};

int main() { return memory::prefetch_planner<chosen>::make({4096, 64, 64}) ? 0 : 1; }
