// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// All of `recover`. For users; the library includes what it needs.

#include <millrace/recover/deadline.hpp>
#include <millrace/recover/ladder.hpp>
#include <millrace/recover/retry.hpp>
