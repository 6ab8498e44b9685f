// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/harness/session.hpp"

namespace millrace::bench {

/// The rows `revalue.pipeline.*`.
void run_pipelines(session& work);

}  // namespace millrace::bench
