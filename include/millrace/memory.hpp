// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// All of `memory` that compiles without nvcc. For users; the library includes what it needs.

#include <millrace/memory/any_resource.hpp>
#include <millrace/memory/budget.hpp>
#include <millrace/memory/buffer.hpp>
#include <millrace/memory/checked_kernel_heap.hpp>
#include <millrace/memory/checked_resource.hpp>
#include <millrace/memory/counting_resource.hpp>
#include <millrace/memory/failing_resource.hpp>
#include <millrace/memory/graph_memory.hpp>
#include <millrace/memory/heap.hpp>
#include <millrace/memory/heap_stats.hpp>
#include <millrace/memory/heatmap.hpp>
#include <millrace/memory/kernel_heap.hpp>
#include <millrace/memory/managed_hints.hpp>
#include <millrace/memory/numa_resource.hpp>
#include <millrace/memory/pmr.hpp>
#include <millrace/memory/pool.hpp>
#include <millrace/memory/prefetch_planner.hpp>
#include <millrace/memory/reliefs.hpp>
#include <millrace/memory/resource.hpp>
#include <millrace/memory/shortage.hpp>
#include <millrace/memory/spilling_resource.hpp>
#include <millrace/memory/stream_pool.hpp>
#include <millrace/memory/tagged_resource.hpp>
