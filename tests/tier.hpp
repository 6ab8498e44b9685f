// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdlib>
#include <string_view>

namespace millrace_test {

/// Whether the tests may take their time: ctest passes the tier of `cmake -DTIER=`.
[[nodiscard]] inline bool long_tier() {
  char const* const tier = std::getenv("MILLRACE_TIER");
  return tier != nullptr && std::string_view(tier) == "long";
}

}  // namespace millrace_test
