// SPDX-License-Identifier: Apache-2.0
// expect: constraints not satisfied|constraint failure
#include <millrace/propagate/graph.hpp>

namespace propagate = millrace::propagate;

#if defined(MILLRACE_BAD)
struct policy {};
#else
struct policy : propagate::default_graph {};
#endif

int main() { return propagate::basic_graph<policy>::make() ? 0 : 1; }
