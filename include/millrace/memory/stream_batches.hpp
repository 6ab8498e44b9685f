// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

namespace millrace::inline v0::memory {

/// Free blocks of one class that any stream may have after the same mark of their shard.
struct block_batch {
  static constexpr std::uint32_t most = 32;

  block_batch* older = nullptr;
  block_batch* newer = nullptr;
  std::uint64_t needs = 0;  ///< the mark's number; 0: done
  std::uint32_t index = 0;  ///< of the class
  std::uint32_t home = 0;   ///< for whoever gathers batches of several shards
  std::uint32_t count = 0;
  void* blocks[most];
};

/// A free run: a request too large for any class.
struct block_run {
  block_run* older = nullptr;
  block_run* newer = nullptr;
  std::uint64_t needs = 0;
  void* at = nullptr;
  std::size_t bytes = 0;
};

/// A list of either, by age: `needs` rises from the oldest to the newest.
template <class T>
struct by_age {
  T* oldest = nullptr;
  T* newest = nullptr;

  void add_newest(T* t) noexcept {
    t->older = std::exchange(newest, t);
    t->newer = nullptr;
    (t->older != nullptr ? t->older->newer : oldest) = t;
  }
  void add_oldest(T* t) noexcept {
    t->newer = std::exchange(oldest, t);
    t->older = nullptr;
    (t->newer != nullptr ? t->newer->older : newest) = t;
  }
  [[nodiscard]] T* remove(T* t) noexcept {
    (t->older != nullptr ? t->older->newer : oldest) = t->newer;
    (t->newer != nullptr ? t->newer->older : newest) = t->older;
    return t;
  }
  void destroy() noexcept {
    while (oldest != nullptr) { delete remove(oldest); }
  }
};

}  // namespace millrace::inline v0::memory
