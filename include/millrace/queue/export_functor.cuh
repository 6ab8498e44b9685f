// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/config.hpp>
#include <millrace/queue/functor_abi.hpp>
#include <millrace/queue/kernel.cuh>

/// \file
/// What a functor that is loaded at run time is written with: one .cu file that includes this
/// header, has a policy, and says
///
///     MILLRACE_EXPORT_FUNCTOR(times, times_policy)
///
/// in no namespace. It exports the persistent kernel of the policy and its description under the
/// name, for `functor_library::find`. The policy is the consumer's but for its functor, backoff and
/// probe, which are the module's own, and for what concerns producers alone. `nvcc -std=c++20
/// -cubin -arch=sm_90` makes a cubin of it,
/// `-fatbin` or `-ptx` what fits more devices. A module may export several functors.
