// SPDX-License-Identifier: Apache-2.0
#include <millrace/core/error.hpp>

#include <cstdio>

static_assert(__cplusplus >= 202002L, "millrace::cuda gives nvcc C++20");

MILLRACE_HD constexpr millrace::result<int> half(int n) noexcept {
  if (n % 2 != 0) { return millrace::core::fail(millrace::errc::bad_argument); }
  return n / 2;
}

MILLRACE_KERNEL void halve(int* n) { *n = half(*n).value_or(-1); }

int main() {
  void (*const kernel)(int*) = halve;
  std::printf("%d\n", *half(4));
  return kernel != nullptr && !half(3).has_value() ? 0 : 1;
}
