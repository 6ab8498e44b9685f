// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

namespace inspect {

/// The problem of a machine on which nothing can be counted.
inline constexpr char const* may_not_trace = "this process may not trace its children";

/// What a run of the stepper gave.
struct stepped {
  std::uint64_t instructions = 0;
  std::uint64_t locked = 0;  ///< of them, those that lock a cache line; x86-64 alone
  std::string problem = {};
};

#if defined(__x86_64__)
/// Whether these bytes begin an instruction that locks: by its prefix, or an xchg with memory.
[[nodiscard]] constexpr bool locks(unsigned char const* bytes, std::size_t size) noexcept {
  std::size_t i = 0;
  for (; i < size; ++i) {
    unsigned char const b = bytes[i];
    if (b == 0xf0) { return true; }
    bool const prefix = b == 0x66 || b == 0x67 || b == 0xf2 || b == 0xf3 || b == 0x2e ||
                        b == 0x36 || b == 0x3e || b == 0x26 || b == 0x64 || b == 0x65 ||
                        (b & 0xf0) == 0x40;
    if (!prefix) { break; }
  }
  return i + 1 < size && (bytes[i] & 0xfe) == 0x86 && (bytes[i + 1] & 0xc0) != 0xc0;
}

/// Whether the instruction that a stopped process comes to locks.
[[nodiscard]] inline bool comes_to_lock(pid_t child) noexcept {
  user_regs_struct at{};
  if (::ptrace(PTRACE_GETREGS, child, nullptr, &at) != 0) { return false; }
  unsigned char bytes[sizeof(long)];
  long const word = ::ptrace(PTRACE_PEEKTEXT, child, at.rip, nullptr);
  std::memcpy(bytes, &word, sizeof word);
  return locks(bytes, sizeof bytes);
}
#else
[[nodiscard]] inline bool comes_to_lock(pid_t) noexcept { return false; }
#endif

/// Stops the calling process for the stepper: once where counting begins, once where it ends.
inline void counting_stop() noexcept { ::raise(SIGUSR1); }

/// Runs `work` in a child process and counts the instructions that its calling thread executes
/// between its two calls of `counting_stop`, one step at a time: an exact number, the same on a
/// busy machine, whatever the clock does. Part of those calls is counted too; the difference of two
/// runs is free of it.
template <class Work>
[[nodiscard]] stepped count_instructions(Work work) {
  pid_t const child = ::fork();
  if (child < 0) { return {.problem = std::string("fork: ") + std::strerror(errno)}; }
  if (child == 0) {
    if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) { ::_exit(1); }
    ::_exit(work() ? 0 : 2);
  }
  stepped out;
  int stops = 0;
  for (;;) {
    int status = 0;
    if (::waitpid(child, &status, 0) != child) { return {.problem = "waitpid failed"}; }
    if (WIFEXITED(status)) {
      int const code = WEXITSTATUS(status);
      if (code == 1) { out.problem = may_not_trace; }
      if (code == 2) { out.problem = "the work that was counted went wrong"; }
      if (code == 0 && stops != 2) { out.problem = "the work made no two stops"; }
      return out;
    }
    if (WIFSIGNALED(status)) {
      return {.problem = "the work ended by signal " + std::to_string(WTERMSIG(status))};
    }
    int const signal = WSTOPSIG(status);
    int deliver = 0;
    if (signal == SIGUSR1) {
      ++stops;
    } else if (signal == SIGTRAP && stops == 1) {
      ++out.instructions;
      out.locked += comes_to_lock(child) ? 1 : 0;
    } else if (signal != SIGTRAP) {
      deliver = signal;
    }
    if (::ptrace(stops == 1 ? PTRACE_SINGLESTEP : PTRACE_CONT, child, nullptr, deliver) != 0) {
      return {.problem = std::string("ptrace: ") + std::strerror(errno)};
    }
  }
}

}  // namespace inspect
