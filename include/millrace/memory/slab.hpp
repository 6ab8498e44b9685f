// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/access.hpp>
#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/core/platform.hpp>
#include <millrace/memory/buffer.hpp>
#include <millrace/memory/resource.hpp>

#include <cuda/std/bit>

#include <cstddef>
#include <cstdint>
#include <new>
#include <type_traits>
#include <utility>

namespace millrace::inline v0::memory {

/// The head of a slab's memory: offsets and counts only, so that it means the same wherever the
/// memory is mapped. The bitmap follows it, then the blocks. Constant once formatted.
struct slab_header {
  static constexpr std::uint32_t current_layout = 0x4d53'0001;  // 'MS', layout 1

  std::uint32_t layout = 0;
  std::uint32_t block_count = 0;
  std::uint32_t word_count = 0;  ///< of the bitmap, 64 blocks each
  std::uint32_t reserved = 0;
  std::uint64_t block_bytes = 0;    ///< from block to block
  std::uint64_t bitmap_offset = 0;  ///< from the header
  std::uint64_t blocks_offset = 0;  ///< from the header
};
static_assert(std::is_trivially_copyable_v<slab_header> && sizeof(slab_header) == 40);

/// Every header, bitmap and first block begins at a multiple of this.
inline constexpr std::size_t slab_alignment = core::destructive_bytes;

/// `block_count` blocks of `block_bytes` in memory that somebody else owns. Any thread takes and
/// gives back; lock-free; nothing in a block is touched. A bit of the bitmap is a block's owner:
/// claims and returns are compare-exchanges of its word, so that a block which went and came back
/// is claimed as rightly as one that stayed (no ABA), and a second free finds its bit clear.
/// Trivially copyable; goes into kernels. Host threads and kernels may use one slab at the same
/// time only where the device's atomics on that memory are native
/// (cudaDevAttrHostNativeAtomicSupported).
template <core::access_policy Access>
class slab_ref {
 public:
  slab_ref() noexcept = default;

  /// Bytes that a slab of this shape needs, from an address aligned to slab_alignment.
  /// @error errc::bad_argument: 1 block_bytes is 0 or no multiple of 8, 2 block_count is 0;
  ///        errc::out_of_memory when no address space holds it
  [[nodiscard]] static MILLRACE_HD constexpr result<std::size_t> required_bytes(
      std::size_t block_bytes, std::uint32_t block_count) noexcept {
    if (block_bytes == 0 || block_bytes % 8 != 0) { return core::fail(errc::bad_argument, 1); }
    if (block_count == 0) { return core::fail(errc::bad_argument, 2); }
    std::size_t const head = blocks_offset(block_count);
    if (block_bytes > (max_request_bytes - head) / block_count) {
      return core::fail(errc::out_of_memory);
    }
    return head + block_bytes * block_count;
  }

  /// Writes an empty slab into `memory`, which nobody else may use until this returns.
  /// @error as required_bytes; errc::bad_argument 3 when `memory` is null or not aligned to
  ///        slab_alignment, 4 when `bytes` are too few
  [[nodiscard]] static MILLRACE_HD result<slab_ref> format(void* memory, std::size_t bytes,
                                                           std::size_t block_bytes,
                                                           std::uint32_t block_count) noexcept {
    auto const needed = required_bytes(block_bytes, block_count);
    if (!needed) { return cuda::std::unexpected<error>(needed.error()); }
    if (!usable(memory)) { return core::fail(errc::bad_argument, 3); }
    if (bytes < *needed) { return core::fail(errc::bad_argument, 4); }
    auto* const head = ::new (memory) slab_header;
    head->block_count = block_count;
    head->word_count = words_for(block_count);
    head->block_bytes = block_bytes;
    head->bitmap_offset = slab_alignment;
    head->blocks_offset = blocks_offset(block_count);
    slab_ref const made(head);
    for (std::uint32_t w = 0; w < head->word_count; ++w) {
      // blocks that do not exist are taken for ever
      std::uint32_t const there = block_count - 64 * w;
      Access::store(made.word(w), there < 64 ? ~std::uint64_t{0} << there : std::uint64_t{0},
                    core::relaxed, "slab.format");
    }
    head->layout = slab_header::current_layout;
    return made;
  }

