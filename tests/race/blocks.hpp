// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "access.hpp"
#include "explorer.hpp"

#include <cstddef>
#include <cstdint>

/// \file
/// What threads of an exploration do with blocks of memory.

namespace race {

/// The caller has the block for itself: another that uses it is a data race.
inline void use(void* p, std::size_t bytes = 16) {
  access::write(p, bytes, "user");
  *static_cast<std::uint64_t*>(p) = this_thread();
}

/// A block goes to another thread, which waits for it.
inline void hand_over(std::uint64_t& flag, void* p) {
  access::store(flag, reinterpret_cast<std::uintptr_t>(p), millrace::core::release, "test.hand");
}
[[nodiscard]] inline void* receive(std::uint64_t& flag) {
  begin_round();
  for (;;) {
    auto const seen = access::load(flag, millrace::core::acquire, "test.receive");
    if (seen != 0) { return reinterpret_cast<void*>(seen); }
    pause();
  }
}

}  // namespace race
