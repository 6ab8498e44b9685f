// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// All of `propagate`. For users; the library includes what it needs.

#include <millrace/propagate/array.hpp>
#include <millrace/propagate/array_calls.hpp>
#include <millrace/propagate/array_each.hpp>
#include <millrace/propagate/array_kinds.hpp>
#include <millrace/propagate/array_reduce.hpp>
#include <millrace/propagate/batch.hpp>
#include <millrace/propagate/cell.hpp>
#include <millrace/propagate/column.hpp>
#include <millrace/propagate/cutoff.hpp>
#include <millrace/propagate/dump.hpp>
#include <millrace/propagate/engine.hpp>
#include <millrace/propagate/fixpoint.hpp>
#include <millrace/propagate/graph.hpp>
#include <millrace/propagate/kinds.hpp>
#include <millrace/propagate/name_table.hpp>
#include <millrace/propagate/node.hpp>
#include <millrace/propagate/pending_set.hpp>
#include <millrace/propagate/probe.hpp>
#include <millrace/propagate/reader.hpp>
#include <millrace/propagate/reorder.hpp>
#include <millrace/propagate/replace.hpp>
#include <millrace/propagate/topology.hpp>
#include <millrace/propagate/why.hpp>
