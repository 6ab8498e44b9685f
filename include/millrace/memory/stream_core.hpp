// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/memory/resource.hpp>
#include <millrace/memory/size_classes.hpp>
#include <millrace/memory/stream_batches.hpp>
#include <millrace/memory/stream_policy.hpp>
#include <millrace/memory/stream_shards.hpp>
#include <millrace/memory/stream_store.hpp>

#include <cuda/std/bit>

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <new>
#include <utility>

namespace millrace::inline v0::memory {

/// What a stream pool does with its shards and with what is reserved upstream. Nobody calls
/// upstream with a shard's lock held.
/// @thread any
template <resource Upstream, stream_model Model, stream_pool_policy P>
class stream_core {
  using access = typename P::access;
  using classes = typename P::classes;

 public:
  using stream = typename Model::stream;
  using shard = stream_shard<P, Model>;
  static constexpr std::size_t max_alignment = stream_store<Upstream, P>::alignment;

  stream_core(Upstream upstream, Model streams, stream_pool_options options) noexcept
      : store_{std::move(upstream)},
        model_{std::move(streams)},
        options_{options},
        shards_{model_} {}
  stream_core(stream_core const&) = delete;
  stream_core& operator=(stream_core const&) = delete;
  ~stream_core() {
    for (std::uint32_t i = 0; i < shards_.size(); ++i) {
      while (block_run* const r = shards_[i].take_any_run()) { release(r); }
    }
  }

  [[nodiscard]] result<void*> allocate(shard& at, std::size_t bytes,
                                       std::size_t alignment) noexcept {
    std::uint32_t const index = class_for<classes>(bytes, alignment);
    std::size_t const size = index == classes::count ? run_bytes(bytes) : classes::bytes_of(index);
    if (index != classes::count) {
      std::scoped_lock const mine(at.lock);
      if (void* const p = at.pop(index)) {
        took(at, size);
        store_.lend(p);
        return p;
      }
    }
    auto const got = index == classes::count ? find_run(at, size) : find_block(at, index);
    if (got) {
      std::scoped_lock const mine(at.lock);
      took(at, size);
      store_.lend(*got);
    }
    return got;
  }

  [[nodiscard]] result<void> free(shard& at, void* p, std::size_t bytes,
                                  std::size_t alignment) noexcept {
    std::uint32_t const index = class_for<classes>(bytes, alignment);
    std::size_t const size = index == classes::count ? run_bytes(bytes) : classes::bytes_of(index);
    block_run* run = nullptr;
    if (index == classes::count) {
      run = new (std::nothrow) block_run;
      if (run == nullptr) { return core::refuse<void>(errc::out_of_memory); }
    }
    std::unique_lock mine(at.lock);
    if (std::int32_t const wrong = store_.take_back(p, size); wrong != 0) {
      delete run;
      return core::refuse<void>(errc::bad_argument, wrong);
    }
    bool full = true;
    if (run != nullptr) {
      run->at = p;
      run->bytes = size;
      at.push_run(run);
      add(run_bytes_, size);
    } else {
      taken_back const how = at.push(index, p);
      if (how == taken_back::refused) {
        store_.lend(p);
        return core::refuse<void>(errc::out_of_memory);
      }
      full = how == taken_back::beyond;
    }
    gave(at, size);
    mine.unlock();
    if (full) { shrink(at, run != nullptr ? size : size * shard::sealed_of(index)); }
    return {};
  }

  /// Who has which shard.
  [[nodiscard]] stream_shards<P, Model>& shards() noexcept { return shards_; }

  /// Records on every stream what others wait for, its magazines included.
  /// @error the first stream's that could not; the others have
  [[nodiscard]] result<void> flush() noexcept {
    result<void> all{};
    for (std::uint32_t i = 0; i < shards_.size(); ++i) {
      std::scoped_lock const its(shards_[i].lock);
      auto const one = shards_[i].flush();
      if (!one && all) { all = one; }
    }
    return all;
  }

