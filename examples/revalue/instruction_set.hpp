// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// The host's copies of what works on many options, one an instruction set: the compiler inlines
/// the same bodies into each (flatten) and vectorises them for its target. The results are the same
/// bits. One set is chosen when the program starts.

#include "desk.hpp"
#include "leaf.hpp"

#include <cstdint>
#include <vector>

namespace revalue {

/// The bodies compiled for one instruction set.
struct instruction_set {
  char const* name = nullptr;
  /// Does one update of a desk, in the calling thread.
  reply (*apply)(desk_ref const&, update const&) noexcept = nullptr;
  /// Prices blocks, in the calling thread, and adds nothing up.
  void (*price)(option_block const*, value_block*, std::uint32_t, market) noexcept = nullptr;
  /// What pricing needs of a leaf, and the leaf priced and added up.
  leaf_terms (*terms)(leaf_contracts const&, leaf_quotes const&) noexcept = nullptr;
  priced_leaf (*price_leaf)(leaf_terms const&, market const&) noexcept = nullptr;
};

namespace detail {

// For any processor of the architecture that the program is built for.
[[gnu::flatten]] inline reply apply_baseline(desk_ref const& desk, update const& u) noexcept {
  return apply(solo{}, desk, u);
}
[[gnu::flatten]] inline void price_baseline(option_block const* options, value_block* values,
                                            std::uint32_t blocks, market m) noexcept {
  price_blocks(options, values, blocks, m);
}
[[gnu::flatten]] inline leaf_terms terms_baseline(leaf_contracts const& of,
                                                  leaf_quotes const& at) noexcept {
  return terms_of(of, at);
}
[[gnu::flatten]] inline priced_leaf price_leaf_baseline(leaf_terms const& of,
                                                        market const& at) noexcept {
  return price_leaf(of, at);
}

#if defined(__x86_64__)
[[gnu::flatten, gnu::target("avx2,fma")]] inline reply apply_avx2(desk_ref const& desk,
                                                                  update const& u) noexcept {
  return apply(solo{}, desk, u);
}
[[gnu::flatten, gnu::target("avx2,fma")]] inline void price_avx2(option_block const* options,
                                                                 value_block* values,
                                                                 std::uint32_t blocks,
                                                                 market m) noexcept {
  price_blocks(options, values, blocks, m);
}
[[gnu::flatten, gnu::target("avx2,fma")]] inline leaf_terms terms_avx2(
    leaf_contracts const& of, leaf_quotes const& at) noexcept {
  return terms_of(of, at);
}
[[gnu::flatten, gnu::target("avx2,fma")]] inline priced_leaf price_leaf_avx2(
    leaf_terms const& of, market const& at) noexcept {
  return price_leaf(of, at);
}

[[gnu::flatten, gnu::target("avx512f,avx512dq,avx512vl,fma,prefer-vector-width=512")]] inline reply
apply_avx512(desk_ref const& desk, update const& u) noexcept {
  return apply(solo{}, desk, u);
}
[[gnu::flatten, gnu::target("avx512f,avx512dq,avx512vl,fma,prefer-vector-width=512")]] inline void
price_avx512(option_block const* options, value_block* values, std::uint32_t blocks,
             market m) noexcept {
  price_blocks(options, values, blocks, m);
}
[[gnu::flatten,
  gnu::target("avx512f,avx512dq,avx512vl,fma,prefer-vector-width=512")]] inline leaf_terms
terms_avx512(leaf_contracts const& of, leaf_quotes const& at) noexcept {
  return terms_of(of, at);
}
[[gnu::flatten,
  gnu::target("avx512f,avx512dq,avx512vl,fma,prefer-vector-width=512")]] inline priced_leaf
price_leaf_avx512(leaf_terms const& of, market const& at) noexcept {
  return price_leaf(of, at);
}
#endif

}  // namespace detail

/// Every set that this processor runs, the fastest first.
[[nodiscard]] inline std::vector<instruction_set> instruction_sets() {
  std::vector<instruction_set> out;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma")) {
    out.push_back({"AVX-512", detail::apply_avx512, detail::price_avx512, detail::terms_avx512,
                   detail::price_leaf_avx512});
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    out.push_back({"AVX2", detail::apply_avx2, detail::price_avx2, detail::terms_avx2,
                   detail::price_leaf_avx2});
  }
#endif
  out.push_back({"baseline", detail::apply_baseline, detail::price_baseline, detail::terms_baseline,
                 detail::price_leaf_baseline});
  return out;
}

/// The fastest that this processor runs.
[[nodiscard]] inline instruction_set best_instruction_set() { return instruction_sets().front(); }

}  // namespace revalue
