// SPDX-License-Identifier: Apache-2.0
// expect: invertible_policy
#include <millrace/delta/combine.hpp>
#include <millrace/delta/dense.hpp>

#include <cstdint>

namespace delta = millrace::delta;

#if defined(MILLRACE_BAD)
using policy = delta::add;
#else
using policy = delta::last_writer;
#endif

int main() {
  float before[2] = {1, 2}, after[2] = {1, 3}, value = 0;
  std::uint32_t key = 0;
  return delta::diff(delta::dense_ref<float const>(2, before),
                     delta::dense_ref<float const>(2, after),
                     delta::change_space<std::uint32_t, float>(&key, 1, &value), policy{})
             ? 0
             : 1;
}
