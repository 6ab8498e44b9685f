// SPDX-License-Identifier: Apache-2.0
// expect: constraints not satisfied|no matching function
#include <millrace/core/rng.hpp>

#include <cstdint>

namespace core = millrace::core;

struct narrow_rng {
  static std::uint32_t next() noexcept { return 4; }
};

#if defined(MILLRACE_BAD)
using chosen = narrow_rng;
#else
using chosen = core::null_rng;
#endif

int main() {
  chosen g;
  return static_cast<int>(core::below(g, 10));
}
