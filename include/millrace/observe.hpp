// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// All of `observe` that compiles without nvcc. For users; the library includes what it needs.

#include <millrace/observe/heatmap_picture.hpp>
#include <millrace/observe/picture.hpp>
#include <millrace/observe/series_picture.hpp>
#include <millrace/observe/svg_text.hpp>
