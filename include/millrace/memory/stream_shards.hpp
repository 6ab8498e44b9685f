// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/memory/stream_policy.hpp>
#include <millrace/memory/stream_shard.hpp>
#include <millrace/memory/stream_table.hpp>

#include <cstdint>
#include <mutex>
#include <new>

namespace millrace::inline v0::memory {

/// A pool's shards: one a stream that is bound, and one for memory that is in no stream's order,
/// which has number 0. Nobody holds the locks of two.
/// @thread any
template <stream_pool_policy P, stream_model Model>
class stream_shards {
  using access = typename P::access;

 public:
  using stream = typename Model::stream;
  using shard = stream_shard<P, Model>;

  explicit stream_shards(Model const& model) noexcept : model_{model}, any_{model, 0} {
    shards_[0] = &any_;
  }
  stream_shards(stream_shards const&) = delete;
  stream_shards& operator=(stream_shards const&) = delete;
  ~stream_shards() {
    for (std::uint32_t i = 1; i < size(); ++i) { delete shards_[i]; }
  }

  /// How many there are, of streams that have left too; never fewer than before.
  [[nodiscard]] std::uint32_t size() const noexcept {
    return access::load(count_, core::acquire, "stream_pool.shards");
  }
  [[nodiscard]] shard& operator[](std::uint32_t number) noexcept { return *shards_[number]; }

  /// The shard of no stream.
  [[nodiscard]] shard& any() noexcept { return any_; }

  /// The shard of a stream, which is bound if it was not.
  [[nodiscard]] result<shard*> find(stream s, std::int32_t argument) noexcept {
    auto const id = model_.id(s);
    if (!id) { return cuda::std::unexpected(id.error()); }
    if (std::uint32_t const n = table_.find(*id); n != table::none) { return shards_[n]; }
    std::scoped_lock const alone(binding_);
    if (std::uint32_t const n = table_.find(*id); n != table::none) { return shards_[n]; }
    if (auto const ok = model_.admit(s); !ok) {
      error const e = ok.error();
      if (e.code == errc::bad_argument) { return core::fail(e.code, argument); }
      return cuda::std::unexpected(e);
    }
    auto const at = place_for(s);
    if (at) { table_.add(*id, (*at)->number()); }
    return at;
  }
  /// Lets go of a stream, which nobody calls with meanwhile.
  /// @error as stream_pool's
  [[nodiscard]] result<void> unbind(stream s) noexcept {
    std::scoped_lock const alone(binding_);
    auto const id = model_.id(s);
    if (!id) { return cuda::std::unexpected(id.error()); }
    std::uint32_t const number = table_.find(*id);
    if (number == table::none) { return core::fail(errc::bad_argument, 1); }
    std::scoped_lock const mine(shards_[number]->lock);
    if (auto const ok = shards_[number]->end(); !ok) { return ok; }
    table_.remove(*id);
    return {};
  }

  /// Whether a shard may be called for its stream.
  [[nodiscard]] bool runs(shard const& at) const noexcept {
    if constexpr (P::watches_capture) { return &at == &any_ || model_.runs(at.of()); }
    return true;
  }
  /// Why not; nothing if it may by now.
  [[nodiscard, gnu::cold]] result<void> why_not(shard const& at,
                                                std::int32_t argument) const noexcept {
    if (&at == &any_) { return {}; }
    auto const captures = model_.capturing(at.of());
    if (!captures) { return cuda::std::unexpected(captures.error()); }
    if (*captures) { return core::fail(errc::busy, argument); }
    return {};
  }

  /// What a stream did.
  /// @error errc::bad_argument 1 when it is not bound
  [[nodiscard]] result<stream_counts> counts(stream s) noexcept {
    std::scoped_lock const alone(binding_);
    auto const id = model_.id(s);
    if (!id) { return cuda::std::unexpected(id.error()); }
    std::uint32_t const number = table_.find(*id);
    if (number == table::none) { return core::fail(errc::bad_argument, 1); }
    std::scoped_lock const its(shards_[number]->lock);
    stream_counts c = shards_[number]->counts;
    c.cached_bytes = shards_[number]->cached_bytes();
    return c;
  }

  /// Calls `visit` with every shard but `at`, under its lock, until it says true.
  template <class Visit>
  void visit_others(shard const& at, bool waits, Visit visit) noexcept {
    std::uint32_t const count = size();
    for (std::uint32_t i = 1; i < count; ++i) {
      shard& other = *shards_[(at.number() + i) % count];
      std::unique_lock its(other.lock, std::defer_lock);
      if (waits) {
        its.lock();
      } else if (!its.try_lock()) {
        continue;  // a busy stream has better to do, and upstream may have memory
      }
      if (visit(other)) { return; }
    }
  }

 private:
  using table = stream_table<access, P::most_streams>;

  /// A shard for a stream: one that another has left for good, or a new one.
  [[nodiscard]] result<shard*> place_for(stream s) noexcept {
    std::uint32_t const count = size();
    for (std::uint32_t i = 1; i < count; ++i) {
      std::scoped_lock const its(shards_[i]->lock);
      if (!shards_[i]->has_stream() && shards_[i]->at_rest()) {
        shards_[i]->begin(s);
        return shards_[i];
      }
    }
    if (count > P::most_streams) { return core::fail(errc::full); }
    auto* const made = new (std::nothrow) shard(model_, count);
    if (made == nullptr) { return core::fail(errc::out_of_memory); }
    made->begin(s);
    shards_[count] = made;
    access::store(count_, count + 1, core::release, "stream_pool.shards");
    return made;
  }

  Model model_;
  std::mutex binding_;
  table table_;
  shard* shards_[P::most_streams + 1] = {};
  std::uint32_t count_ = 1;
  shard any_;
};

}  // namespace millrace::inline v0::memory
