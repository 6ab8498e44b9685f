// SPDX-License-Identifier: Apache-2.0
// expect: constraints not satisfied
#include <millrace/core/access.hpp>

namespace core = millrace::core;

struct partial_access {
  template <class T>
  static T load(T const& word, core::memory_order, char const*) noexcept {
    return word;
  }
};

template <core::access_policy A>
struct protocol {};

#if defined(MILLRACE_BAD)
using chosen = partial_access;
#else
using chosen = core::direct_access<cuda::thread_scope_system>;
#endif

int main() { [[maybe_unused]] protocol<chosen> const p; }
