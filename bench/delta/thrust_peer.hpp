// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace millrace::bench {

/// Thrust's merge_by_key and reduce_by_key on one host thread (its CPP backend), in a translation
/// unit of its own. Rows written.
[[nodiscard]] std::size_t thrust_merge_and_reduce(std::uint32_t const* older_keys,
                                                  float const* older_values, std::size_t older,
                                                  std::uint32_t const* newer_keys,
                                                  float const* newer_values, std::size_t newer,
                                                  std::uint32_t* merged_keys, float* merged_values,
                                                  std::uint32_t* keys, float* values);
[[nodiscard]] std::size_t thrust_merge_and_reduce(std::uint64_t const* older_keys,
                                                  double const* older_values, std::size_t older,
                                                  std::uint64_t const* newer_keys,
                                                  double const* newer_values, std::size_t newer,
                                                  std::uint64_t* merged_keys, double* merged_values,
                                                  std::uint64_t* keys, double* values);

}  // namespace millrace::bench
