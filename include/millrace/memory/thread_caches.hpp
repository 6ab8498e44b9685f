// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/memory/heap_core.hpp>

#include <cstdint>
#include <memory>
#include <new>
#include <utility>

namespace millrace::inline v0::memory {

namespace detail {

/// The caches that the calling thread has of its heaps.
template <heap_policy P>
class thread_caches {
 public:
  using cache = heap_cache<P>;

  /// The thread's cache of a heap; null when there is none left for it.
  [[nodiscard]] static cache* of(std::shared_ptr<heap_core<P>> const& heap) noexcept {
    if (newest_.heap == heap.get()) [[likely]] { return newest_.cache; }
    return find(heap);
  }
  /// Whether it is the one that the thread asked for last; then `last` has it.
  [[nodiscard]] static bool is_last(heap_core<P> const* heap) noexcept {
    return newest_.heap == heap;
  }
  [[nodiscard]] static cache& last() noexcept { return *newest_.cache; }

  /// The thread's cache of a heap; null when it has none, and then it gets none.
  [[nodiscard]] static cache* existing(heap_core<P>* heap) noexcept {
    for (entry* e = all_.first; e != nullptr; e = e->next) {
      if (e->address == heap && !e->heap.expired()) { return &heap->caches()[e->number]; }
    }
    return nullptr;
  }

 private:
  struct entry {
    std::weak_ptr<heap_core<P>> heap;
    heap_core<P>* address = nullptr;
    std::uint32_t number = 0;
    entry* next = nullptr;
  };
  struct shortcut {
    heap_core<P>* heap = nullptr;  // an address comes again only after its entry expired
    heap_cache<P>* cache = nullptr;
  };
  struct list {
    entry* first = nullptr;

    ~list() {
      newest_ = {};
      for (entry* e = first; e != nullptr;) {
        if (auto const alive = e->heap.lock()) { alive->caches().leave(e->number); }
        delete std::exchange(e, e->next);
      }
      first = nullptr;
      over_ = true;
    }
  };

  [[nodiscard, gnu::noinline]] static cache* find(
      std::shared_ptr<heap_core<P>> const& heap) noexcept {
    if (over_) { return nullptr; }  // the thread has given its caches up
    newest_ = {};                   // it may be of a heap whose entry is about to go
    for (entry** at = &all_.first; *at != nullptr;) {
      if ((*at)->heap.expired()) {
        delete std::exchange(*at, (*at)->next);
      } else if ((*at)->address == heap.get()) {
        newest_ = {heap.get(), &heap->caches()[(*at)->number]};
        return newest_.cache;
      } else {
        at = &(*at)->next;
      }
    }
    auto* const made = new (std::nothrow) entry;
    if (made == nullptr) { return nullptr; }
    auto const number = heap->caches().enter();
    if (!number) {
      delete made;
      return nullptr;
    }
    *made = {heap, heap.get(), *number, all_.first};
    all_.first = made;
    newest_ = {heap.get(), &heap->caches()[*number]};
    return newest_.cache;
  }

  static inline thread_local constinit shortcut newest_{};
  static inline thread_local constinit bool over_ = false;
  static inline thread_local list all_;
};

}  // namespace detail

}  // namespace millrace::inline v0::memory
