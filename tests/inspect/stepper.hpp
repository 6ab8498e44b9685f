// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <string>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

namespace inspect {

/// The problem of a machine on which nothing can be counted.
inline constexpr char const* may_not_trace = "this process may not trace its children";

/// What a run of the stepper gave.
struct stepped {
  std::uint64_t instructions = 0;
  std::string problem;
};

/// Stops the calling process for the stepper: once where counting begins, once where it ends.
inline void counting_stop() noexcept { ::raise(SIGUSR1); }

/// Runs `work` in a child process and counts the instructions that its calling thread executes
/// between its two calls of `counting_stop`, one step at a time: an exact number, the same on a
/// busy machine, whatever the clock does. Part of those calls is counted too; the difference of two
/// runs is free of it.
template <class Work>
[[nodiscard]] stepped count_instructions(Work work) {
  pid_t const child = ::fork();
  if (child < 0) { return {0, std::string("fork: ") + std::strerror(errno)}; }
  if (child == 0) {
    if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) { ::_exit(1); }
    ::_exit(work() ? 0 : 2);
  }
  stepped out;
  int stops = 0;
  for (;;) {
    int status = 0;
    if (::waitpid(child, &status, 0) != child) { return {0, "waitpid failed"}; }
    if (WIFEXITED(status)) {
      int const code = WEXITSTATUS(status);
      if (code == 1) { out.problem = may_not_trace; }
      if (code == 2) { out.problem = "the work that was counted went wrong"; }
      if (code == 0 && stops != 2) { out.problem = "the work made no two stops"; }
      return out;
    }
    if (WIFSIGNALED(status)) {
      return {0, std::string("the work ended by signal ") + std::to_string(WTERMSIG(status))};
    }
    int const signal = WSTOPSIG(status);
    int deliver = 0;
    if (signal == SIGUSR1) {
      ++stops;
    } else if (signal == SIGTRAP && stops == 1) {
      ++out.instructions;
    } else if (signal != SIGTRAP) {
      deliver = signal;
    }
    if (::ptrace(stops == 1 ? PTRACE_SINGLESTEP : PTRACE_CONT, child, nullptr, deliver) != 0) {
      return {0, std::string("ptrace: ") + std::strerror(errno)};
    }
  }
}

}  // namespace inspect
