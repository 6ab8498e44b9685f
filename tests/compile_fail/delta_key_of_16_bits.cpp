// SPDX-License-Identifier: Apache-2.0
// expect: change_key
#include <millrace/delta/change_set.hpp>

#include <cstdint>

#if defined(MILLRACE_BAD)
using key = std::uint16_t;
#else
using key = std::uint32_t;
#endif

int main() { return millrace::delta::change_set<key, float>::make(1) ? 0 : 1; }
