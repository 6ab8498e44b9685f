// SPDX-License-Identifier: Apache-2.0
// expect: constraints not satisfied|constraint failure|no matching (member )?function
#include <millrace/propagate/graph.hpp>

#include <string>

namespace propagate = millrace::propagate;

#if defined(MILLRACE_BAD)
using element = std::string;
#else
using element = double;
#endif

int main() {
  auto made = propagate::graph::make();
  return made && made->input_array(3, element{}) ? 0 : 1;
}
