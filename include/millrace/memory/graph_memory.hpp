// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/error.hpp>
#include <millrace/memory/resource.hpp>
#include <millrace/memory/stream_policy.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

namespace millrace::inline v0::memory {

/// A stream model that tells captures apart: 0 for none, else no other capture's number.
template <class M>
concept capture_model = requires(M const& m, typename M::stream s) {
  requires stream_model<M>;
  { m.capture_id(s) } noexcept -> std::same_as<result<std::uint64_t>>;
};

/// Memory for the work of one graph while it is captured. Work that is captured runs at each launch
/// of the graph, so its blocks are the graph's until it is launched no more: a free only means that
/// the same stream of the same capture may have the block again. At the end all goes back to
/// `Upstream`, in whose order every launch is: a stream pool's `unordered()`, with the last launch
/// done before this ends, or the handle of the one stream that the graph is launched into, which
/// captures neither during these calls nor at the end.
/// @thread one at a time
template <resource Upstream, capture_model Model>
class graph_memory {
 public:
  using stream = typename Model::stream;

  explicit graph_memory(Upstream upstream, Model streams) noexcept
      : upstream_{std::move(upstream)}, model_{std::move(streams)} {}
  graph_memory(graph_memory const&) = delete;
  graph_memory& operator=(graph_memory const&) = delete;
  ~graph_memory() {
    while (pieces_ != nullptr) {
      piece* const p = std::exchange(pieces_, pieces_->next);
      upstream_.deallocate(p->at, p->bytes, p->alignment);
      delete p;
    }
  }

  /// @error errc::bad_argument 3 when the stream does not capture, or captures another graph than
  ///        the first; as upstream's and the model's    @cost a look at every block
  [[nodiscard]] result<void*> try_allocate(std::size_t bytes, std::size_t alignment,
                                           stream s) noexcept {
    if (auto const ok = check_request(bytes, alignment, max_request_bytes / 2); !ok) {
      return cuda::std::unexpected(ok.error());
    }
    auto const capture = captured(s, 3);
    if (!capture) { return cuda::std::unexpected(capture.error()); }
    auto const id = model_.id(s);
    if (!id) { return cuda::std::unexpected(id.error()); }
    piece* best = nullptr;
    for (piece* p = pieces_; p != nullptr; p = p->next) {
      bool const fits = !p->used && p->freed_by == *id && p->bytes >= bytes &&
                        p->bytes / 2 <= bytes && p->alignment >= alignment;
      if (fits && (best == nullptr || p->bytes < best->bytes)) { best = p; }
    }
    if (best == nullptr) {
      auto* const made = new (std::nothrow) piece{};
      if (made == nullptr) { return core::fail(errc::out_of_memory); }
      auto const got = upstream_.try_allocate(bytes, alignment);
      if (!got) {
        delete made;
        return got;
      }
      made->at = *got;
      made->bytes = bytes;
      made->alignment = alignment;
      made->next = pieces_;
      best = pieces_ = made;
      bytes_ += bytes;
    }
    capture_ = *capture;
    best->used = true;
    best->asked = bytes;
    return best->at;
  }

  /// @error errc::bad_argument 1 for a block that is none of its own or is free, 2 for other bytes,
  ///        4 as argument 3 of try_allocate; as the model's
  [[nodiscard]] result<void> deallocate(void* at, std::size_t bytes, std::size_t,
                                        stream s) noexcept {
    if (auto const capture = captured(s, 4); !capture) {
      return cuda::std::unexpected(capture.error());
    }
    auto const id = model_.id(s);
    if (!id) { return cuda::std::unexpected(id.error()); }
    for (piece* p = pieces_; p != nullptr; p = p->next) {
      if (p->at != at || !p->used) { continue; }
      if (p->asked != bytes) { return core::fail(errc::bad_argument, 2); }
      p->used = false;
      p->freed_by = *id;
      return {};
    }
    return core::fail(errc::bad_argument, 1);
  }

  /// What the graph holds.
  [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }

 private:
  struct piece {
    piece* next;
    void* at;
    std::size_t bytes;
    std::size_t alignment;
    std::size_t asked;
    std::uint64_t freed_by;  ///< the stream's id
    bool used;
  };

  /// The capture that the stream is in, if it is this graph's or the first.
  [[nodiscard]] result<std::uint64_t> captured(stream s, std::int32_t argument) noexcept {
    auto const capture = model_.capture_id(s);
    if (!capture) { return capture; }
    if (*capture == 0 || (capture_ != 0 && *capture != capture_)) {
      return core::fail(errc::bad_argument, argument);
    }
    return capture;
  }

  Upstream upstream_;
  Model model_;
  std::uint64_t capture_ = 0;
  std::uint64_t bytes_ = 0;
  piece* pieces_ = nullptr;
};

}  // namespace millrace::inline v0::memory
