// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// All of `delta` that compiles without nvcc. For users; the library includes what it needs.

#include <millrace/delta/change_set.hpp>
#include <millrace/delta/change_set_ref.hpp>
#include <millrace/delta/combine.hpp>
#include <millrace/delta/fold_equal.hpp>
#include <millrace/delta/key.hpp>
#include <millrace/delta/merge.hpp>
#include <millrace/delta/merge_many.hpp>
#include <millrace/delta/merge_scalar.hpp>
#include <millrace/delta/merge_simd.hpp>
#include <millrace/delta/paced_merge.hpp>
#include <millrace/delta/read_runs.hpp>
#include <millrace/delta/seek.hpp>
#include <millrace/delta/spine.hpp>
