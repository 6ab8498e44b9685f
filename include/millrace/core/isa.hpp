// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>

#include <cstdint>

namespace millrace::inline v0::core {

/// The instruction sets that host loops are compiled for, narrowest first. Which one runs is chosen
/// at run time; a program needs no compiler flags to use the widest that its machine has.
enum class isa : std::uint8_t {
  scalar = 0,  ///< what the program was compiled for
  avx2 = 1,    ///< x86-64-v3 and PCLMUL: AVX2, BMI2 (Haswell, Zen)
  avx512 = 2,  ///< AVX-512 F, BW, DQ, VL, VBMI, VBMI2 and VNNI (Ice Lake, Zen 4); not Skylake's,
               ///< which is slow to wake
};

/// Every instruction set, narrowest first.
inline constexpr isa all_isas[] = {isa::scalar, isa::avx2, isa::avx512};

/// "scalar", "avx2" or "avx512"; never null.
[[nodiscard]] constexpr char const* describe(isa which) noexcept {
  switch (which) {
    case isa::scalar: return "scalar";
    case isa::avx2: return "avx2";
    case isa::avx512: return "avx512";
  }
  return "unknown instruction set";
}

/// Whether this machine runs `which`, and its system keeps the registers.
/// @cost tens of cycles; keep the answer, or ask best_isa()
[[nodiscard]] inline bool has_isa(isa which) noexcept {
#if defined(__x86_64__)
  bool const avx2 = __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("bmi") != 0 &&
                    __builtin_cpu_supports("bmi2") != 0 && __builtin_cpu_supports("popcnt") != 0 &&
                    __builtin_cpu_supports("sse4.2") != 0 && __builtin_cpu_supports("pclmul") != 0;
  bool const avx512 =
      avx2 && __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
      __builtin_cpu_supports("avx512dq") != 0 && __builtin_cpu_supports("avx512vl") != 0 &&
      __builtin_cpu_supports("avx512vbmi") != 0 && __builtin_cpu_supports("avx512vbmi2") != 0 &&
      __builtin_cpu_supports("avx512vnni") != 0;
#else
  bool const avx2 = false, avx512 = false;
#endif
  switch (which) {
    case isa::scalar: return true;
    case isa::avx2: return avx2;
    case isa::avx512: return avx512;
  }
  return false;
}

/// The widest instruction set of this machine, found once.
/// @thread any  @cost a load after the first call
[[nodiscard]] inline isa best_isa() noexcept {
  static isa const best = has_isa(isa::avx512) ? isa::avx512
                          : has_isa(isa::avx2) ? isa::avx2
                                               : isa::scalar;
  return best;
}

/// `wanted`, or the widest below it that this machine has.
/// @thread any  @cost as best_isa
[[nodiscard]] inline isa usable_isa(isa wanted) noexcept {
  isa const best = best_isa();
  return wanted < best ? wanted : best;
}

}  // namespace millrace::inline v0::core
