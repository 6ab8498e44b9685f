// SPDX-License-Identifier: Apache-2.0
// expect: no matching function|could not convert|cannot convert
#include <millrace/propagate/graph.hpp>

namespace propagate = millrace::propagate;

int main() {
  auto g = *propagate::graph::make();
  auto const a = *g.input(1.0);
  auto const twice = *g.computed([](double x) { return 2 * x; }, a);
  static_cast<void>(twice);
#if defined(MILLRACE_BAD)
  return g.write(twice, 3.0) ? 0 : 1;
#else
  return g.write(a, 3.0) ? 0 : 1;
#endif
}
