// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/error.hpp>

#include <utility>

namespace millrace::bench {

/// What a trial cannot go on without: a failure becomes the row's problem.
template <class T>
T must(result<T> made) {
  return core::value_or_throw(std::move(made));
}

}  // namespace millrace::bench
