// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/delta/value_layout.hpp>

/// \file
/// Quotients by powers of ten from products. With 10^-e as the sum of two doubles, `near` and
/// `rest`, fma(n, near, n * rest) is n / 10^e as a division rounds it, for every integer n up to
/// 2^53: before its last rounding it is off by less than 2^-52 units of the last place, and such a
/// quotient, if it is not a double itself, is at least 5^-e / 2 units from where rounding turns,
/// which for e up to 21 is more than 2^-50.

namespace millrace::inline v0::delta {

/// 10^-exponent = near + rest, each the nearest double.
struct decimal_inverse {
  double near, rest;
};

// clang-format off: one exponent a line
inline constexpr decimal_inverse decimal_inverses[most_exponent + 1] = {
    {1.0, 0.0},
    {1e-1, -0x1.999999999999ap-58},
    {1e-2, -0x1.eb851eb851eb8p-63},
    {1e-3, -0x1.89374bc6a7efap-66},
    {1e-4, -0x1.6a161e4f765fep-68},
    {1e-5, -0x1.ee78183f91e64p-71},
    {1e-6, 0x1.b5a63f9a49c2cp-75},
    {1e-7, 0x1.5e1e99483b023p-78},
    {1e-8, -0x1.03023df2d4c94p-82},
    {1e-9, -0x1.34674bfabb83bp-84},
    {1e-10, -0x1.20a5465df8d2cp-88},
    {1e-11, 0x1.7f7bc7b4d28aap-91},
    {1e-12, 0x1.97f27f0f6e886p-96},
    {1e-13, -0x1.ecd79a5a0df95p-99},
    {1e-14, 0x1.ea70909833de7p-107},
    {1e-15, -0x1.937831647f5a0p-104},
    {1e-16, 0x1.5b4c2ebe68799p-109},
    {1e-17, -0x1.db7b2080a3029p-111},
    {1e-18, -0x1.7c628066e8ceep-114},
    {1e-19, 0x1.a52b31e9e3d07p-119},
    {1e-20, 0x1.75447a5d8e536p-121},
    {1e-21, 0x1.f769fb7e0b75ep-124},
};
// clang-format on

}  // namespace millrace::inline v0::delta
