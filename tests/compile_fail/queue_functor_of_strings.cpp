// SPDX-License-Identifier: Apache-2.0
// expect: trivially copyable
#include <millrace/queue/functor_abi.hpp>

#include <string>

namespace queue = millrace::queue;

#if defined(MILLRACE_BAD)
using parameters = std::string;
#else
using parameters = std::uint64_t;
#endif

int main() { return sizeof(queue::functor_bytes<parameters>) != 0 ? 0 : 1; }