  /// Flushes, and gives free runs and spans whose work is done back to upstream until no more than
  /// `keep_bytes` are left. May be a step of upstream's budget.
  /// @return bytes given back    @cost a look at every free block
  std::uint64_t trim(std::uint64_t keep_bytes) noexcept {
    std::scoped_lock const alone(trimming_);
    if (std::exchange(trims_, true)) { return 0; }  // out of upstream's deallocate
    static_cast<void>(flush());                     // what has no mark now is not done either
    std::uint64_t given = 0;
    for (std::uint32_t i = 0; i < shards_.size(); ++i) {
      while (store_.reserved() > keep_bytes) {
        std::unique_lock its(shards_[i].lock);
        block_run* const r = shards_[i].take_done_run(0);
        its.unlock();
        if (r == nullptr) { break; }
        given += r->bytes;
        release(r);
      }
    }
    if (store_.reserved() > keep_bytes) { given += trim_spans(keep_bytes); }
    trims_ = false;
    return given;
  }

  /// Each number is exact by itself. @cost a look at every free batch
  [[nodiscard]] stream_pool_counts counts() noexcept {
    stream_pool_counts c;
    for (std::uint32_t i = 0; i < shards_.size(); ++i) {
      std::scoped_lock const its(shards_[i].lock);
      c.all.add(shards_[i].counts);
      c.all.cached_bytes += shards_[i].cached_bytes();
      c.streams += shards_[i].has_stream() ? 1 : 0;
    }
    // a shard that was looked at early knows nothing of what another has freed since
    c.live = difference(c.all.allocations, c.all.frees);
    c.live_bytes = difference(c.all.allocated_bytes, c.all.freed_bytes);
    c.peak_bytes = look(peak_);
    if (c.peak_bytes < c.live_bytes) { c.peak_bytes = c.live_bytes; }
    c.reserved_bytes = store_.reserved();
    c.peak_reserved_bytes = store_.peak();
    return c;
  }

 private:
  static constexpr std::int64_t unpublished_limit = std::int64_t{64} << 10;

  /// Runs come in sixteen sizes an octave, at least, so that they fit again.
  [[nodiscard]] static constexpr std::size_t run_bytes(std::size_t bytes) noexcept {
    std::size_t const part = cuda::std::bit_floor(bytes) / 16;
    std::size_t const step = part < max_alignment ? max_alignment : part;
    return (bytes + step - 1) & ~(step - 1);
  }
  [[nodiscard]] static std::uint64_t difference(std::uint64_t more, std::uint64_t less) noexcept {
    return more > less ? more - less : 0;
  }
  [[nodiscard]] static std::uint64_t look(std::uint64_t const& word) noexcept {
    return access::load(word, core::relaxed, "stream_pool.look");
  }
  static std::uint64_t add(std::uint64_t& word, std::uint64_t n) noexcept {
    return access::fetch_add(word, n, core::relaxed, "stream_pool.add") + n;
  }

  /// Counts an allocation or a free. @pre the shard's lock is held
  void took(shard& at, std::size_t bytes) noexcept {
    ++at.counts.allocations;
    at.counts.allocated_bytes += bytes;
    publish(at, static_cast<std::int64_t>(bytes));
  }
  void gave(shard& at, std::size_t bytes) noexcept {
    ++at.counts.frees;
    at.counts.freed_bytes += bytes;
    publish(at, -static_cast<std::int64_t>(bytes));
  }
  void publish(shard& at, std::int64_t change) noexcept {
    at.unpublished += change;
    if (at.unpublished < unpublished_limit && -at.unpublished < unpublished_limit) { return; }
    auto const live = static_cast<std::int64_t>(
        add(live_, static_cast<std::uint64_t>(std::exchange(at.unpublished, 0))));
    if (live > 0) {
      core::raise<access>(peak_, static_cast<std::uint64_t>(live), "stream_pool.peak");
    }
  }

