// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/memory/any_resource.hpp>
#include <millrace/memory/pmr.hpp>

#include <cstddef>
#include <vector>

namespace revalue {

/// Where a run's state comes from: the desks, what the run finds, and the queue's lanes. What was
/// read, the prices and the book, is the input's and lies elsewhere.
using state_memory = millrace::memory::any_resource;

/// Values in memory of a run's state. It throws std::bad_alloc where that has no room.
template <class T>
using column = std::vector<T, millrace::memory::allocator<T, state_memory>>;

template <class T>
[[nodiscard]] column<T> column_of(std::size_t count, state_memory const& from) {
  return column<T>(count, millrace::memory::allocator<T, state_memory>(from));
}

}  // namespace revalue
