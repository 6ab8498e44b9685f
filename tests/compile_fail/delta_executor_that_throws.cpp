// SPDX-License-Identifier: Apache-2.0
// expect: executor
#include <millrace/delta/combine.hpp>
#include <millrace/delta/merge_parallel.hpp>

#include <cstdint>

namespace delta = millrace::delta;

struct caller_alone {
  template <class Task>
#if defined(MILLRACE_BAD)
  void run(std::uint32_t, Task&& task){
#else
  void run(std::uint32_t, Task&& task) noexcept {
#endif
      task(0);
}
}
;

int main() {
  delta::change_set_ref<std::uint32_t, float> const none;
  return delta::merge_parallel(none, none, delta::change_space<std::uint32_t, float>{},
                               delta::add{}, 2, caller_alone{})
             ? 0
             : 1;
}