  /// Keeps to the options' limits. `freed`: bytes since the last call for the same class.
  void shrink(shard& at, std::uint64_t freed) noexcept {
    while (look(run_bytes_) > options_.most_run_bytes) {
      std::unique_lock mine(at.lock);
      block_run* r = at.take_done_run(0);
      mine.unlock();
      if (r == nullptr) {  // of a stream that frees no more, perhaps
        shards_.visit_others(at, false,
                             [&](shard& o) { return (r = o.take_done_run(0)) != nullptr; });
      }
      if (r == nullptr) { break; }
      release(r);
    }
    if (options_.release_threshold_bytes == ~std::uint64_t{0}) { return; }
    std::uint64_t const live = look(live_);
    if (difference(store_.reserved(), live) <= options_.release_threshold_bytes) { return; }
    // what could not go is no reason to look at every block again at the next free, but at one
    // after as many bytes as make the look cheap
    if (add(freed_, freed) < look(next_trim_)) { return; }
    trim(live + options_.release_threshold_bytes);
    std::uint64_t const left = difference(store_.reserved(), live);
    access::store(next_trim_, look(freed_) + left / 4, core::relaxed, "stream_pool.next_trim");
  }

  /// A block out of a batch that is out of every list; the rest of it for `at`.
  template <class Add>
  [[nodiscard]] void* accept(shard& at, block_batch* b, std::uint64_t stream_counts::* from,
                             Add add_rest) noexcept {
    void* const p = b->blocks[--b->count];
    std::scoped_lock const mine(at.lock);
    at.counts.*from += b->count + 1;
    if (b->count == 0) {
      at.keep(b);
    } else {
      add_rest(b);
    }
    return p;
  }

  [[nodiscard]] void* steal_block(shard& at, std::uint32_t index, bool waits) noexcept {
    block_batch* b = nullptr;
    shards_.visit_others(at, waits,
                         [&](shard& other) { return (b = other.take_done(index)) != nullptr; });
    if (b == nullptr) { return nullptr; }
    return accept(at, b, &stream_counts::stolen, [&at](block_batch* rest) { at.add_done(rest); });
  }
  [[nodiscard]] void* steal_run(shard& at, std::size_t bytes, bool waits) noexcept {
    block_run* r = nullptr;
    shards_.visit_others(at, waits,
                         [&](shard& other) { return (r = other.take_done_run(bytes)) != nullptr; });
    return r == nullptr ? nullptr : unwrap(at, r, &stream_counts::stolen);
  }
  [[nodiscard]] void* unwrap(shard& at, block_run* r,
                             std::uint64_t stream_counts::* from) noexcept {
    void* const p = r->at;
    add(run_bytes_, 0 - std::uint64_t{r->bytes});
    delete r;
    if (from != nullptr) {
      std::scoped_lock const mine(at.lock);
      ++(at.counts.*from);
    }
    return p;
  }

  [[nodiscard]] result<void*> find_block(shard& at, std::uint32_t index) noexcept {
    if (void* const p = steal_block(at, index, false)) { return p; }
    auto const got = carve(at, index);
    if (got || got.error().code != errc::out_of_memory) { return got; }
    auto const look_again = [&]() -> void* {
      {
        std::scoped_lock const mine(at.lock);
        if (void* const p = at.pop(index)) { return p; }
      }
      return steal_block(at, index, true);
    };
    auto const order_after = [&]() -> void* {
      block_batch* b = nullptr;
      shards_.visit_others(at, true, [&](shard& other) {
        b = other.take_after(index, at.of()).value_or(nullptr);
        return b != nullptr;
      });
      if (b == nullptr) { return nullptr; }
      return accept(at, b, &stream_counts::ordered, [&](block_batch* rest) { at.add_own(rest); });
    };
    return scrape(at, got.error(), look_again, [&] { return carve(at, index); }, order_after);
  }

