// SPDX-License-Identifier: Apache-2.0
#include <millrace/core/error.hpp>

#include <cstdio>
#include <string>

int main() {
  millrace::result<int> const full = millrace::core::fail(millrace::errc::full);
  if (full.has_value()) { return 1; }
  std::printf("%s\n", millrace::core::describe(full.error()).c_str());
  return millrace::core::value_or_throw(millrace::result<int>(0));
}
