// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/core/isa.hpp>
#include <millrace/delta/change_set_ref.hpp>
#include <millrace/delta/combine.hpp>
#include <millrace/delta/key.hpp>
#include <millrace/delta/merge_scalar.hpp>
#include <millrace/delta/simd/lanes_avx2.hpp>
#include <millrace/delta/simd/lanes_avx512.hpp>
#include <millrace/delta/split.hpp>
#include <millrace/delta/stream_copy.hpp>

#include <cuda/std/tuple>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#if defined(__x86_64__)
MILLRACE_TARGET_AVX2
namespace millrace::inline v0::delta::detail::avx2 {
#include <millrace/delta/simd/merge_pass.inl>
#include <millrace/delta/simd/merge_rows.inl>
}  // namespace millrace::inline v0::delta::detail::avx2
MILLRACE_TARGET_END

MILLRACE_TARGET_AVX512
namespace millrace::inline v0::delta::detail::avx512 {
#include <millrace/delta/simd/merge_pass.inl>
#include <millrace/delta/simd/merge_rows.inl>
}  // namespace millrace::inline v0::delta::detail::avx512
MILLRACE_TARGET_END
#endif

namespace millrace::inline v0::delta::detail {

/// Columns that fit lanes: 4 or 8 bytes.
template <class... Vs>
inline constexpr bool fit_lanes = ((sizeof(Vs) == 4 || sizeof(Vs) == 8) && ...);

/// Bytes of output that do not stay in the caches: more than a core has of the last one to itself.
inline constexpr std::size_t far_bytes = std::size_t{8} << 20;

/// Whether every column begins a line of the cache, as streaming stores need.
template <class K, class... Vs, std::size_t... Is>
[[nodiscard]] bool begins_lines(change_space<K, Vs...> const& out,
                                std::index_sequence<Is...>) noexcept {
  auto address = reinterpret_cast<std::uintptr_t>(out.keys());
  ((address |= reinterpret_cast<std::uintptr_t>(out.template values<Is>())), ...);
  return address % 64 == 0;
}

/// What merge_scalar does, by the widest of the instruction sets up to `which` that this machine
/// has and the columns fit.
template <keep Keep, class C, class K, class Newer, class... Vs>
[[nodiscard]] std::size_t merge_by(core::isa which, change_set_ref<K, Vs...> older, Newer newer,
                                   change_space<K, Vs...> out, C const& combine) noexcept {
#if defined(__x86_64__)
  if constexpr (fit_lanes<Vs...>) {
    constexpr std::size_t row = sizeof(K) + (std::size_t{0} + ... + sizeof(Vs));
    // few rows of a pass that drops most are written far
    constexpr bool may_be_far = Keep == keep::either || Keep == keep::all;
    bool const far = may_be_far && (older.size() + newer.size()) * row >= far_bytes &&
                     begins_lines(out, std::index_sequence_for<Vs...>{});
    auto const finish = [&](auto reached) {
      return reached.out + merge_scalar<Keep>(older.slice(reached.older),
                                              newer.slice(reached.newer), out.from(reached.out),
                                              combine);
    };
    if (which == core::isa::avx512 && core::best_isa() >= core::isa::avx512) {
      return far ? finish(avx512::merge_rows<Keep, may_be_far>(older, newer, out, combine))
                 : finish(avx512::merge_rows<Keep, false>(older, newer, out, combine));
    }
    if (which >= core::isa::avx2 && core::best_isa() >= core::isa::avx2) {
      return far ? finish(avx2::merge_rows<Keep, may_be_far>(older, newer, out, combine))
                 : finish(avx2::merge_rows<Keep, false>(older, newer, out, combine));
    }
  }
#endif
  static_cast<void>(which);
  return merge_scalar<Keep>(older, newer, out, combine);
}

}  // namespace millrace::inline v0::delta::detail