  [[nodiscard]] result<void*> find_run(shard& at, std::size_t bytes) noexcept {
    auto const mine = [&]() -> void* {
      std::unique_lock its(at.lock);
      block_run* const r = at.pop_run(bytes);
      its.unlock();
      return r == nullptr ? nullptr : unwrap(at, r, nullptr);
    };
    if (void* const p = mine()) { return p; }
    if (void* const p = steal_run(at, bytes, false)) { return p; }
    auto const got = store_.reserve_run(bytes);
    if (got || got.error().code != errc::out_of_memory) { return got; }
    auto const look_again = [&]() -> void* {
      void* const p = mine();
      return p != nullptr ? p : steal_run(at, bytes, true);
    };
    auto const order_after = [&]() -> void* {
      block_run* r = nullptr;
      shards_.visit_others(at, true, [&](shard& other) {
        r = other.take_run_after(bytes, at.of()).value_or(nullptr);
        return r != nullptr;
      });
      return r == nullptr ? nullptr : unwrap(at, r, &stream_counts::ordered);
    };
    return scrape(
        at, got.error(), look_again, [&] { return store_.reserve_run(bytes); }, order_after);
  }

  /// Out of memory: everything that the options allow, once, or until the wait is over.
  template <class Look, class Upper, class After>
  [[nodiscard]] result<void*> scrape(shard& at, error why, Look look_again, Upper from_upstream,
                                     After order_after) noexcept {
    std::uint64_t const begin = options_.wait_ns == 0 ? 0 : model_.now_ns();
    for (std::uint64_t known = ~std::uint64_t{0};;) {
      static_cast<void>(flush());
      if (void* const p = look_again()) { return p; }
      trim(0);
      // another thread may have trimmed, and had blocks out of their shards meanwhile
      if (std::uint64_t const now = look(given_back_); now != known) {
        if (void* const p = look_again()) { return p; }
        if (auto const got = from_upstream()) { return got; }
        known = now;
      }
      if (options_.order_after_others && at.has_stream()) {
        if (void* const p = order_after()) { return p; }
      }
      if (options_.wait_ns == 0 || model_.now_ns() - begin >= options_.wait_ns) { break; }
      model_.pause();
    }
    return cuda::std::unexpected(why);
  }

  void release(block_run* r) noexcept {
    add(run_bytes_, 0 - std::uint64_t{r->bytes});
    store_.give_back_run(r->at, r->bytes);
    add(given_back_, r->bytes);
    delete r;
  }

  /// A block of a new span, the others for `at`.
  [[nodiscard]] result<void*> carve(shard& at, std::uint32_t index) noexcept {
    by_age<block_batch> rest;
    auto const got = store_.cut(index, shard::sealed_of(index), rest);
    std::scoped_lock const mine(at.lock);
    while (rest.newest != nullptr) { at.add_done(rest.remove(rest.newest)); }
    return got;
  }

  /// Free blocks that any stream may have are out of their shards meanwhile.
  [[nodiscard]] std::uint64_t trim_spans(std::uint64_t keep_bytes) noexcept {
    by_age<block_batch> free;
    for (std::uint32_t i = 0; i < shards_.size(); ++i) {
      std::scoped_lock const its(shards_[i].lock);
      shards_[i].gather_done(free);
    }
    std::uint64_t const given = store_.mark_free(free, keep_bytes);
    while (free.newest != nullptr) {
      block_batch* const b = free.remove(free.newest);
      std::scoped_lock const its(shards_[b->home].lock);
      if (b->count == 0) {
        shards_[b->home].keep(b);
      } else {
        shards_[b->home].add_done(b);
      }
    }
    store_.give_back_marked();
    add(given_back_, given);
    return given;
  }

  stream_store<Upstream, P> store_;
  Model model_;
  stream_pool_options options_;
  std::recursive_mutex trimming_;
  bool trims_ = false;
  alignas(64) std::uint64_t live_ = 0;  ///< as far as the shards have published it
  std::uint64_t peak_ = 0;
  std::uint64_t run_bytes_ = 0;   ///< free runs
  std::uint64_t given_back_ = 0;  ///< bytes, to upstream
  std::uint64_t freed_ = 0;       ///< bytes, while more was free than the release threshold
  std::uint64_t next_trim_ = 0;   ///< from which of these on it trims again
  stream_shards<P, Model> shards_;
};

}  // namespace millrace::inline v0::memory
