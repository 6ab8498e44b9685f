// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/memory/stream_batches.hpp>
#include <millrace/memory/stream_policy.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <new>
#include <utility>

namespace millrace::inline v0::memory {

/// What became of a block that a shard was given.
enum class taken_back : std::uint8_t {
  kept = 0,
  beyond = 1,   ///< and the magazine was full
  refused = 2,  ///< the host has no room to note it
};

/// What one stream freed. Its own allocations take from here at once: the stream's order keeps the
/// uses apart. Others get batches whose mark, an event recorded on the stream after the frees, is
/// done. A mark has a number, and covers every batch that needs this number or a lower one; so a
/// mark that is late, lost or recorded anew only makes batches wait longer. Blocks in magazines
/// are in no batch yet and need no event.
/// A shard without a stream holds blocks that any stream may have at once.
/// @thread whoever holds `lock`
template <stream_pool_policy P, stream_model M>
class alignas(64) stream_shard {
 public:
  using stream = typename M::stream;
  using event = typename M::event;
  using classes = typename P::classes;

  std::mutex lock;
  stream_counts counts;
  std::int64_t unpublished = 0;  ///< allocated less freed bytes that the pool has not heard of

  explicit stream_shard(M const& model, std::uint32_t number) noexcept
      : model_{model}, number_{number} {}
  stream_shard(stream_shard const&) = delete;
  stream_shard& operator=(stream_shard const&) = delete;
  ~stream_shard() {
    for (auto& list : batches_) { list.destroy(); }
    spare_.destroy();
    runs_.destroy();
    while (mark_count_ != 0) { drop_oldest_mark(); }
    while (event_count_ != 0) { model_.drop_event(events_[--event_count_]); }
  }

  [[nodiscard]] std::uint32_t number() const noexcept { return number_; }
  [[nodiscard]] bool has_stream() const noexcept { return has_stream_; }
  [[nodiscard]] stream of() const noexcept { return stream_; }

  /// Serves a stream from now on. Only a shard that is at rest may.
  void begin(stream s) noexcept {
    stream_ = s;
    has_stream_ = true;
  }
  /// Serves it no more: what it freed is for others, as the marks are done.
  /// @error what `flush` says; then the stream keeps its shard
  [[nodiscard]] result<void> end() noexcept {
    if (auto const ok = flush(); !ok) { return ok; }
    if (auto const ok = record(); !ok) { return ok; }  // anew, if the last could not be looked at
    has_stream_ = false;
    return {};
  }
  /// Whether nothing here waits for work of a stream that has left.
  [[nodiscard]] bool at_rest() noexcept {
    poll();
    return !has_stream_ && mark_count_ == 0 && owed_ == 0;
  }

  /// A free block for this stream, or null.
  [[nodiscard]] void* pop(std::uint32_t index) noexcept {
    magazine& m = magazines_[index];
    if (m.count == 0) {
      block_batch* const b = batches_[index].newest;
      if (b == nullptr) { return nullptr; }
      std::memcpy(m.blocks, b->blocks, b->count * sizeof(void*));
      m.count = b->count;
      disown(b->needs, b->count);
      keep(batches_[index].remove(b));
    }
    return m.blocks[--m.count];
  }

  /// Takes a block back in the stream's order.
  [[nodiscard]] taken_back push(std::uint32_t index, void* block) noexcept {
    magazine& m = magazines_[index];
    if (m.count < limit_of(index)) {
      m.blocks[m.count++] = block;
      return taken_back::kept;
    }
    if (!seal(index, sealed_of(index))) { return taken_back::refused; }
    // what cannot be recorded now waits for the next that can
    if (owed_ >= P::frees_an_event) { static_cast<void>(record()); }
    m.blocks[m.count++] = block;
    return taken_back::beyond;
  }

  /// A run of that size for this stream, or null.
  [[nodiscard]] block_run* pop_run(std::size_t bytes) noexcept {
    for (block_run* r = runs_.newest; r != nullptr; r = r->older) {
      if (r->bytes != bytes) { continue; }
      disown(r->needs, run_weight);
      return runs_.remove(r);
    }
    return nullptr;
  }
  void push_run(block_run* run) noexcept {
    run->needs = next_need();
    runs_.add_newest(run);
    owe(run_weight);
    if (owed_ >= P::frees_an_event) { static_cast<void>(record()); }
  }

  /// A batch that any stream may have, or null.
  [[nodiscard]] block_batch* take_done(std::uint32_t index) noexcept {
    block_batch* const b = batches_[index].oldest;
    return b != nullptr && is_done(b->needs) ? batches_[index].remove(b) : nullptr;
  }
  /// A run that any stream may have, of that size (0: the oldest of any size), or null.
  [[nodiscard]] block_run* take_done_run(std::size_t bytes) noexcept {
    for (block_run* r = runs_.oldest; r != nullptr && is_done(r->needs); r = r->newer) {
      if (bytes == 0 || r->bytes == bytes) { return runs_.remove(r); }
    }
    return nullptr;
  }

