// SPDX-License-Identifier: Apache-2.0
// While messages keep coming, submit, process and poll allocate nothing, lock nothing, and call
// nothing of the operating system. This program's malloc and pthread_mutex_lock count their calls;
// system calls are trapped by a seccomp filter on every thread of a forked child.
#include "support.hpp"

#include <doctest/doctest.h>

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <mutex>
#include <pthread.h>
#include <string>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {
std::atomic<std::uint64_t> allocations{0};
std::atomic<std::uint64_t> locks{0};
}  // namespace

extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);

void* malloc(std::size_t bytes) noexcept {
  ++allocations;
  return __libc_malloc(bytes);
}
void* calloc(std::size_t count, std::size_t bytes) noexcept {
  ++allocations;
  return __libc_calloc(count, bytes);
}
void* realloc(void* old, std::size_t bytes) noexcept {
  ++allocations;
  return __libc_realloc(old, bytes);
}
void* aligned_alloc(std::size_t alignment, std::size_t bytes) noexcept {
  ++allocations;
  return __libc_memalign(alignment, bytes);
}
int pthread_mutex_lock(pthread_mutex_t* mutex) noexcept {
  using function = int (*)(pthread_mutex_t*);
  static std::atomic<function> next{nullptr};
  function f = next;
  if (f == nullptr) {
    f = reinterpret_cast<function>(::dlsym(RTLD_NEXT, "pthread_mutex_lock"));
    next = f;
  }
  ++locks;
  return f(mutex);
}
}

using namespace queue_test;

namespace {

struct spinning : queue::default_consumer<uint64_t, twice_plus_one> {
  using backoff = queue::spin_backoff;
};
struct spinning_pinned : spinning {
  static constexpr queue::claim_mode claims = queue::claim_mode::pinned;
};
struct sleeping : queue::default_consumer<uint64_t, twice_plus_one> {};

struct drop {
  MILLRACE_HD queue::status operator()(queue::message_view<uint64_t>,
                                       queue::reply_writer<queue::no_reply>&) const noexcept {
    return queue::status::ok;
  }
};
struct spinning_unanswered : queue::default_consumer<uint64_t, drop> {
  using reply = queue::no_reply;
  using backoff = queue::spin_backoff;
  static constexpr queue::completion_mode completions = queue::completion_mode::none;
  static constexpr queue::claim_mode claims = queue::claim_mode::pinned;
};

/// Puts in what fits, each time in another way.
template <class P>
[[nodiscard]] std::uint32_t put_some(queue::producer<P>& lane, uint64_t base,
                                     std::uint32_t most) noexcept {
  if (lane.room() < 3 || most < 3) { return lane.submit(base) ? 1 : 0; }
  auto const fill = [&](std::uint32_t i, uint64_t& m) noexcept { m = base + i; };
  if (base % 2 == 0) { return lane.submit_batch(3, fill) ? 3 : 0; }
  auto const slot = lane.reserve();
  if (!slot) { return 0; }
  **slot = base;
  return lane.commit() ? 1 : 0;
}

/// Submits `count` messages and takes every answer. Asks for no time and gives nothing away.
template <class P>
[[nodiscard]] bool stay_busy(queue::producer<P>& lane, uint64_t first,
                             std::uint32_t count) noexcept {
  bool right = true;
  std::uint32_t sent = 0, taken = 0;
  while (sent < count || (taken < count && P::completions == queue::completion_mode::records)) {
    if (sent < count) { sent += put_some(lane, sent, count - sent); }
    if constexpr (P::completions == queue::completion_mode::records) {
      if (auto const got = lane.try_result(first + taken)) {
        right = right && got->reply == answer_to(taken);
        ++taken;
      }
      taken += lane.poll([&](auto const& got) noexcept {
        right = right && got.reply == answer_to(got.id - first);
      });
    }
  }
  return right;
}

/// Threads that spin on fewer processors than they are get a turn each scheduler tick.
[[nodiscard]] constexpr std::uint32_t messages_for(std::uint32_t workers) noexcept {
  return workers == 1 ? 1'500 : 300;
}

template <class P>
void counts_nothing(std::uint32_t workers) {
  auto consumer = launch<P>({.capacity = 37, .workers = workers});
  auto lane = open(consumer);
  std::uint64_t const allocated = allocations, locked = locks;
  bool const right = stay_busy(lane, 0, messages_for(workers));
  std::uint64_t const allocated_then = allocations, locked_then = locks;
  CHECK(right);
  CHECK(allocated_then - allocated == 0);
  CHECK(locked_then - locked == 0);
}

/// What a child tells its parent.
struct verdict {
  int outcome = 0;
  int number = 0;  ///< the system call, or why there is no filter
};
enum outcome : int { untold = 0, quiet = 1, wrong = 2, called = 3, no_filter = 4 };

verdict* told = nullptr;

extern "C" void on_system_call(int, siginfo_t* info, void*) {
  told->outcome = called;
  told->number = info->si_syscall;
  ::_exit(0);
}

/// From here on any thread's system call but the last ends the process.
[[nodiscard]] bool forbid_system_calls() noexcept {
  struct sigaction action{};
  action.sa_sigaction = on_system_call;
  action.sa_flags = SA_SIGINFO;
  ::sigaction(SIGSYS, &action, nullptr);
  sock_filter rules[] = {
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)},
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYS_exit_group},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_TRAP},
  };
  sock_fprog const program{sizeof(rules) / sizeof(rules[0]), rules};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
      ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) == 0) {
    return true;
  }
  told->outcome = no_filter;
  told->number = errno;
  return false;
}

