// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <millrace/core/error.hpp>

#include <cstdint>

namespace linkage {

/// What one part of the program finds out.
struct answer {
  std::uint64_t sum = 0;                          ///< of the squares of 1 to 100
  millrace::errc on_device = millrace::errc::ok;  ///< what launching on device 0 came to
  bool with_launcher = false;                     ///< whether nvcc's launcher is in this part
};

answer left();
answer right();
answer left_device();
answer right_device();

}  // namespace linkage
