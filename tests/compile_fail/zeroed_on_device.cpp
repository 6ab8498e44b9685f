// SPDX-License-Identifier: Apache-2.0
// expect: constraints not satisfied|no matching function
#include <millrace/memory/buffer.hpp>

#include <cstddef>

namespace memory = millrace::memory;

// the host may not touch its bytes
struct far_resource : memory::host_resource {
  static constexpr bool host_accessible = false;
  friend bool operator==(far_resource, far_resource) noexcept { return true; }
};

#if defined(MILLRACE_BAD)
using chosen = far_resource;
#else
using chosen = memory::host_resource;
#endif

int main() { return memory::buffer<int, chosen>::make_zeroed(1) ? 0 : 1; }
