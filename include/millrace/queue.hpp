// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// Everything of millrace::queue. For users; the library itself includes single headers.

#include <millrace/queue/by_kind.hpp>
#include <millrace/queue/consumer.hpp>
#include <millrace/queue/launch.hpp>
#include <millrace/queue/layout_text.hpp>
#include <millrace/queue/policy.hpp>
#include <millrace/queue/producer.hpp>
