// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// The host's copies of `apply`, one an instruction set. The compiler vectorises the same body for
/// each; the results are the same bits. One of them is chosen when the program starts.

#include "desk.hpp"

namespace revalue {

/// `apply` for one host thread.
using apply_function = reply (*)(desk_ref const&, update const&) noexcept;

/// A copy of `apply` and the instructions that it needs.
struct instruction_set {
  char const* name = nullptr;
  apply_function apply = nullptr;
};

/// For any processor of the architecture that the program is built for.
inline reply apply_baseline(desk_ref const& desk, update const& u) noexcept {
  return apply(solo{}, desk, u);
}

#if defined(__x86_64__)
[[gnu::target("avx2,fma")]] inline reply apply_avx2(desk_ref const& desk,
                                                    update const& u) noexcept {
  return apply(solo{}, desk, u);
}

[[gnu::target("avx512f,avx512dq,avx512vl,avx512bw,avx2,fma,prefer-vector-width=512")]] inline reply
apply_avx512(desk_ref const& desk, update const& u) noexcept {
  return apply(solo{}, desk, u);
}
#endif

/// The fastest that this processor runs.
[[nodiscard]] inline instruction_set best_instruction_set() noexcept {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("fma")) {
    return {"AVX-512", apply_avx512};
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    return {"AVX2", apply_avx2};
  }
#endif
  return {"baseline", apply_baseline};
}

}  // namespace revalue
