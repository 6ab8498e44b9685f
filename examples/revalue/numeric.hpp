// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// Elementary functions built from + - * / sqrt, fused multiply-add and bit casts alone. Each of
/// these is rounded the same way by SSE2, AVX2, AVX-512 and CUDA units, so every function here
/// gives the same bits wherever it runs. For that no product may stand where a compiler could fuse
/// it with a following sum: either the source fuses, or it says `product`; then g++'s -ffp-contract
/// and nvcc's -fmad change nothing. All are free of branches: a loop over them is vectorised by the
/// compiler.
/// Coefficients: Chebyshev fits computed with 40 digits, then rounded to double.

#include <millrace/core/config.hpp>

#include <cuda/std/bit>

#include <cmath>
#include <cstdint>

namespace revalue {

/// x * y + z with one rounding.
[[nodiscard]] MILLRACE_HD inline double fused(double x, double y, double z) noexcept {
  return std::fma(x, y, z);
}

/// x * y rounded, which no compiler fuses with what follows: adding 0.0 may not be left out, since
/// it turns -0.0 into 0.0.
[[nodiscard]] MILLRACE_HD inline double product(double x, double y) noexcept {
  return std::fma(x, y, 0.0);
}

/// min(|x|, most), for positive `most`; `most` when x is not a number. Doubles above zero are
/// ordered like their bits, and an integer minimum is no branch on any target.
[[nodiscard]] MILLRACE_HD inline double magnitude_within(double x, double most) noexcept {
  auto const bits = cuda::std::bit_cast<std::int64_t>(std::fabs(x));
  auto const limit = cuda::std::bit_cast<std::int64_t>(most);
  return cuda::std::bit_cast<double>(bits < limit ? bits : limit);
}

/// The coefficients of one polynomial, lowest order first.
template <int N>
struct polynomial {
  double c[N];

  /// The value at x. Two Horner chains in x², half as long as one, keep a vector unit busy.
  [[nodiscard]] MILLRACE_HD constexpr double operator()(double x) const noexcept {
    double const x2 = x * x;
    return fused(chain<1>(x2), x, chain<0>(x2));
  }

 private:
  /// c[I] + c[I + 2] x2 + c[I + 4] x2² + …; a recursion, since loops here would hide the body
  /// from the vectoriser.
  template <int I>
  [[nodiscard]] MILLRACE_HD constexpr double chain(double x2) const noexcept {
    if constexpr (I + 2 < N) {
      return fused(chain<I + 2>(x2), x2, c[I]);
    } else {
      return c[I];
    }
  }
};

/// e^x for x in [-708, 709]; relative error below 3e-16.
[[nodiscard]] MILLRACE_HD inline double exponential(double x) noexcept {
  // Adding this leaves round(x / ln 2) in the low bits of the sum.
  constexpr double shifter = 6755399441055744.0;
  double const shifted = fused(x, 1.4426950408889634, shifter);
  double const n = shifted - shifter;
  double const high = fused(n, -0.6931471803691238, x);
  double const r = fused(n, -1.9082149292705877e-10, high);
  constexpr polynomial<10> tail{
      {0.5000000000000001, 0.16666666666666669, 0.041666666666624164, 0.008333333333330065,
       0.0013888888917196719, 0.00019841269863040545, 2.4801521322368692e-05,
       2.7557268480310024e-06, 2.7620075879983367e-07, 2.5100375832561234e-08}};
  double const value = 1.0 + fused(r * r, tail(r), r);
  auto const exponent = cuda::std::bit_cast<std::uint64_t>(shifted) << 52;
  return cuda::std::bit_cast<double>(cuda::std::bit_cast<std::uint64_t>(value) + exponent);
}

/// ln x for positive normal x; error below one unit in the last place.
[[nodiscard]] MILLRACE_HD inline double logarithm(double x) noexcept {
  // Moves the mantissa into [sqrt(1/2), sqrt(2)) and keeps the exponent that is left.
  constexpr std::uint64_t root_half = 0x3fe6a09e667f3bcdu;
  constexpr std::uint64_t one = 0x3ff0000000000000u;
  std::uint64_t const bits = cuda::std::bit_cast<std::uint64_t>(x) + (one - root_half);
  auto const n = static_cast<double>(static_cast<std::int64_t>(bits >> 52) - 1023);
  double const m = cuda::std::bit_cast<double>((bits & 0x000fffffffffffffu) + root_half);
  double const f = m - 1.0;
  double const s = f / (m + 1.0);
  double const z = s * s;
  constexpr polynomial<7> tail{{0.666666666666667, 0.39999999999899505, 0.28571428625975487,
                                0.22222211134794345, 0.1818288912531527, 0.1533172159877604,
                                0.1461644970704499}};
  // ln m = 2 s + s^3 tail, with 2 s = f - s f so that the large part stays exact.
  double const low = fused(s, fused(z, tail(z), -f), n * 1.9082149292705877e-10);
  return fused(n, 0.6931471803691238, f + low);
}

/// Mills' ratio of the normal distribution, (1 - Φ(x)) / φ(x), for x in [0, 38]; relative error
/// below 1e-15.
/// @source form of Shepherd and Laframboise, Math. Comp. 36 (1981): a polynomial in
///   (x - k) / (x + k), here with k = 5 and one division
[[nodiscard]] MILLRACE_HD inline double mills_ratio(double x) noexcept {
  constexpr polynomial<21> p{
      {1.9280810471531575,     -1.6678665951889506,     1.2415470615739084,
       -0.785911075547435,     0.41364471573056544,     -0.17325473406232159,
       0.052125502456236206,   -0.007503283134928388,   -0.0019999624593433603,
       0.0013658613103591944,  -0.00014882989095678725, -0.00012474425174855387,
       4.180175257438387e-05,  9.995293184891471e-06,   -6.912193697653133e-06,
       -8.64229140736271e-07,  1.04161886204616e-06,    1.1560330019961742e-07,
       -1.282881757757179e-07, -1.9312271182667944e-08, 5.604419283820492e-09}};
  double const v = 1.0 / (x + 5.0);
  return product(p(fused(v, -10.0, 1.0)), v);
}

}  // namespace revalue
