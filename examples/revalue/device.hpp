// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "engine.hpp"
#include <millrace/core/backend.hpp>
#include <millrace/core/error.hpp>

#include <cstdint>
#include <memory>

namespace revalue {

/// Whether this program was built with the CUDA Toolkit.
[[nodiscard]] bool built_for_devices() noexcept;

/// A persistent kernel on the device `where` that keeps a copy of `on` revalued in the device's
/// memory; `finish` brings the copy back. Defined in device.cu, or in device_absent.cpp where
/// there is no toolkit.
/// @param workers  blocks, one worker each
/// @error errc::not_compiled; errc::not_co_resident; what the CUDA runtime says
[[nodiscard]] millrace::result<std::unique_ptr<engine>> open_device_engine(
    desks& on, millrace::core::backend where, std::uint32_t workers);

}  // namespace revalue
