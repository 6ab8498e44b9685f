// SPDX-License-Identifier: Apache-2.0
// expect: use of deleted function
#include <millrace/memory/buffer.hpp>

#include <utility>

int main() {
  millrace::memory::buffer<int> owner;
#if defined(MILLRACE_BAD)
  auto const other = owner;
#else
  auto const other = std::move(owner);
#endif
  return other.empty() ? 0 : 1;
}
