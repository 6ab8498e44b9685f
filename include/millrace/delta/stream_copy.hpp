// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/delta/change_set_ref.hpp>
#include <millrace/delta/key.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

namespace millrace::inline v0::delta::detail {

/// Copies bytes past the caches where the machine can: the lines written are neither read first nor
/// kept. For results far beyond the caches; end_stream() before another thread reads them.
inline void stream_copy(void* to, void const* from, std::size_t bytes) noexcept {
#if defined(__x86_64__)
  auto* out = static_cast<unsigned char*>(to);
  auto const* in = static_cast<unsigned char const*>(from);
  std::size_t const head = (0 - reinterpret_cast<std::uintptr_t>(out)) % 64;
  if (bytes >= head + 64) {
    std::memcpy(out, in, head);
    out += head, in += head, bytes -= head;
    for (; bytes >= 64; out += 64, in += 64, bytes -= 64) {
      for (std::size_t part = 0; part < 64; part += 16) {
        _mm_stream_si128(reinterpret_cast<__m128i*>(out + part),
                         _mm_loadu_si128(reinterpret_cast<__m128i const*>(in + part)));
      }
    }
  }
  std::memcpy(out, in, bytes);
#else
  std::memcpy(to, from, bytes);
#endif
}

/// Orders streamed stores before every later store of this thread.
inline void end_stream() noexcept {
#if defined(__x86_64__)
  _mm_sfence();
#endif
}

template <class K, class... Vs, std::size_t... Is>
void stream_rows(change_set_ref<K, Vs...> const& rows, change_space<K, Vs...> const& to,
                 std::index_sequence<Is...>) noexcept {
  stream_copy(to.keys(), rows.keys().data(), rows.size() * sizeof(K));
  (stream_copy(static_cast<void*>(to.template values<Is>()), rows.template values<Is>().data(),
               rows.size() * sizeof(Vs)),
   ...);
}

/// copy_rows past the caches; the columns must not overlap.
template <class K, class... Vs>
void stream_rows(change_set_ref<K, Vs...> const& rows, change_space<K, Vs...> const& to) noexcept {
  if (rows.empty()) { return; }
  stream_rows(rows, to, std::index_sequence_for<Vs...>{});
}

}  // namespace millrace::inline v0::delta::detail
