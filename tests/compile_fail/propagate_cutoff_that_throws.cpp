// SPDX-License-Identifier: Apache-2.0
// expect: constraints not satisfied|no matching function
#include <millrace/propagate/graph.hpp>

namespace propagate = millrace::propagate;

struct within_one {
#if defined(MILLRACE_BAD)
  bool operator()(double a, double b) const { return a - b < 1 && b - a < 1; }
#else
  bool operator()(double a, double b) const noexcept { return a - b < 1 && b - a < 1; }
#endif
};

int main() {
  auto g = propagate::graph::make();
  return g && g->input(1.0, within_one{}) ? 0 : 1;
}
