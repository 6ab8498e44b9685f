// SPDX-License-Identifier: Apache-2.0
// expect: constraints not satisfied|no matching function
#include <millrace/propagate/team.hpp>

#include <cstdint>

namespace propagate = millrace::propagate;

struct doubled {
#if defined(MILLRACE_BAD)
  void operator()(std::uint32_t task, std::uint32_t) { to[task] *= 2; }
#else
  void operator()(std::uint32_t task, std::uint32_t) noexcept { to[task] *= 2; }
#endif
  int to[4] = {1, 2, 3, 4};
};

int main() {
  auto team = propagate::team::make(2);
  if (!team) { return 1; }
  doubled body;
  team->run(4, body);
  return body.to[3] == 8 ? 0 : 1;
}
