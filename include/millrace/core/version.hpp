// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// The version of millrace; the build system and the packages read it from here.

namespace millrace::inline v0::core {

/// Semantic version. Until 1.0 a new minor version may break its users.
inline constexpr int version_major = 0;
inline constexpr int version_minor = 1;
inline constexpr int version_patch = 0;

}  // namespace millrace::inline v0::core
