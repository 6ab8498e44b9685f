// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <utility>

namespace millrace::inline v0::memory {

/// A piece of upstream memory that is cut into blocks of one size.
struct block_span {
  std::uintptr_t begin = 0;
  std::size_t bytes = 0;
  std::size_t block_bytes = 0;
  std::uint32_t blocks = 0;
  std::uint32_t found = 0;        ///< free ones, while somebody counts them
  std::uint64_t* live = nullptr;  ///< a bit a block, where frees are checked
};

/// Spans by address.
/// @thread one at a time
class span_table {
 public:
  span_table() noexcept = default;
  span_table(span_table const&) = delete;
  span_table& operator=(span_table const&) = delete;
  ~span_table() { delete[] spans_; }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] block_span* begin() noexcept { return spans_; }
  [[nodiscard]] block_span* end() noexcept { return spans_ + size_; }

  /// The span that holds an address, or null.
  [[nodiscard]] block_span* find(void const* p) noexcept {
    auto const address = reinterpret_cast<std::uintptr_t>(p);
    std::size_t const after = behind(address);
    if (after == 0) { return nullptr; }
    block_span& s = spans_[after - 1];
    return address - s.begin < s.bytes ? &s : nullptr;
  }

  /// @return false when the host has no room to note it
  [[nodiscard]] bool add(block_span const& span) noexcept {
    if (size_ == room_ && !grow()) { return false; }
    std::size_t const at = behind(span.begin);
    std::memmove(spans_ + at + 1, spans_ + at, (size_ - at) * sizeof(block_span));
    spans_[at] = span;
    ++size_;
    return true;
  }
  void remove(void const* p) noexcept {
    if (block_span* const s = find(p); s != nullptr) {
      --size_;
      std::memmove(s, s + 1, static_cast<std::size_t>(end() - s) * sizeof(block_span));
    }
  }

 private:
  /// How many spans begin at or before an address.
  [[nodiscard]] std::size_t behind(std::uintptr_t address) const noexcept {
    std::size_t low = 0;
    for (std::size_t n = size_; n != 0;) {
      std::size_t const half = n / 2;
      if (spans_[low + half].begin <= address) {
        low += half + 1;
        n -= half + 1;
      } else {
        n = half;
      }
    }
    return low;
  }
  [[nodiscard]] bool grow() noexcept {
    std::size_t const room = room_ == 0 ? 64 : 2 * room_;
    auto* const larger = new (std::nothrow) block_span[room];
    if (larger == nullptr) { return false; }
    if (size_ != 0) { std::memcpy(larger, spans_, size_ * sizeof(block_span)); }
    delete[] std::exchange(spans_, larger);
    room_ = room;
    return true;
  }

  block_span* spans_ = nullptr;
  std::size_t size_ = 0;
  std::size_t room_ = 0;
};

}  // namespace millrace::inline v0::memory
