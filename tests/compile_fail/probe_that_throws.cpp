// SPDX-License-Identifier: Apache-2.0
// expect: constraints not satisfied|does not satisfy|template constraint failure
#include <millrace/core/probe.hpp>

#include <cstdint>

namespace core = millrace::core;

struct throwing_probe {
  static void record(core::probe_event, std::uint64_t) {}
};

template <core::probe P>
struct watched {};

#if defined(MILLRACE_BAD)
using chosen = throwing_probe;
#else
using chosen = core::null_probe;
#endif

int main() { [[maybe_unused]] watched<chosen> const w; }
