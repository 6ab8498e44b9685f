// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// All of `delta` that compiles without nvcc. For users; the library includes what it needs.

#include <millrace/delta/accumulate.hpp>
#include <millrace/delta/builder.hpp>
#include <millrace/delta/change_set.hpp>
#include <millrace/delta/change_set_ref.hpp>
#include <millrace/delta/combine.hpp>
#include <millrace/delta/consolidate.hpp>
#include <millrace/delta/dense.hpp>
#include <millrace/delta/gallop.hpp>
#include <millrace/delta/hash.hpp>
#include <millrace/delta/key.hpp>
#include <millrace/delta/merge.hpp>
#include <millrace/delta/merge_parallel.hpp>
#include <millrace/delta/merge_scalar.hpp>
#include <millrace/delta/merge_simd.hpp>
#include <millrace/delta/sort.hpp>
#include <millrace/delta/split.hpp>
#include <millrace/delta/stream_copy.hpp>
#include <millrace/delta/validate.hpp>