/// Runs `body` in a child, which says what became of it.
template <class Body>
[[nodiscard]] verdict in_child(Body body) {
  void* const page =
      ::mmap(nullptr, sizeof(verdict), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(page != MAP_FAILED);
  told = ::new (page) verdict;
  pid_t const child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::alarm(30);  // a child that hangs ends by itself
    body();
    ::_exit(0);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  verdict const got = *told;
  ::munmap(page, sizeof(verdict));
  return got;
}

template <class P>
[[nodiscard]] verdict busy_in_child(std::uint32_t workers) {
  return in_child([&] {
    auto consumer = launch<P>({.capacity = 37, .workers = workers});
    auto lane = open(consumer);
    bool right = stay_busy(lane, 0, 100);  // every page is there, every function bound
    if (!forbid_system_calls()) { ::_exit(0); }
    right = stay_busy(lane, 100, messages_for(workers)) && right;
    told->outcome = right ? quiet : wrong;
    ::_exit(0);
  });
}

[[nodiscard]] bool trapped(verdict got) {
  if (got.outcome != no_filter) { return true; }
  MESSAGE("not counted: this machine admits no seccomp filter: " << std::strerror(got.number));
  return false;
}

}  // namespace

TEST_CASE("quiet: the counters count") {
  std::uint64_t const allocated = allocations, locked = locks;
  void* volatile p = ::operator new(100);
  ::operator delete(p);
  std::mutex mutex;
  { std::scoped_lock const lock(mutex); }
  CHECK(allocations - allocated == 1);
  CHECK(locks - locked == 1);
}

TEST_CASE("quiet: submit, process and poll neither allocate nor lock while busy") {
  counts_nothing<spinning>(1);
  counts_nothing<spinning>(2);
  counts_nothing<spinning_pinned>(1);
  counts_nothing<spinning_unanswered>(1);
  counts_nothing<sleeping>(2);
}

TEST_CASE("quiet: the filter catches a system call of any thread") {
  auto const got = in_child([] {
    if (forbid_system_calls()) { ::syscall(SYS_getppid); }
  });
  if (!trapped(got)) { return; }
  CHECK(got.outcome == called);
  CHECK(got.number == SYS_getppid);
  auto const yielded = in_child([] {
    gate door;
    auto consumer = launch<gated_policy>({}, {&door});
    auto lane = open(consumer);
    if (forbid_system_calls()) {
      // a worker that sleeps already must be woken, one that does not will sleep: both are calls
      static_cast<void>(lane.submit({}));
      for (;;) { core::relax(); }
    }
  });
  CHECK(yielded.outcome == called);
}

TEST_CASE("quiet: submit, process and poll make no system call while busy") {
  for (verdict const got :
       {busy_in_child<spinning>(1), busy_in_child<spinning>(2), busy_in_child<spinning_pinned>(1),
        busy_in_child<spinning_unanswered>(1)}) {
    if (!trapped(got)) { return; }
    CAPTURE(got.number);
    CHECK(got.outcome == quiet);
  }
}

#else

TEST_CASE("quiet: not counted under a sanitizer, which allocates and calls on its own") {
  MESSAGE("skipped: a sanitizer's own allocations and system calls would be counted");
}

#endif
