// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/memory/resource.hpp>
#include <millrace/memory/span_table.hpp>
#include <millrace/memory/stream_batches.hpp>
#include <millrace/memory/stream_policy.hpp>

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <new>
#include <utility>

namespace millrace::inline v0::memory {

/// What a stream pool has from upstream: spans, which are cut into blocks of one class, and runs,
/// which are not noted here. Calls upstream without a lock of its own.
/// @thread any, but one at a time between mark_free and give_back_marked
template <resource Upstream, stream_pool_policy P>
class stream_store {
  using access = typename P::access;
  using classes = typename P::classes;

 public:
  static constexpr std::size_t alignment = 256;  // of spans and runs

  explicit stream_store(Upstream upstream) noexcept : upstream_{std::move(upstream)} {}
  stream_store(stream_store const&) = delete;
  stream_store& operator=(stream_store const&) = delete;
  ~stream_store() {
    for (block_span const& s : spans_) {
      delete[] s.live;
      give_back(reinterpret_cast<void*>(s.begin), s.bytes);
    }
  }

  [[nodiscard]] std::uint64_t reserved() const noexcept {
    return access::load(reserved_, core::relaxed, "store.reserved");
  }
  [[nodiscard]] std::uint64_t peak() const noexcept {
    return access::load(peak_, core::relaxed, "store.peak");
  }

  [[nodiscard]] result<void*> reserve(std::size_t bytes) noexcept {
    auto const got = upstream_.try_allocate(bytes, alignment);
    if (!got) { return got; }
    std::uint64_t const n = bytes;
    std::uint64_t const now = access::fetch_add(reserved_, n, core::relaxed, "store.reserved") + n;
    core::raise<access>(peak_, now, "store.peak");
    return got;
  }
  void give_back(void* p, std::size_t bytes) noexcept {
    upstream_.deallocate(p, bytes, alignment);
    static_cast<void>(
        access::fetch_add(reserved_, 0 - std::uint64_t{bytes}, core::relaxed, "store.reserved"));
  }

  /// The same for a run.
  [[nodiscard]] result<void*> reserve_run(std::size_t bytes) noexcept {
    auto const got = reserve(bytes);
    if constexpr (P::checks_frees) {
      if (got && !note(*got, bytes, bytes, 1)) {
        give_back(*got, bytes);
        return core::fail(errc::out_of_memory);
      }
    }
    return got;
  }
  void give_back_run(void* p, std::size_t bytes) noexcept {
    if constexpr (P::checks_frees) {
      std::scoped_lock const all(lock_);
      delete[] spans_.find(p)->live;
      spans_.remove(p);
    }
    give_back(p, bytes);
  }

  /// Notes that a block is out.
  void lend(void const* p) noexcept {
    if constexpr (P::checks_frees) {
      std::scoped_lock const all(lock_);
      block_span& s = *spans_.find(p);
      std::uint64_t const i = offset_in(s, p) / s.block_bytes;
      s.live[i / 64] |= std::uint64_t{1} << (i % 64);
    }
  }
  /// Notes that a block of `bytes`, as the pool rounds them, is back.
  /// @return the number of the argument that is wrong; 0 when none is
  [[nodiscard]] std::int32_t take_back(void const* p, std::size_t bytes) noexcept {
    if constexpr (P::checks_frees) {
      std::scoped_lock const all(lock_);
      block_span* const s = spans_.find(p);
      if (s == nullptr || offset_in(*s, p) % s->block_bytes != 0) { return 1; }
      std::uint64_t const i = offset_in(*s, p) / s->block_bytes;
      if (i >= s->blocks) { return 1; }
      std::uint64_t& word = s->live[i / 64];
      std::uint64_t const bit = std::uint64_t{1} << (i % 64);
      if ((word & bit) == 0) { return 1; }
      if (s->block_bytes != bytes) { return 2; }
      word &= ~bit;
    }
    return 0;
  }