  /// A run whether its work is done or not, for who knows better; or null.
  [[nodiscard]] block_run* take_any_run() noexcept {
    return runs_.oldest == nullptr ? nullptr : runs_.remove(runs_.oldest);
  }

  /// A batch whose work is not done, for a stream that is told to wait for it; null when there is
  /// none, or no event yet.
  [[nodiscard]] result<block_batch*> take_after(std::uint32_t index, stream waiter) noexcept {
    block_batch* const b = batches_[index].oldest;
    if (b == nullptr) { return nullptr; }
    auto const told = tell_to_wait(b->needs, waiter);
    if (!told) { return cuda::std::unexpected(told.error()); }
    return *told ? batches_[index].remove(b) : nullptr;
  }
  [[nodiscard]] result<block_run*> take_run_after(std::size_t bytes, stream waiter) noexcept {
    for (block_run* r = runs_.oldest; r != nullptr; r = r->newer) {
      if (r->bytes != bytes) { continue; }
      auto const told = tell_to_wait(r->needs, waiter);
      if (!told) { return cuda::std::unexpected(told.error()); }
      return *told ? runs_.remove(r) : nullptr;
    }
    return nullptr;
  }

  /// Adds blocks that any stream may have.
  void add_done(block_batch* b) noexcept {
    b->needs = 0;
    batches_[b->index].add_oldest(b);
  }
  /// Adds blocks that this stream may have now, others when its next mark is done.
  void add_own(block_batch* b) noexcept {
    b->needs = next_need();
    batches_[b->index].add_newest(b);
    owe(b->count);
  }
  /// Keeps an empty batch for later.
  void keep(block_batch* b) noexcept {
    if (spare_count_ == most_spare) {
      delete b;
    } else {
      spare_.add_newest(b);
      ++spare_count_;
    }
  }

  /// Puts all that is free into batches, and sees to it that a mark covers them.
  /// @error errc::busy while the stream captures; errc::out_of_memory when the host has no room for
  ///        a batch; what the model says
  [[nodiscard]] result<void> flush() noexcept {
    bool sealed = true;
    for (std::uint32_t i = 0; i < classes::count; ++i) {
      while (magazines_[i].count != 0) {
        sealed = seal(i, std::min(magazines_[i].count, block_batch::most));
        if (!sealed) { break; }
      }
      if (!sealed) { break; }  // the others stay where they are too
    }
    auto const recorded = record();
    poll();
    if (recorded && !sealed) { return core::fail(errc::out_of_memory); }
    return recorded;
  }

  /// Moves every batch that any stream may have to `to`.
  void gather_done(by_age<block_batch>& to) noexcept {
    for (std::uint32_t i = 0; i < classes::count; ++i) {
      while (block_batch* const b = take_done(i)) {
        b->home = number_;
        to.add_newest(b);
      }
    }
  }

  [[nodiscard]] std::uint64_t cached_bytes() const noexcept {
    std::uint64_t sum = 0;
    for (std::uint32_t i = 0; i < classes::count; ++i) {
      std::uint64_t blocks = magazines_[i].count;
      for (auto const* b = batches_[i].oldest; b != nullptr; b = b->newer) { blocks += b->count; }
      sum += blocks * classes::bytes_of(i);
    }
    for (auto const* r = runs_.oldest; r != nullptr; r = r->newer) { sum += r->bytes; }
    return sum;
  }

  /// Blocks of a class that a magazine holds.
  [[nodiscard]] static constexpr std::uint32_t limit_of(std::uint32_t index) noexcept {
    std::size_t const fit = P::magazine_bytes / classes::bytes_of(index);
    return fit < 2                       ? 2
           : fit > 2 * block_batch::most ? 2 * block_batch::most
                                         : static_cast<std::uint32_t>(fit);
  }
  /// And how many leave it when it is full.
  [[nodiscard]] static constexpr std::uint32_t sealed_of(std::uint32_t index) noexcept {
    return limit_of(index) / 2;
  }

 private:
  static constexpr std::uint32_t run_weight = (P::frees_an_event + 3) / 4;  // in frees
  static constexpr std::uint32_t most_marks = 32;
  static constexpr std::uint32_t most_events = 8;
  static constexpr std::uint32_t most_spare = 64;

  struct magazine {
    std::uint32_t count = 0;
    void* blocks[2 * block_batch::most];
  };
  struct mark {
    event at;
    std::uint64_t number;
  };

  [[nodiscard]] std::uint64_t next_need() const noexcept {
    return has_stream_ ? last_number_ + 1 : 0;
  }
  void owe(std::uint32_t frees) noexcept {
    if (has_stream_) { owed_ += frees; }
  }
  /// The stream has frees back before a mark was recorded for them.
  void disown(std::uint64_t needs, std::uint32_t frees) noexcept {
    if (needs > last_number_) { owed_ -= frees; }
  }

