// SPDX-License-Identifier: Apache-2.0
// expect: combine_policy
#include <millrace/delta/combine.hpp>
#include <millrace/delta/merge.hpp>

#include <cstdint>

namespace delta = millrace::delta;

#if defined(MILLRACE_BAD)
using value = float;
#else
using value = std::int32_t;
#endif

int main() {
  delta::change_set_ref<std::uint32_t, value> const none;
  return delta::merge(none, none, delta::change_space<std::uint32_t, value>{}, delta::count{}) ? 0
                                                                                               : 1;
}
