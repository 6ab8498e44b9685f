// SPDX-License-Identifier: Apache-2.0
// expect: constraints not satisfied|constraint failure
#include <millrace/propagate/graph.hpp>

namespace propagate = millrace::propagate;

struct watch : propagate::null_graph_probe {
#if defined(MILLRACE_BAD)
  static void run_began(propagate::run_begin const&) {}
#else
  static void run_began(propagate::run_begin const&) noexcept {}
#endif
};
struct policy : propagate::default_graph {
  using probe = watch;
};

int main() { return propagate::basic_graph<policy>::make() ? 0 : 1; }
