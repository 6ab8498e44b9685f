// SPDX-License-Identifier: Apache-2.0
// expect: nodiscard
#include <millrace/core/error.hpp>

#pragma GCC diagnostic error "-Wunused-result"

int main() {
#if defined(MILLRACE_BAD)
  millrace::core::fail(millrace::errc::full);
#else
  return millrace::core::fail(millrace::errc::ok).error() == millrace::error{} ? 0 : 1;
#endif
}
