// SPDX-License-Identifier: Apache-2.0
// expect: constraints not satisfied|template constraint failure
#include <millrace/memory/buffer.hpp>

#include <cstddef>

namespace memory = millrace::memory;

// gives a bare pointer and throws: what std::pmr does
struct throwing_resource {
  static constexpr bool host_accessible = true;
  static constexpr bool device_accessible = false;
  static void* try_allocate(std::size_t bytes, std::size_t) { return ::operator new(bytes); }
  static void deallocate(void* p, std::size_t, std::size_t) noexcept { ::operator delete(p); }
  friend bool operator==(throwing_resource, throwing_resource) noexcept { return true; }
};

#if defined(MILLRACE_BAD)
using chosen = throwing_resource;
#else
using chosen = memory::host_resource;
#endif

int main() { return memory::buffer<int, chosen>::make(1) ? 0 : 1; }
