// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace millrace::inline v0::memory {

/// What a program did wrong with its memory.
enum class memory_fault : std::uint32_t {
  foreign_pointer,   ///< freed what this resource never gave
  interior_pointer,  ///< freed a place within a block
  double_free,       ///< freed a block again
  wrong_size,        ///< freed with another size or alignment than it was asked for with
  overflow,          ///< wrote behind a block's end
  use_after_free,    ///< wrote into a block after its free
  leak,              ///< never freed
};

/// The words for a fault; never null.
[[nodiscard]] constexpr char const* describe(memory_fault fault) noexcept {
  switch (fault) {
    case memory_fault::foreign_pointer: return "free of a pointer that is no block of this memory";
    case memory_fault::interior_pointer: return "free of a pointer into a block";
    case memory_fault::double_free: return "second free of a block";
    case memory_fault::wrong_size: return "free of a block with another size or alignment";
    case memory_fault::overflow: return "write behind the end of a block";
    case memory_fault::use_after_free: return "write into a block after its free";
    case memory_fault::leak: return "block never freed";
  }
  return "fault";
}

}  // namespace millrace::inline v0::memory
