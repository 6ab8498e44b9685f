// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/memory/resource.hpp>
#include <millrace/memory/stream_core.hpp>
#include <millrace/memory/stream_policy.hpp>
#include <millrace/memory/stream_shard.hpp>

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <utility>

namespace millrace::inline v0::memory {

/// Memory in the order of streams. A block that is freed in a stream's order is this stream's again
/// at once; other streams get it when the work that was submitted before the free is done, which an
/// event says that many frees share. A pair of allocation and free on one stream takes one lock of
/// that stream's alone, twice, and no event.
///
/// `deallocate(p, bytes, alignment, stream)` promises that all uses of the block are in work that
/// was submitted to `stream` by now, or that such work waits for. A block that another stream used
/// last is freed in that stream's order, or after `stream` was told to wait for it: the pool cannot
/// see a use that it was not told of. With `checked_stream_pool` as policy a free of what is no
/// live block, or of another size class, is bad_argument 1 or 2; without it such a free is a
/// mistake that the pool does not find.
///
/// A stream is bound by its first call, or by `bind`, and unbound with `unbind` before it is
/// destroyed. What a stream keeps in its magazines (`magazine_bytes` a class) others get only
/// after `flush`, `unbind` or when memory runs out. While a stream captures its calls are refused
/// with errc::busy, and the block stays the caller's: a graph runs later, in no order that the pool
/// knows. `graph_memory` has blocks for graphs.
///
/// Neither moves nor copies: handles hold its address. Its end gives everything back to upstream
/// and waits for nothing: by then every block is freed and all work with them done.
/// @thread any. Streams of different threads share no lock but in `flush`, `trim` and `counts`,
///         and when one is dry and looks into the others
template <resource Upstream, stream_model Model, stream_pool_policy P = default_stream_pool>
class stream_pool {
  using shard = stream_shard<P, Model>;

 public:
  using stream = typename Model::stream;
  using classes = typename P::classes;
  static constexpr std::size_t max_alignment = stream_core<Upstream, Model, P>::max_alignment;

  /// One stream's way into the pool, without a look-up: a resource whose allocations and frees are
  /// in the stream's order. Or, of no stream, memory that any stream may use at once, freed when
  /// all work with it is done.
  /// @thread any, until the stream is unbound
  class handle {
   public:
    static constexpr bool host_accessible = Upstream::host_accessible;
    static constexpr bool device_accessible = Upstream::device_accessible;
    static constexpr std::size_t max_alignment = stream_pool::max_alignment;

    /// @error as check_request; errc::busy while the stream captures; errc::out_of_memory when
    ///        there is none after all that the options allow; as upstream's and the model's
    [[nodiscard]] result<void*> try_allocate(std::size_t bytes, std::size_t alignment) noexcept {
      if (!admits(bytes, alignment) || !of_->core_.shards().runs(*at_)) {
        if (auto const ok = check(bytes, alignment); !ok) {
          return cuda::std::unexpected(ok.error());
        }
      }
      return of_->core_.allocate(*at_, bytes, alignment);
    }
    /// @error errc::bad_argument with the argument's number, errc::busy while the stream captures,
    ///        errc::out_of_memory when the host cannot note the free; the block stays the caller's
    [[nodiscard]] result<void> try_deallocate(void* p, std::size_t bytes,
                                              std::size_t alignment) noexcept {
      if (p == nullptr || !admits(bytes, alignment) || !of_->core_.shards().runs(*at_)) {
        if (auto const ok = check_free(p, bytes, alignment); !ok) { return ok; }
        if (auto const ok = of_->core_.shards().why_not(*at_, 4); !ok) { return ok; }
      }
      return of_->core_.free(*at_, p, bytes, alignment);
    }
    /// The same; what is refused is counted in `refused_frees`.
    void deallocate(void* p, std::size_t bytes, std::size_t alignment) noexcept {
      if (!try_deallocate(p, bytes, alignment)) {
        std::scoped_lock const mine(at_->lock);
        ++at_->counts.refused_frees;
      }
    }
    [[nodiscard]] friend bool operator==(handle const& a, handle const& b) noexcept {
      return a.of_ == b.of_ && a.at_ == b.at_;
    }

   private:
    friend class stream_pool;
    handle(stream_pool& of, shard& at) noexcept : of_{&of}, at_{&at} {}

