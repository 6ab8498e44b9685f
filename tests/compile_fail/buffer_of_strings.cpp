// SPDX-License-Identifier: Apache-2.0
// expect: constraints not satisfied|template constraint failure
#include <millrace/memory/buffer.hpp>

#include <string>

#if defined(MILLRACE_BAD)
using element = std::string;
#else
using element = double;
#endif

int main() { return millrace::memory::buffer<element>::make(1) ? 0 : 1; }
