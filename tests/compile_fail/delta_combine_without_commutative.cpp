// SPDX-License-Identifier: Apache-2.0
// expect: combine_policy
#include <millrace/delta/combine.hpp>
#include <millrace/delta/merge.hpp>

#include <cstdint>

namespace delta = millrace::delta;

struct newer {
#if !defined(MILLRACE_BAD)
  static constexpr bool commutative = false;
#endif
  [[nodiscard]] float operator()(float, float value) const noexcept { return value; }
};

int main() {
  delta::change_set_ref<std::uint32_t, float> const none;
  return delta::merge(none, none, delta::change_space<std::uint32_t, float>{}, newer{}) ? 0 : 1;
}