  /// Moves the oldest `n` blocks of a magazine into a batch.
  [[nodiscard]] bool seal(std::uint32_t index, std::uint32_t n) noexcept {
    block_batch* b = spare_.newest;
    if (b != nullptr) {
      static_cast<void>(spare_.remove(b));
      --spare_count_;
    } else {
      b = new (std::nothrow) block_batch;
      if (b == nullptr) { return false; }
    }
    magazine& m = magazines_[index];
    std::memcpy(b->blocks, m.blocks, n * sizeof(void*));
    m.count -= n;
    std::memmove(m.blocks, m.blocks + n, m.count * sizeof(void*));
    b->index = index;
    b->count = n;
    add_own(b);
    return true;
  }

  [[nodiscard]] mark& oldest_mark() noexcept { return marks_[first_mark_]; }
  [[nodiscard]] mark& mark_at(std::uint32_t i) noexcept {
    return marks_[(first_mark_ + i) % most_marks];
  }
  void drop_oldest_mark() noexcept {
    model_.drop_event(oldest_mark().at);
    first_mark_ = (first_mark_ + 1) % most_marks;
    --mark_count_;
  }
  void keep_event(event e) noexcept {
    if (event_count_ == most_events) {
      model_.drop_event(e);
    } else {
      events_[event_count_++] = e;
    }
  }

  /// Looks how far the stream is. An event that cannot be looked at is given up: the next mark says
  /// all that it would have said. Of a stream that has left there is no next, so it is kept.
  void poll() noexcept {
    while (mark_count_ != 0) {
      auto const seen = model_.done(oldest_mark().at);
      ++counts.events_looked_at;
      if (seen && !*seen) { return; }
      if (!seen) {
        ++counts.event_failures;
        if (!has_stream_) { return; }
        drop_oldest_mark();
        if (mark_count_ == 0) { owed_ += P::frees_an_event; }  // for what it covered
        continue;
      }
      done_number_ = oldest_mark().number;
      keep_event(oldest_mark().at);
      first_mark_ = (first_mark_ + 1) % most_marks;
      --mark_count_;
    }
  }
  [[nodiscard]] bool is_done(std::uint64_t needs) noexcept {
    if (needs > done_number_) { poll(); }
    return needs <= done_number_;
  }

  [[nodiscard]] result<void> not_capturing() const noexcept {
    if constexpr (P::watches_capture) {
      if (model_.runs(stream_)) { return {}; }
      auto const captures = model_.capturing(stream_);
      if (!captures) { return cuda::std::unexpected(captures.error()); }
      if (*captures) { return core::fail(errc::busy); }
    }
    return {};
  }

  /// Records a mark that covers every batch there is.
  [[nodiscard]] result<void> record() noexcept {
    if (owed_ == 0 || !has_stream_) { return {}; }
    if (auto const ok = not_capturing(); !ok) { return ok; }
    if (mark_count_ == most_marks) { poll(); }
    // with no room for a mark the newest moves: what it covered waits longer
    bool const moves = mark_count_ == most_marks;
    auto const e = moves ? result<event>(mark_at(mark_count_ - 1).at) : take_event();
    auto recorded =
        !e ? result<void>(cuda::std::unexpected(e.error())) : model_.record(*e, stream_);
    // another thread may have begun to capture: then the event belongs to the graph
    if (recorded) { recorded = not_capturing(); }
    if (!recorded) {
      ++counts.event_failures;
      if (e) { model_.drop_event(*e); }
      if (moves) {
        --mark_count_;
        owed_ += P::frees_an_event;  // for what it covered
      }
      return recorded;
    }
    ++counts.events_recorded;
    if (!moves) { ++mark_count_; }
    mark_at(mark_count_ - 1) = {*e, ++last_number_};
    owed_ = 0;
    return {};
  }
  [[nodiscard]] result<event> take_event() noexcept {
    if (event_count_ != 0) { return events_[--event_count_]; }
    return model_.make_event();
  }

  /// Makes another stream wait for what `needs` stands for; false when no mark covers it yet.
  [[nodiscard]] result<bool> tell_to_wait(std::uint64_t needs, stream waiter) noexcept {
    if (is_done(needs)) { return true; }
    for (std::uint32_t i = 0; i < mark_count_; ++i) {
      if (mark_at(i).number < needs) { continue; }
      auto const told = model_.order(waiter, mark_at(i).at);
      if (!told) { return cuda::std::unexpected(told.error()); }
      return true;
    }
    return false;
  }

  M model_;
  std::uint32_t number_;
  bool has_stream_ = false;
  stream stream_{};
  std::uint32_t owed_ = 0;         ///< frees in batches that no mark covers
  std::uint64_t last_number_ = 0;  ///< of the newest mark
  std::uint64_t done_number_ = 0;  ///< of the newest that is done
  std::uint32_t first_mark_ = 0;
  std::uint32_t mark_count_ = 0;
  std::uint32_t event_count_ = 0;
  std::uint32_t spare_count_ = 0;
  by_age<block_run> runs_;
  by_age<block_batch> spare_;
  by_age<block_batch> batches_[classes::count];
  magazine magazines_[classes::count];
  mark marks_[most_marks];
  event events_[most_events];
};

}  // namespace millrace::inline v0::memory
