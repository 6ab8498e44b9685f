// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/memory/resource.hpp>
#include <millrace/propagate/pieces.hpp>

#include <algorithm>
#include <cstddef>
#include <new>
#include <utility>

namespace millrace::inline v0::propagate::detail {

/// Whether a tool looks at each block that is given back: it sees nothing of a shared one. All
/// translation units of a program have to agree.
#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool blocks_are_watched = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
inline constexpr bool blocks_are_watched = true;
#else
inline constexpr bool blocks_are_watched = false;
#endif
#else
inline constexpr bool blocks_are_watched = false;
#endif

/// Blocks that come and go one by one and are small: what a graph keeps of a cell is a few of them.
/// They stand side by side in large blocks of a resource, from some megabytes on in huge pages, and
/// lie on no more lines than they have to. One that is given back is the next of its size; the
/// resource gets the large blocks back at the end, and nothing before.
/// @tparam Most bytes of what is small; larger blocks are the resource's own. 0: all are
/// @thread one at a time
template <memory::host_accessible_resource R, std::size_t Most>
class small_blocks {
  static_assert(Most <= 65536, "small_blocks: one list a size");

 public:
  explicit small_blocks(R from) noexcept : memory_{from}, from_{std::move(from)} {}
  small_blocks(small_blocks const&) = delete;
  small_blocks& operator=(small_blocks const&) = delete;

  /// As of a resource.
  /// @error errc::out_of_memory, the resource's
  [[nodiscard]] result<void*> try_allocate(std::size_t bytes, std::size_t alignment) noexcept {
    if constexpr (is_shared) {
      if (bytes <= Most && alignment <= line) {
        std::size_t const whole = rounded(bytes, alignment);
        gone*& first = first_[whole / half];
        if (first != nullptr) { return std::exchange(first, first->next); }
        std::size_t const lowest = whole & (~whole + 1);  // of its bits
        std::byte* const made = memory_.carve(whole, std::min(lowest, line), least);
        if (made == nullptr) { return core::refuse<void*>(errc::out_of_memory); }
        return made;
      }
    }
    return from_.try_allocate(bytes, alignment);
  }
  void deallocate(void* block, std::size_t bytes, std::size_t alignment) noexcept {
    if constexpr (is_shared) {
      if (bytes <= Most && alignment <= line) {
        gone*& first = first_[rounded(bytes, alignment) / half];
        first = ::new (block) gone{first};
        return;
      }
    }
    from_.deallocate(block, bytes, alignment);
  }

 private:
  struct gone {
    gone* next;
  };
  static constexpr bool is_shared = Most != 0 && !blocks_are_watched;
  static constexpr std::size_t line = pieces<R>::line, half = line / 2;
  static constexpr std::size_t least = 4096;  // bytes of the first large block

  /// 16 bytes, or half lines: of these an odd number begins at any, an even one with a line.
  [[nodiscard]] static constexpr std::size_t rounded(std::size_t bytes,
                                                     std::size_t alignment) noexcept {
    bool const is_least = std::max(bytes, alignment) <= half / 2;
    std::size_t const unit = is_least ? half / 2 : std::max(half, alignment);
    return (std::max<std::size_t>(bytes, 1) + unit - 1) & ~(unit - 1);
  }

  gone* first_[rounded(Most, line) / half + 1] = {};  // of each size
  pieces<R> memory_;
  R from_;
};

}  // namespace millrace::inline v0::propagate::detail
