// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// All of `core` that compiles without nvcc. For users; the library includes what it needs.

#include <millrace/core/access.hpp>
#include <millrace/core/array_view.hpp>
#include <millrace/core/backend.hpp>
#include <millrace/core/clock.hpp>
#include <millrace/core/config.hpp>
#include <millrace/core/cuda_status.hpp>
#include <millrace/core/device_fault.hpp>
#include <millrace/core/devices.hpp>
#include <millrace/core/driver.hpp>
#include <millrace/core/dtype.hpp>
#include <millrace/core/error.hpp>
#include <millrace/core/isa.hpp>
#include <millrace/core/occupancy.hpp>
#include <millrace/core/parking.hpp>
#include <millrace/core/platform.hpp>
#include <millrace/core/probe.hpp>
#include <millrace/core/rng.hpp>
#include <millrace/core/version.hpp>
