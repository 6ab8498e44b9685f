// SPDX-License-Identifier: Apache-2.0
// expect: constraints not satisfied|template constraint failure
#include <millrace/memory/managed_hints.hpp>

#include <cstddef>
#include <cstdint>

namespace memory = millrace::memory;

struct runtime {
  using stream = int;
  std::int32_t device_count(int&) const noexcept { return 0; }
  std::int32_t concurrent(int, bool&) const noexcept { return 0; }
#if !defined(MILLRACE_BAD)
  std::int32_t stream_device(stream, int&) const noexcept { return 0; }
#endif
  bool is_legacy(stream) const noexcept { return false; }
  bool is_managed(void const*) const noexcept { return true; }
  std::int32_t prefetch(void const*, std::size_t, memory::location, stream) const noexcept {
    return 0;
  }
  std::int32_t advise(void const*, std::size_t, memory::advice, memory::location) const noexcept {
    return 0;
  }
  std::int32_t discard(void**, std::size_t*, std::size_t, stream) const noexcept { return 0; }
  std::int32_t discard_and_prefetch(void**, std::size_t*, std::size_t, memory::location,
                                    stream) const noexcept {
    return 0;
  }
};

int main() {
  memory::managed_hints<runtime> const hints{runtime{}};
  int value = 0;
  return hints.prefetch(&value, sizeof value, memory::location::host(), 0) ? 0 : 1;
}
