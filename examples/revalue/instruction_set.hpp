// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// The host's copies of what works on many options, one an instruction set: the compiler inlines
/// the same bodies into each (flatten) and vectorises them for its target. The results are the same
/// bits. One set is chosen when the program starts.

#include "block.hpp"
#include "desk.hpp"

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
  /// What pricing needs of a block, the block priced, and a leaf of such blocks added up.
  option_block (*terms)(block_contracts const&, block_quotes const&) noexcept = nullptr;
  priced_block (*price_block)(option_block const&, market const&) noexcept = nullptr;
  risk (*sum_leaf)(priced_block const* const*, std::uint32_t) noexcept = nullptr;
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
[[gnu::flatten]] inline option_block terms_baseline(block_contracts const& of,
                                                    block_quotes const& at) noexcept {
  return terms_of(of, at);
}
[[gnu::flatten]] inline priced_block price_block_baseline(option_block const& of,
                                                          market const& at) noexcept {
  return priced(of, at);
}
[[gnu::flatten]] inline risk sum_leaf_baseline(priced_block const* const* blocks,
                                               std::uint32_t count) noexcept {
  return risk_of(blocks, count);
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
[[gnu::flatten, gnu::target("avx2,fma")]] inline option_block terms_avx2(
    block_contracts const& of, block_quotes const& at) noexcept {
  return terms_of(of, at);
}
[[gnu::flatten, gnu::target("avx2,fma")]] inline priced_block price_block_avx2(
    option_block const& of, market const& at) noexcept {
  return priced(of, at);
}
[[gnu::flatten, gnu::target("avx2,fma")]] inline risk sum_leaf_avx2(
    priced_block const* const* blocks, std::uint32_t count) noexcept {
  return risk_of(blocks, count);
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
  gnu::target("avx512f,avx512dq,avx512vl,fma,prefer-vector-width=512")]] inline option_block
terms_avx512(block_contracts const& of, block_quotes const& at) noexcept {
  return terms_of(of, at);
}
[[gnu::flatten,
  gnu::target("avx512f,avx512dq,avx512vl,fma,prefer-vector-width=512")]] inline priced_block
price_block_avx512(option_block const& of, market const& at) noexcept {
  return priced(of, at);
}
[[gnu::flatten, gnu::target("avx512f,avx512dq,avx512vl,fma,prefer-vector-width=512")]] inline risk
sum_leaf_avx512(priced_block const* const* blocks, std::uint32_t count) noexcept {
  return risk_of(blocks, count);
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
                   detail::price_block_avx512, detail::sum_leaf_avx512});
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    out.push_back({"AVX2", detail::apply_avx2, detail::price_avx2, detail::terms_avx2,
                   detail::price_block_avx2, detail::sum_leaf_avx2});
  }
#endif
  out.push_back({"baseline", detail::apply_baseline, detail::price_baseline, detail::terms_baseline,
                 detail::price_block_baseline, detail::sum_leaf_baseline});
  return out;
}

/// The fastest that this processor runs.
[[nodiscard]] inline instruction_set best_instruction_set() { return instruction_sets().front(); }

}  // namespace revalue
