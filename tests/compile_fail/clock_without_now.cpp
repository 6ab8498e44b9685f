// SPDX-License-Identifier: Apache-2.0
// expect: constraints not satisfied|no matching function
#include <millrace/core/clock.hpp>
#include <millrace/recover/deadline.hpp>

namespace core = millrace::core;

struct wall_clock {
  [[nodiscard]] static double seconds() noexcept { return 0; }
};

#if defined(MILLRACE_BAD)
using chosen = wall_clock;
#else
using chosen = core::steady_clock;
#endif

int main() { return millrace::recover::deadline::after(chosen{}, 1).is_never() ? 1 : 0; }
