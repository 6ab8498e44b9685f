// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/access.hpp>
#include <millrace/core/error.hpp>
#include <millrace/memory/heap_cache.hpp>
#include <millrace/memory/heap_policy.hpp>
#include <millrace/memory/heap_space.hpp>

#include <cstdint>
#include <new>

namespace millrace::inline v0::memory {

/// A heap's caches, and who has them. A cache outlives its thread: its slabs keep their owner, and
/// the next thread that comes goes on with it.
/// @thread any
template <heap_policy P>
class cache_crowd {
 public:
  using access = typename P::access;
  using cache = heap_cache<P>;

  cache_crowd() noexcept = default;
  /// @param caches  room for `count`, in which none begins yet; the space has a post for each
  cache_crowd(heap_space<P>& space, cache* caches, std::uint32_t count) noexcept
      : space_{&space}, caches_{caches}, count_{count} {}

  [[nodiscard]] std::uint32_t size() const noexcept { return count_; }
  [[nodiscard]] cache& operator[](std::uint32_t number) const noexcept { return caches_[number]; }
  [[nodiscard]] cache_state state(std::uint32_t number) const noexcept {
    return static_cast<cache_state>(
        access::load(space_->posts[number].state, core::relaxed, "cache.look"));
  }

  /// Whether the cache is there to be looked at.
  [[nodiscard]] bool begun(std::uint32_t number) const noexcept {
    return words::load(space_->posts[number].begun, core::acquire, "cache.begun") != 0;
  }

  /// A cache for the calling thread: one that another left, else a new one.
  /// @error errc::busy when every one is taken
  [[nodiscard]] result<std::uint32_t> enter() const noexcept {
    for (cache_state const wanted : {cache_state::abandoned, cache_state::unused}) {
      for (std::uint32_t i = 0; i < count_; ++i) {
        if (move(i, wanted)) {
          access::write(&caches_[i], 1, "cache.mine");
          if (wanted == cache_state::unused) {
            (::new (&caches_[i]) cache)->begin(*space_, i);
            // release: the cache's first words, for those who look at its counts
            words::store(space_->posts[i].begun, 1u, core::release, "cache.begun");
          }
          return i;
        }
        if (wanted == cache_state::abandoned && state(i) == cache_state::unused) {
          break;  // nor were those behind it ever used
        }
      }
    }
    return core::fail(errc::busy);
  }

  /// Gives a cache up, with whatever of its slabs is in use.
  void leave(std::uint32_t number) const noexcept {
    access::write(&caches_[number], 1, "cache.mine");
    caches_[number].empty();
    // release: all that this thread did with the cache
    access::store(space_->posts[number].state, static_cast<std::uint32_t>(cache_state::abandoned),
                  core::release, "cache.leave");
  }

  /// Lets caches whose threads have left give back what came home to them since.
  void reclaim() const noexcept {
    for (std::uint32_t i = 0; i < count_ && state(i) != cache_state::unused; ++i) {
      if (move(i, cache_state::abandoned)) { leave(i); }
    }
  }

 private:
  using words = core::direct_access<cuda::thread_scope_system>;  // of no protocol: see watched

  /// From a state to taken.
  [[nodiscard]] bool move(std::uint32_t number, cache_state from) const noexcept {
    if (state(number) != from) { return false; }
    auto expected = static_cast<std::uint32_t>(from);
    // acquire: what the last thread did with the cache happened before it left
    return access::compare_exchange(space_->posts[number].state, expected,
                                    static_cast<std::uint32_t>(cache_state::taken), core::acquire,
                                    core::relaxed, "cache.enter");
  }

  heap_space<P>* space_ = nullptr;
  cache* caches_ = nullptr;
  std::uint32_t count_ = 0;
};

}  // namespace millrace::inline v0::memory