    [[nodiscard, gnu::cold]] result<void> check(std::size_t bytes,
                                                std::size_t alignment) const noexcept {
      if (auto const ok = check_request(bytes, alignment, max_alignment); !ok) { return ok; }
      return of_->core_.shards().why_not(*at_, 3);
    }

    stream_pool* of_;
    shard* at_;
  };
  static_assert(resource<handle>);

  explicit stream_pool(Upstream upstream, Model streams, stream_pool_options options = {}) noexcept
      : core_{std::move(upstream), std::move(streams), options} {}
  stream_pool(stream_pool const&) = delete;
  stream_pool& operator=(stream_pool const&) = delete;

  /// The way in of a stream, which is bound from now on.
  /// @error errc::bad_argument 1 for a stream that the model does not admit, errc::full when
  ///        `most_streams` are bound, errc::out_of_memory, as the model's
  [[nodiscard]] result<handle> bind(stream s) noexcept {
    auto const at = core_.shards().find(s, 1);
    if (!at) { return cuda::std::unexpected(at.error()); }
    return handle(*this, **at);
  }
  /// The way in of no stream.
  [[nodiscard]] handle unordered() noexcept { return handle(*this, core_.shards().any()); }

  /// As the handle's, with a look-up of the stream, argument 3, which is bound if it was not.
  /// @error as bind and handle::try_allocate
  [[nodiscard]] result<void*> try_allocate(std::size_t bytes, std::size_t alignment,
                                           stream s) noexcept {
    if (auto const ok = check_request(bytes, alignment, max_alignment); !ok) {
      return cuda::std::unexpected(ok.error());
    }
    auto const at = core_.shards().find(s, 3);
    if (!at) { return cuda::std::unexpected(at.error()); }
    return handle(*this, **at).try_allocate(bytes, alignment);
  }
  /// @error as bind, with argument 4, and handle::try_deallocate
  [[nodiscard]] result<void> deallocate(void* p, std::size_t bytes, std::size_t alignment,
                                        stream s) noexcept {
    if (auto const ok = check_free(p, bytes, alignment); !ok) { return ok; }
    auto const at = core_.shards().find(s, 4);
    if (!at) { return cuda::std::unexpected(at.error()); }
    return handle(*this, **at).try_deallocate(p, bytes, alignment);
  }

  /// Lets go of a stream, before it is destroyed. Nobody calls with it meanwhile. What it freed is
  /// for others as its work ends.
  /// @error errc::bad_argument 1 when it is not bound; errc::busy while it captures, or as the
  ///        model's, and then it is still bound
  [[nodiscard]] result<void> unbind(stream s) noexcept { return core_.shards().unbind(s); }

  /// Records on every stream what others wait for, its magazines included.
  /// @error the first stream's that could not; the others have
  [[nodiscard]] result<void> flush() noexcept { return core_.flush(); }

  /// Flushes, and gives free runs and spans whose work is done back to upstream until no more than
  /// `keep_bytes` are left.
  /// @return bytes given back    @cost a look at every free block
  std::uint64_t trim(std::uint64_t keep_bytes) noexcept { return core_.trim(keep_bytes); }

  /// `trim` as a step of a budget: `context` is the pool.
  static std::uint64_t trim_step(std::uint64_t, void* context) noexcept {
    return static_cast<stream_pool*>(context)->trim(0);
  }

  /// Each number is exact by itself. @cost a look at every free batch
  [[nodiscard]] stream_pool_counts counts() noexcept { return core_.counts(); }
  /// What one stream did; one that was bound in the place of another goes on from its numbers.
  /// @error errc::bad_argument 1 when it is not bound
  [[nodiscard]] result<stream_counts> counts(stream s) noexcept { return core_.shards().counts(s); }

 private:
  [[nodiscard]] static constexpr bool admits(std::size_t bytes, std::size_t alignment) noexcept {
    return bytes - 1 < max_request_bytes - max_alignment && is_alignment(alignment) &&
           alignment <= max_alignment;
  }
  [[nodiscard, gnu::cold]] static result<void> check_free(void const* p, std::size_t bytes,
                                                          std::size_t alignment) noexcept {
    if (p == nullptr) { return core::fail(errc::bad_argument, 1); }
    if (bytes == 0 || bytes > max_request_bytes - max_alignment) {
      return core::fail(errc::bad_argument, 2);
    }
    if (!is_alignment(alignment) || alignment > max_alignment) {
      return core::fail(errc::bad_argument, 3);
    }
    return {};
  }

  stream_core<Upstream, Model, P> core_;
};

}  // namespace millrace::inline v0::memory
