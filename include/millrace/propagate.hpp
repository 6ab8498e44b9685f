// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// All of `propagate`. For users; the library includes what it needs.

#include <millrace/propagate/access_set.hpp>
#include <millrace/propagate/array.hpp>
#include <millrace/propagate/array_calls.hpp>
#include <millrace/propagate/array_each.hpp>
#include <millrace/propagate/array_kinds.hpp>
#include <millrace/propagate/array_reduce.hpp>
#include <millrace/propagate/batch.hpp>
#include <millrace/propagate/cell.hpp>
#include <millrace/propagate/column.hpp>
#include <millrace/propagate/commit_lane.hpp>
#include <millrace/propagate/cutoff.hpp>
#include <millrace/propagate/dump.hpp>
#include <millrace/propagate/edit.hpp>
#include <millrace/propagate/engine.hpp>
#include <millrace/propagate/epoch_pins.hpp>
#include <millrace/propagate/fixpoint.hpp>
#include <millrace/propagate/graph.hpp>
#include <millrace/propagate/journal.hpp>
#include <millrace/propagate/kinds.hpp>
#include <millrace/propagate/mailbox.hpp>
#include <millrace/propagate/name_table.hpp>
#include <millrace/propagate/node.hpp>
#include <millrace/propagate/pending_set.hpp>
#include <millrace/propagate/probe.hpp>
#include <millrace/propagate/reader.hpp>
#include <millrace/propagate/record.hpp>
#include <millrace/propagate/reorder.hpp>
#include <millrace/propagate/replace.hpp>
#include <millrace/propagate/retry.hpp>
#include <millrace/propagate/settle.hpp>
#include <millrace/propagate/slot_table.hpp>
#include <millrace/propagate/snapshot.hpp>
#include <millrace/propagate/store.hpp>
#include <millrace/propagate/store_core.hpp>
#include <millrace/propagate/store_ops.hpp>
#include <millrace/propagate/store_policy.hpp>
#include <millrace/propagate/subscription.hpp>
#include <millrace/propagate/topology.hpp>
#include <millrace/propagate/track.hpp>
#include <millrace/propagate/transaction.hpp>
#include <millrace/propagate/version.hpp>
#include <millrace/propagate/why.hpp>