  /// The slab that format wrote into `memory`, perhaps in another process.
  /// @error errc::bad_argument 1 when `memory` is null or not aligned to slab_alignment;
  ///        errc::layout_mismatch when no slab of this version is there
  [[nodiscard]] static MILLRACE_HD result<slab_ref> attach(void* memory) noexcept {
    if (!usable(memory)) { return core::fail(errc::bad_argument, 1); }
    auto* const head = static_cast<slab_header*>(memory);
    bool const ours = head->layout == slab_header::current_layout && head->block_count != 0 &&
                      head->word_count == words_for(head->block_count) &&
                      head->bitmap_offset == slab_alignment &&
                      head->blocks_offset == blocks_offset(head->block_count);
    if (!ours) { return core::fail(errc::layout_mismatch); }
    return slab_ref(head);
  }

  [[nodiscard]] MILLRACE_HD std::uint32_t block_count() const noexcept {
    return head_->block_count;
  }
  [[nodiscard]] MILLRACE_HD std::size_t block_bytes() const noexcept { return head_->block_bytes; }

  /// The address of block `index`.
  [[nodiscard]] MILLRACE_HD void* block(std::uint32_t index) const noexcept {
    MILLRACE_ASSERT(index < head_->block_count);
    return base() + head_->blocks_offset + head_->block_bytes * index;
  }

  /// Takes a free block and gives its index; its bytes are what the last owner left. The search
  /// begins at word `start` (modulo their number): callers that start apart meet less.
  /// @error errc::full when every word was seen without a free block
  /// @cost one compare-exchange when nobody interferes, O(block_count / 64) loads at most
  [[nodiscard]] MILLRACE_HD result<std::uint32_t> allocate(std::uint32_t start = 0) const noexcept {
    std::uint32_t const words = head_->word_count;
    std::uint32_t w = start % words;
    for (std::uint32_t seen = 0; seen < words; ++seen) {
      std::uint64_t& bits = word(w);
      std::uint64_t taken = Access::load(bits, core::relaxed, "slab.look");
      while (taken != ~std::uint64_t{0}) {
        auto const bit = static_cast<std::uint32_t>(cuda::std::countr_one(taken));
        // acquire: what the last owner did with the block happened before its free
        if (Access::compare_exchange(bits, taken, taken | (std::uint64_t{1} << bit), core::acquire,
                                     core::relaxed, "slab.claim")) {
          return 64 * w + bit;
        }
      }
      w = w + 1 == words ? 0 : w + 1;
    }
    return core::fail(errc::full);
  }

  /// Gives block `index` back.
  /// @error errc::bad_argument: 1 no such block, 2 the block is free already
  [[nodiscard]] MILLRACE_HD result<void> free(std::uint32_t index) const noexcept {
    if (index >= head_->block_count) { return core::fail(errc::bad_argument, 1); }
    std::uint64_t const bit = std::uint64_t{1} << (index % 64);
    std::uint64_t& bits = word(index / 64);
    std::uint64_t taken = Access::load(bits, core::relaxed, "slab.look");
    while ((taken & bit) != 0) {
      // release: this owner's last access is done before the next owner's first
      if (Access::compare_exchange(bits, taken, taken & ~bit, core::release, core::relaxed,
                                   "slab.free")) {
        return {};
      }
    }
    return core::fail(errc::bad_argument, 2);
  }

  /// The block that begins at `p`.
  /// @error errc::bad_argument 1 when no block begins there: a foreign, interior or null pointer
  [[nodiscard]] MILLRACE_HD result<std::uint32_t> index_of(void const* p) const noexcept {
    auto const first = reinterpret_cast<std::uintptr_t>(base()) + head_->blocks_offset;
    auto const at = reinterpret_cast<std::uintptr_t>(p);
    std::uint64_t const offset = at - first;  // wraps to something large below the first block
    if (offset % head_->block_bytes != 0 || offset / head_->block_bytes >= head_->block_count) {
      return core::fail(errc::bad_argument, 1);
    }
    return static_cast<std::uint32_t>(offset / head_->block_bytes);
  }

