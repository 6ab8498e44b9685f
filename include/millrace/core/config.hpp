// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// Every macro of millrace. A style test counts them: there are never more than ten.

/// Defined when the translation unit is compiled by a CUDA compiler.
#if defined(__CUDACC__)
#define MILLRACE_CUDACC 1
#endif

/// Marks a function that is compiled for the host and, by a CUDA compiler, for the device.
#if defined(MILLRACE_CUDACC)
#define MILLRACE_HD __host__ __device__
#else
#define MILLRACE_HD
#endif

/// Marks a kernel. Kernels are hidden: the library that instantiates one launches it.
#if defined(MILLRACE_CUDACC)
#define MILLRACE_KERNEL [[gnu::visibility("hidden")]] __global__
#endif

/// Exports the persistent kernel of a policy from a module that is loaded at run time, and what the
/// loader compares; see queue/export_functor.cuh.
#if defined(MILLRACE_CUDACC)
#define MILLRACE_EXPORT_FUNCTOR(name, policy)                                       \
  extern "C" {                                                                      \
  __constant__ ::millrace::queue::functor_abi millrace_##name##_abi =               \
      ::millrace::queue::functor_abi_of<policy>();                                  \
  __global__ void __launch_bounds__(policy::threads_per_block) millrace_            \
      ##name(__grid_constant__ ::millrace::queue::kernel_args<policy> const args) { \
    ::millrace::queue::detail::run_grid<policy>(args);                              \
  }                                                                                 \
  }                                                                                 \
  static_assert(true)
#endif

/// States an invariant of millrace itself; bad input never reaches one.
#if defined(NDEBUG)
#define MILLRACE_ASSERT(...) static_cast<void>(sizeof(!(__VA_ARGS__)))
#else
#include <cassert>
#define MILLRACE_ASSERT(...) assert((__VA_ARGS__))
#endif

/// Between these two, functions are compiled for an instruction set beyond the machine's base, in
/// every translation unit, whatever it is compiled for; see core/isa.hpp, which says whether this
/// machine has it. Templates as well, but no lambdas, which clang leaves out.
// clang-format off: a pragma is one string
#if defined(__x86_64__) && defined(__clang__)
#define MILLRACE_TARGET_AVX2 \
  _Pragma("clang attribute push(__attribute__((target(\"avx2,bmi,bmi2,lzcnt,popcnt,prfchw,sse4.2,pclmul\"))), apply_to = function)")
#define MILLRACE_TARGET_AVX512 \
  _Pragma("clang attribute push(__attribute__((target(\"avx2,bmi,bmi2,lzcnt,popcnt,prfchw,sse4.2,pclmul,avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx512vnni\"))), apply_to = function)")
#define MILLRACE_TARGET_END _Pragma("clang attribute pop")
#elif defined(__x86_64__)
#define MILLRACE_TARGET_AVX2 \
  _Pragma("GCC push_options") \
  _Pragma("GCC target(\"avx2,bmi,bmi2,lzcnt,popcnt,prfchw,sse4.2,pclmul\")")
#define MILLRACE_TARGET_AVX512 \
  _Pragma("GCC push_options") \
  _Pragma("GCC target(\"avx2,bmi,bmi2,lzcnt,popcnt,prfchw,sse4.2,pclmul,avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx512vnni\")")
#define MILLRACE_TARGET_END _Pragma("GCC pop_options")
#endif
// clang-format on
