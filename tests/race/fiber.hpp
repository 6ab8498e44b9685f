// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace race {

/// A stack of its own to run a function on. One operating system thread owns all fibers; exactly
/// one of them, or the thread's own stack, runs at a time. AddressSanitizer and ThreadSanitizer are
/// told of every switch. A fiber may be abandoned in the middle of its function: what lies on its
/// stack is then dropped, and no destructor runs.
class fiber {
 public:
  fiber();
  ~fiber();
  fiber(fiber const&) = delete;
  fiber& operator=(fiber const&) = delete;

  /// Readies the fiber to call `entry(argument)` at its next resume; `entry` must not return.
  void restart(void (*entry)(void*), void* argument);
  /// Runs this fiber until something else is resumed.
  void resume();
  /// Runs the operating system thread's own stack again, where it called resume().
  static void resume_thread();
  /// Whether a fiber, not the operating system thread's own stack, is running.
  [[nodiscard]] static bool inside();

  struct context;

 private:
  context* context_;
};

}  // namespace race