  /// Gives back the block that begins at `p`.
  /// @error as index_of and free
  [[nodiscard]] MILLRACE_HD result<void> deallocate(void const* p) const noexcept {
    auto const index = index_of(p);
    if (!index) { return cuda::std::unexpected<error>(index.error()); }
    return free(*index);
  }

  /// Blocks that are taken; exact when nobody allocates or frees meanwhile.
  /// @cost O(block_count / 64)
  [[nodiscard]] MILLRACE_HD std::uint32_t live() const noexcept {
    std::uint32_t n = 0;
    for (std::uint32_t w = 0; w < head_->word_count; ++w) {
      std::uint64_t const taken = Access::load(word(w), core::relaxed, "slab.live");
      n += static_cast<std::uint32_t>(cuda::std::popcount(taken));
    }
    return n - (64 * head_->word_count - head_->block_count);
  }

 private:
  MILLRACE_HD explicit slab_ref(slab_header* head) noexcept : head_{head} {}

  [[nodiscard]] static MILLRACE_HD constexpr std::uint32_t words_for(
      std::uint32_t block_count) noexcept {
    return block_count / 64 + (block_count % 64 != 0 ? 1 : 0);
  }
  [[nodiscard]] static MILLRACE_HD constexpr std::size_t blocks_offset(
      std::uint32_t block_count) noexcept {
    std::size_t const end = slab_alignment + 8 * std::size_t{words_for(block_count)};
    return (end + slab_alignment - 1) / slab_alignment * slab_alignment;
  }
  [[nodiscard]] static MILLRACE_HD bool usable(void const* memory) noexcept {
    return memory != nullptr && reinterpret_cast<std::uintptr_t>(memory) % slab_alignment == 0;
  }
  [[nodiscard]] MILLRACE_HD std::byte* base() const noexcept {
    return reinterpret_cast<std::byte*>(head_);
  }
  [[nodiscard]] MILLRACE_HD std::uint64_t& word(std::uint32_t w) const noexcept {
    return reinterpret_cast<std::uint64_t*>(base() + head_->bitmap_offset)[w];
  }

  slab_header* head_ = nullptr;
};

/// Owns a slab's memory. Blocks must not be used after its end.
/// @thread the slab moves and ends on one thread; its ref works from any
template <core::access_policy Access, host_accessible_resource Resource = host_resource>
class slab {
 public:
  /// An empty slab in memory from `from`.
  /// @error as slab_ref::required_bytes and the resource's try_allocate
  [[nodiscard]] static result<slab> make(std::size_t block_bytes, std::uint32_t block_count,
                                         Resource from = {}) noexcept {
    auto const bytes = slab_ref<Access>::required_bytes(block_bytes, block_count);
    if (!bytes) { return cuda::std::unexpected<error>(bytes.error()); }
    auto memory = buffer<std::byte, Resource>::make(*bytes, from, slab_alignment);
    if (!memory) { return cuda::std::unexpected<error>(memory.error()); }
    auto made = slab_ref<Access>::format(memory->data(), *bytes, block_bytes, block_count);
    if (!made) { return cuda::std::unexpected<error>(made.error()); }
    return slab(std::move(*memory), *made);
  }

  // Written out, because a compiler-made one would count as device code under nvcc.
  slab(slab&& other) noexcept
      : memory_{std::move(other.memory_)}, ref_{std::exchange(other.ref_, {})} {}
  slab& operator=(slab&& other) noexcept {
    memory_ = std::move(other.memory_);
    ref_ = std::exchange(other.ref_, {});
    return *this;
  }
  ~slab() {}

  [[nodiscard]] slab_ref<Access> ref() const noexcept { return ref_; }

 private:
  slab(buffer<std::byte, Resource> memory, slab_ref<Access> ref) noexcept
      : memory_{std::move(memory)}, ref_{ref} {}

  buffer<std::byte, Resource> memory_;
  slab_ref<Access> ref_;
};

}  // namespace millrace::inline v0::memory
