// SPDX-License-Identifier: Apache-2.0
// expect: constraints not satisfied|constraint failure|no matching (member )?function
#include <millrace/propagate/graph.hpp>

namespace propagate = millrace::propagate;

struct reached {
  static bool join(bool a, bool b) noexcept { return a || b; }
#if defined(MILLRACE_BAD)
  static bool along(propagate::unweighted, bool before) { return before; }
#else
  static bool along(propagate::unweighted, bool before) noexcept { return before; }
#endif
};

int main() {
  auto made = propagate::graph::make();
  auto const base = made->input_array(3, false);
  auto const arcs = made->input_array(3, propagate::arc<>{});
  return made->fixpoint(reached{}, *base, *arcs) ? 0 : 1;
}
