// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/rng.hpp>

#include <cstddef>
#include <cstdint>

/// \file
/// What a survey of in-kernel allocators has every thread do, as bodies that a kernel or a loop on
/// the host calls with the thread's number: allocate, write what only this thread writes, and, when
/// all have, look at it and free.
/// @source GPUMemManSurvey (Winter, Parger, Mlakar, Steinberger, PPoPP 2021): uniform, mixed and
///         out-of-memory cases

namespace survey {

/// How large thread `i`'s block is.
struct sizes {
  std::uint32_t least = 16, most = 16;  ///< equal: uniform

  [[nodiscard]] MILLRACE_HD std::uint32_t of(std::uint32_t i) const noexcept {
    if (least == most) { return least; }
    millrace::core::xoshiro_rng random(i + 1);
    return least + static_cast<std::uint32_t>(random.next() % (most - least + 1));
  }
};

/// Writes a block's words: who has it, and where in it they are.
MILLRACE_HD inline void write(void* p, std::uint32_t bytes, std::uint32_t me) noexcept {
  auto* const words = static_cast<std::uint32_t*>(p);
  for (std::uint32_t w = 0; w < bytes / 4; ++w) { words[w] = me * 0x9e37'79b1u + w; }
}
[[nodiscard]] MILLRACE_HD inline bool holds(void const* p, std::uint32_t bytes,
                                            std::uint32_t me) noexcept {
  auto const* const words = static_cast<std::uint32_t const*>(p);
  bool right = true;
  for (std::uint32_t w = 0; w < bytes / 4; ++w) { right &= words[w] == me * 0x9e37'79b1u + w; }
  return right;
}

/// Blocks of all threads.
template <class Heap>
struct allocate {
  Heap heap;
  sizes size;
  void** blocks;

  MILLRACE_HD void operator()(std::uint32_t me) const noexcept {
    void* const p = heap.malloc(size.of(me));
    blocks[me] = p;
    if (p != nullptr) { write(p, size.of(me), me); }
  }
};
/// Looks at its own and frees another's: `hop` threads further on.
template <class Heap>
struct check_and_free {
  Heap heap;
  sizes size;
  void** blocks;
  std::uint32_t count, hop;
  std::uint8_t* wrong;  ///< one a thread

  MILLRACE_HD void operator()(std::uint32_t me) const noexcept {
    std::uint32_t const whose = (me + hop) % count;
    void* const p = blocks[whose];
    bool right = true;
    if (p != nullptr) {
      right = holds(p, size.of(whose), whose) && heap.usable_bytes(p) >= size.of(whose);
      right = heap.free(p).has_value() && right;
    }
    wrong[me] = right ? 0 : 1;
  }
};

}  // namespace survey