  /// A block of a new span; the span's others go to `rest`, in batches of at most `batch` blocks.
  /// @error as upstream's; errc::out_of_memory when the host cannot note it
  [[nodiscard]] result<void*> cut(std::uint32_t index, std::uint32_t batch,
                                  by_age<block_batch>& rest) noexcept {
    std::size_t const size = classes::bytes_of(index), bytes = span_bytes(index);
    auto const got = reserve(bytes);
    if (!got) { return got; }
    auto* const begin = static_cast<std::byte*>(*got);
    auto const blocks = static_cast<std::uint32_t>(bytes / size);
    bool noted = true;
    for (std::uint32_t i = 1; i < blocks && noted;) {
      auto* const b = new (std::nothrow) block_batch;
      noted = b != nullptr;
      if (!noted) { break; }
      b->index = index;
      for (; i < blocks && b->count < batch; ++i) { b->blocks[b->count++] = begin + i * size; }
      rest.add_newest(b);
    }
    if (!noted || !note(begin, bytes, size, blocks)) {
      rest.destroy();
      give_back(begin, bytes);
      return core::fail(errc::out_of_memory);
    }
    return *got;
  }

  /// Finds the spans that `free` has whole, as long as more than `keep_bytes` stay reserved, and
  /// takes their blocks out of it.
  /// @return their bytes
  [[nodiscard]] std::uint64_t mark_free(by_age<block_batch>& free,
                                        std::uint64_t keep_bytes) noexcept {
    std::uint64_t given = 0;
    std::scoped_lock const all(lock_);
    for (block_span& s : spans_) { s.found = 0; }
    for (auto* b = free.oldest; b != nullptr; b = b->newer) {
      for (std::uint32_t i = 0; i < b->count; ++i) {
        block_span* const s = spans_.find(b->blocks[i]);
        if (s != nullptr) { ++s->found; }
      }
    }
    std::uint64_t const now = reserved();
    for (block_span& s : spans_) {
      if (s.found != s.blocks || now - given <= keep_bytes) { continue; }
      s.found = marked;
      given += s.bytes;
    }
    for (auto* b = free.oldest; b != nullptr && given != 0; b = b->newer) {
      std::uint32_t stay = 0;
      for (std::uint32_t i = 0; i < b->count; ++i) {
        block_span const* const s = spans_.find(b->blocks[i]);
        if (s == nullptr || s->found != marked) { b->blocks[stay++] = b->blocks[i]; }
      }
      b->count = stay;
    }
    return given;
  }
  /// Gives these spans back. Upstream may call into the pool meanwhile.
  void give_back_marked() noexcept {
    for (;;) {
      std::unique_lock all(lock_);
      block_span* s = spans_.begin();
      while (s != spans_.end() && s->found != marked) { ++s; }
      if (s == spans_.end()) { return; }
      block_span const gone = *s;
      delete[] gone.live;
      spans_.remove(reinterpret_cast<void*>(gone.begin));
      all.unlock();
      give_back(reinterpret_cast<void*>(gone.begin), gone.bytes);
    }
  }

  [[nodiscard]] static constexpr std::size_t span_bytes(std::uint32_t index) noexcept {
    std::size_t const wish = 64 * classes::bytes_of(index);
    return wish < P::least_span_bytes  ? P::least_span_bytes
           : wish > P::most_span_bytes ? P::most_span_bytes
                                       : wish;
  }

 private:
  static constexpr std::uint32_t marked = ~std::uint32_t{0};

  [[nodiscard]] static std::size_t offset_in(block_span const& s, void const* p) noexcept {
    return reinterpret_cast<std::uintptr_t>(p) - s.begin;
  }
  [[nodiscard]] bool note(void* begin, std::size_t bytes, std::size_t block_bytes,
                          std::uint32_t blocks) noexcept {
    std::uint64_t* live = nullptr;
    if constexpr (P::checks_frees) {
      live = new (std::nothrow) std::uint64_t[(blocks + 63) / 64]{};
      if (live == nullptr) { return false; }
    }
    std::scoped_lock const all(lock_);
    bool const noted =
        spans_.add({reinterpret_cast<std::uintptr_t>(begin), bytes, block_bytes, blocks, 0, live});
    if (!noted) { delete[] live; }
    return noted;
  }

  Upstream upstream_;
  std::mutex lock_;
  span_table spans_;
  std::uint64_t reserved_ = 0;
  std::uint64_t peak_ = 0;
};

}  // namespace millrace::inline v0::memory
