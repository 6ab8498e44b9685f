// SPDX-License-Identifier: Apache-2.0
// expect: change_value
#include <millrace/delta/change_set.hpp>

#include <cstdint>
#include <string>

#if defined(MILLRACE_BAD)
using value = std::string;
#else
using value = double;
#endif

int main() { return millrace::delta::change_set<std::uint64_t, value>::make(1) ? 0 : 1; }
