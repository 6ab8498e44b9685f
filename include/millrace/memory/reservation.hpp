// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/error.hpp>
#include <millrace/memory/resource.hpp>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <sys/mman.h>
#include <unistd.h>
#include <utility>

namespace millrace::inline v0::memory {

/// A range of addresses that nobody else gets. Its pages are zero, and take memory from their first
/// touch until they are discarded. Moves, never copies.
/// @thread one at a time; the memory itself any
class reservation {
 public:
  reservation() noexcept = default;
  reservation(reservation&& other) noexcept
      : data_{std::exchange(other.data_, nullptr)}, size_{std::exchange(other.size_, 0)} {}
  reservation& operator=(reservation&& other) noexcept {
    reservation moved(std::move(other));
    std::swap(data_, moved.data_);
    std::swap(size_, moved.size_);
    return *this;
  }
  ~reservation() {
    if (data_ != nullptr) { ::munmap(data_, size_); }
  }

  /// @param bytes  rounded up to a multiple of `alignment`
  /// @param alignment  of its begin, a power of two and a page at least
  /// @error as check_request; errc::out_of_memory when the system admits no such range
  [[nodiscard]] static result<reservation> make(std::size_t bytes, std::size_t alignment) noexcept {
    constexpr std::size_t most = std::size_t{1} << 40;
    if (auto const ok = check_request(bytes, alignment, most); !ok) {
      return cuda::std::unexpected(ok.error());
    }
    bytes = (bytes + alignment - 1) & ~(alignment - 1);
    if (bytes > max_request_bytes - alignment) { return core::fail(errc::out_of_memory); }
    std::size_t const asked = bytes + alignment;
    void* const got = ::mmap(nullptr, asked, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (got == MAP_FAILED) { return core::fail(errc::out_of_memory); }
    auto* const begin = static_cast<std::byte*>(got);
    auto const off = reinterpret_cast<std::uintptr_t>(got) & (alignment - 1);
    std::size_t const before = off == 0 ? 0 : alignment - off;
    if (before != 0) { ::munmap(begin, before); }
    ::munmap(begin + before + bytes, asked - before - bytes);
    reservation made;
    made.data_ = begin + before;
    made.size_ = bytes;
    return made;
  }

  [[nodiscard]] std::byte* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

  static constexpr std::size_t huge_page_bytes = std::size_t{2} << 20;

  /// Asks the system for pages of 2 MiB; where it has none, nothing changes.
  static void prefer_huge_pages(std::byte* begin, std::size_t bytes) noexcept {
    int const kept = errno;
    ::madvise(begin, bytes, MADV_HUGEPAGE);
    errno = kept;
  }

  /// Gives the memory of the pages that lie within back to the system; they read as zero
  /// afterwards.
  static void discard(std::byte* begin, std::size_t bytes) noexcept {
    int const kept = errno;
    auto const page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
    auto const from = reinterpret_cast<std::uintptr_t>(begin);
    std::uintptr_t const first = (from + page - 1) / page * page;
    std::uintptr_t const end = (from + bytes) / page * page;
    if (first < end) { ::madvise(reinterpret_cast<void*>(first), end - first, MADV_DONTNEED); }
    errno = kept;
  }

 private:
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace millrace::inline v0::memory
