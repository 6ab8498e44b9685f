// SPDX-License-Identifier: Apache-2.0
#if defined(MILLRACE_BENCH_THRUST)
#define THRUST_HOST_SYSTEM THRUST_HOST_SYSTEM_CPP
#define THRUST_DEVICE_SYSTEM THRUST_DEVICE_SYSTEM_CPP
#include "bench/delta/thrust_peer.hpp"

#include <thrust/execution_policy.h>
#include <thrust/merge.h>
#include <thrust/reduce.h>

namespace millrace::bench {
namespace {

template <class K, class V>
std::size_t merge_and_reduce(K const* ak, V const* av, std::size_t n, K const* bk, V const* bv,
                             std::size_t m, K* mk, V* mv, K* ok, V* ov) {
  auto const merged = thrust::merge_by_key(thrust::host, ak, ak + n, bk, bk + m, av, bv, mk, mv);
  auto const reduced = thrust::reduce_by_key(thrust::host, mk, merged.first, mv, ok, ov);
  return static_cast<std::size_t>(reduced.first - ok);
}

}  // namespace

std::size_t thrust_merge_and_reduce(std::uint32_t const* ak, float const* av, std::size_t n,
                                    std::uint32_t const* bk, float const* bv, std::size_t m,
                                    std::uint32_t* mk, float* mv, std::uint32_t* ok, float* ov) {
  return merge_and_reduce(ak, av, n, bk, bv, m, mk, mv, ok, ov);
}
std::size_t thrust_merge_and_reduce(std::uint64_t const* ak, double const* av, std::size_t n,
                                    std::uint64_t const* bk, double const* bv, std::size_t m,
                                    std::uint64_t* mk, double* mv, std::uint64_t* ok, double* ov) {
  return merge_and_reduce(ak, av, n, bk, bv, m, mk, mv, ok, ov);
}

}  // namespace millrace::bench
#endif
