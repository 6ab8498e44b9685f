// SPDX-License-Identifier: Apache-2.0
// expect: constraints not satisfied|no matching function
#include <millrace/core/devices.hpp>

namespace core = millrace::core;

struct half_source {
  static void* open(char const*) noexcept { return nullptr; }
  static void* symbol(void*, char const*) noexcept { return nullptr; }
};

#if defined(MILLRACE_BAD)
using chosen = half_source;
#else
using chosen = core::system_driver_source;
#endif

int main() {
  chosen source;
  return core::devices(source).driver_version < 0 ? 1 : 0;
}
